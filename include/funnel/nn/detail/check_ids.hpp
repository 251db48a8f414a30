// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/error.hpp>
#include <funnel/simd/embedding.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace funnel::detail {

/// Checks that every id is a row of a table. `first` is the position of ids[0] among all ids that
/// the caller passed.
/// Errors      std::invalid_argument if an id is not a row of the table.
template <class Arch>
void check_ids(Arch arch, std::string_view function, std::span<const std::uint32_t> ids,
               std::size_t rows, std::size_t first = 0) {
  if (ids.empty() || largest_id_kernel(arch, ids.data(), ids.size()) < rows) return;
  const std::size_t i = static_cast<std::size_t>(
      std::ranges::find_if(ids, [rows](std::uint32_t id) { return id >= rows; }) - ids.begin());
  fail("funnel::", function, ": ids[", first + i, "] is ", ids[i], ", expected below ", rows);
}

}  // namespace funnel::detail
