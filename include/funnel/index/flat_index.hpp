// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/arena.hpp>
#include <funnel/core/detail/sizes.hpp>
#include <funnel/core/executor.hpp>
#include <funnel/core/ids.hpp>
#include <funnel/core/matrix.hpp>
#include <funnel/index/detail/best_items.hpp>
#include <funnel/index/item_filter.hpp>
#include <funnel/index/scored_item.hpp>
#include <funnel/simd/arch.hpp>
#include <funnel/simd/find.hpp>
#include <funnel/simd/inner_product.hpp>

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>

namespace funnel {

/// Exact search of the k items whose vectors have the largest inner product with a query.
///
/// Item i is row i of the vectors. With vectors of length one and a query of length one the scores
/// are cosines. Searching is const: any number of threads may do it.
///
/// Order       larger score first; of equal scores the lower item; NaN scores last.
/// Errors      std::invalid_argument if a query has another length, or found other rows than
///             queries.
/// Cost        one query is bound by reading the vectors, 4 n d bytes; from about eight on, at 2 n d
///             operations a query, by arithmetic. admit is asked about items that would be among
///             the best so far, no others.
/// Numerics    a query's scores have the same bits alone, in a batch and with any number of threads.
template <class Arch = default_arch>
class flat_index {
 public:
  flat_index() = default;
  /// Keeps a copy of the vectors, [n, d], packed for `Arch`.
  /// Errors      std::invalid_argument if n is above 2^32: an `item_id` names each.
  explicit flat_index(matrix_view<const float> vectors)
      : panels_(size_of_panels(vectors.rows(), vectors.cols())), size_(vectors.rows()),
        dim_(vectors.cols()) {
    for (std::size_t i = 0; i < size_; ++i) {
      for (std::size_t k = 0; k < dim_; ++k)
        panels_[packed_item_place<Arch, float>(i, k, dim_)] = vectors(i, k);
    }
  }

  std::size_t size() const { return size_; }
  std::size_t dim() const { return dim_; }

  /// Writes the vector of an item, [d].
  /// Errors      std::invalid_argument if there is no such item, or `vector` has not d values.
  void copy_vector(item_id item, std::span<float> vector) const {
    if (item >= size_ || vector.size() != dim_) {
      detail::fail("funnel::flat_index::copy_vector: item ", item, " of ", size(), ", vector has ",
                   vector.size(), " values, expected ", dim());
    }
    for (std::size_t k = 0; k < dim_; ++k)
      vector[k] = panels_[packed_item_place<Arch, float>(item, k, dim_)];
  }

  /// Writes the best items for which `admit(item)` holds, best first; gives how many: k, or fewer if
  /// fewer are admitted.
  ///
  /// Shapes      query [d]; found [k].
  template <std::predicate<item_id> Admit = all_items>
  std::size_t search(std::span<const float> query, std::span<scored_item> found,
                     const Admit& admit = {}) const {
    return search(matrix_view<const float>(query.data(), 1, query.size()),
                  matrix_view<scored_item>(found.data(), 1, found.size()), admit);
  }

  /// The same for many queries at once: the vectors are read once for up to 64 of them.
  ///
  /// Shapes      queries [q, d]; found [q, k], of which the first `count` of each row are written
  ///             and `count` is returned, the same for all.
  template <std::predicate<item_id> Admit = all_items>
  std::size_t search(matrix_view<const float> queries, matrix_view<scored_item> found,
                     const Admit& admit = {}) const {
    check(queries, found);
    const std::size_t count = search_range(queries, found, 0, size_, admit);
    for (std::size_t q = 0; q < found.rows(); ++q)
      std::ranges::sort(found.row(q).first(count), detail::found_before);
    return count;
  }

  /// The same on the threads of an executor: each looks at a part of the items. `admit` is called
  /// from all of them; q k items of `scratch` a thread.
  template <std::predicate<item_id> Admit, Executor E>
  std::size_t search(matrix_view<const float> queries, matrix_view<scored_item> found,
                     const Admit& admit, E& executor, arena& scratch) const {
    check(queries, found);
    constexpr std::size_t step = item_panel<Arch, float>;
    const std::size_t parts = std::max<std::size_t>(1, executor.concurrency());
    const std::size_t part_size = (size_ / parts / step + 1) * step;
    const std::size_t slots = found.rows() * found.cols();
    auto* of_parts = scratch.allocate<scored_item>(parts, slots);
    auto* counts = scratch.allocate<std::size_t>(parts);
    executor.for_each(parts, [&](std::size_t p) {
      const std::size_t begin = std::min(size(), p * part_size);
      const std::size_t end = std::min(size(), begin + part_size);
      counts[p] = search_range(queries, {of_parts + p * slots, found.rows(), found.cols()}, begin,
                               end, admit);
    });
    std::size_t count = 0;
    for (std::size_t q = 0; q < found.rows() && found.cols() > 0; ++q) {
      count = 0;
      for (std::size_t p = 0; p < parts; ++p) {
        const scored_item* best = of_parts + p * slots + q * found.cols();
        for (std::size_t i = 0; i < counts[p]; ++i)
          detail::add_to_best(found.row(q), count, best[i]);
      }
      std::ranges::sort(found.row(q).first(count), detail::found_before);
    }
    return count;
  }

 private:
  static constexpr std::size_t most_queries = 64;  // at once; beyond, reading costs nothing anyway
  static constexpr std::size_t most_items = 1024;
  static constexpr std::size_t most_scores = 4096;  // 16 KB, half of L1

  static std::size_t panels_of(std::size_t items) {
    return detail::blocks_of(items, item_panel<Arch, float>);
  }
  static std::size_t size_of_panels(std::size_t items, std::size_t dim) {
    if (items > 0 && items - 1 > std::numeric_limits<item_id>::max())
      detail::fail("funnel::flat_index: vectors has ", items, " rows, expected at most 2^32");
    return detail::array_size<float>("funnel::flat_index: rows x columns",
                                     panels_of(items) * item_panel<Arch, float>, dim);
  }

  void check(matrix_view<const float> queries, matrix_view<scored_item> found) const {
    if (queries.cols() != dim_) {
      detail::fail("funnel::flat_index::search: query has ", queries.cols(), " values, expected ",
                   dim());
    }
    if (queries.rows() != found.rows()) {
      detail::fail("funnel::flat_index::search: found has ", found.rows(), " rows for ",
                   queries.rows(), " queries");
    }
  }

  /// The best of items [begin, end), not sorted; `begin` is the first column of a panel.
  template <class Admit>
  std::size_t search_range(matrix_view<const float> queries, matrix_view<scored_item> found,
                           std::size_t begin, std::size_t end, const Admit& admit) const {
    alignas(64) float scores[most_scores];
    std::size_t count = 0;
    if (found.cols() == 0) return count;
    for (std::size_t first = 0; first < queries.rows(); first += most_queries) {
      const std::size_t n = std::min(most_queries, queries.rows() - first);
      // Whole panels: 64 is a multiple of every item_panel.
      const std::size_t block = std::min(most_items, most_scores / n / 64 * 64);
      std::size_t count_before = 0;
      for (std::size_t item = begin; item < end; item += block, count_before = count) {
        const std::size_t items = std::min(block, end - item);
        const std::size_t panels = panels_of(items);
        const matrix_view<float> y(scores, n, panels * item_panel<Arch, float>, block);
        inner_products_kernel(Arch{}, queries.middle_rows(first, n), panels_.data() + item * dim_,
                              panels_of(end - item) - panels, y);
        for (std::size_t q = 0; q < n; ++q) {
          count = count_before;
          take_best(y.row(q).first(items), item, found.row(first + q), count, admit);
        }
      }
    }
    return count;
  }

  template <class Admit>
  static void take_best(std::span<const float> scores, std::size_t first_item,
                        std::span<scored_item> found, std::size_t& count, const Admit& admit) {
    for (std::size_t i = 0; i < scores.size(); ++i) {
      if (count == found.size()) {
        // Of those that follow few get further: whole registers are passed over.
        i = find_above_kernel(Arch{}, scores.data(), i, scores.size(), found.front().score);
        if (i == scores.size()) break;
      }
      const scored_item candidate =
          detail::comparable(static_cast<item_id>(first_item + i), scores[i]);
      if (count == found.size() && !detail::found_before(candidate, found.front())) continue;
      if (admit(candidate.item)) detail::add_to_best(found, count, candidate);
    }
  }

  detail::aligned_vector<float>
      panels_;  // before its sizes: a copy that fails changes none of them
  detail::owned_size size_;
  detail::owned_size dim_;
};

}  // namespace funnel
