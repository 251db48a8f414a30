// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/arena.hpp>
#include <funnel/core/error.hpp>
#include <funnel/core/matrix.hpp>

#include <concepts>
#include <cstddef>
#include <span>
#include <string_view>
#include <type_traits>

namespace funnel {

/// A score of one candidate from its own estimates, one an objective: `formula(estimates)`.
///
/// The score of a candidate does not depend on the others, so that it may be cached and compared
/// across requests.
template <class F, class T = float>
concept PointwiseFormula = requires(const F& formula, std::span<const T> estimates) {
  { formula(estimates) } -> std::convertible_to<T>;
};

/// Scores of a set of candidates that depend on the set: `formula(estimates, scores, scratch)`
/// writes all scores. It does not reset the arena.
template <class F, class T = float>
concept SetFormula = requires(const F& formula, matrix_view<const T> estimates, std::span<T> scores,
                              arena& scratch) {
  formula(estimates, scores, scratch);
};

/// One score out of several objectives; larger is better.
///
/// A formula may have a member `check(columns)`, which throws std::invalid_argument unless its
/// options are right and it is made for that many objectives; `fuse` calls it first.
template <class F, class T = float>
concept Formula = PointwiseFormula<F, T> || SetFormula<F, T>;

/// What a formula that is a product returns.
enum class fused_scale {
  /// The logarithm of the product: the same order, and no overflow.
  logarithm,
  /// The product itself, where scores are added to others or read as an expected value.
  product,
};

namespace detail {

inline void check_objectives(std::string_view function, std::size_t columns, std::size_t expected) {
  if (columns != expected)
    fail("funnel::", function, ": objectives has ", columns, " columns, expected ", expected);
}

template <class T, class F>
void check_fuse(const F& formula, matrix_view<const T> objectives, std::span<T> scores) {
  if (scores.size() != objectives.rows())
    fail("funnel::fuse: scores has ", scores.size(), " values, expected ", objectives.rows(),
         " as objectives has rows");
  if constexpr (requires { formula.check(objectives.cols()); }) formula.check(objectives.cols());
}

}  // namespace detail

/// Writes a score for each candidate, by a formula that needs no scratch.
///
/// Shapes      objectives [n, t], a row a candidate and a column an objective in the order that
///             formula expects; scores [n], written in full.
/// Order       NaN in an objective that counts makes the score NaN, which ranks last.
/// Errors      std::invalid_argument if scores has not n values, or as formula.check says; nothing
///             is written then.
/// Cost        n calls of formula; no scratch.
template <class T = float, PointwiseFormula<T> F>
void fuse(const F& formula, matrix_view<const std::type_identity_t<T>> objectives,
          std::span<std::type_identity_t<T>> scores) {
  detail::check_fuse(formula, objectives, scores);
  for (std::size_t i = 0; i < scores.size(); ++i)
    scores[i] = static_cast<T>(formula(objectives.row(i)));
}

/// Writes a score for each candidate, by any formula.
///
/// Shapes, order and errors as above.
/// Cost        that of formula; scratch is used by formulas over the set only, and not reset.
template <class T = float, Formula<T> F>
void fuse(const F& formula, matrix_view<const std::type_identity_t<T>> objectives,
          std::span<std::type_identity_t<T>> scores, arena& scratch) {
  if constexpr (PointwiseFormula<F, T>) {
    fuse<T>(formula, objectives, scores);
  } else {
    detail::check_fuse(formula, objectives, scores);
    formula(objectives, scores, scratch);
  }
}

}  // namespace funnel
