// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/arena.hpp>
#include <funnel/core/detail/checks.hpp>
#include <funnel/core/detail/sizes.hpp>
#include <funnel/core/executor.hpp>
#include <funnel/core/ids.hpp>
#include <funnel/core/matrix.hpp>
#include <funnel/index/detail/best_items.hpp>
#include <funnel/index/item_filter.hpp>
#include <funnel/index/scored_item.hpp>
#include <funnel/nn/detail/check_ids.hpp>
#include <funnel/simd/arch.hpp>
#include <funnel/simd/detail/prefetch.hpp>
#include <funnel/simd/find.hpp>
#include <funnel/simd/inner_product.hpp>

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>

namespace funnel {

/// Exact nearest-neighbor search by inner product: finds the k items whose vectors have the largest
/// inner product with a query vector.
///
/// Item i is row i of the vectors. If the vectors and the query are normalized to length 1, scores
/// are cosines. Searching is const, so several threads can search at the same time.
///
/// Order       larger scores first; equal scores by lower item id; NaN last.
/// Errors      std::invalid_argument if a query does not have d values, or found does not have one
///             row per query.
/// Cost        a single query is limited by reading the vectors, 4 n d bytes; from about eight
///             queries on, the limit is arithmetic, 2 n d operations per query. admit is only
///             called for items that would be among the best k so far.
/// Numerics    a query's scores have the same bits alone, in a batch and with any number of
///             threads.
/// Source      docs/formulas.md#exact-search.
template <class Arch = default_arch>
class flat_index {
 public:
  flat_index() = default;
  /// Makes a copy of the vectors, [n, d], packed for `Arch`.
  ///
  /// Errors      std::invalid_argument if n is above 2^32, as ids are of type `item_id`.
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

  /// Writes the vector of an item to `vector`, [d].
  ///
  /// Errors      std::invalid_argument if there is no such item, or `vector` does not have d
  ///             values.
  void copy_vector(item_id item, std::span<float> vector) const {
    detail::check_below("flat_index::copy_vector", "item", item, size_);
    detail::check_size("flat_index::copy_vector", "vector", vector.size(), dim_);
    for (std::size_t k = 0; k < dim_; ++k)
      vector[k] = panels_[packed_item_place<Arch, float>(item, k, dim_)];
  }

  /// Scores items that are picked by id: out(i, t) = <queries(t), vector of ids[i]>, with the bits
  /// that `search` gives. An id may occur more than once.
  ///
  /// The index keeps the values of a vector apart from each other, for searches that read all items
  /// in order, so that a picked item costs d cache lines. `score_items` on rows takes about a tenth
  /// of the time: if every request scores given items, keep the rows for that.
  ///
  /// Shapes      queries [T, d]; ids [n]; out [n, T].
  /// Errors      std::invalid_argument if an id is not an item, or on other shapes.
  /// Cost        reads n d cache lines. Allocates nothing.
  void scores(matrix_view<const float> queries, std::span<const item_id> ids,
              matrix_view<float> out) const {
    detail::check_size("flat_index::scores", "query", queries.cols(), dim_);
    detail::check_shape("flat_index::scores", "out", out, ids.size(), queries.rows());
    detail::check_ids(Arch{}, "flat_index::scores", ids, size_);
    constexpr std::size_t most = item_panel<Arch, float>;
    for (std::size_t first = 0; first < ids.size(); first += most)
      score_panel(queries, ids, first, std::min(most, ids.size() - first), out);
  }
  /// The same for one query.
  ///
  /// Shapes      query [d]; ids [n]; out [n].
  void scores(std::span<const float> query, std::span<const item_id> ids,
              std::span<float> out) const {
    scores(matrix_view<const float>(query.data(), 1, query.size()), ids,
           matrix_view<float>(out.data(), out.size(), 1));
  }

  /// Writes the best items for which `admit(item)` is true, best first, and returns their number:
  /// k, or fewer if fewer items are admitted.
  ///
  /// Shapes      query [d]; found [k].
  template <std::predicate<item_id> Admit = all_items>
  std::size_t search(std::span<const float> query, std::span<scored_item> found,
                     const Admit& admit = {}) const {
    return search(matrix_view<const float>(query.data(), 1, query.size()),
                  matrix_view<scored_item>(found.data(), 1, found.size()), admit);
  }

  /// Searches for several queries at once; the vectors are read once per 64 queries.
  ///
  /// Shapes      queries [q, d]; found [q, k]; the first `count` values of each row are written and
  ///             `count` is returned. It is the same for all queries.
  template <std::predicate<item_id> Admit = all_items>
  std::size_t search(matrix_view<const float> queries, matrix_view<scored_item> found,
                     const Admit& admit = {}) const {
    check(queries, found);
    const std::size_t count = search_range(queries, found, 0, size_, admit);
    for (std::size_t q = 0; q < found.rows(); ++q)
      std::ranges::sort(found.row(q).first(count), detail::found_before);
    return count;
  }

  /// The same on the threads of an executor, each of which searches a part of the items. `admit` is
  /// called from all threads. Each thread needs q k items of `scratch`.
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
  static constexpr std::size_t most_queries = 64;  // per pass; more would not be faster
  static constexpr std::size_t most_items = 1024;
  static constexpr std::size_t most_scores = 4096;  // 16 KB, half of the L1 cache

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
    detail::check_size("flat_index::search", "query", queries.cols(), dim_);
    detail::check_rows("flat_index::search", "found", found.rows(), queries.rows(), "queries");
  }

  /// Scores ids[first .. first + n), at most a panel. Their vectors are copied into one panel; vectors
  /// for which it would be too long are scored with the panel they are in.
  void score_panel(matrix_view<const float> queries, std::span<const item_id> ids,
                   std::size_t first, std::size_t n, matrix_view<float> out) const {
    constexpr std::size_t panel = item_panel<Arch, float>;
    constexpr std::size_t most_dim = 256;  // a panel of 32 KB with AVX-512
    constexpr std::size_t ahead = 8;       // items; each is d cache lines
    alignas(64) float copied[most_dim * panel];
    const auto place = [&](std::size_t i) {
      // Without columns there are no panels, and nothing may be added to a null pointer.
      return dim_ == 0 ? panels_.data()
                       : panels_.data() + packed_item_place<Arch, float>(ids[i], 0, dim_);
    };
    const auto score = [&](const float* vectors, std::size_t i, std::size_t lane,
                           std::size_t count) {
      alignas(64) float products[8 * panel];
      for (std::size_t t = 0; t < queries.rows(); t += 8) {
        const std::size_t some = std::min<std::size_t>(8, queries.rows() - t);
        inner_products_kernel(Arch{}, queries.middle_rows(t, some), vectors, 0,
                              matrix_view<float>(products, some, panel));
        for (std::size_t j = 0; j < count; ++j)
          for (std::size_t q = 0; q < some; ++q)
            out(i + j, t + q) = detail::comparable(0, products[q * panel + lane + j]).score;
      }
    };
    for (std::size_t j = 0; j < n; ++j) {
      const float* from = place(first + j);
      if (dim_ > most_dim) {
        const std::size_t lane = ids[first + j] % panel;
        score(from - lane, first + j, lane, 1);
        continue;
      }
      if (first + j + ahead < ids.size()) {
        const float* later = place(first + j + ahead);
        for (std::size_t k = 0; k < dim_; ++k) detail::prefetch_bytes<true>(later + k * panel, 1);
      }
      for (std::size_t k = 0; k < dim_; ++k) copied[k * panel + j] = from[k * panel];
    }
    if (dim_ > most_dim) return;
    for (std::size_t k = 0; k < dim_; ++k)
      std::fill(copied + k * panel + n, copied + (k + 1) * panel, 0.f);
    score(copied, first, 0, n);
  }

  /// Finds the best of items [begin, end), not sorted; `begin` is the first item of a panel.
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
        // Few of the following items score higher, so whole SIMD registers are skipped.
        i = find_above_kernel(Arch{}, scores.data(), i, scores.size(), found.front().score);
        if (i == scores.size()) break;
      }
      const scored_item candidate =
          detail::comparable(static_cast<item_id>(first_item + i), scores[i]);
      if (count == found.size() && !detail::found_before(candidate, found.front())) continue;
      if (admit(candidate.item)) detail::add_to_best(found, count, candidate);
    }
  }

  // Declared before the sizes: if copying it fails, they are unchanged.
  detail::aligned_vector<float> panels_;
  detail::owned_size size_;
  detail::owned_size dim_;
};

}  // namespace funnel
