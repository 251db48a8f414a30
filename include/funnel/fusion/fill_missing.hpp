// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>
#include <funnel/core/detail/element_of.hpp>
#include <funnel/core/matrix.hpp>
#include <funnel/fusion/formula.hpp>

#include <concepts>
#include <cstddef>

namespace funnel {

/// A fusion formula with a neutral estimate for each objective: `formula.neutral(k)` in column k gives
/// the score that the formula has without objective k.
template <class F, class T = float>
concept HasNeutral = Formula<F, T> && requires(const F& formula, std::size_t k) {
  { formula.neutral(k) } -> std::convertible_to<T>;
};

/// Fills in the objectives that a candidate does not have, such as the completion of a video of an
/// image-text post, with the neutral element of the formula: 0 in a sum, 1 in a product.
///
/// `exists(i, k)` says whether candidate i has objective k. The other estimates, NaN too, stay as they
/// are.
///
///     fill_missing(formula, estimates, [&](std::size_t i, std::size_t k) { return has[types[i]][k]; });
///     fuse(formula, estimates, scores);
///
/// The score of a candidate is then that of the objectives that it has. Types with more objectives
/// may have larger scores on the whole: bring the fused scores to one scale with `quantile_scale`
/// before types are mixed.
///
/// Shapes      estimates [n, objectives], as for `fuse`.
/// Errors      whatever `formula.check` throws; nothing is written then.
/// Cost        n times objectives calls of `exists`; no memory.
/// Source      docs/formulas.md#missing-objectives.
template <class T, HasNeutral<T> F, class Exists>
requires std::predicate<const Exists&, std::size_t, std::size_t>
void fill_missing(const F& formula, matrix_view<T> estimates, const Exists& exists) {
  if constexpr (requires { formula.check(estimates.cols()); }) formula.check(estimates.cols());
  for (std::size_t i = 0; i < estimates.rows(); ++i)
    for (std::size_t k = 0; k < estimates.cols(); ++k)
      if (!exists(i, k)) estimates(i, k) = static_cast<T>(formula.neutral(k));
}
/// The same for a matrix.
template <class T, HasNeutral<T> F, class Exists>
requires std::predicate<const Exists&, std::size_t, std::size_t>
void fill_missing(const F& formula, matrix<T>& estimates, const Exists& exists) {
  fill_missing(formula, estimates.view(), exists);
}

}  // namespace funnel
