// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/sizes.hpp>
#include <funnel/core/ids.hpp>
#include <funnel/core/matrix.hpp>
#include <funnel/index/detail/best_items.hpp>
#include <funnel/index/detail/packed_vectors.hpp>
#include <funnel/index/scored_item.hpp>
#include <funnel/simd/detail/prefetch.hpp>
#include <funnel/simd/find.hpp>
#include <funnel/simd/inner_product.hpp>
#include <funnel/simd/int8_product.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

namespace funnel::detail {

/// A vector rounded to int8 values times a scale, and how far away that is.
struct int8_rounding {
  float scale = 0;   ///< largest magnitude / 127
  float length = 0;  ///< |x|, rounded up
  float error = 0;   ///< |x - scale * codes|, rounded up

  /// Writes the codes of x. If x is not finite, or too small for a scale, they are zeros.
  int8_rounding(std::span<const float> x, std::span<std::int8_t> codes) {
    float largest = 0;
    bool finite = true;
    for (const float v : x) {
      largest = std::max(largest, std::abs(v));
      finite = finite && std::abs(v) <= std::numeric_limits<float>::max();
    }
    scale = largest / 127;
    if (!finite || scale < std::numeric_limits<float>::min()) scale = 0;
    const double s = static_cast<double>(scale);
    double squares = 0, errors = 0;
    for (std::size_t k = 0; k < x.size(); ++k) {
      const double v = static_cast<double>(x[k]);
      codes[k] = scale > 0 ? static_cast<std::int8_t>(std::nearbyint(v / s)) : std::int8_t{0};
      const double rest = v - s * codes[k];
      squares += v * v;
      errors += rest * rest;
    }
    // The next larger float: a denormal one is rounded by much.
    const auto up = [](double root) {
      return std::nextafter(static_cast<float>(root * (1 + 0x1p-20)),
                            std::numeric_limits<float>::infinity());
    };
    length = up(std::sqrt(squares));
    error = up(std::sqrt(errors));
  }
};

/// A bound that no sum in float of <q, x> is above, from that of the roundings q', x':
///
///     <q, x> <= <q', x'> + |q - q'| |x| + |q'| |x - x'| + rounding errors
///
/// A sum of d products, each rounded, is wrong by less than (d + 1) 2^-24 |q| |x|, and the float
/// arithmetic with <q', x'> by a few 2^-24 of that; twice of both is added.
class int8_bound {
 public:
  int8_bound() = default;
  int8_bound(const int8_rounding& query, std::size_t dim)
      : scale(query.scale), length_(static_cast<double>(query.length)) {
    const double d = static_cast<double>(dim), error = static_cast<double>(query.error);
    const double rounding = (d + 16) * 0x1p-23 * (length_ + error);
    of_length_ = error + rounding;
    of_error_ = length_ + error + rounding;
    smallest_ = d * 0x1p-130;
  }

  /// What is added for items of at most this length and error. It is infinite where sums may not be.
  float slack(float length, float error) const {
    const double l = static_cast<double>(length), e = static_cast<double>(error);
    if (!(l < 1e30 && l * length_ < 1e37)) return std::numeric_limits<float>::infinity();
    return static_cast<float>((of_length_ * l + of_error_ * e) * (1 + 0x1p-20) + smallest_);
  }

  float scale = 0;

 private:
  double length_ = 0, of_length_ = 0, of_error_ = 0, smallest_ = 0;
};

/// Vectors stored as int8, in the panels that a search reads, and as float rows. The sum of an item's
/// int8 values gives a bound that its score is not above. Only items whose bound is above the worst
/// of the best scores so far are scored, with their rows: what a search finds is exact.
template <class Arch>
class int8_vectors {
 public:
  static constexpr std::size_t most_dim = 16384;  // of a query, packed, in 32 KB

  int8_vectors() = default;
  explicit int8_vectors(std::size_t dim) : dim_(dim) {}

  std::size_t dim() const { return dim_; }

  static bool can_store(float value) { return std::isfinite(value); }

  /// Makes room for items [0, items), which the caller has checked to be possible.
  void resize(std::size_t items) {
    const std::size_t panels = panels_of(items);
    const auto grow = [](auto& values, std::size_t size, auto value) {
      if (size > values.size()) values.resize(size, value);
    };
    grow(codes_, packed_int8_size<Arch>(items, dim_), packed_int8(0));
    grow(rows_, items * dim_, 0.f);
    grow(scales_, panels * panel, 0.f);
    grow(roundings_, panels * panel, rounding{});
    grow(of_panels_, panels, rounding{});
  }
  void reserve(std::size_t items) {
    const std::size_t panels = panels_of(items);
    codes_.reserve(packed_int8_size<Arch>(items, dim_));
    rows_.reserve(items * dim_);
    scales_.reserve(panels * panel);
    roundings_.reserve(panels * panel);
    of_panels_.reserve(panels);
  }

  void set(item_id item, std::span<const float> vector) noexcept {
    std::int8_t codes[most_dim];
    const int8_rounding made(vector, std::span(codes, dim_));
    std::ranges::copy(vector, rows_.data() + item * dim_);
    for (std::size_t k = 0; k < dim_; ++k)
      codes_[packed_int8_place<Arch>(item, k, dim_)] = packed_int8(codes[k]);
    set_rounding(item, made.scale, {made.length, made.error});
  }
  void clear(item_id item) noexcept {
    std::fill_n(rows_.data() + item * dim_, dim(), 0.f);
    for (std::size_t k = 0; k < dim_; ++k)
      codes_[packed_int8_place<Arch>(item, k, dim_)] = packed_int8(0);
    set_rounding(item, 0, {});
  }
  void copy(item_id item, std::span<float> vector) const {
    std::ranges::copy(row(item), vector.begin());
  }

  /// out(i, t) = <queries(t), vector of ids[i]>.
  void score(matrix_view<const float> queries, std::span<const item_id> ids,
             matrix_view<float> out) const {
    constexpr std::size_t ahead = 2 * panel;
    float scores[panel];
    for (std::size_t first = 0; first < ids.size(); first += panel) {
      const std::size_t n = std::min(panel, ids.size() - first);
      for (std::size_t i = first + ahead; i < std::min(first + ahead + n, ids.size()); ++i)
        prefetch_bytes<true>(row(ids[i]).data(), dim_ * sizeof(float));
      for (std::size_t t = 0; t < queries.rows(); ++t) {
        score_rows(queries.row(t), ids.subspan(first, n), scores);
        for (std::size_t i = 0; i < n; ++i) out(first + i, t) = comparable(0, scores[i]).score;
      }
    }
  }

  /// Finds the best of items [begin, end), not sorted, and returns their number; `begin` is the first
  /// item of a panel.
  template <class Admit>
  std::size_t best(matrix_view<const float> queries, matrix_view<scored_item> found,
                   std::size_t begin, std::size_t end, const Admit& admit) const {
    std::size_t count = 0;
    if (found.cols() == 0) return count;
    const std::size_t size = packed_int8_query_size<Arch>(dim_);
    const std::size_t most = std::min(search_blocks::most_queries, most_words / size);
    for (std::size_t first = 0; first < queries.rows(); first += most) {
      const std::size_t n = std::min(most, queries.rows() - first);
      count = best_of_few(queries.middle_rows(first, n), found.middle_rows(first, n), begin, end,
                          admit);
    }
    return count;
  }

 private:
  static constexpr std::size_t panel = item_panel<Arch, float>;
  static constexpr std::size_t most_words = 1 + most_dim / 2;

  struct rounding {
    float length = 0;
    float error = 0;
  };
  /// Items of one query that wait to be scored, a panel at a time.
  struct waiting {
    std::size_t count = 0;  ///< of found
    std::size_t n = 0;
    item_id items[panel];
  };

  static std::size_t panels_of(std::size_t items) { return blocks_of(items, panel); }

  void set_rounding(item_id item, float scale, rounding made) noexcept {
    scales_[item] = scale;
    roundings_[item] = made;
    rounding& most = of_panels_[item / panel];
    most = {};
    for (std::size_t i = item / panel * panel; i < (item / panel + 1) * panel; ++i) {
      most.length = std::max(most.length, roundings_[i].length);
      most.error = std::max(most.error, roundings_[i].error);
    }
  }
  std::span<const float> row(item_id item) const {
    return std::span<const float>(rows_).subspan(item * dim_, dim_);
  }

  void score_rows(std::span<const float> query, std::span<const item_id> ids, float* scores) const {
    const float* rows[panel] = {};
    for (std::size_t i = 0; i < ids.size(); ++i) rows[i] = row(ids[i]).data();
    products_in_order_kernel(Arch{}, rows, ids.size(), query.data(), dim_, scores);
  }

  /// Scores the waiting items.
  void take(std::span<const float> query, waiting& some, std::span<scored_item> found) const {
    float scores[panel];
    score_rows(query, std::span<const item_id>(some.items, some.n), scores);
    for (std::size_t i = 0; i < some.n; ++i)
      add_to_best(found, some.count, comparable(some.items[i], scores[i]));
    some.n = 0;
  }

  template <class Admit>
  std::size_t best_of_few(matrix_view<const float> queries, matrix_view<scored_item> found,
                          std::size_t begin, std::size_t end, const Admit& admit) const {
    const std::size_t n = queries.rows();
    std::uint32_t words[most_words];
    const matrix_view<std::uint32_t> packed(words, n, packed_int8_query_size<Arch>(dim_));
    int8_bound bounds[search_blocks::most_queries];
    waiting some[search_blocks::most_queries];
    for (std::size_t q = 0; q < n; ++q) {
      std::int8_t codes[most_dim];
      const int8_rounding made(queries.row(q), std::span(codes, dim_));
      pack_int8_query_kernel(Arch{}, codes, dim_, packed.row(q).data());
      bounds[q] = int8_bound(made, dim_);
    }
    alignas(64) std::int32_t sums[search_blocks::most_scores];
    alignas(64) float upper[search_blocks::most_items];
    const std::size_t block = search_blocks::items(n);
    for (std::size_t item = begin; item < end; item += block) {
      const std::size_t items = std::min(block, end - item);
      const std::size_t panels = panels_of(items);
      const matrix_view<std::int32_t> y(sums, n, panels * panel, block);
      int8_products_kernel(Arch{}, matrix_view<const std::uint32_t>(packed),
                           codes_.data() + packed_int8_size<Arch>(item, dim_),
                           panels_of(end - item) - panels, y);
      for (std::size_t q = 0; q < n; ++q) {
        find_bounds(bounds[q], y.row(q).data(), item, panels, upper);
        take_above(queries.row(q), std::span<const float>(upper, items), item, found.row(q),
                   some[q], admit);
      }
    }
    for (std::size_t q = 0; q < n; ++q) take(queries.row(q), some[q], found.row(q));
    return some[0].count;
  }

  void find_bounds(const int8_bound& bound, const std::int32_t* sums, std::size_t first_item,
                   std::size_t panels, float* upper) const {
    const float query_scale = bound.scale;
    for (std::size_t p = 0; p < panels; ++p) {
      const rounding& most = of_panels_[first_item / panel + p];
      const float slack = bound.slack(most.length, most.error);
      const float* scales = scales_.data() + first_item + p * panel;
      for (std::size_t i = 0; i < panel; ++i)
        upper[p * panel + i] =
            static_cast<float>(sums[p * panel + i]) * scales[i] * query_scale + slack;
    }
  }

  template <class Admit>
  void take_above(std::span<const float> query, std::span<const float> upper,
                  std::size_t first_item, std::span<scored_item> found, waiting& some,
                  const Admit& admit) const {
    for (std::size_t i = 0; i < upper.size(); ++i) {
      if (some.count + some.n >= found.size()) {
        if (some.count < found.size()) take(query, some, found);
        i = find_above_kernel(Arch{}, upper.data(), i, upper.size(), found.front().score);
        if (i == upper.size()) break;
      }
      const auto item = static_cast<item_id>(first_item + i);
      if (!admit(item)) continue;
      prefetch_bytes<true>(row(item).data(), dim_ * sizeof(float));
      some.items[some.n++] = item;
      if (some.n == panel) take(query, some, found);
    }
  }

  aligned_vector<std::uint8_t> codes_;  // panels
  aligned_vector<float> rows_;          // [items, d]
  aligned_vector<float> scales_;        // by item, as the next; of whole panels
  std::vector<rounding> roundings_;
  std::vector<rounding> of_panels_;  // the largest of each panel
  owned_size dim_;
};

}  // namespace funnel::detail
