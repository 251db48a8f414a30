// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/arena.hpp>
#include <funnel/core/detail/checks.hpp>
#include <funnel/core/detail/element_of.hpp>
#include <funnel/core/matrix.hpp>

#include <concepts>
#include <cstddef>
#include <span>
#include <string_view>

namespace funnel {

/// A fusion formula for one candidate at a time: `formula(estimates)` returns a score from the
/// estimates of this candidate, one per objective (such as click or like).
///
/// The score does not depend on the other candidates, so it may be cached and compared across
/// requests.
template <class F, class T = float>
concept PointwiseFormula = requires(const F& formula, std::span<const T> estimates) {
  { formula(estimates) } -> std::convertible_to<T>;
};

/// A fusion formula whose scores depend on all candidates of the request:
/// `formula(estimates, scores, scratch)` writes the scores of all of them. It must not reset the
/// arena.
template <class F, class T = float>
concept SetFormula = requires(const F& formula, matrix_view<const T> estimates, std::span<T> scores,
                              arena& scratch) {
  formula(estimates, scores, scratch);
};

/// A fusion formula: computes one score per candidate from the estimates of several objectives;
/// larger is better.
///
/// A formula may have a member `check(columns)`. It throws std::invalid_argument if an option is
/// out of range or the formula does not expect `columns` objectives. `fuse` calls it first.
template <class F, class T = float>
concept Formula = PointwiseFormula<F, T> || SetFormula<F, T>;

/// What a product formula returns: the product or its logarithm.
enum class fused_scale {
  /// The logarithm of the product: the same order, without overflow.
  logarithm,
  /// The product itself: use it if scores are added to others or are read as expected values.
  product,
};

namespace detail {

inline void check_scale(std::string_view function, fused_scale scale) {
  if (scale != fused_scale::logarithm && scale != fused_scale::product)
    fail_check(function, "scale", " is ", static_cast<int>(scale),
               ", expected logarithm or product");
}

template <class T, class F>
void check_fuse(const F& formula, matrix_view<const T> objectives, std::span<T> scores) {
  check_size("fuse", "scores", scores.size(), objectives.rows(), "a column of objectives");
  if constexpr (requires { formula.check(objectives.cols()); }) formula.check(objectives.cols());
}

}  // namespace detail

/// Score fusion: writes a score for each candidate, by a formula that scores one candidate at a
/// time.
///
/// Shapes      objectives [n, t], one row per candidate and one column per objective, in the order
///             that `formula` expects; scores [n], all written. Both have the number type of the
///             formula.
/// Order       NaN in an objective with weight or power other than 0 makes the score NaN, which
///             ranks last.
/// Errors      std::invalid_argument if `scores` does not have n values, and whatever
///             `formula.check` throws. Nothing is written then.
/// Cost        n calls of `formula`; no scratch memory.
template <detail::Floats Scores, PointwiseFormula<detail::element_of<Scores>> F>
void fuse(const F& formula, matrix_view<const detail::element_of<Scores>> objectives,
          Scores&& scores) {
  using t = detail::element_of<Scores>;
  const std::span<t> out(scores);
  detail::check_fuse(formula, objectives, out);
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = static_cast<t>(formula(objectives.row(i)));
}

/// Score fusion: writes a score for each candidate, by any formula.
///
/// Shapes, order and errors are those of the function above.
/// Cost        the cost of `formula`. Only a `SetFormula` uses `scratch`; it is not reset.
template <detail::Floats Scores, Formula<detail::element_of<Scores>> F>
void fuse(const F& formula, matrix_view<const detail::element_of<Scores>> objectives,
          Scores&& scores, arena& scratch) {
  using t = detail::element_of<Scores>;
  const std::span<t> out(scores);
  if constexpr (PointwiseFormula<F, t>) {
    fuse(formula, objectives, out);
  } else {
    detail::check_fuse(formula, objectives, out);
    formula(objectives, out, scratch);
  }
}

}  // namespace funnel
