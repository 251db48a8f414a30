// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/arena.hpp>
#include <funnel/core/detail/checks.hpp>
#include <funnel/core/detail/element_of.hpp>
#include <funnel/core/error.hpp>
#include <funnel/core/ids.hpp>
#include <funnel/core/matrix.hpp>
#include <funnel/core/top_k.hpp>
#include <funnel/sequence/category_index.hpp>
#include <funnel/simd/find.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <type_traits>

namespace funnel {

/// Hard search of SIM (search-based interest model): finds the newest items of a user's history
/// that have the candidate's category. With an index over clusters it filters by cluster.
///
/// Shapes      positions [K]; the first `count` are written and count <= K is returned. It is 0 if
///             the category is missing or has no item. Attention over an empty result is a zero
///             vector, not the mean of the history.
/// Order       the K newest items, oldest first as in the history.
/// Cost        O(count).
/// Source      Pi et al., CIKM 2020; docs/formulas.md#history-search.
inline std::size_t hard_search(const category_index& history, category_id category,
                               std::span<std::uint32_t> positions) {
  const std::span<const std::uint32_t> found = history.find(category);
  const std::size_t count = std::min(found.size(), positions.size());
  std::reverse_copy(found.begin(), found.begin() + static_cast<std::ptrdiff_t>(count),
                    positions.begin());
  return count;
}

/// Condition of `filter_union` and `hard_search` for a history without an index: the item's id
/// equals the candidate's id.
struct field_equals {
  std::span<const std::uint32_t> ids;  ///< id of each item of the history, oldest first
  std::uint32_t id = 0;                ///< id of the candidate
  std::uint32_t missing = 0;           ///< the id that means "no id"; it matches nothing
};

/// Finds the items of a history that satisfy at least one of several conditions, by a scan without
/// an index: `filter_union({field_equals{categories, c}, field_equals{clusters, g}}, positions)`.
/// Use it if there are few candidates or the history is used only once.
///
/// Shapes      ids of each condition [n]; positions [K]; the first `count` are written and count <=
///             K is returned. A condition whose id is missing matches nothing.
/// Order       the K newest items, each once, oldest first as in the history.
/// Errors      std::invalid_argument if the conditions have different numbers of ids, or n >= 2^32;
///             nothing is written then.
/// Cost        reads the ids from the newest on until K items are found.
/// Source      Pi et al., CIKM 2020; docs/formulas.md#filter-union.
template <std::size_t Conditions, class Arch = default_arch>
std::size_t filter_union(const field_equals (&conditions)[Conditions],
                         std::span<std::uint32_t> positions) {
  const std::size_t n = conditions[0].ids.size();
  detail::check_size_of_32_bits("filter_union", "conditions[0].ids", n);
  const field_equals* known = nullptr;
  for (std::size_t c = 0; c < Conditions; ++c) {
    const field_equals& condition = conditions[c];
    if (condition.ids.size() != n) {
      detail::fail("funnel::filter_union: conditions[", c, "].ids has ", condition.ids.size(),
                   " values, expected ", n, " as in conditions[0].ids");
    }
    if (condition.id != condition.missing) known = &condition;
  }
  if (known == nullptr) return 0;
  const std::uint32_t* ids[Conditions];
  std::uint32_t wanted[Conditions];
  for (std::size_t c = 0; c < Conditions; ++c) {
    // A condition that matches nothing is replaced by a copy of one that may match.
    const field_equals& condition =
        conditions[c].id != conditions[c].missing ? conditions[c] : *known;
    ids[c] = condition.ids.data();
    wanted[c] = condition.id;
  }
  const std::size_t count =
      find_last_equal_kernel(Arch{}, ids, wanted, n, positions.data(), positions.size());
  std::reverse(positions.begin(), positions.begin() + static_cast<std::ptrdiff_t>(count));
  return count;
}

/// The same for one condition: the newest items with the candidate's category.
template <class Arch = default_arch>
std::size_t hard_search(const field_equals& categories, std::span<std::uint32_t> positions) {
  return filter_union<1, Arch>({categories}, positions);
}

/// Soft search of SIM (search-based interest model): finds the K items of a history whose vectors
/// have the largest inner product with the candidate's vector.
///
/// Shapes      history [n, d], oldest first, without padding; candidate [d]; positions [K]; the
///             first min(K, n) are written and that number is returned.
/// Units       similarity is the inner product.
/// Order       oldest first as in the history. If products are equal, the older item is kept; NaN
///             ranks last.
/// Errors      std::invalid_argument if the candidate does not have d values.
/// Cost        O(n d + K log K); n scores in `scratch`, which stay there until it is reset.
/// Source      Pi et al., CIKM 2020; docs/formulas.md#history-search.
template <detail::Matrix History, detail::Numbers Candidate>
std::size_t soft_search(const History& history, const Candidate& candidate,
                        std::span<std::uint32_t> positions, arena& scratch) {
  using t = typename History::value_type;
  const auto items = detail::as_view(history);
  const auto wanted = detail::as_span(candidate);
  const std::size_t n = items.rows();
  detail::check_size("soft_search", "candidate", wanted.size(), items.cols(), "a row of history");
  t* scores = scratch.allocate<t>(n);
  for (std::size_t i = 0; i < n; ++i) {
    const std::span<const t> row = items.row(i);
    double product = 0;
    for (std::size_t j = 0; j < row.size(); ++j)
      product += static_cast<double>(row[j]) * static_cast<double>(wanted[j]);
    scores[i] = static_cast<t>(product);
  }
  const std::span<std::uint32_t> kept = positions.first(std::min(n, positions.size()));
  top_k(std::span<const t>(scores, n), kept);
  std::ranges::sort(kept);
  return kept.size();
}

/// Union of the results of several filters on one history: `filter_union({by_category.find(c),
/// by_cluster.find(g)}, positions)`.
///
/// Shapes      each list has any length, newest first as returned by `category_index::find`,
///             without duplicates; positions [K]; the first `count` are written and count <= K is
///             returned. An empty list adds nothing, so a candidate without a cluster only uses the
///             other filters. If all lists are empty, so is the union.
/// Order       the K newest items, each once, oldest first as in the history.
/// Errors      std::invalid_argument if a list is not newest first (only its K newest are checked);
///             nothing is written then.
/// Cost        O(m (count + m)) for m lists.
/// Source      docs/formulas.md#filter-union.
template <std::size_t Lists>
std::size_t filter_union(const std::span<const std::uint32_t> (&lists)[Lists],
                         std::span<std::uint32_t> positions) {
  std::span<const std::uint32_t> left[Lists];
  for (std::size_t l = 0; l < Lists; ++l) {
    left[l] = lists[l].first(std::min(lists[l].size(), positions.size()));
    if (std::ranges::adjacent_find(left[l], std::less_equal<>()) != left[l].end())
      detail::fail("funnel::filter_union: lists[", l,
                   "] is out of order, expected the newest first, each once");
  }
  std::size_t count = 0;
  while (count < positions.size()) {
    const std::span<const std::uint32_t>* newest = nullptr;
    for (const auto& list : left)
      if (!list.empty() && (newest == nullptr || list.front() > newest->front())) newest = &list;
    if (newest == nullptr) break;
    const std::uint32_t position = newest->front();
    positions[count++] = position;
    for (auto& list : left)
      if (!list.empty() && list.front() == position) list = list.subspan(1);
  }
  std::reverse(positions.begin(), positions.begin() + static_cast<std::ptrdiff_t>(count));
  return count;
}

}  // namespace funnel
