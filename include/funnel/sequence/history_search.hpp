// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/arena.hpp>
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
#include <limits>
#include <span>
#include <type_traits>

namespace funnel {

/// Keeps the part of a history that is of the candidate's category: SIM's hard search. With an
/// index over clusters it is the cluster filter.
///
/// Shapes      positions [K], of which the first `count` are written; count <= K is returned, 0 for
///             a category that is missing or has no item. Attention over nothing is then a zero
///             vector, not the mean of the history.
/// Order       the K newest, oldest first as in the history.
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

/// What `filter_union` looks for in a history without an index: the items with one id.
struct field_equals {
  std::span<const std::uint32_t> ids;  ///< of each item of the history, oldest first
  std::uint32_t id = 0;                ///< of the candidate
  std::uint32_t missing = 0;           ///< an id that stands for none and finds nothing
};

/// Keeps what one of several conditions holds for, without an index: `filter_union({field_equals{
/// categories, c}, field_equals{clusters, g}}, positions)`. For the few candidates of a request that
/// needs no index, and for histories that are looked at once.
///
/// Shapes      ids of each condition [n]; positions [K], of which the first `count` are written;
///             count <= K is returned. A condition on a missing id adds nothing.
/// Order       the K newest, each once, oldest first as in the history.
/// Errors      std::invalid_argument if the conditions have other numbers of ids, or n >= 2^32;
///             nothing is written then.
/// Cost        reads the ids from the newest on until K are found.
/// Source      Pi et al., CIKM 2020; docs/formulas.md#filter-union.
template <std::size_t Conditions, class Arch = default_arch>
std::size_t filter_union(const field_equals (&conditions)[Conditions],
                         std::span<std::uint32_t> positions) {
  const std::size_t n = conditions[0].ids.size();
  if (n > std::numeric_limits<std::uint32_t>::max())
    detail::fail("funnel::filter_union: the history has ", n, " items, expected below 2^32");
  const field_equals* known = nullptr;
  for (std::size_t c = 0; c < Conditions; ++c) {
    const field_equals& condition = conditions[c];
    if (condition.ids.size() != n) {
      detail::fail("funnel::filter_union: condition ", c, " has ", condition.ids.size(),
                   " ids, expected ", n);
    }
    if (condition.id != condition.missing) known = &condition;
  }
  if (known == nullptr) return 0;
  const std::uint32_t* ids[Conditions];
  std::uint32_t wanted[Conditions];
  for (std::size_t c = 0; c < Conditions; ++c) {
    // One that finds nothing repeats one that may.
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

/// The same for one condition: the items of the candidate's category.
template <class Arch = default_arch>
std::size_t hard_search(const field_equals& categories, std::span<std::uint32_t> positions) {
  return filter_union<1, Arch>({categories}, positions);
}

/// Keeps the K items of a history whose vectors are closest to the candidate's: SIM's soft search.
///
/// Shapes      history [n, d], oldest first, without padding; candidate [d]; positions [K], of
///             which the first min(K, n) are written, and so many returned.
/// Units       closeness is the inner product.
/// Order       oldest first as in the history. Of equal products the older is kept; NaN ranks last.
/// Errors      std::invalid_argument if the candidate has not d values.
/// Cost        O(n d + K log K); n scores of `scratch` until it is reset.
/// Source      Pi et al., CIKM 2020; docs/formulas.md#history-search.
template <class T = float>
std::size_t soft_search(matrix_view<const std::type_identity_t<T>> history,
                        std::span<const std::type_identity_t<T>> candidate,
                        std::span<std::uint32_t> positions, arena& scratch) {
  const std::size_t n = history.rows();
  if (candidate.size() != history.cols())
    detail::fail("funnel::soft_search: candidate has ", candidate.size(), " values, history ",
                 history.cols(), " columns");
  T* scores = scratch.allocate<T>(n);
  for (std::size_t i = 0; i < n; ++i) {
    const std::span<const T> row = history.row(i);
    double product = 0;
    for (std::size_t j = 0; j < row.size(); ++j)
      product += static_cast<double>(row[j]) * static_cast<double>(candidate[j]);
    scores[i] = static_cast<T>(product);
  }
  const std::span<std::uint32_t> kept = positions.first(std::min(n, positions.size()));
  top_k(std::span<const T>(scores, n), kept);
  std::ranges::sort(kept);
  return kept.size();
}

/// Joins what several filters keep of one history: `filter_union({by_category.find(c),
/// by_cluster.find(g)}, positions)`.
///
/// Shapes      each list [any], newest first as `category_index::find` gives them, without
///             repetition; positions [K], of which the first `count` are written; count <= K is
///             returned. An empty list adds nothing: a candidate without a cluster is left with the
///             other filters, and if all are empty the union is.
/// Order       the K newest, each once, oldest first as in the history.
/// Errors      std::invalid_argument if a list is not newest first (its K newest are looked at);
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
      detail::fail("funnel::filter_union: list ", l, " is not newest first");
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
