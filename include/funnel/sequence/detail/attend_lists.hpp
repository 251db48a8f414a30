// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/arena.hpp>
#include <funnel/core/matrix.hpp>
#include <funnel/nn/context.hpp>
#include <funnel/nn/training_context.hpp>
#include <funnel/sequence/detail/event_lists.hpp>
#include <funnel/simd/attention.hpp>
#include <funnel/simd/reduce.hpp>
#include <funnel/simd/softmax.hpp>

#include <algorithm>
#include <cstddef>

namespace funnel::detail {

/// How `attend_lists` computes weights.
template <class T>
struct list_weights {
  T scale;         ///< of the products <q, k>
  bool normalize;  ///< whether a softmax over the list follows
};

/// Adds the gradients of `attend_lists`; `weights` are those of all pairs, candidate by candidate.
template <class Arch, class T>
void attend_lists_backward(Arch arch, const variable<T>& q, const variable<T>& k,
                           const variable<T>& v, const event_lists& lists,
                           const list_weights<T>& how, const T* weights, const variable<T>& y) {
  lists.for_each_pair([&, candidate = y.rows(), along = T(0)](std::size_t pair, std::size_t i,
                                                              std::size_t j) mutable {
    const T* g = y.gradient.row(i).data();
    if (i != candidate && how.normalize)
      along = dot_kernel(arch, g, y.values.row(i).data(), y.cols());
    candidate = i;
    const T product = dot_kernel(arch, g, v.values.row(j).data(), v.cols());
    const T slope = how.scale * (how.normalize ? weights[pair] * (product - along) : product);
    if (v.has_gradient()) axpy_kernel(arch, weights[pair], g, v.gradient.row(j).data(), v.cols());
    if (q.has_gradient())
      axpy_kernel(arch, slope, k.values.row(j).data(), q.gradient.row(i).data(), q.cols());
    if (k.has_gradient())
      axpy_kernel(arch, slope, q.values.row(i).data(), k.gradient.row(j).data(), k.cols());
  });
}

/// For each candidate the sum of the values of its events, weighted by scale <q_i, k_j>, or by the
/// softmax of that.
///
/// Shapes      q [n, a], k [m, a], v [m, b] -> [n, b].
template <class C>
value_of<C> attend_lists(C& context, const value_of<C>& q, const value_of<C>& k,
                         const value_of<C>& v, const event_lists& lists,
                         const list_weights<scalar_of<C>>& how) {
  using t = scalar_of<C>;
  using arch = typename C::arch;
  const auto y = context.make(q.rows(), v.cols());
  arena& scratch = context.scratch();
  t* kept = scratch.template allocate<t>(C::is_training ? lists.pairs() : 0);
  {
    const arena::scope temporary(scratch);
    t* room = scratch.template allocate<t>(C::is_training ? 0 : largest_list(lists.offsets));
    t* zeros = scratch.template allocate<t>(v.cols());
    std::fill_n(zeros, v.cols(), t(0));
    for (std::size_t i = 0, at = 0; i < y.rows(); at += lists.size(i++)) {
      const std::size_t begin = lists.begin(i), count = lists.size(i);
      t* weights = C::is_training ? kept + at : room;
      const t* of_candidate = view(q).row(i).data();
      for (std::size_t j = 0; j < count; ++j)
        weights[j] =
            how.scale * dot_kernel(arch{}, of_candidate, view(k).row(begin + j).data(), k.cols());
      if (how.normalize) softmax_row_kernel(arch{}, weights, weights, count);
      weighted_rows_kernel(arch{}, weights, view(v).middle_rows(begin, count), zeros,
                           writable(y).row(i).data());
    }
  }
  if constexpr (C::is_training) {
    context.record([q, k, v, lists, how, weights = static_cast<const t*>(kept), y] {
      attend_lists_backward(arch{}, q, k, v, lists, how, weights, y);
    });
  }
  return y;
}

}  // namespace funnel::detail
