// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>
#include <funnel/nn/context.hpp>
#include <funnel/nn/embedding.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

namespace funnel {
namespace detail {

/// Returns the last n ids of each list: the lists unchanged if none is longer, otherwise a copy in
/// `memory`.
inline id_lists last_of_lists(arena& memory, const id_lists& lists, std::size_t n) {
  std::size_t count = 0;
  for (std::size_t i = 0; i < lists.size(); ++i) count += std::min(n, lists[i].size());
  if (count == lists.ids.size()) return lists;
  auto* ids = memory.allocate<std::uint32_t>(count);
  auto* offsets = memory.allocate<std::uint32_t>(lists.size() + 1);
  offsets[0] = 0;
  for (std::size_t i = 0; i < lists.size(); ++i) {
    const std::span<const std::uint32_t> last = lists[i].last(std::min(n, lists[i].size()));
    std::ranges::copy(last, ids + offsets[i]);
    offsets[i + 1] = offsets[i] + static_cast<std::uint32_t>(last.size());
  }
  return {{ids, count}, {offsets, lists.size() + 1}};
}

}  // namespace detail

/// LastN feature: the mean of the embeddings of the last n items of each user's history. Each list
/// of items is one user.
///
/// Shapes      histories: m lists of rows of `items`, oldest first -> [m, dim]. In a request there
///             is one user: one list and one row. A list of fewer than n items returns the mean of
///             all of them, an empty list returns zeros.
/// Errors      std::invalid_argument if n is 0, an id is not a row of `items`, or the offsets do
///             not fit.
/// Cost        reads min(n, length) rows per list. If a list is longer than n, the last ids of all
///             lists are copied to the context's scratch memory.
/// Source      Covington, Adams and Sargin, "Deep neural networks for YouTube recommendations",
///             RecSys 2016, section 3; docs/formulas.md#last-n-mean.
template <Context C, class T>
value_of<C> last_n_mean(C& context, const embedding<T>& items, const id_lists& histories,
                        std::size_t n) requires(ContextOf<C, T>) {
  detail::check_at_least_one("last_n_mean", "n", n);
  detail::check_lists("last_n_mean", histories);
  return embedding_bag<T>::pooled(
      context, items.table, detail::last_of_lists(context.scratch(), histories, n), pooling::mean);
}
/// For contexts of another number type: stops the compilation with one sentence.
template <Context C, class T>
value_of<C> last_n_mean(C&, const embedding<T>&, const id_lists&,
                        std::size_t) requires(!ContextOf<C, T>) {
  return detail::refuse_context<C, T>();
}

}  // namespace funnel
