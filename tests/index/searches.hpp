// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/ids.hpp>
#include <funnel/core/matrix.hpp>
#include <funnel/index/item_filter.hpp>
#include <funnel/index/scored_item.hpp>

#include "support/catch.hpp"
#include "support/matrices.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

// Searches of an index, and the same search without one.

/// Small whole numbers: inner products are exact, and many are equal.
inline funnel::matrix<float> whole_numbers(std::size_t rows, std::size_t cols, std::uint64_t seed) {
  funnel::matrix<float> values = random_matrix<float>(rows, cols, seed, -2, 3);
  for (float& v : values.flat()) v = std::floor(v);
  return values;
}

/// A matrix of rows of the same length; one or more.
inline funnel::matrix<float> rows_of(const std::vector<std::vector<float>>& rows) {
  funnel::matrix<float> m(rows.size(), rows[0].size());
  for (std::size_t i = 0; i < rows.size(); ++i) std::ranges::copy(rows[i], m.row(i).begin());
  return m;
}

template <class Index, class Admit = funnel::all_items>
std::vector<funnel::scored_item> search(const Index& index, std::span<const float> query,
                                        std::size_t k, const Admit& admit = {}) {
  std::vector<funnel::scored_item> found(k, {77, -7});
  found.resize(index.search(query, found, admit));
  return found;
}

inline std::vector<funnel::item_id> items_of(const std::vector<funnel::scored_item>& found) {
  std::vector<funnel::item_id> items;
  for (const funnel::scored_item& f : found) items.push_back(f.item);
  return items;
}

/// All inner products in double, all sorted.
template <class Admit>
std::vector<funnel::scored_item> naive(const funnel::matrix<float>& vectors,
                                       std::span<const float> query, std::size_t k,
                                       const Admit& admit) {
  std::vector<funnel::scored_item> all;
  for (std::size_t i = 0; i < vectors.rows(); ++i) {
    double score = 0;
    for (std::size_t j = 0; j < query.size(); ++j)
      score += static_cast<double>(vectors(i, j)) * static_cast<double>(query[j]);
    const auto item = static_cast<funnel::item_id>(i);
    if (admit(item)) all.push_back({item, static_cast<float>(score)});
  }
  std::ranges::stable_sort(all, [](const funnel::scored_item& a, const funnel::scored_item& b) {
    return a.score > b.score;
  });
  all.resize(std::min(k, all.size()));
  return all;
}

template <class Found>
void check_same(const Found& found, const Found& expected) {
  REQUIRE(items_of(found) == items_of(expected));
  for (std::size_t i = 0; i < found.size(); ++i) CHECK(found[i].score == expected[i].score);
}
