// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/mean.hpp>
#include <funnel/core/math.hpp>
#include <funnel/core/matrix.hpp>
#include <funnel/loss/detail/inputs.hpp>
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
  difference,  ///< by how far the teacher's scores are apart: near ties count little
  equal,       ///< 1
};

/// What `pairwise_distillation` can be told.
template <class T>
struct pairwise_options {
  pair_weight weight = pair_weight::difference;
  /// Only pairs whose teacher's scores differ by more than this count, not those that differ by
  /// just this; not negative. delta.
  T margin = 0;
  /// Factor of the difference of two logits, above 0. gamma.
  T sharpness = 1;
};

/// Teaches a model to order each request's candidates as a teacher does: of every pair the teacher
/// scores apart, the better one shall have the larger logit.
///
///     L = sum w_ij softplus(-gamma (z_i - z_j)) / sum w_ij   over pairs of one list with p_i > p_j
///     dL/dz_i = -gamma w_ij sigmoid(-gamma (z_i - z_j)) / sum w_ij = -dL/dz_j
///
/// Shapes      logits [n, 1]; teacher [n]; offsets [lists + 1]: list g, one request's candidates,
///             is rows offsets[g] .. offsets[g + 1] - 1; the loss [1, 1], over the pairs of all
///             lists.
/// Units       logits, not probabilities: differences of probabilities stay in (-1, 1) and never
///             count as learned. The teacher's scores on any scale where larger is better.
/// Order       equal teacher's scores are no pair.
/// Errors      std::invalid_argument if logits has not one column, a size differs, a teacher's
///             score is not finite, the offsets fall or don't span the rows, margin is negative or
///             sharpness not above 0; nothing is recorded then.
/// Cost        O(k^2) for a list of k; sample the candidates where k is above some 50.
/// Numerics    finite for every finite logit and score: a loss or a gradient beyond the largest number
///             is that number. No pair gives 0 with a gradient of 0.
/// Source      Burges et al., ICML 2005; docs/formulas.md#pairwise-distillation.
template <Context C>
value_of<C> pairwise_distillation(C& context, const value_of<C>& logits,
                                  std::span<const scalar_of<C>> teacher,
                                  std::span<const std::uint32_t> offsets,
                                  const pairwise_options<scalar_of<C>>& options = {}) {
  using t = scalar_of<C>;
  constexpr t most = std::numeric_limits<t>::max();
  const std::size_t n = detail::check_logits("pairwise_distillation", logits);
  detail::check_count("pairwise_distillation", "teacher", teacher.size(), n);
  detail::check_offsets("pairwise_distillation", offsets, n);
  detail::check_option("pairwise_distillation", "margin", options.margin, options.margin >= 0,
                       "0 or more");
  detail::check_positive("pairwise_distillation", "sharpness", options.sharpness);
  detail::require_finite("pairwise_distillation", "teacher", teacher);

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
  const auto total = detail::weight_total::of([&](auto&& add) {
    for_pairs([&](std::size_t, std::size_t, double weight) { add(weight); });
  });
  return detail::scalar_loss(context, logits, [&](matrix_view<const t> z, matrix_view<t> slopes) {
    if (slopes.data() != nullptr) std::fill_n(slopes.data(), n, t(0));
    detail::weighted_sum_of sum;
    for_pairs([&](std::size_t i, std::size_t j, double weight) {
      const auto soft = detail::softplus_of_difference(options.sharpness, z(j, 0), z(i, 0));
      sum.add(total(weight), soft.value);
      if (slopes.data() != nullptr) {
        const t pull = static_cast<t>(total(weight) / total.total) * options.sharpness * soft.slope;
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
