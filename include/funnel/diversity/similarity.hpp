// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/ids.hpp>
#include <funnel/core/matrix.hpp>

#include <cmath>
#include <concepts>
#include <cstddef>
#include <limits>
#include <span>
#include <type_traits>
#include <vector>

namespace funnel {
namespace detail {

template <class M>
concept MatrixLike = requires(const M& values) {
  values.rows();
  values.cols();
};

/// The sum of N values, a power of 2, by halves.
template <std::size_t N>
double sum_of(const double* values) {
  if constexpr (N == 1) {
    return values[0];
  } else {
    double sums[N / 2];
    for (std::size_t i = 0; i < N / 2; ++i) sums[i] = values[i] + values[i + N / 2];
    return sum_of<N / 2>(sums);
  }
}

/// The sum of squares in double, added up in an order that depends on the size alone.
template <class T>
double sum_of_squares(std::span<const T> row) {
  constexpr std::size_t width = 16;  // independent sums, which a compiler turns into SIMD lanes
  double lanes[width] = {};
  std::size_t f = 0;
  for (; f + width <= row.size(); f += width)
    for (std::size_t lane = 0; lane < width; ++lane) {
      const double value = static_cast<double>(row[f + lane]);
      lanes[lane] += value * value;
    }
  double rest = 0;
  for (; f < row.size(); ++f) rest += static_cast<double>(row[f]) * static_cast<double>(row[f]);
  return sum_of<width>(lanes) + rest;
}

/// 1 / |row|; 0 where the row is zero or not finite.
template <class T>
double inverse_norm(std::span<const T> row) {
  const double inverse = 1 / std::sqrt(sum_of_squares(row));
  return std::isfinite(inverse) ? inverse : 0;
}

}  // namespace detail

/// A symmetric similarity of two items named by position: `similarity(i, j)` is larger for closer
/// items.
///
/// A matrix is none: [n, d] vectors and an [n, n] table of similarities look alike and mean
/// different things. A table is passed as a function that looks its pairs up.
template <class F>
concept PairSimilarity =
    !detail::MatrixLike<F> && requires(const F& similarity, std::size_t i, std::size_t j) {
  { similarity(i, j) } -> std::convertible_to<double>;
};

/// Where a cosine is put: as it is, or mapped to (1 + cosine) / 2.
enum class cosine_range { minus_one_to_one, zero_to_one };

/// The cosine of two items' vectors.
///
///     similarity(i, j) = <v_i, v_j> / (|v_i| |v_j|),  similarity(i, i) = 1
///
/// Shapes      vectors [n, d]; they are looked at, not copied, and must outlive this object.
/// Units       `range` chooses [-1, 1], or [0, 1] by (1 + cosine) / 2; both give positive
///             semi-definite matrices. Content vectors suit, those of two-tower retrieval do not.
/// Cost        O(n d) once, n doubles; a call is O(d).
/// Numerics    sums in double. A vector that is zero, or has a value that is not finite, has
///             cosine 0 with every other.
/// Source      formulas item 75.
template <class T>
class cosine_similarity {
 public:
  explicit cosine_similarity(matrix_view<const T> vectors,
                             cosine_range range = cosine_range::minus_one_to_one)
      : vectors_(vectors), range_(range), inverse_norms_(vectors.rows()) {
    for (std::size_t i = 0; i < vectors.rows(); ++i)
      inverse_norms_[i] = detail::inverse_norm(vectors.row(i));
  }

  double operator()(std::size_t i, std::size_t j) const {
    if (i == j) return 1;
    double cosine = 0;
    if (inverse_norms_[i] > 0 && inverse_norms_[j] > 0) {
      const std::span<const T> a = vectors_.row(i);
      const std::span<const T> b = vectors_.row(j);
      for (std::size_t f = 0; f < a.size(); ++f)
        cosine += static_cast<double>(a[f]) * inverse_norms_[i] * static_cast<double>(b[f]);
      cosine *= inverse_norms_[j];
    }
    return range_ == cosine_range::zero_to_one ? (1 + cosine) / 2 : cosine;
  }

 private:
  matrix_view<const T> vectors_;
  cosine_range range_;
  std::vector<double> inverse_norms_;
};

template <class T, class... Range>
cosine_similarity(matrix_view<T>, Range...) -> cosine_similarity<std::remove_const_t<T>>;
template <class T, class... Range>
cosine_similarity(const matrix<T>&, Range...) -> cosine_similarity<T>;

/// Likeness by tags: the weights of the levels at which two items carry the same tag.
///
///     similarity(i, j) = sum_l weights[l] * [tags(i, l) = tags(j, l)]
///
/// Shapes      tags [n, L], say level-1 category, level-2 category and brand; weights [L]. Both are
///             looked at, not copied, and must outlive this object.
/// Units       weights that sum to 1 give a similarity in [0, 1].
/// Errors      std::invalid_argument if the weights are not L finite numbers >= 0.
/// Cost        a call is O(L).
/// Numerics    a missing tag equals no other item's, so that nothing follows from not knowing. The
///             matrix of all pairs is positive semi-definite, as `dpp` wants it.
/// Source      formulas item 75.
class tag_similarity {
 public:
  /// `missing` is the tag of an item that has none at a level; as everywhere 0, unless told.
  tag_similarity(matrix_view<const category_id> tags, std::span<const float> weights,
                 category_id missing = 0)
      : tags_(tags), weights_(weights), missing_(missing) {
    if (weights.size() != tags.cols())
      detail::fail("funnel::tag_similarity: weights has ", weights.size(), " values for ",
                   tags.cols(), " levels of tags");
    for (std::size_t level = 0; level < weights.size(); ++level)
      if (!(weights[level] >= 0 && weights[level] <= std::numeric_limits<float>::max()))
        detail::fail("funnel::tag_similarity: weights[", level, "] should be finite and >= 0, got ",
                     static_cast<double>(weights[level]));
  }

  double operator()(std::size_t i, std::size_t j) const {
    const std::span<const category_id> a = tags_.row(i);
    const std::span<const category_id> b = tags_.row(j);
    double shared = 0;
    for (std::size_t level = 0; level < a.size(); ++level)
      if (i == j || (a[level] == b[level] && a[level] != missing_))
        shared += static_cast<double>(weights_[level]);
    return shared;
  }

 private:
  matrix_view<const category_id> tags_;
  std::span<const float> weights_;
  category_id missing_;
};

}  // namespace funnel
