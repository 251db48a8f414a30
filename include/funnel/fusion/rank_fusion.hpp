// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/arena.hpp>
#include <funnel/core/detail/checks.hpp>
#include <funnel/core/matrix.hpp>
#include <funnel/core/state.hpp>
#include <funnel/fusion/formula.hpp>

#include <algorithm>
#include <array>
#include <cmath>

namespace funnel {

/// One term of `rank_fusion`.
template <class T = float>
struct rank_term {
  /// Any number; 0 removes the term. w in the lectures.
  T weight = 1;
  /// 0 or more, usually 0.5 to 1; with a larger power the term decreases faster with the rank.
  /// alpha in the lectures.
  T power = 1;
  /// Above -1, usually 0 to 50; with a larger offset the first ranks differ less: with 10, ranks 1
  /// and 2 differ by 8 %. beta in the lectures.
  T offset = 10;

  void visit_state(auto&& visit) {
    visit("weight", weight), visit("power", power), visit("offset", offset);
  }
};

/// Rank fusion: a weighted sum, over the objectives, of a decreasing function of the candidate's
/// rank by this objective.
///
///     s = sum_k w_k / (r_k^alpha_k + beta_k),  r_k = 1 + number of candidates with a larger p_k
///
/// Only the order of the estimates counts, so they may have any scale and need no calibration. The
/// score depends on the other candidates of the request: do not cache it or compare it across
/// requests.
///
/// Shapes      objectives [n, N], scores [n].
/// Units       any.
/// Order       equal estimates share the smallest rank (1, 2, 2, 4); NaN has rank n.
/// Errors      std::invalid_argument if `objectives` does not have N columns, `scores` does not
///             have n values, a power is below 0 or an offset is not above -1. Nothing is written
///             then.
/// Cost        O(N n log n); scratch memory for n pairs, from the arena.
/// Numerics    each term is computed in double, their sum in T.
/// Source      docs/formulas.md#rank-fusion.
template <std::size_t N, class T = float>
struct rank_fusion {
  std::array<rank_term<T>, N> terms{};

  void check(std::size_t columns) const {
    detail::check_cols("rank_fusion", "objectives", columns, N);
    for (std::size_t k = 0; k < N; ++k) {
      if (!(terms[k].power >= 0))
        detail::fail("funnel::rank_fusion: terms[", k, "].power is ",
                     static_cast<double>(terms[k].power), ", expected a number of 0 or more");
      if (!(terms[k].offset > -1))
        detail::fail("funnel::rank_fusion: terms[", k, "].offset is ",
                     static_cast<double>(terms[k].offset), ", expected a number above -1");
    }
  }

  void operator()(matrix_view<const T> objectives, std::span<T> scores, arena& scratch) const {
    detail::check_fuse(*this, objectives, scores);
    struct row {
      T estimate;
      std::size_t position;
    };
    const std::size_t n = scores.size();
    const std::span<row> rows(scratch.allocate<row>(n), n);
    std::fill(scores.begin(), scores.end(), T(0));
    for (std::size_t k = 0; k < N; ++k) {
      if (terms[k].weight == 0) continue;
      // NaNs go to the end and are not sorted.
      std::size_t numbers = 0, nans = n;
      for (std::size_t i = 0; i < n; ++i) {
        const T estimate = objectives(i, k);
        rows[estimate == estimate ? numbers++ : --nans] = {estimate, i};
      }
      std::sort(rows.begin(), rows.begin() + static_cast<std::ptrdiff_t>(numbers),
                [](const row& a, const row& b) { return a.estimate > b.estimate; });
      T share = 0;
      for (std::size_t i = 0; i < n; ++i) {
        if (i == 0 || i >= numbers || rows[i].estimate < rows[i - 1].estimate)
          share = term(terms[k], i < numbers ? i + 1 : n);
        scores[rows[i].position] += share;
      }
    }
  }

  /// See `HasState`. Throws a format_error if a term that was loaded is out of range.
  void visit_state(auto&& visit) {
    visit("terms", terms);
    if (is_loading(visit)) detail::check_loaded([&] { check(N); });
  }

 private:
  static T term(const rank_term<T>& term, std::size_t rank) {
    return static_cast<T>(static_cast<double>(term.weight) /
                          (std::pow(static_cast<double>(rank), static_cast<double>(term.power)) +
                           static_cast<double>(term.offset)));
  }
};

}  // namespace funnel
