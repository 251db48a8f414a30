// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/arena.hpp>
#include <funnel/core/matrix.hpp>
#include <funnel/simd/dense.hpp>
#include <funnel/simd/softmax.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>

namespace funnel::detail {

template <class T>
T attention_scale(std::size_t dim) {
  return T(1) / std::sqrt(static_cast<T>(dim));
}

/// Events in the two layouts that `dense_kernel` needs: keys [d, m] times 1 / sqrt(d), values [m,
/// d].
template <class Arch, class T>
struct packed_events {
  std::size_t count;
  std::size_t dim;
  T scale;
  T* keys;
  T* values;
  T* zeros;  ///< as many as a row of keys or values, whichever is longer

  packed_events(arena& memory, matrix_view<const T> events)
      : count(events.rows()), dim(events.cols()), scale(attention_scale<T>(dim)),
        keys(memory.allocate<T>(packed_size<Arch, T>(dim, count))),
        values(memory.allocate<T>(packed_size<Arch, T>(count, dim))),
        zeros(memory.allocate<T>(std::max(count, dim))) {
    pack_transposed_kernel(Arch{}, events, scale, keys);
    pack_weights_kernel(Arch{}, events.data(), events.stride(), count, dim, values);
    std::fill_n(zeros, std::max(count, dim), T(0));
  }

  /// Number of candidates that are processed together: their weights stay in the L2 cache between
  /// the two products.
  std::size_t block() const {
    constexpr std::size_t bytes = std::size_t{1} << 16;
    return std::max<std::size_t>(1, bytes / (8 * sizeof(T) * (count + 1))) * 8;
  }

  /// Distance between two rows of weights. Rows at a multiple of a large power of two would evict
  /// each other from the L1 cache.
  std::size_t stride() const { return count % 64 == 0 ? count + 16 : count; }

  /// alpha = softmax(q keys), y = alpha values.
  void attend(matrix_view<const T> q, matrix_view<T> alpha, matrix_view<T> y) const {
    dense_kernel(Arch{}, dense_arguments<T>{q, keys, dim, zeros, 0, alpha, activation::identity});
    softmax_kernel(Arch{}, matrix_view<const T>(alpha), alpha);
    dense_kernel(Arch{},
                 dense_arguments<T>{alpha, values, count, zeros, 0, y, activation::identity});
  }
};

}  // namespace funnel::detail
