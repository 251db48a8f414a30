// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/printable.hpp>

#include <algorithm>
#include <cstddef>
#include <numeric>
#include <string>
#include <string_view>
#include <vector>

namespace funnel::detail {

/// Number of characters to insert, remove or replace to turn one text into the other.
///
/// Source      Levenshtein, "Binary codes capable of correcting deletions, insertions, and
///             reversals", 1966.
inline std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 0; i < a.size(); ++i) {
    std::size_t diagonal = row[0]++;
    for (std::size_t j = 0; j < b.size(); ++j) {
      const std::size_t replaced = diagonal + (a[i] != b[j]);
      diagonal = row[j + 1];
      row[j + 1] = std::min({replaced, row[j] + 1, row[j + 1] + 1});
    }
  }
  return row.back();
}

/// Text that suggests the most similar of other names, "; did you mean "x"?"; empty if none is
/// similar. Looks at no more than a thousand names, and at none of 200 characters or more.
inline std::string did_you_mean(std::string_view name,
                                const std::vector<std::string_view>& others) {
  std::string_view best;
  std::size_t least = name.size() / 2 + 1;
  for (std::size_t i = 0; i < std::min<std::size_t>(others.size(), 1000); ++i) {
    if (name.size() >= 200 || others[i].size() >= 200 || others[i] == name) continue;
    const std::size_t distance = edit_distance(name, others[i]);
    if (distance < least) {
      least = distance;
      best = others[i];
    }
  }
  return best.empty() ? std::string() : "; did you mean \"" + printable(best) + "\"?";
}

}  // namespace funnel::detail
