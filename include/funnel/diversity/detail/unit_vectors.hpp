// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/arena.hpp>
#include <funnel/core/matrix.hpp>
#include <funnel/simd/detail/pack.hpp>
#include <funnel/simd/detail/prefetch.hpp>
#include <funnel/simd/detail/register_products.hpp>
#include <funnel/simd/interleaved_dot.hpp>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <numeric>
#include <span>
#include <type_traits>

namespace funnel::detail {

/// An item, and an integer that is smaller for larger relevance.
template <class R>
struct ranked_item {
  bits_of<R> word;
  std::uint32_t item;
};

/// Sorts the items of finite relevance, the most relevant first, then by position. It is a radix
/// sort: time is linear in n. Returns their number. `order` and `spare` have room for n items;
/// afterward `order` points to the sorted items, and may have been exchanged with `spare`.
template <class R>
std::size_t rank_by_relevance(std::span<const R> relevance, ranked_item<R>*& order,
                              ranked_item<R>* spare) {
  using word = bits_of<R>;
  constexpr std::size_t digits = sizeof(word);
  constexpr word sign = word(1) << (8 * sizeof(word) - 1);
  std::uint32_t starts[digits][256] = {};
  std::size_t count = 0;
  for (std::size_t i = 0; i < relevance.size(); ++i) {
    if (!std::isfinite(relevance[i])) continue;
    // Adding 0 turns -0 into +0.
    const word bits = std::bit_cast<word>(relevance[i] + R(0));
    const word w = (bits & sign) != 0 ? bits : static_cast<word>(~bits & ~sign);
    order[count++] = {w, static_cast<std::uint32_t>(i)};
    for (std::size_t digit = 0; digit < digits; ++digit) ++starts[digit][(w >> (8 * digit)) & 255];
  }
  for (std::size_t digit = 0; digit < digits && count > 0; ++digit) {
    std::uint32_t* start = starts[digit];
    const auto of = [&](const ranked_item<R>& r) { return (r.word >> (8 * digit)) & 255; };
    if (start[of(order[0])] == count) continue;  // all items have the same digit
    std::exclusive_scan(start, start + 256, start, std::uint32_t{0});
    for (std::size_t p = 0; p < count; ++p) spare[start[of(order[p])]++] = order[p];
    std::swap(order, spare);
  }
  return count;
}

inline constexpr double float_epsilon = static_cast<double>(std::numeric_limits<float>::epsilon());

/// Error bound of the inner product in float of two unit vectors of d values, relative to their
/// cosine in double: one rounding per term, some for the vectors, and one for the cosine.
inline double product_doubt(std::size_t d) {
  const double of_terms = static_cast<double>(d) * float_epsilon / 2;
  return of_terms < .1 ? 1.1 * of_terms + 8 * float_epsilon : 4;
}

/// Unit vectors in float, sorted by relevance of their items, and interleaved in groups of as many
/// items as a register has lanes: value f of all items of a group is contiguous. The place of an
/// item is its rank by relevance. A group is computed when it is first needed. The unit vector of a
/// row that is zero or not finite is 0.
template <class Arch, class R, class T>
class unit_vectors {
 public:
  static constexpr std::size_t width = lanes<Arch, float>;

  unit_vectors(std::span<const R> relevance, matrix_view<const T> vectors, arena& scratch)
      : vectors_(vectors), order_(scratch.allocate<ranked_item<R>>(relevance.size())),
        rows_(scratch.allocate<float>(width * vectors.cols())),
        key_direction_(scratch.allocate<float>(vectors.cols())) {
    count_ =
        rank_by_relevance(relevance, order_, scratch.allocate<ranked_item<R>>(relevance.size()));
    scales_ = scratch.allocate<unit_scale>(groups() * width);
    values_ = scratch.allocate<float>(groups() * width * vectors.cols());
    std::uint32_t bits = 1;
    for (std::size_t f = 0; f < vectors.cols(); ++f) {
      bits = bits * 1664525u + 1013904223u;
      key_direction_[f] = 1 + 0x1p-24f * static_cast<float>(bits >> 8);
    }
  }

  /// Number of items of finite relevance.
  std::size_t size() const { return count_; }
  std::size_t groups() const { return (count_ + width - 1) / width; }
  std::size_t cols() const { return vectors_.cols(); }
  /// The item at place p.
  std::size_t item(std::size_t p) const { return order_[p].item; }

  /// Computes group g; call it once per group.
  void make(std::size_t g) {
    const std::size_t d = cols();
    const std::size_t first = g * width;
    const std::size_t ahead = rows_ahead(d * sizeof(T)).near;
    float* columns = values_ + first * d;
    const T* rows[width];
    T factors[width];
    bool simple = std::is_same_v<T, float>;
    // Lanes after the last item repeat it.
    for (std::size_t lane = 0; lane < width; ++lane) rows[lane] = row_at(first + lane);
    // Rows are in random order in memory, and the next group is usually needed soon.
    for (std::size_t lane = 0; lane < width; ++lane)
      prefetch_bytes<false>(row_at(first + lane + ahead), d * sizeof(T));
    for (std::size_t lane = 0; lane < width; ++lane) {
      const unit_scale scale = unit_scale_of<products>(std::span(rows[lane], d));
      scales_[first + lane] = scale;
      factors[lane] = static_cast<T>(scale.inverse);
      simple = simple && is_simple<float>(scale);
    }
    if constexpr (std::is_same_v<T, float>)
      if (simple) return interleave_scaled_rows_kernel<width>(Arch{}, rows, factors, d, columns);
    for (std::size_t lane = 0; lane < width; ++lane)
      scale(std::span(rows[lane], d), scales_[first + lane], rows_ + lane * d);
    interleave_rows_kernel<width>(Arch{}, rows_, d, columns);
  }

  /// The values of group g, [cols()][width], after `make`; the next group follows in memory.
  const float* group(std::size_t g) const { return values_ + g * width * cols(); }

  /// False if the unit vector at place p is 0. The group of p must have been made.
  bool has_direction(std::size_t p) const { return scales_[p].has_direction(); }

  /// Hash keys, equal for equal vectors and rarely for others: writes keys[p - g * width] for the
  /// places p of `count` groups from g on.
  void make_keys(std::size_t g, std::size_t count, float* keys) const {
    interleaved_group_dot_kernel(Arch{}, group(g), count, key_direction_, cols(), keys, width);
  }

  /// True if the vectors at two places have the same bits, or if both unit vectors are 0. Their
  /// groups must have been made.
  bool same(std::size_t p, std::size_t q) const {
    const bool equal =
        cols() == 0 || std::memcmp(vectors_.row(item(p)).data(), vectors_.row(item(q)).data(),
                                   cols() * sizeof(T)) == 0;
    return equal || !(has_direction(p) || has_direction(q));
  }

  /// The cosine of the item at place p, whose group must have been made, with any other item.
  float similarity_to(std::size_t p, std::size_t other, const unit_scale& scale_of_other) const {
    return rounded_cosine<products>(vectors_.row(item(p)), scales_[p], vectors_.row(other),
                                    scale_of_other);
  }
  unit_scale scale_of(std::size_t item) const {
    return unit_scale_of<products>(vectors_.row(item));
  }

  /// Writes the unit vector of any item, [cols()]; in float it has the same bits as in its group.
  template <class Value>
  void read(std::size_t item, Value* unit) const {
    scale(vectors_.row(item), scale_of(item), unit);
  }
  /// Writes the unit vector of the item at place p, whose group must have been made.
  template <class Value>
  void read_made(std::size_t p, Value* unit) const {
    scale(vectors_.row(item(p)), scales_[p], unit);
  }

 private:
  using products = register_products<Arch>;

  /// The row of the item at place p; the row of the last item if p is too large.
  const T* row_at(std::size_t p) const {
    return vectors_.row(item(std::min(p, count_ - 1))).data();
  }

  /// True if one multiplication per value scales the row.
  template <class Value>
  static bool is_simple(const unit_scale& factor) {
    return std::is_same_v<T, Value> && factor.lift == 1 &&
           std::isnormal(static_cast<Value>(factor.inverse));
  }

  template <class Value>
  static void scale(std::span<const T> row, const unit_scale& factor, Value* unit) {
    const Value in_value = static_cast<Value>(factor.inverse);
    if (!factor.has_direction())  // the row may hold infinities
      std::fill_n(unit, row.size(), Value(0));
    else if (is_simple<Value>(factor))
      for (std::size_t f = 0; f < row.size(); ++f) unit[f] = static_cast<Value>(row[f]) * in_value;
    else
      for (std::size_t f = 0; f < row.size(); ++f) unit[f] = static_cast<Value>(factor(row[f]));
  }

  matrix_view<const T> vectors_;
  ranked_item<R>* order_;
  std::size_t count_ = 0;
  float* rows_;  // one group before it is interleaved
  float* key_direction_;
  unit_scale* scales_ = nullptr;
  float* values_ = nullptr;
};

}  // namespace funnel::detail
