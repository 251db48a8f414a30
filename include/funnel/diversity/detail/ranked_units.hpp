// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/arena.hpp>
#include <funnel/core/matrix.hpp>
#include <funnel/diversity/similarity.hpp>
#include <funnel/simd/lane_products.hpp>
#include <funnel/simd/pack.hpp>
#include <funnel/simd/prefetch.hpp>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <span>
#include <type_traits>

namespace funnel::detail {

/// The items of finite relevance, the most relevant first, then by position: a radix sort, whose
/// time is linear in n. Returns their number; `order` and `spare` hold n.
template <class T>
std::size_t rank_by_relevance(std::span<const T> relevance, std::size_t*& order,
                              std::size_t* spare) {
  using word = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;
  constexpr std::size_t digits = sizeof(word);
  constexpr word sign = word(1) << (8 * sizeof(word) - 1);
  // Words in the opposite order of the numbers; adding 0 makes one number of the two zeros.
  const auto word_of = [&](std::size_t i) {
    const word bits = std::bit_cast<word>(relevance[i] + T(0));
    return (bits & sign) != 0 ? bits : static_cast<word>(~bits & ~sign);
  };
  std::size_t starts[digits][257] = {};
  std::size_t count = 0;
  for (std::size_t i = 0; i < relevance.size(); ++i) {
    if (!std::isfinite(relevance[i])) continue;
    order[count++] = i;
    const word w = word_of(i);
    for (std::size_t digit = 0; digit < digits; ++digit)
      ++starts[digit][((w >> (8 * digit)) & 255) + 1];
  }
  for (std::size_t digit = 0; digit < digits; ++digit) {
    std::size_t* start = starts[digit];
    if (std::find(start + 1, start + 257, count) != start + 257) continue;  // one digit for all
    std::partial_sum(start, start + 257, start);
    for (std::size_t p = 0; p < count; ++p)
      spare[start[(word_of(order[p]) >> (8 * digit)) & 255]++] = order[p];
    std::swap(order, spare);
  }
  return count;
}

/// Vectors as unit vectors, the most relevant item first, in groups of as many as a register has
/// lanes: value f of the items of a group side by side. A group is made when it is first asked for.
///
/// Rows that are zero or not finite count as u = 0.
///
/// `S` is the type of the groups' values.
template <class Arch, class T, class S>
class ranked_units {
 public:
  static constexpr std::size_t width = lanes<Arch, S>;

  ranked_units(std::span<const T> relevance, matrix_view<const T> vectors, arena& scratch)
      : vectors_(vectors), order_(scratch.allocate<std::size_t>(relevance.size())),
        rows_(scratch.allocate<S>(width * vectors.cols())) {
    count_ = rank_by_relevance(relevance, order_, scratch.allocate<std::size_t>(relevance.size()));
    scales_ = scratch.allocate<double>(groups() * width);
    values_ = scratch.allocate<S>(groups() * width * vectors.cols());
  }

  /// Items of finite relevance.
  std::size_t size() const { return count_; }
  std::size_t groups() const { return (count_ + width - 1) / width; }
  std::size_t cols() const { return vectors_.cols(); }
  /// The item at place p.
  std::size_t item(std::size_t p) const { return order_[p]; }

  /// Makes group g; once.
  void make(std::size_t g) {
    const std::size_t d = cols();
    const std::size_t count = std::min(width, count_ - g * width);
    std::fill(rows_ + count * d, rows_ + width * d, S(0));
    const std::size_t ahead = rows_ahead(d * sizeof(T)).near;
    for (std::size_t lane = 0; lane < count; ++lane) {
      const std::span<const T> row = vectors_.row(order_[g * width + lane]);
      // Rows stand in any order, and the next group is mostly made soon.
      const std::size_t later = std::min(g * width + lane + ahead, count_ - 1);
      prefetch_bytes<false>(vectors_.row(order_[later]).data(), d * sizeof(T));
      scales_[g * width + lane] = inverse_norm(row);
      scale(row, scales_[g * width + lane], rows_ + lane * d);
    }
    turn_rows_kernel<width>(Arch{}, rows_, d, values_ + g * width * d);
  }

  /// Group g, [cols()][width], that has been made.
  const S* group(std::size_t g) const { return values_ + g * width * cols(); }

  /// False if the vector at place p, of a group that has been made, counts as 0.
  bool has_direction(std::size_t p) const { return scales_[p] != 0; }

  /// The unit vector of any item, [cols()]; in S the same bits as in its group.
  template <class Value>
  void read(std::size_t item, Value* unit) const {
    scale(vectors_.row(item), inverse_norm(vectors_.row(item)), unit);
  }
  /// The same of the item at place p of a group that has been made.
  template <class Value>
  void read_made(std::size_t p, Value* unit) const {
    scale(vectors_.row(order_[p]), scales_[p], unit);
  }

 private:
  template <class Value>
  static void scale(std::span<const T> row, double factor, Value* unit) {
    const Value in_value = static_cast<Value>(factor);
    if (factor == 0)  // the row may hold infinities
      std::fill_n(unit, row.size(), Value(0));
    else if (std::is_same_v<T, Value> && std::isnormal(in_value))
      for (std::size_t f = 0; f < row.size(); ++f) unit[f] = static_cast<Value>(row[f]) * in_value;
    else
      for (std::size_t f = 0; f < row.size(); ++f)
        unit[f] = static_cast<Value>(static_cast<double>(row[f]) * factor);
  }

  matrix_view<const T> vectors_;
  std::size_t* order_;
  std::size_t count_ = 0;
  S* rows_;  // one group before it is turned
  double* scales_ = nullptr;
  S* values_ = nullptr;
};

}  // namespace funnel::detail
