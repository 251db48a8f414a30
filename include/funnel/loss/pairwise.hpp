// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>
#include <funnel/core/detail/mean.hpp>
#include <funnel/core/math.hpp>
#include <funnel/core/matrix.hpp>
#include <funnel/loss/detail/row_weights.hpp>
#include <funnel/loss/detail/scalar_loss.hpp>
#include <funnel/loss/detail/softplus.hpp>
#include <funnel/nn/context.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>

namespace funnel {

/// How much a pair of candidates counts in `pairwise_distillation`.
enum class pair_weight {
  difference,  ///< the difference of the teacher's scores: near ties count little
  equal,       ///< 1 for every pair
};

/// Options of `pairwise_distillation`.
template <class T>
struct pairwise_options {
  pair_weight weight = pair_weight::difference;
  /// A pair counts only if the teacher's scores differ by more than this, not by exactly this; 0 or
  /// more. delta.
  T margin = 0;
  /// Factor of the difference of the two logits, above 0. gamma.
  T sharpness = 1;
  /// What the weighted sum of the pairs' losses is divided by; 0 or more. 0 means the rows of the
  /// step if the context knows them (`training_context::set_step_rows`), otherwise the sum of the
  /// pairs' weights.
  double total_weight = 0;
};

/// Pairwise distillation (RankNet loss): trains a model to order the candidates of each request as
/// a teacher does. In every pair with different scores from the teacher, the better candidate
/// should get the larger logit.
///
///     L = sum w_ij softplus(-gamma (z_i - z_j)) / sum w_ij
///     dL/dz_i = -gamma w_ij sigmoid(-gamma (z_i - z_j)) / sum w_ij = -dL/dz_j
///
/// The sums run over the pairs of one list with p_i - p_j > delta, where p are the teacher's
/// scores. In a step whose number of rows is known the divisor is those rows instead of sum w_ij:
/// lists that are not cut then give the same loss however a batch is cut into parts.
///
/// Shapes      logits [n, 1]; teacher [n]; offsets [lists + 1]: list g, the candidates of one
///             request, consists of rows offsets[g] to offsets[g + 1] - 1; returns the loss [1, 1],
///             averaged over the pairs of all lists.
/// Units       logits, not probabilities: differences of probabilities stay in (-1, 1), so no pair
///             would ever count as learned. The teacher's scores may have any scale on which larger
///             is better.
/// Order       two candidates with equal scores from the teacher do not form a pair.
/// Errors      std::invalid_argument if logits does not have exactly one column, a size differs, a
///             teacher's score is not finite, the offsets decrease or do not cover the rows, margin
///             is negative, or sharpness is not above 0; nothing is recorded then.
/// Cost        O(k^2) for a list of k candidates; sample the candidates if k is above about 50.
/// Numerics    finite for all finite logits and scores: a loss or gradient beyond the largest
///             number is set to the largest number. Without any pair, loss and gradient are 0.
/// Source      Burges et al., ICML 2005; docs/formulas.md#pairwise-distillation.
template <Context C>
value_of<C> pairwise_distillation(C& context, const value_of<C>& logits,
                                  std::span<const scalar_of<C>> teacher,
                                  std::span<const std::uint32_t> offsets,
                                  const pairwise_options<scalar_of<C>>& options = {}) {
  using t = scalar_of<C>;
  constexpr t most = std::numeric_limits<t>::max();
  const std::size_t n = detail::check_logits("pairwise_distillation", logits);
  detail::check_size("pairwise_distillation", "teacher", teacher.size(), n, "logits");
  detail::check_offsets("pairwise_distillation", "offsets", offsets, n, "logits");
  detail::check_that("pairwise_distillation", "margin", options.margin, options.margin >= 0,
                     "a number of 0 or more");
  detail::check_positive("pairwise_distillation", "sharpness", options.sharpness);
  detail::check_finite("pairwise_distillation", "teacher", teacher);
  detail::check_not_negative("pairwise_distillation", "total_weight", options.total_weight);

  const auto for_pairs = [&](auto&& visit) {
    for (std::size_t g = 0; g + 1 < offsets.size(); ++g) {
      for (std::size_t i = offsets[g]; i < offsets[g + 1]; ++i) {
        for (std::size_t j = offsets[g]; j < offsets[g + 1]; ++j) {
          const t gap = teacher[i] - teacher[j];
          if (!(gap > options.margin)) continue;
          const bool by_gap = options.weight == pair_weight::difference;
          visit(i, j,
                !by_gap              ? 1.0
                : std::isfinite(gap) ? static_cast<double>(gap)
                                     : detail::scaled_difference(1, static_cast<double>(teacher[i]),
                                                                 static_cast<double>(teacher[j])));
        }
      }
    }
  };
  const auto total =
      detail::divided_by(context, options.total_weight, detail::weight_total::of([&](auto&& add) {
                           for_pairs([&](std::size_t, std::size_t, double weight) { add(weight); });
                         }));
  return detail::scalar_loss(context, logits, [&](matrix_view<const t> z, matrix_view<t> slopes) {
    if (slopes.data() != nullptr) std::fill_n(slopes.data(), n, t(0));
    detail::weighted_sum_of sum;
    for_pairs([&](std::size_t i, std::size_t j, double weight) {
      const auto soft = detail::softplus_of_difference(options.sharpness, z(j, 0), z(i, 0));
      sum.add(total(weight), soft.value);
      if (slopes.data() != nullptr) {
        const t share = detail::share_of<t>(total, weight);
        const t pull = std::clamp(share * options.sharpness, -most, most) * soft.slope;
        slopes(i, 0) -= pull;
        slopes(j, 0) += pull;
      }
    });
    if (slopes.data() != nullptr)
      for (std::size_t i = 0; i < n; ++i) slopes(i, 0) = std::clamp(slopes(i, 0), -most, most);
    return sum.mean(total.total);
  });
}

}  // namespace funnel
