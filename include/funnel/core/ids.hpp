// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/build.hpp>

#include <cstdint>

namespace funnel {

/// Integer ids. Each is a position in a table of the caller: ids start at 0 and have no gaps.
using item_id = std::uint32_t;
using user_id = std::uint32_t;
using author_id = std::uint32_t;
using category_id = std::uint32_t;
using cluster_id = std::uint32_t;

}  // namespace funnel
