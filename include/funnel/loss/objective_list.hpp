// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>
#include <funnel/core/detail/mean.hpp>
#include <funnel/core/matrix.hpp>
#include <funnel/loss/bce.hpp>
#include <funnel/loss/detail/row_weights.hpp>
#include <funnel/loss/log_watch_time.hpp>
#include <funnel/loss/mse.hpp>
#include <funnel/loss/watch_time.hpp>
#include <funnel/nn/context.hpp>
#include <funnel/nn/parameter.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace funnel {

/// What the head of an objective estimates, and by which loss it is trained.
enum class objective_kind {
  /// A probability: `bce_with_logits`; labels in [0, 1].
  probability,
  /// A mean time or amount: `watch_time_loss`; labels of 0 or more.
  watch_time,
  /// An order by time: `log_watch_time_loss`; labels of 0 or more.
  log_watch_time,
  /// A number such as a rating: `mse_loss`; any finite labels.
  number,
};

/// One objective of an `objective_list`.
template <class T = float>
struct objective {
  /// Unique and not empty; errors name it.
  std::string name;
  objective_kind kind = objective_kind::probability;
  /// The name of an earlier objective that must have happened, its label being 1: "click" for a
  /// cart. Other rows are left out. Empty: every row counts. (Not {}, on which GCC 12 fails inside of a model.)
  std::string given = "";  // NOLINT(readability-redundant-string-init)
  /// The column of the label; by default the position of the objective in the list.
  std::optional<std::size_t> label = {};
  /// A column of labels 0 and 1: rows where it is 0 are left out. For objectives that exist only for
  /// some items, such as the completion of videos.
  std::optional<std::size_t> mask = {};
  /// Factor of the loss, finite, 0 or more; 0 switches it off. alpha.
  T weight = 1;
  /// Whether the loss is also weighted by its uncertainty, which is learned.
  bool learn_weight = false;
  /// Of times: `time_scale` and `max_time` of the loss; finite, above 0.
  T time_scale = 60;
  T max_time = no_limit;

  static constexpr T no_limit = std::numeric_limits<T>::max();
};

/// The objectives of a ranker, as many as wanted: one head for each, some of them conditional on
/// others (a cart given a click, a payment given a cart), and the loss of all together.
///
///     L = sum_k alpha_k L_k                                          fixed weights
///     L = sum_k alpha_k (c_k e^-s_k L_k + M_k s_k / 2)                learned weights
///
/// L_k is the loss of objective k over the rows that count: those with a label, a mask of 1, and
/// whose condition happened (and its condition, and so on). s_k is a parameter, the logarithm of the
/// variance: an objective that stays uncertain gets a smaller weight. c_k is 1/2 for squared errors
/// and 1 otherwise. M_k is the number of these rows divided by what the loss is divided by, so
/// parts of a batch add up.
///
/// The list is a field of the model if a weight is learned: its `visit_parameters` visits
/// `log_variance`.
///
/// Source      docs/formulas.md#objectives.
template <class T = float>
class objective_list {
 public:
  /// s, [1, objectives]; empty if no weight is learned.
  parameter<T> log_variance;

  objective_list() = default;
  /// Errors      std::invalid_argument if the list is empty, a name is empty or not unique, a
  ///             condition is not an earlier objective of kind probability, or a number is outside
  ///             its range.
  explicit objective_list(std::vector<objective<T>> list) : list_(std::move(list)) {
    detail::check_not_empty("objective_list", "list", list_.size());
    bool learns = false;
    for (std::size_t k = 0; k < list_.size(); ++k) {
      check(list_[k], k);
      learns = learns || list_[k].learn_weight;
      given_.push_back(condition_of(k));
    }
    if (learns) log_variance = parameter<T>(1, list_.size());
  }

  std::size_t size() const { return list_.size(); }
  const objective<T>& operator[](std::size_t k) const { return list_[k]; }
  /// The position of an objective.
  ///
  /// Errors      std::invalid_argument if there is none of this name.
  std::size_t position(std::string_view name) const {
    for (std::size_t k = 0; k < list_.size(); ++k)
      if (list_[k].name == name) return k;
    detail::fail("funnel::objective_list::position: name is ", name,
                 ", expected one of the objectives");
  }
  /// The factor that the loss of an objective has now: alpha, or alpha c e^-s.
  T weight(std::size_t k) const {
    detail::check_below("objective_list::weight", "k", k, list_.size());
    const objective<T>& o = list_[k];
    if (!o.learn_weight || o.weight == 0) return o.weight;
    const double factor = half_kind(o) ? .5 : 1;
    return detail::saturated<T>(
        detail::scaled(static_cast<double>(o.weight) * factor,
                       std::min(std::exp(-static_cast<double>(log_variance.value(0, k))),
                                std::numeric_limits<double>::max())));
  }

  /// The loss of all heads, [1, 1]: what the loss of `train` returns.
  ///
  /// `rows.label(k)` is column k of the labels, such as of a `row_batch`; NaN is a missing label, and
  /// so is a row where `rows.present(k)`, if there is such a function, is 0.
  ///
  /// Shapes      outputs: for each objective the output of its head, [n, 1]: a logit, the logarithm
  ///             of a time, or a number, see `objective_kind`. Labels [n].
  /// Errors      std::invalid_argument if a shape is wrong, a label that counts is outside its
  ///             range, or the label of a condition or a mask is neither 0 nor 1; it names the
  ///             objective, and nothing is recorded then.
  /// Numerics    an objective without a row that counts adds 0 to the loss, and nothing to any
  ///             gradient. One of weight 0 is not read.
  template <ContextOf<T> C, class Rows>
  value_of<C> loss(C& context, std::span<const value_of<C>> outputs, const Rows& rows) const {
    constexpr const char* name = "objective_list::loss";
    detail::check_size(name, "outputs", outputs.size(), list_.size(), "the objectives");
    detail::check_not_empty(name, "outputs", outputs.size());
    const std::size_t n = outputs.front().rows();
    for (std::size_t k = 0; k < list_.size(); ++k)
      if (outputs[k].rows() != n || outputs[k].cols() != 1)
        detail::fail("funnel::", name, ": the output of ", list_[k].name, " is [",
                     outputs[k].rows(), ", ", outputs[k].cols(), "], expected [", n, ", 1]");
    if (!log_variance.value.empty())
      detail::check_parameter("objective_list", "log_variance", log_variance, 1, list_.size());
    T* memory = context.scratch().template allocate<T>(2 * n * list_.size());
    const matrix_view<T> labels(memory, list_.size(), n);
    const matrix_view<T> counts(memory + n * list_.size(), list_.size(), n);
    read(name, rows, labels, counts);

    std::vector<value_of<C>> losses;
    std::vector<std::size_t> of;
    for (std::size_t k = 0; k < list_.size(); ++k) {
      if (list_[k].weight == 0 || std::ranges::count(counts.row(k), T(1)) == 0) continue;
      losses.push_back(loss_of(context, list_[k], outputs[k], labels.row(k), counts.row(k)));
      of.push_back(k);
    }
    const auto sum = context.make(1, 1);
    detail::weighted_sum_of value;
    for (std::size_t i = 0; i < of.size(); ++i) {
      const std::size_t k = of[i];
      const T factor = weight(k);
      const T offset =
          list_[k].learn_weight ? list_[k].weight * share(context, counts.row(k)) / 2 : 0;
      const double loss = static_cast<double>(view(losses[i])(0, 0));
      value.add(1, detail::scaled(static_cast<double>(factor), loss));
      if (list_[k].learn_weight)
        value.add(static_cast<double>(offset), static_cast<double>(log_variance.value(0, k)));
      if constexpr (C::is_training)
        context.record([this, &context, part = losses[i], sum, k, factor, offset] {
          const T scale = sum.gradient(0, 0);
          if (part.has_gradient()) part.gradient(0, 0) += factor * scale;
          if (list_[k].learn_weight)
            context.gradient(log_variance).values()(0, k) +=
                scale * (offset - factor * part.values(0, 0));
        });
    }
    writable(sum)(0, 0) = detail::saturated<T>(value.mean(1));
    return sum;
  }

  /// Checks a whole log before training: every label as in `loss`, and that each objective has
  /// something to learn from.
  ///
  /// Errors      std::invalid_argument if a label is outside its range, or no row of an objective
  ///             counts, or all of its labels are 0, or of a probability all are 1; it names the
  ///             objective. Objectives of weight 0 may have no rows.
  template <class Rows>
  void check_log(const Rows& rows) const {
    constexpr const char* name = "objective_list::check_log";
    if (list_.empty()) return;
    const std::size_t n = rows.label(column(0)).size();
    matrix<T> labels(list_.size(), n), counts(list_.size(), n);
    read(name, rows, labels.view(), counts.view());
    for (std::size_t k = 0; k < list_.size(); ++k) {
      if (list_[k].weight == 0) continue;
      std::size_t count = 0, zeros = 0, ones = 0;
      for (std::size_t i = 0; i < n; ++i) {
        if (counts(k, i) == 0) continue;
        ++count, zeros += labels(k, i) == 0, ones += labels(k, i) == 1;
      }
      const objective_kind kind = list_[k].kind;
      if (count == 0)
        detail::fail("funnel::", name, ": ", list_[k].name, " has no row",
                     list_[k].given.empty() ? "" : " where " + list_[k].given + " happened",
                     ", expected 1 or more");
      if (zeros == count && kind != objective_kind::number)
        detail::fail("funnel::", name, ": ", list_[k].name, " has no label above 0 (rows: ", count,
                     "), expected 1 or more");
      if (ones == count && kind == objective_kind::probability)
        detail::fail("funnel::", name, ": ", list_[k].name, " has no label below 1 (rows: ", count,
                     "), expected 1 or more");
    }
  }

  /// From estimates given their condition to estimates per impression, in place: each is multiplied
  /// by those of the objectives that it is conditional on, p_click * p_cart * p_pay.
  ///
  /// Shapes      estimates [objectives] of one candidate: probabilities and amounts, not logits.
  /// Errors      std::invalid_argument if the sizes differ.
  void join(std::span<T> estimates) const {
    detail::check_size("objective_list::join", "estimates", estimates.size(), list_.size(),
                       "the objectives");
    for (std::size_t k = 0; k < list_.size(); ++k)
      if (given_[k] < k) estimates[k] *= estimates[given_[k]];  // which is joined already
  }
  /// The same for all candidates, [n, objectives].
  void join(matrix_view<T> estimates) const {
    detail::check_cols("objective_list::join", "estimates", estimates.cols(), list_.size(),
                       "the objectives");
    for (std::size_t i = 0; i < estimates.rows(); ++i) join(estimates.row(i));
  }

  void visit_parameters(auto&& visit) {
    if (!log_variance.value.empty()) visit("log_variance", log_variance);
  }

 private:
  static bool half_kind(const objective<T>& o) {
    return o.kind == objective_kind::number || o.kind == objective_kind::log_watch_time;
  }
  std::size_t column(std::size_t k) const { return list_[k].label.value_or(k); }

  void check(const objective<T>& o, std::size_t k) const {
    const std::string place = detail::join_text("list[", k, "].");
    const auto number = [&](const char* field, T value, bool accepted, const char* expected) {
      detail::check_that("objective_list", place + field, value, accepted, expected);
    };
    constexpr T most = std::numeric_limits<T>::max();
    if (o.name.empty())
      detail::fail("funnel::objective_list: ", place, "name is empty, expected a name");
    for (std::size_t j = 0; j < k; ++j)
      if (list_[j].name == o.name)
        detail::fail("funnel::objective_list: ", place, "name is ", o.name,
                     ", expected another name than that of list[", j, "]");
    if (o.kind < objective_kind::probability || o.kind > objective_kind::number)
      detail::fail("funnel::objective_list: ", place, "kind is ", static_cast<int>(o.kind),
                   ", expected a kind of objective_kind");
    number("weight", o.weight, o.weight >= 0 && o.weight <= most, "a finite number of 0 or more");
    number("time_scale", o.time_scale, o.time_scale > 0 && o.time_scale <= most,
           "a finite number above 0");
    number("max_time", o.max_time, o.max_time > 0 && o.max_time <= most, "a finite number above 0");
  }
  /// The position of the condition of objective k; k if it has none.
  std::size_t condition_of(std::size_t k) const {
    if (list_[k].given.empty()) return k;
    for (std::size_t j = 0; j < k; ++j)
      if (list_[j].name == list_[k].given && list_[j].kind == objective_kind::probability) return j;
    detail::fail("funnel::objective_list: list[", k, "].given is ", list_[k].given,
                 ", expected an objective of kind probability that is earlier in the list");
  }

  /// Copies the labels that count, and writes 1 to `counts` where they do and 0 elsewhere.
  template <class Rows>
  void read(const char* function, const Rows& rows, matrix_view<T> labels,
            matrix_view<T> counts) const {
    const std::size_t n = labels.cols();
    const auto of = [&](std::size_t k, std::size_t at) -> std::span<const T> {
      const std::span<const T> values = rows.label(at);
      if (values.size() != n)
        detail::fail("funnel::", function, ": the labels of ", list_[k].name, " has ",
                     values.size(), " values, expected ", n, " as in the other columns");
      return values;
    };
    const auto refuse = [&](std::size_t k, const char* what, std::size_t i, T value,
                            const char* expected) {
      detail::fail("funnel::", function, ": ", what, " of ", list_[k].name, " in row ", i, " is ",
                   value, ", expected ", expected);
    };
    for (std::size_t k = 0; k < list_.size(); ++k) {
      const std::span<const T> label = of(k, column(k));
      const std::span<const T> mask = list_[k].mask ? of(k, *list_[k].mask) : std::span<const T>();
      std::span<const T> present;
      if constexpr (requires { rows.present(k); }) present = rows.present(column(k));
      for (std::size_t i = 0; i < n; ++i) {
        const T y = label[i];
        bool counted = !std::isnan(y) && (present.empty() || present[i] != 0);
        if (!mask.empty()) {
          if (mask[i] != 0 && mask[i] != 1) refuse(k, "the mask", i, mask[i], "0 or 1");
          counted = counted && mask[i] == 1;
        }
        if (const std::size_t g = given_[k]; g < k) {
          const T happened = labels(g, i);  // 0 where it does not count
          if (happened != 0 && happened != 1)
            refuse(g, "the label", i, happened, "0 or 1, as others are conditional on it");
          counted = counted && happened == 1;
        }
        labels(k, i) = counted ? y : T(0);
        counts(k, i) = counted ? T(1) : T(0);
        if (!counted) continue;
        const objective_kind kind = list_[k].kind;
        if (kind == objective_kind::probability && !(y >= 0 && y <= 1))
          refuse(k, "the label", i, y, "a number in [0, 1]");
        if (kind == objective_kind::number ? !std::isfinite(y) : !(y >= 0 && std::isfinite(y)))
          refuse(k, "the label", i, y,
                 kind == objective_kind::number ? "a finite number"
                                                : "a finite number of 0 or more");
      }
    }
  }

  template <class C>
  value_of<C> loss_of(C& context, const objective<T>& o, const value_of<C>& output,
                      std::span<const T> labels, std::span<const T> counts) const {
    if (o.kind == objective_kind::probability)
      return bce_with_logits(context, output, labels, {.weights = counts});
    if (o.kind == objective_kind::watch_time)
      return watch_time_loss(
          context, output, labels,
          {.time_scale = o.time_scale, .max_time = o.max_time, .weights = counts});
    if (o.kind == objective_kind::log_watch_time)
      return log_watch_time_loss(
          context, output, labels,
          {.time_scale = o.time_scale, .max_time = o.max_time, .weights = counts});
    return mse_loss(context, output, labels, {.weights = counts});
  }
  /// The rows that count, divided by what a loss is divided by. M in the formula.
  template <class C>
  static T share(const C& context, std::span<const T> counts) {
    const detail::weight_total own = detail::total_of(counts, counts.size());
    return static_cast<T>(own.total / detail::divided_by(context, 0, own).total);
  }

  std::vector<objective<T>> list_;
  std::vector<std::size_t> given_;  // of each objective the position of its condition, or its own
};

}  // namespace funnel
