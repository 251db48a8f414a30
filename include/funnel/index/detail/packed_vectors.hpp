// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/sizes.hpp>
#include <funnel/core/float16.hpp>
#include <funnel/core/ids.hpp>
#include <funnel/core/matrix.hpp>
#include <funnel/index/detail/best_items.hpp>
#include <funnel/index/scored_item.hpp>
#include <funnel/simd/detail/prefetch.hpp>
#include <funnel/simd/find.hpp>
#include <funnel/simd/inner_product.hpp>

#include <algorithm>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <limits>
#include <span>

namespace funnel::detail {

// The vectors of a flat_index, [items, d]: their memory, and the search that reads it. An item whose
// vector was not set has zeros.

/// A number as it is stored.
template <class Value>
Value stored_value(float value) {
  if constexpr (std::same_as<Value, float16>) {
    return to_float16(value);
  } else if constexpr (std::same_as<Value, bfloat16>) {
    return to_bfloat16(value);
  } else {
    return value;
  }
}
inline float to_float(float value) {
  return value;
}

/// A search goes through the items in blocks whose scores stay in the L1 cache, and scores a block
/// for some queries at a time.
struct search_blocks {
  static constexpr std::size_t most_queries = 64;  // per pass; more would not be faster
  static constexpr std::size_t most_items = 1024;
  static constexpr std::size_t most_scores = 4096;  // 16 KB, half of the L1 cache

  /// Items of a block for n queries. Whole panels: 64 is a multiple of every item_panel.
  static constexpr std::size_t items(std::size_t n) {
    return std::min(most_items, most_scores / n / 64 * 64);
  }
};

/// Vectors stored as float, float16 or bfloat16, in the panels that a search reads.
template <class Arch, class Value>
class packed_vectors {
 public:
  static constexpr std::size_t most_dim = std::numeric_limits<std::size_t>::max();

  packed_vectors() = default;
  explicit packed_vectors(std::size_t dim) : dim_(dim) {}

  std::size_t dim() const { return dim_; }

  static bool can_store([[maybe_unused]] float value) {
    if constexpr (std::same_as<Value, float>) {
      return true;
    } else {
      return std::isfinite(to_float(stored_value<Value>(value)));
    }
  }

  /// Makes room for items [0, items), which the caller has checked to be possible.
  void resize(std::size_t items) {
    if (packed_items_size<Arch, float>(items, dim_) > panels_.size())
      panels_.resize(packed_items_size<Arch, float>(items, dim_));
  }
  void reserve(std::size_t items) { panels_.reserve(packed_items_size<Arch, float>(items, dim_)); }

  void set(item_id item, std::span<const float> vector) noexcept {
    for (std::size_t k = 0; k < dim_; ++k)
      panels_[packed_item_place<Arch, float>(item, k, dim_)] = stored_value<Value>(vector[k]);
  }
  void clear(item_id item) noexcept {
    for (std::size_t k = 0; k < dim_; ++k)
      panels_[packed_item_place<Arch, float>(item, k, dim_)] = Value{};
  }
  void copy(item_id item, std::span<float> vector) const {
    for (std::size_t k = 0; k < dim_; ++k)
      vector[k] = to_float(panels_[packed_item_place<Arch, float>(item, k, dim_)]);
  }

  /// out(i, t) = <queries(t), vector of ids[i]>.
  void score(matrix_view<const float> queries, std::span<const item_id> ids,
             matrix_view<float> out) const {
    constexpr std::size_t most = item_panel<Arch, float>;
    for (std::size_t first = 0; first < ids.size(); first += most)
      score_panel(queries, ids, first, std::min(most, ids.size() - first), out);
  }

  /// Finds the best of items [begin, end), not sorted, and returns their number; `begin` is the first
  /// item of a panel.
  template <class Admit>
  std::size_t best(matrix_view<const float> queries, matrix_view<scored_item> found,
                   std::size_t begin, std::size_t end, const Admit& admit) const {
    alignas(64) float scores[search_blocks::most_scores];
    std::size_t count = 0;
    if (found.cols() == 0) return count;
    for (std::size_t first = 0; first < queries.rows(); first += search_blocks::most_queries) {
      const std::size_t n = std::min(search_blocks::most_queries, queries.rows() - first);
      const std::size_t block = search_blocks::items(n);
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

 private:
  static std::size_t panels_of(std::size_t items) {
    return blocks_of(items, item_panel<Arch, float>);
  }

  /// Scores ids[first .. first + n), at most a panel. Their vectors are copied into one panel; vectors
  /// for which it would be too long are scored with the panel they are in.
  void score_panel(matrix_view<const float> queries, std::span<const item_id> ids,
                   std::size_t first, std::size_t n, matrix_view<float> out) const {
    constexpr std::size_t panel = item_panel<Arch, float>;
    constexpr std::size_t longest = 256;  // a panel of 32 KB with AVX-512
    constexpr std::size_t ahead = 8;      // items; each is d cache lines
    alignas(64) Value copied[longest * panel];
    const auto place = [&](std::size_t i) {
      // Without columns there are no panels, and nothing may be added to a null pointer.
      return dim_ == 0 ? panels_.data()
                       : panels_.data() + packed_item_place<Arch, float>(ids[i], 0, dim_);
    };
    const auto score = [&](const Value* vectors, std::size_t i, std::size_t lane,
                           std::size_t count) {
      alignas(64) float products[8 * panel];
      for (std::size_t t = 0; t < queries.rows(); t += 8) {
        const std::size_t some = std::min<std::size_t>(8, queries.rows() - t);
        inner_products_kernel(Arch{}, queries.middle_rows(t, some), vectors, 0,
                              matrix_view<float>(products, some, panel));
        for (std::size_t j = 0; j < count; ++j)
          for (std::size_t q = 0; q < some; ++q)
            out(i + j, t + q) = comparable(0, products[q * panel + lane + j]).score;
      }
    };
    for (std::size_t j = 0; j < n; ++j) {
      const Value* from = place(first + j);
      if (dim_ > longest) {
        const std::size_t lane = ids[first + j] % panel;
        score(from - lane, first + j, lane, 1);
        continue;
      }
      if (first + j + ahead < ids.size()) {
        const Value* later = place(first + j + ahead);
        for (std::size_t k = 0; k < dim_; ++k) prefetch_bytes<true>(later + k * panel, 1);
      }
      for (std::size_t k = 0; k < dim_; ++k) copied[k * panel + j] = from[k * panel];
    }
    if (dim_ > longest) return;
    for (std::size_t k = 0; k < dim_; ++k)
      std::fill(copied + k * panel + n, copied + (k + 1) * panel, Value{});
    score(copied, first, 0, n);
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
      const scored_item candidate = comparable(static_cast<item_id>(first_item + i), scores[i]);
      if (count == found.size() && !found_before(candidate, found.front())) continue;
      if (admit(candidate.item)) add_to_best(found, count, candidate);
    }
  }

  // Declared before the size: if copying it fails, the size is unchanged.
  aligned_vector<Value> panels_;
  owned_size dim_;
};

}  // namespace funnel::detail
