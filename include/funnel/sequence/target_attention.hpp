// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/arena.hpp>
#include <funnel/core/detail/checks.hpp>
#include <funnel/core/matrix.hpp>
#include <funnel/nn/context.hpp>
#include <funnel/nn/detail/request_rows.hpp>
#include <funnel/nn/detail/rows.hpp>
#include <funnel/nn/embedding.hpp>
#include <funnel/nn/training_context.hpp>
#include <funnel/sequence/attention_history.hpp>
#include <funnel/sequence/detail/event_lists.hpp>
#include <funnel/sequence/detail/packed_events.hpp>
#include <funnel/simd/attention.hpp>
#include <funnel/simd/dense.hpp>
#include <funnel/simd/dense_gradient.hpp>
#include <funnel/simd/softmax.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

namespace funnel {
namespace detail {

/// Adds the gradients of attention over one shared history: s = q keys, alpha = softmax(s), y =
/// alpha x.
template <class Arch, class T>
void attention_backward(Arch arch, arena& scratch, const variable<T>& q, const variable<T>& x,
                        const packed_events<Arch, T>& events, matrix_view<const T> alpha,
                        const variable<T>& y) {
  const arena::scope temporary(scratch);
  const std::size_t block = std::min(events.block(), y.rows());
  T* room = scratch.allocate<T>(block * events.stride());
  T* packed = scratch.allocate<T>(weight_gradient_scratch<Arch, T>(block, events.dim));
  for (std::size_t begin = 0; begin < y.rows(); begin += block) {
    const std::size_t n = std::min(block, y.rows() - begin);
    const matrix_view<const T> g = y.gradient.middle_rows(begin, n);
    const matrix_view<const T> a = alpha.middle_rows(begin, n);
    // slope = d loss / d <q, x_j> = scale alpha_j <g, x_j - y>
    const matrix_view<T> slope(room, n, events.count, events.stride());
    dense_kernel(arch, dense_arguments<T>{g, events.keys, events.dim, events.zeros, 0, slope,
                                          activation::identity});
    for (std::size_t i = 0; i < n; ++i) {
      const pack<Arch, T> along(events.scale * dot_kernel(arch, g.row(i).data(),
                                                          y.values.row(begin + i).data(),
                                                          events.dim));
      map(
          arch, events.count, slope.row(i).data(),
          [&](const auto& weight, const auto& product) { return weight * (product - along); },
          a.row(i).data(), slope.row(i).data());
    }
    if (q.has_gradient()) {
      const matrix_view<T> to = q.gradient.middle_rows(begin, n);
      dense_kernel(arch, dense_arguments<T>{slope, events.values, events.count, to.data(),
                                            to.stride(), to, activation::identity});
    }
    if (x.has_gradient()) {
      weight_gradient_kernel(arch, a, g, x.gradient, packed);
      weight_gradient_kernel(arch, matrix_view<const T>(slope), view(q).middle_rows(begin, n),
                             x.gradient, packed);
    }
  }
}

/// Writes the attention of all candidates over one shared history to y.
template <Context C>
void attend_shared(C& context, const value_of<C>& candidates, const attention_history<C>& history,
                   const auto& y) {
  using t = scalar_of<C>;
  using arch = typename C::arch;
  const auto& events = history.packed();
  const std::size_t n = candidates.rows();
  const std::size_t block = std::min(events.block(), n);
  const auto attend = [&](t* weights, bool kept) {
    for (std::size_t begin = 0; begin < n; begin += block) {
      const std::size_t count = std::min(block, n - begin);
      const matrix_view<t> alpha(weights + (kept ? begin * events.stride() : 0), count,
                                 events.count, events.stride());
      events.attend(view(candidates).middle_rows(begin, count), alpha,
                    writable(y).middle_rows(begin, count));
    }
  };
  arena& scratch = context.scratch();
  if constexpr (C::is_training) {
    t* weights = scratch.template allocate<t>(n * events.stride());
    attend(weights, true);
    const matrix_view<const t> alpha(weights, n, events.count, events.stride());
    context.record([candidates, x = history.events(), events, alpha, y, &scratch] {
      attention_backward(arch{}, scratch, candidates, x, events, alpha, y);
    });
  } else {
    const arena::scope temporary(scratch);
    attend(scratch.template allocate<t>(block * events.stride()), false);
  }
}

/// Writes the attention of the candidates of each request over the history of the request to y.
template <Context C>
void attend_requests(C& context, const value_of<C>& candidates, const value_of<C>& events,
                     std::span<const std::uint32_t> offsets, const auto& y) {
  const request_rows requests = requests_of(context);
  const auto attend = [&](std::size_t r) {
    const std::size_t begin = requests.begin(r);
    const std::size_t count = requests.begin(r + 1) - begin;
    const attention_history<C> history(
        context, middle_rows(events, offsets[r], offsets[r + 1] - offsets[r]));
    attend_shared(context, middle_rows(candidates, begin, count), history,
                  middle_rows(y, begin, count));
  };
  for (std::size_t r = 0; r < requests.requests(); ++r) {
    if constexpr (C::is_training) {
      attend(r);
    } else {
      const arena::scope temporary(context.scratch());
      attend(r);
    }
  }
}

}  // namespace detail

/// Target attention: for each candidate, the mean of the events of a user's history, weighted by
/// their similarity to the candidate. All candidates share one history.
///
///     alpha = softmax_j(<q_i, x_j> / sqrt(d)),   o_i = sum_j alpha_j x_j
///
/// Shapes      candidates [n, d], history [m, d] -> [n, d]. An empty history returns zeros.
/// Errors      std::invalid_argument if the columns differ.
/// Cost        4 d operations per pair of candidate and event.
/// Numerics    the result of a candidate has the same bits whatever the other candidates are.
/// Source      Zhou et al., KDD 2018, with a scaled dot product; docs/formulas.md#target-attention.
template <Context C>
value_of<C> target_attention(C& context, const value_of<C>& candidates,
                             const attention_history<C>& history) {
  detail::check_cols("target_attention", "events", history.cols(), candidates.cols(), "candidates");
  const auto y = context.make(candidates.rows(), history.cols());
  detail::attend_shared(context, candidates, history, y);
  return y;
}

/// Target attention with several histories, as in training.
///
/// List k of the events consists of events offsets[k] to offsets[k + 1] - 1. With n + 1 offsets,
/// each candidate has a list of its own. With R + 1, the candidates of each of the R requests of the
/// context (`group_rows`) share a list. With 2, all candidates share one.
///
/// Shapes      candidates [n, d], events [m, d], offsets [n + 1], [R + 1] or [2] -> [n, d]. An empty
///             history returns zeros.
/// Errors      std::invalid_argument if the columns differ or the offsets do not fit.
/// Cost        4 d operations per pair of candidate and event.
/// Source      Zhou et al., KDD 2018, with a scaled dot product; docs/formulas.md#target-attention.
template <Context C>
value_of<C> target_attention(C& context, const value_of<C>& candidates, const value_of<C>& events,
                             std::span<const std::uint32_t> offsets) {
  using t = scalar_of<C>;
  using arch = typename C::arch;
  const std::size_t n = candidates.rows();
  const std::size_t d = candidates.cols();
  const detail::event_lists lists =
      detail::make_event_lists(detail::requests_of(context), "target_attention", n, d,
                               events.rows(), events.cols(), offsets);
  if (offsets.size() == 2)
    return target_attention(context, candidates, attention_history<C>(context, events));
  const auto y = context.make(n, d);
  if (lists.of_row != nullptr) {
    detail::attend_requests(context, candidates, events, offsets, y);
    return y;
  }
  arena& scratch = context.scratch();
  t* weights = scratch.template allocate<t>(C::is_training ? events.rows() : 0);
  const t scale = detail::attention_scale<t>(d);
  const std::size_t most = detail::largest_list(offsets);
  {
    const arena::scope temporary(scratch);
    t* keys = scratch.template allocate<t>(packed_size<arch, t>(d, most));
    t* zeros = scratch.template allocate<t>(std::max(most, d));
    std::fill_n(zeros, std::max(most, d), t(0));
    t* room = scratch.template allocate<t>(most);
    for (std::size_t i = 0; i < n; ++i) {
      // Computes the same bits as packed_events, for values that are read only once.
      const std::size_t length = offsets[i + 1] - offsets[i];
      const auto list = view(events).middle_rows(offsets[i], length);
      t* alpha = C::is_training ? weights + offsets[i] : room;
      pack_transposed_kernel(arch{}, list, scale, keys);
      dense_kernel(arch{}, dense_arguments<t>{view(candidates).middle_rows(i, 1),
                                              keys,
                                              d,
                                              zeros,
                                              0,
                                              {alpha, 1, length},
                                              activation::identity});
      detail::softmax_row_kernel(arch{}, alpha, alpha, length);
      weighted_rows_kernel(arch{}, alpha, list, zeros, writable(y).row(i).data());
    }
  }
  if constexpr (C::is_training) {
    context.record([candidates, events, offsets, weights, scale, most, y, &scratch] {
      const arena::scope temporary(scratch);
      const std::size_t dim = y.cols();
      t* slopes = scratch.template allocate<t>(most);  // d loss / d <q, x_j>
      for (std::size_t i = 0; i < y.rows(); ++i) {
        const std::size_t begin = offsets[i];
        const std::size_t length = offsets[i + 1] - begin;
        const t* q = candidates.values.row(i).data();
        const t* g = y.gradient.row(i).data();
        const t* alpha = weights + begin;
        const t along = dot_kernel(arch{}, g, y.values.row(i).data(), dim);
        for (std::size_t j = 0; j < length; ++j) {
          const t product = dot_kernel(arch{}, g, events.values.row(begin + j).data(), dim);
          slopes[j] = scale * alpha[j] * (product - along);
        }
        if (candidates.has_gradient()) {
          t* to = candidates.gradient.row(i).data();
          weighted_rows_kernel(arch{}, slopes, view(events).middle_rows(begin, length), to, to);
        }
        for (std::size_t j = 0; events.has_gradient() && j < length; ++j) {
          using p = detail::pack<arch, t>;
          t* to = events.gradient.row(begin + j).data();
          detail::map(
              arch{}, dim, to,
              [weight = p(alpha[j]), slope = p(slopes[j])](const auto& sum, const auto& of_y,
                                                           const auto& of_q) {
                return fma(slope, of_q, fma(weight, of_y, sum));
              },
              to, g, q);
        }
      }
    });
  }
  return y;
}

}  // namespace funnel
