// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>
#include <funnel/core/detail/sizes.hpp>
#include <funnel/nn/context.hpp>
#include <funnel/nn/dense.hpp>
#include <funnel/nn/detail/rows.hpp>
#include <funnel/sequence/detail/attend_lists.hpp>
#include <funnel/sequence/detail/event_lists.hpp>
#include <funnel/sequence/detail/packed_events.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace funnel {

/// Options of `multi_head_attention`.
struct multi_head_attention_options {
  /// Number of heads, 1 or more.
  std::size_t heads = 4;
  /// Number of values of a head, 1 or more.
  std::size_t head_dim = 16;
};

/// One head of `multi_head_attention`.
template <class T>
struct attention_head {
  dense<T> query;  ///< W^Q, [d, head_dim]
  dense<T> key;    ///< W^K, transposed: [head_dim, d]
  dense<T> value;  ///< W^V, [d, head_dim]

  void visit_parameters(auto&& visit) {
    visit("query", query);
    visit("key", key);
    visit("value", value);
  }
};

/// Target attention with several heads and learned projections: each head compares the candidate with
/// the events of its history in a space of its own.
///
///     alpha_hj = softmax_j(<q W_h^Q, x_j W_h^K> / sqrt(head_dim)),   o_h = sum_j alpha_hj x_j W_h^V
///     o        = [o_1; ...; o_H]
///
/// Events are not projected: <q W^Q, x W^K> = <q W^Q (W^K)^T, x>, and W^V is applied to the sum. A
/// history of which each candidate reads another part, as in SIM, then costs little. No layer follows that
/// mixes the heads: the first layer of the network above does it.
///
/// Shapes      candidates [n, d], events [m, d], offsets [n + 1], [R + 1] or [2] as in
///             `target_attention`, or [L + 1] with lists [n] -> [n, heads * head_dim]. An empty history
///             returns zeros; of a single event, its values with weight 1.
/// Errors      std::invalid_argument if an option is 0, the columns differ, or the offsets or lists do not
///             fit.
/// Cost        6 d heads head_dim operations per candidate, and 4 d heads per pair. Training keeps a
///             weight per pair and head.
/// Numerics    the result of a candidate has the same bits whatever the other candidates are, in
///             serving and in training.
/// Source      Vaswani et al., NeurIPS 2017, section 3.2; Pi et al., CIKM 2020, section 3.3;
///             docs/formulas.md#multi-head-target-attention.
template <class T>
class multi_head_attention : public detail::layer_of<T> {
 public:
  std::vector<attention_head<T>> heads;

  multi_head_attention() = default;
  explicit multi_head_attention(std::size_t dim, const multi_head_attention_options& options = {}) {
    detail::check_at_least_one(name, "dim", dim);
    detail::check_at_least_one(name, "heads", options.heads);
    detail::check_at_least_one(name, "head_dim", options.head_dim);
    detail::array_size<T>("funnel::multi_head_attention: heads x head_dim", options.heads,
                          options.head_dim);
    const dense_options plain{.bias = false};
    for (std::size_t h = 0; h < options.heads; ++h)
      heads.push_back({{dim, options.head_dim, plain},
                       {options.head_dim, dim, plain},
                       {dim, options.head_dim, plain}});
  }

  std::size_t dim() const { return heads.empty() ? 0 : heads.front().query.in(); }
  std::size_t out() const { return heads.empty() ? 0 : heads.size() * head_dim(); }

  using detail::layer_of<T>::operator();
  template <ContextOf<T> C>
  value_of<C> operator()(C& context, const value_of<C>& candidates, const value_of<C>& events,
                         std::span<const std::uint32_t> offsets) const {
    check(candidates, events);
    return attend(context, candidates, events,
                  detail::make_event_lists(detail::requests_of(context), name, candidates.rows(),
                                           dim(), events.rows(), events.cols(), offsets));
  }
  /// The same with lists that candidates share in any order, as in `din_attention`.
  template <ContextOf<T> C>
  value_of<C> operator()(C& context, const value_of<C>& candidates, const value_of<C>& events,
                         std::span<const std::uint32_t> offsets,
                         std::span<const std::uint32_t> lists) const {
    check(candidates, events);
    return attend(
        context, candidates, events,
        detail::make_shared_lists(name, candidates.rows(), events.rows(), offsets, lists));
  }

  void visit_parameters(auto&& visit) { visit("heads", heads); }

 private:
  static constexpr std::string_view name = "multi_head_attention";

  std::size_t head_dim() const { return heads.front().query.out(); }
  void check(const auto& candidates, const auto& events) const {
    detail::check_not_empty(name, "heads", heads.size());
    detail::check_cols(name, "candidates", candidates.cols(), dim());
    detail::check_cols(name, "events", events.cols(), dim());
  }
  template <class C>
  value_of<C> attend(C& context, const value_of<C>& candidates, const value_of<C>& events,
                     const detail::event_lists& lists) const {
    const T scale = detail::attention_scale<T>(head_dim());
    const auto y = context.make(candidates.rows(), out());
    for (std::size_t h = 0; h < heads.size(); ++h) {
      const attention_head<T>& head = heads[h];
      const auto q = head.key(context, head.query(context, candidates));
      const auto sum = detail::attend_lists<C>(context, q, events, events, lists, {scale, true});
      copy_columns<C>(context, head.value(context, sum), y, h * head_dim());
    }
    return y;
  }
  /// Writes x to columns `at` and on of y.
  template <class C, class Y>
  static void copy_columns(C& context, const value_of<C>& x, const Y& y, std::size_t at) {
    detail::copy_rows(view(x), writable(y).middle_cols(at, x.cols()), 0);
    if constexpr (C::is_training) {
      context.record([x, y, at] {
        const auto from = y.gradient.middle_cols(at, x.cols());
        for (std::size_t i = 0; i < x.rows(); ++i)
          for (std::size_t j = 0; j < x.cols(); ++j) x.gradient(i, j) += from(i, j);
      });
    }
  }
};

}  // namespace funnel
