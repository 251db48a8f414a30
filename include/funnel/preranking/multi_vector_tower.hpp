// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>
#include <funnel/core/ids.hpp>
#include <funnel/core/math.hpp>
#include <funnel/core/matrix.hpp>
#include <funnel/index/score_items.hpp>
#include <funnel/nn/context.hpp>
#include <funnel/nn/parameter.hpp>
#include <funnel/nn/similarity.hpp>
#include <funnel/nn/training_context.hpp>
#include <funnel/simd/elementwise.hpp>
#include <funnel/simd/reduce.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>

namespace funnel {

/// Options of `cosine_heads`.
struct cosine_heads_options {
  /// Scale of the cosines before training, above 0. A cosine is in [-1, 1], so that with a scale of
  /// 1 no probability could leave [0.27, 0.73]; 5 to 20 is usual. kappa in the formula.
  double scale = 10;
};

/// Heads on cosines: turns the cosines of several tasks into logits, by a learned scale and bias
/// per task.
///
///     z_t = kappa_t cosine_t + beta_t,   kappa_t = scale e^(log_gain_t)
///
/// kappa is positive by construction. With a negative one, training would move the vectors of a user
/// away from those of the items that the user likes; the logits would be as good, but the search for
/// the largest cosine would find the worst items.
///
/// Shapes      cosines [n, heads] -> logits [n, heads]; both parameters [1, heads].
/// Errors      std::invalid_argument if there are other numbers of cosines, or a parameter has
///             another shape.
/// Numerics    a row has the same bits in every batch, in training and in serving. A cosine that is
///             NaN makes its logit NaN.
/// Source      docs/formulas.md#multi-vector-two-towers.
template <class T>
class cosine_heads : public detail::layer_of<T> {
 public:
  parameter<T> log_gain;  ///< ln(kappa_t / scale)
  parameter<T> bias;      ///< beta_t

  cosine_heads() = default;
  /// Errors      std::invalid_argument if there are no heads, or scale is not above 0.
  explicit cosine_heads(std::size_t heads, const cosine_heads_options& options = {})
      : log_gain(1, heads), bias(1, heads), start_(static_cast<T>(options.scale)), heads_(heads) {
    detail::check_at_least_one("cosine_heads", "heads", heads);
    detail::check_positive<T>("cosine_heads", "scale", options.scale);
  }

  std::size_t heads() const { return heads_; }
  /// kappa_t, the scale of a head's cosine.
  T scale(std::size_t head) const {
    detail::check_below("cosine_heads::scale", "head", head, heads_);
    check_parameters();
    return start_ * std::exp(log_gain.value(0, head));
  }

  using detail::layer_of<T>::operator();
  template <ContextOf<T> C>
  value_of<C> operator()(C& context, const value_of<C>& cosines) const {
    detail::check_cols("cosine_heads", "cosines", cosines.cols(), heads_);
    check_parameters();
    using arch = typename C::arch;
    const auto z = context.make(cosines.rows(), heads_);
    // As many rows at a time as fill whole registers, whatever the number of heads is.
    constexpr std::size_t most = detail::lanes<arch, T>;
    T* factors = context.scratch().template allocate<T>(most * heads_);
    T* shifts = context.scratch().template allocate<T>(most * heads_);
    for (std::size_t i = 0; i < most * heads_; ++i) {
      factors[i] = i < heads_ ? scale(i) : factors[i - heads_];
      shifts[i] = bias.value(0, i % heads_);
    }
    const auto f = [](const auto& c, const auto& factor, const auto& shift) {
      return fma(factor, c, shift);
    };
    const std::size_t step = view(cosines).contiguous() ? most : 1;
    for (std::size_t i = 0; i < z.rows(); i += step) {
      detail::map(arch{}, std::min(step, z.rows() - i) * heads_, writable(z).row(i).data(), f,
                  view(cosines).row(i).data(), factors, shifts);
    }
    if constexpr (C::is_training) {
      context.record([this, &context, cosines, z, factors] {
        check_parameters();  // they may have been replaced since
        const matrix_view<T> gain_gradient = context.gradient(log_gain).values();
        const matrix_view<T> bias_gradient = context.gradient(bias).values();
        for (std::size_t i = 0; i < z.rows(); ++i) {
          for (std::size_t t = 0; t < heads_; ++t) {
            const T g = z.gradient(i, t);
            bias_gradient(0, t) += g;
            gain_gradient(0, t) += g * factors[t] * cosines.values(i, t);
            if (cosines.has_gradient()) cosines.gradient(i, t) += g * factors[t];
          }
        }
      });
    }
    return z;
  }

  void visit_parameters(auto&& visit) {
    visit("log_gain", log_gain);
    visit("bias", bias);
  }

 private:
  void check_parameters() const {
    detail::check_parameter("cosine_heads", "log_gain", log_gain, 1, heads_);
    detail::check_parameter("cosine_heads", "bias", bias, 1, heads_);
  }

  T start_ = 1;
  std::size_t heads_ = 0;
};

/// Starts a head at a base rate: sets its bias so that a pair with the cosine `mean_cosine` gets the
/// probability `rate`. Call it after `initialize`.
///
///     beta = ln(rate / (1 - rate)) - kappa mean_cosine
///
/// Towers that are not trained yet have a mean cosine that can be far from 0, even near 1 if their
/// last layer is a relu. Measure it on some rows, or pass 0.
///
/// Units       rate is the mean label, in (0, 1); mean_cosine is in [-1, 1].
/// Errors      std::invalid_argument if rate is not in (0, 1), mean_cosine is not in [-1, 1], or
///             there is no such head; nothing is changed then.
/// Source      docs/formulas.md#start-at-a-base-rate.
template <class T>
void start_at_rate(cosine_heads<T>& heads, double rate, std::size_t head = 0,
                   double mean_cosine = 0) {
  detail::check_that("start_at_rate", "rate", rate, rate > 0 && rate < 1, "a number in (0, 1)");
  detail::check_that("start_at_rate", "mean_cosine", mean_cosine,
                     mean_cosine >= -1 && mean_cosine <= 1, "a number in [-1, 1]");
  detail::check_below("start_at_rate", "head", head, heads.heads());
  const double kappa = static_cast<double>(heads.scale(head));
  heads.bias.value(0, head) = static_cast<T>(logit(rate) - kappa * mean_cosine);
}

/// Multi-vector two-tower model for pre-ranking: the user tower computes one vector per task, the
/// item tower one vector for all tasks; the logit of a task is its head on the cosine of both.
///
///     z_t = kappa_t cosine(a_t, b) + beta_t
///
/// It is cheaper than `three_tower`: a candidate costs one inner product per task. But no network
/// sees user and item together, and no feature of the pair.
///
/// A tower is any model that returns a value for its input: the user tower the vectors of all tasks
/// side by side, [n, heads d], the item tower [n, d].
///
/// Use         train `operator()` with one `bce_with_logits` per column (`slice`). To serve, write
///             `item_vectors` of all items to a table when a model is deployed; in a request,
///             compute `user_vectors` once, and `score` the candidates.
/// Shapes      users [1, n, or one row per request], items [n] -> [n, heads] logits.
/// Errors      std::invalid_argument if the user tower does not return `heads` times the columns of
///             the item tower.
/// Cost        one run of `user` per request; 2 heads d operations and one row of the table per
///             candidate.
/// Numerics    `score` gives the bits of `operator()`.
/// Source      docs/formulas.md#multi-vector-two-towers.
template <class UserTower, class ItemTower, class T = float>
struct multi_vector_tower {
  UserTower user;
  ItemTower item;
  cosine_heads<T> heads;

  /// Vectors of the users, [n, heads d], each of the heads' vectors of length 1.
  template <Context C>
  value_of<C> user_vectors(C& context, const auto& users) const {
    const value_of<C> vectors = user(context, users);
    detail::check_that("multi_vector_tower", "user's columns", vectors.cols(),
                       heads.heads() > 0 && vectors.cols() > 0 &&
                           vectors.cols() % heads.heads() == 0,
                       "a multiple of ", heads.heads(), ", the heads");
    return l2_normalize(context, vectors, vectors.cols() / heads.heads());
  }
  /// Vectors of the items, [m, d], each of length 1.
  template <Context C>
  value_of<C> item_vectors(C& context, const auto& items) const {
    return l2_normalize(context, value_of<C>(item(context, items)));
  }
  /// Runs both towers: for training.
  template <Context C>
  value_of<C> operator()(C& context, const auto& users, const auto& items) const {
    // Separate statements, user first: the compiler chooses the order in which it evaluates the
    // arguments of one call, and dropout draws random numbers in that order.
    const auto a = user_vectors(context, users);
    const auto b = item_vectors(context, items);
    check_width(a.cols(), b.cols(), "the item tower");
    return heads(context, multi_dot(context, a, b));
  }

  /// Scores the items of a request by their ids, for serving: `vectors` are the `user_vectors` of
  /// the one user, row i of `table` is the `item_vectors` of item i.
  ///
  /// Shapes      vectors [1, heads d]; table [items, d]; ids [n] -> [n, heads] logits.
  /// Errors      std::invalid_argument if an id is not a row of the table, or on other shapes.
  template <Context C>
  requires(!C::is_training) value_of<C> score(C& context, const value_of<C>& vectors,
                                              matrix_view<const T> table,
                                              std::span<const item_id> ids)
  const {
    detail::check_rows("multi_vector_tower::score", "vectors", vectors.rows(), 1);
    check_width(vectors.cols(), table.cols(), "table");
    const matrix_view<const T> queries(vectors.row(0).data(), heads.heads(), table.cols());
    const auto cosines = context.make(ids.size(), heads.heads());
    score_items<typename C::arch>(queries, table, ids, cosines);
    return heads(context, cosines);
  }

  void visit_parameters(auto&& visit) {
    visit("user", user);
    visit("item", item);
    visit("heads", heads);
  }

 private:
  void check_width(std::size_t of_user, std::size_t of_item, const char* item_side) const {
    detail::check_that("multi_vector_tower", "user's columns", of_user,
                       of_user == heads.heads() * of_item, heads.heads() * of_item, ", ",
                       heads.heads(), " heads times the columns of ", item_side);
  }
};

/// Query that finds the items with the largest weighted sum of cosines: the weighted sum of the
/// vectors of a user. One search takes the place of one per task.
///
///     sum_t w_t (a_t . b) = (sum_t w_t a_t) . b
///
/// It stands for the cosines, not for the probabilities. With weights w_t kappa_t
/// (`cosine_heads::scale`), the order is that of the weighted sum of the logits.
///
/// Shapes      vectors [n, T d], the `user_vectors`; weights [T] -> [n, d].
/// Errors      std::invalid_argument if there are no weights, or the columns are not a multiple of
///             their number.
/// Source      docs/formulas.md#multi-vector-two-towers.
template <Context C>
requires(!C::is_training) value_of<C> retrieval_query(C& context, const value_of<C>& vectors,
                                                      std::span<const scalar_of<C>> weights) {
  detail::check_not_empty("retrieval_query", "weights", weights.size());
  detail::check_that("retrieval_query", "vectors.cols()", vectors.cols(),
                     vectors.cols() % weights.size() == 0, "a multiple of ", weights.size(),
                     ", the weights");
  const std::size_t d = vectors.cols() / weights.size();
  const auto query = context.make(vectors.rows(), d);
  for (std::size_t i = 0; i < vectors.rows(); ++i) {
    scalar_of<C>* sum = query.row(i).data();
    std::fill_n(sum, d, scalar_of<C>(0));
    for (std::size_t t = 0; t < weights.size(); ++t)
      axpy_kernel(typename C::arch{}, weights[t], vectors.row(i).data() + t * d, sum, d);
  }
  return query;
}

}  // namespace funnel
