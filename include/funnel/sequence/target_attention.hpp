// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/nn/embedding.hpp>
#include <funnel/nn/softmax.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

namespace funnel {

/// The mean of the vectors of the last items of each user, one user a list.
///
/// Shapes      histories: n lists of rows of `items` -> [n, dim]. In a request the user is one list
///             and gives one row. An empty history gives zeros.
/// Errors      std::invalid_argument if an id is not a row of `items` or the offsets don't fit.
/// Source      Covington, Adams and Sargin, RecSys 2016, section 3; formulas item 66.
template <Context C, class T>
value_of<C> last_n_mean(C& context, const embedding<T>& items, const id_lists& histories) {
  return embedding_bag<T>::pooled(context, items.table, histories, pooling::mean);
}

/// Attention of each candidate over a history: what the candidate finds of itself in what the user
/// did.
///
///     alpha = softmax_j(<q_i, x_j> / sqrt(d)),   o_i = sum_j alpha_j x_j
///
/// `offsets` says which events belong to which candidate: [n + 1], list i is events offsets[i] ..
/// offsets[i + 1] - 1. Two offsets stand for one history shared by all candidates: the request.
///
/// Shapes      candidates [n, d], events [m, d], offsets [n + 1] or [2] -> [n, d]. An empty history
///             gives zeros.
/// Errors      std::invalid_argument if the columns differ or the offsets don't fit.
/// Cost        4 d operations a pair of candidate and event.
/// Source      Zhou et al., "Deep interest network", KDD 2018, with a scaled dot product; formulas
///             item 67a.
template <Context C>
value_of<C> target_attention(C& context, const value_of<C>& candidates, const value_of<C>& events,
                             std::span<const std::uint32_t> offsets) {
  using t = scalar_of<C>;
  using arch = typename C::arch;
  const std::size_t n = candidates.rows();
  const std::size_t d = candidates.cols();
  const bool shared = offsets.size() == 2;
  if (events.cols() != d) {
    detail::fail("funnel::target_attention: events have ", events.cols(), " columns, expected ", d);
  }
  if (!shared && offsets.size() != n + 1) {
    detail::fail("funnel::target_attention: offsets has ", offsets.size(), " values for ", n,
                 " candidates, expected ", n + 1, " or 2");
  }
  if (offsets.front() != 0 || offsets.back() != events.rows() || !std::ranges::is_sorted(offsets)) {
    detail::fail("funnel::target_attention: offsets must rise from 0 to the number of events, ",
                 events.rows());
  }
  const auto list = [offsets, shared](std::size_t i) {
    const std::size_t at = shared ? 0 : i;
    return std::pair<std::size_t, std::size_t>(offsets[at], offsets[at + 1]);
  };
  std::size_t pairs = 0;
  for (std::size_t i = 0; i < n; ++i) pairs += list(i).second - list(i).first;
  t* weights = context.scratch().template allocate<t>(pairs);
  const t scale = t(1) / std::sqrt(static_cast<t>(d));
  const auto y = context.make(n, d);
  t* alpha = weights;
  for (std::size_t i = 0; i < n; ++i) {
    const auto [begin, end] = list(i);
    const std::size_t length = end - begin;
    const t* q = view(candidates).row(i).data();
    for (std::size_t j = 0; j < length; ++j) {
      alpha[j] = scale * dot_kernel(arch{}, q, view(events).row(begin + j).data(), d);
    }
    detail::softmax_row(arch{}, alpha, alpha, length);
    const std::span<t> to = writable(y).row(i);
    std::ranges::fill(to, t(0));
    for (std::size_t j = 0; j < length; ++j) {
      axpy_kernel(arch{}, alpha[j], view(events).row(begin + j).data(), to.data(), d);
    }
    alpha += length;
  }
  if constexpr (C::is_training) {
    context.record([candidates, events, list, weights, scale, y] {
      const std::size_t dim = y.cols();
      const t* a = weights;
      for (std::size_t i = 0; i < y.rows(); ++i) {
        const auto [begin, end] = list(i);
        const t* g = y.gradient.row(i).data();
        const t along = dot_kernel(arch{}, g, y.values.row(i).data(), dim);
        for (std::size_t j = 0; j < end - begin; ++j) {
          const t* x = events.values.row(begin + j).data();
          const t slope =
              scale * a[j] * (dot_kernel(arch{}, g, x, dim) - along);  // d loss / d <q, x_j>
          if (candidates.learns())
            axpy_kernel(arch{}, slope, x, candidates.gradient.row(i).data(), dim);
          if (events.learns()) {
            t* to = events.gradient.row(begin + j).data();
            axpy_kernel(arch{}, a[j], g, to, dim);
            axpy_kernel(arch{}, slope, candidates.values.row(i).data(), to, dim);
          }
        }
        a += end - begin;
      }
    });
  }
  return y;
}

}  // namespace funnel
