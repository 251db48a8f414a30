// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>
#include <funnel/core/detail/cosine.hpp>
#include <funnel/core/error.hpp>
#include <funnel/core/ids.hpp>
#include <funnel/core/matrix.hpp>

#include <concepts>
#include <cstddef>
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

/// A symmetric similarity of two items, given by position: `similarity(i, j)` is larger for more
/// similar items.
///
/// A matrix is not accepted as a similarity, because [n, d] vectors and an [n, n] table of
/// similarities have the same type. Pass a table as a function that looks up the pair.
template <class F>
concept PairSimilarity =
    !detail::MatrixLike<F> && requires(const F& similarity, std::size_t i, std::size_t j) {
  { similarity(i, j) } -> std::convertible_to<double>;
};

/// A similarity with a member `size()`, the number of items it knows; positions are below it.
/// Optional: `mmr` and `dpp` throw if it knows fewer items than they have to rank.
template <class F>
concept SizedSimilarity = PairSimilarity<F> && requires(const F& similarity) {
  { similarity.size() } -> std::convertible_to<std::size_t>;
};

namespace detail {

/// Throws if a similarity with a size knows fewer than n items.
template <class Similarity>
void check_similarity(std::string_view function, std::size_t n, const Similarity& similarity) {
  if constexpr (SizedSimilarity<Similarity>)
    if (static_cast<std::size_t>(similarity.size()) < n)
      fail("funnel::", function, ": similarity has ", static_cast<std::size_t>(similarity.size()),
           " items, expected ", n, " or more, as in relevance");
}

}  // namespace detail

/// Range of a cosine similarity: the cosine itself, in [-1, 1], or (1 + cosine) / 2, in [0, 1].
enum class cosine_range { minus_one_to_one, zero_to_one };

/// Cosine similarity of the vectors of two items.
///
///     similarity(i, j) = <v_i, v_j> / (|v_i| |v_j|),  similarity(i, i) = 1
///
/// Passed to `mmr` or `dpp`, it is as fast as passing the vectors and picks the same items: they
/// read its vectors.
///
/// Shapes      vectors [n, d], of any length; they are not copied and must outlive this object. i
///             and j are below size(), which is n.
/// Units       `range` chooses [-1, 1], or [0, 1] by (1 + cosine) / 2; in both, the matrix of all
///             pairs is positive semi-definite. Use content vectors (of an image or text encoder),
///             not those of two-tower retrieval.
/// Cost        O(n d) and 2 n doubles at construction; O(d) per call.
/// Numerics    the cosine is computed in double and rounded once to float, so that vectors of the
///             same direction have the same similarity to any third one. It is the same for (i, j)
///             and (j, i), and for float vectors it has the same bits on every instruction set. A
///             vector that is zero or has a value that is not finite has cosine 0 with every other
///             vector.
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

  /// Number of items.
  std::size_t size() const { return scales_.size(); }
  matrix_view<const T> vectors() const { return vectors_; }
  cosine_range range() const { return range_; }

 private:
  std::vector<detail::unit_scale> scales_;  // first: a failed copy changes nothing
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

/// Tag similarity: the sum of the weights of the levels at which two items have the same tag.
///
///     similarity(i, j) = sum_l weights[l] * [tags(i, l) = tags(j, l)]
///
/// Shapes      tags [n, L], for instance level-1 category, level-2 category and brand; weights [L].
///             Neither is copied; both must outlive this object. i and j are below size(), which is
///             n.
/// Units       with weights that sum to 1, the similarity is in [0, 1].
/// Errors      std::invalid_argument if there are not L weights, or a weight is negative or not
///             finite.
/// Cost        O(L) per call.
/// Numerics    a missing tag does not match the tag of any other item. The matrix of all pairs is
///             positive semi-definite, as `dpp` requires.
/// Source      docs/formulas.md#tag-similarity.
class tag_similarity {
 public:
  /// `missing` is the tag that means "no tag at this level"; default: 0.
  tag_similarity(matrix_view<const category_id> tags, std::span<const float> weights,
                 category_id missing = 0)
      : tags_(tags), weights_(weights), missing_(missing) {
    detail::check_size("tag_similarity", "weights", weights.size(), tags.cols(), "a row of tags");
    detail::check_not_negative("tag_similarity", "weights", weights);
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

  /// Number of items.
  std::size_t size() const { return tags_.rows(); }

 private:
  matrix_view<const category_id> tags_;
  std::span<const float> weights_;
  category_id missing_;
};

}  // namespace funnel
