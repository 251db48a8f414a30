// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/matrix.hpp>

#include <cstddef>
#include <vector>

/// The k largest of the first column.
std::vector<std::size_t> page(funnel::matrix_view<const float> scores, std::size_t k);
