// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/cosine.hpp>
#include <funnel/core/error.hpp>
#include <funnel/core/ids.hpp>
#include <funnel/core/matrix.hpp>

#include <concepts>
#include <cstddef>
#include <limits>
#include <span>
#include <string_view>
#include <type_traits>
#include <vector>

namespace funnel {
namespace detail {

template <class M>
concept MatrixLike = requires(const M& values) {
  values.rows();
  values.cols();
};

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

/// A similarity that says how many items it knows: `size()` of them, at positions below that. Optional:
/// `mmr` and `dpp` ask it, and refuse one that knows fewer items than they have to rank.
template <class F>
concept SizedSimilarity = PairSimilarity<F> && requires(const F& similarity) {
  { similarity.size() } -> std::convertible_to<std::size_t>;
};

namespace detail {

/// Throws where a similarity that knows its size would be asked for items it does not have.
template <class Similarity>
void check_similarity(std::string_view function, std::size_t n, const Similarity& similarity) {
  if constexpr (SizedSimilarity<Similarity>)
    if (static_cast<std::size_t>(similarity.size()) < n)
      fail(function, ": similarity knows ", static_cast<std::size_t>(similarity.size()),
           " items, expected ", n, " as in relevance");
}

}  // namespace detail

/// Where a cosine is put: as it is, or mapped to (1 + cosine) / 2.
enum class cosine_range { minus_one_to_one, zero_to_one };

/// The cosine of two items' vectors.
///
///     similarity(i, j) = <v_i, v_j> / (|v_i| |v_j|),  similarity(i, i) = 1
///
/// `mmr` and `dpp` look at the vectors of one that they are given, and so pick the same items as with
/// the vectors themselves, at the same cost.
///
/// Shapes      vectors [n, d], of any length; they are looked at, not copied, and must outlive this
///             object. i and j below size(), which is n.
/// Units       `range` chooses [-1, 1], or [0, 1] by (1 + cosine) / 2; both give positive
///             semi-definite matrices. Content vectors suit, those of two-tower retrieval do not.
/// Cost        O(n d) once, 2 n doubles; a call is O(d).
/// Numerics    the cosine is computed in double and rounded once to float, so that vectors of one
///             direction are equally alike to any other; the same for (i, j) and (j, i), and with
///             float vectors the same bits on every instruction set. A vector that is zero, or has a
///             value that is not finite, has cosine 0 with every other.
/// Source      Salton and McGill, 1983; docs/formulas.md#cosine-similarity.
template <class T>
class cosine_similarity {
 public:
  explicit cosine_similarity(matrix_view<const T> vectors,
                             cosine_range range = cosine_range::minus_one_to_one)
      : scales_(vectors.rows()), vectors_(vectors), range_(range) {
    for (std::size_t i = 0; i < vectors.rows(); ++i)
      scales_[i] = detail::unit_scale_of(vectors.row(i));
  }

  double operator()(std::size_t i, std::size_t j) const {
    if (i == j) return 1;
    const double cosine = static_cast<double>(
        detail::rounded_cosine(vectors_.row(i), scales_[i], vectors_.row(j), scales_[j]));
    return range_ == cosine_range::zero_to_one ? (1 + cosine) / 2 : cosine;
  }

  /// How many items there are.
  std::size_t size() const { return scales_.size(); }
  matrix_view<const T> vectors() const { return vectors_; }
  cosine_range range() const { return range_; }

 private:
  std::vector<detail::unit_scale> scales_;  // first: a copy that fails changes nothing
  matrix_view<const T> vectors_;
  cosine_range range_;
};

template <class T, class... Range>
cosine_similarity(matrix_view<T>, Range...) -> cosine_similarity<std::remove_const_t<T>>;
template <class T, class... Range>
cosine_similarity(const matrix<T>&, Range...) -> cosine_similarity<T>;

namespace detail {

template <class F>
inline constexpr bool is_cosine_similarity = false;
template <class T>
inline constexpr bool is_cosine_similarity<cosine_similarity<T>> = true;

}  // namespace detail

/// Likeness by tags: the weights of the levels at which two items carry the same tag.
///
///     similarity(i, j) = sum_l weights[l] * [tags(i, l) = tags(j, l)]
///
/// Shapes      tags [n, L], say level-1 category, level-2 category and brand; weights [L]. Both are
///             looked at, not copied, and must outlive this object. i and j below size(), which is n.
/// Units       weights that sum to 1 give a similarity in [0, 1].
/// Errors      std::invalid_argument if the weights are not L finite numbers >= 0.
/// Cost        a call is O(L).
/// Numerics    a missing tag equals no other item's, so that nothing follows from not knowing. The
///             matrix of all pairs is positive semi-definite, as `dpp` wants it.
/// Source      docs/formulas.md#tag-similarity.
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

  /// How many items there are.
  std::size_t size() const { return tags_.rows(); }

 private:
  matrix_view<const category_id> tags_;
  std::span<const float> weights_;
  category_id missing_;
};

}  // namespace funnel
