// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/build.hpp>

#include <cstddef>
#include <cstdint>
#include <span>

namespace funnel {

/// Lists of ids, one list per row, stored one after another: list i is ids[offsets[i]] ..
/// ids[offsets[i + 1] - 1].
struct id_lists {
  std::span<const std::uint32_t> ids;
  std::span<const std::uint32_t> offsets;  ///< [n + 1], non-decreasing, from 0 to ids.size()

  std::size_t size() const { return offsets.empty() ? 0 : offsets.size() - 1; }
  std::span<const std::uint32_t> operator[](std::size_t i) const {
    return ids.subspan(offsets[i], offsets[i + 1] - offsets[i]);
  }
};

}  // namespace funnel
