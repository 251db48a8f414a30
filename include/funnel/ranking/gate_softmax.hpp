// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>
#include <funnel/core/matrix.hpp>
#include <funnel/core/random.hpp>
#include <funnel/nn/context.hpp>
#include <funnel/nn/softmax.hpp>
#include <funnel/nn/training_context.hpp>
#include <funnel/simd/softmax.hpp>

#include <algorithm>
#include <cstddef>
#include <limits>
#include <span>

namespace funnel {

/// Softmax over gate logits with gate dropout.
///
/// In training, each gate is dropped with probability `rate`, and the softmax is taken over the
/// gates that are left. If all gates of a row would be dropped, none is. In serving nothing is
/// dropped.
///
/// Gate dropout prevents dead experts: an expert that the gate no longer chooses still gets all of
/// the weight in some rows. Ordinary dropout on the outputs of the softmax is different: the
/// weights then no longer sum to 1, and the scale of the mixture changes from row to row.
///
/// Shapes      logits [n, k] -> weights [n, k], each row summing to 1; a mask is drawn for each
///             row.
/// Errors      std::invalid_argument if the rate is outside [0, 1).
/// Source      Zhao et al., RecSys 2019; docs/formulas.md#gate-dropout.
template <Context C>
value_of<C> gate_softmax(C& context, const value_of<C>& logits, double rate) {
  detail::check_fraction("gate_softmax", "rate", rate);
  if constexpr (!C::is_training) {
    return softmax(context, logits);
  } else {
    using t = scalar_of<C>;
    using arch = typename C::arch;
    const auto y = context.make(logits.rows(), logits.cols());
    for (std::size_t i = 0; i < logits.rows(); ++i) {
      const std::span<const t> x = view(logits).row(i);
      const std::span<t> kept = y.values.row(i);
      bool any = false;
      for (std::size_t j = 0; j < x.size(); ++j) {
        const bool drop = bernoulli(context.random(), rate);
        kept[j] = drop ? -std::numeric_limits<t>::infinity() : x[j];
        any |= !drop;
      }
      if (!any) std::ranges::copy(x, kept.begin());
    }
    softmax_kernel(arch{}, matrix_view<const t>(y.values), y.values);
    context.record([logits, y] {
      if (!logits.has_gradient()) return;
      for (std::size_t i = 0; i < y.rows(); ++i) {  // a dropped gate has weight 0, hence gradient 0
        softmax_backward_kernel(arch{}, y.values.row(i).data(), y.gradient.row(i).data(),
                                logits.gradient.row(i).data(), y.cols());
      }
    });
    return y;
  }
}

}  // namespace funnel
