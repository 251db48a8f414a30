// SPDX-License-Identifier: MIT
#include <funnel/funnel.hpp>
