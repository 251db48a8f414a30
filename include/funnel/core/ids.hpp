// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/build.hpp>

#include <cstdint>

namespace funnel {

/// Positions in the caller's own tables: dense, from 0.
using item_id = std::uint32_t;
using user_id = std::uint32_t;
using author_id = std::uint32_t;
using category_id = std::uint32_t;
using cluster_id = std::uint32_t;

}  // namespace funnel
