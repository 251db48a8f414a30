// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>
#include <funnel/core/matrix.hpp>
#include <funnel/index/item_filter.hpp>
#include <funnel/index/scored_item.hpp>
#include <funnel/index/vector_index.hpp>

#include <algorithm>
#include <cstddef>
#include <limits>
#include <span>
#include <vector>

namespace funnel {

/// Recall of an approximate index: the share of the exact k best items that it finds, over all queries.
///
///     recall@k = sum_q |found_q and exact_q| / sum_q |exact_q|
///
/// `exact` is an index of the same vectors that finds the best, such as `flat_index`.
///
/// Shapes      queries [q, d].
/// Errors      std::invalid_argument if k is 0, or the indexes do not have equal sizes.
/// Cost        two searches per query.
/// Numerics    NaN without queries or items. An item that ties with the last of the exact k, and
///             that the index found in its place, counts as not found.
/// Source      docs/formulas.md#approximate-search.
template <VectorIndex Index, VectorIndex Exact, class Admit = all_items>
double index_recall(const Index& index, const Exact& exact, matrix_view<const float> queries,
                    std::size_t k, const Admit& admit = {}) {
  detail::check_at_least_one("index_recall", "k", k);
  if (index.size() != exact.size())
    detail::fail("funnel::index_recall: index has ", index.size(), " items, expected ",
                 exact.size(), " as in exact");
  std::vector<scored_item> found(std::min(k, exact.size())), best(found.size());
  std::size_t hits = 0, of = 0;
  for (std::size_t q = 0; q < queries.rows(); ++q) {
    const auto ids_of = [&](const auto& searched, std::vector<scored_item>& items) {
      const auto ids = std::span(items).first(searched.search(queries.row(q), items, admit));
      std::ranges::sort(ids, {}, &scored_item::item);
      return ids;
    };
    const auto ids = ids_of(index, found);
    const auto best_ids = ids_of(exact, best);
    for (const scored_item& s : best_ids)
      if (std::ranges::binary_search(ids, s.item, {}, &scored_item::item)) ++hits;
    of += best_ids.size();
  }
  return of == 0 ? std::numeric_limits<double>::quiet_NaN()
                 : static_cast<double>(hits) / static_cast<double>(of);
}

}  // namespace funnel
