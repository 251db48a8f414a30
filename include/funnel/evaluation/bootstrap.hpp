// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>
#include <funnel/core/detail/sizes.hpp>
#include <funnel/core/executor.hpp>
#include <funnel/core/ids.hpp>
#include <funnel/evaluation/detail/resampled_metrics.hpp>
#include <funnel/evaluation/detail/user_resamples.hpp>
#include <funnel/evaluation/number_column.hpp>
#include <funnel/evaluation/report.hpp>

#include <algorithm>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string_view>
#include <type_traits>
#include <vector>

namespace funnel {

/// For `bootstrap` and `paired_bootstrap`: the metric `auc`, computed in one pass per resample.
struct auc_metric {};

/// For `bootstrap` and `paired_bootstrap`: the value of `gauc`, with the AUC of each user computed
/// once.
struct gauc_metric {};

/// Concept of a metric that `bootstrap` can resample: `auc_metric`, `gauc_metric`, or a callable
/// (users, scores, labels) or (scores, labels) of spans of `user_id` and `double` that returns a
/// number, or NaN if the metric does not exist. Several threads may call it at once.
template <class M>
concept BootstrapMetric = std::same_as<M, auc_metric> || std::same_as<M, gauc_metric> ||
    std::is_invocable_r_v<double, const M&, std::span<const user_id>, std::span<const double>,
                          std::span<const double>> ||
    std::is_invocable_r_v<double, const M&, std::span<const double>, std::span<const double>>;

/// Options of `bootstrap` and `paired_bootstrap`.
struct bootstrap_options {
  /// Number of resamples, at least 2 / (1 - level) - 1. B.
  std::size_t resamples = 1000;
  /// Confidence level of the interval, in (0, 1). 1 - 2 alpha.
  double level = .99;
  std::uint64_t seed = 1;
};

/// The result of `bootstrap` and `paired_bootstrap`.
struct bootstrap_interval {
  /// The metric of the rows as they are, or the difference; NaN if it does not exist.
  double value = std::numeric_limits<double>::quiet_NaN();
  /// Bounds of the interval; NaN if the metric exists on too few resamples for the level.
  double low = std::numeric_limits<double>::quiet_NaN();
  double high = std::numeric_limits<double>::quiet_NaN();
  /// Share of the resamples on which the metric or the difference is above 0.
  double share_above = std::numeric_limits<double>::quiet_NaN();
  /// Number of users with labels.
  std::size_t users = 0;
  /// Number of resamples on which the metric does not exist, such as AUC without a positive. They
  /// are left out.
  std::size_t undefined = 0;

  /// Sets value, low, high and share_above in a report, as the group `name`.
  ///
  /// Errors      as `report::merge`.
  void write(report& numbers, std::string_view name) const {
    report part;
    part.set("value", value);
    part.set("low", low);
    part.set("high", high);
    part.set("share_above", share_above);
    numbers.merge(name, part);
  }
};

namespace detail {

/// The metric of resamples of these rows, made with `scores`.
template <class Metric>
auto resampled(const user_rows& rows, std::span<const double> scores, const Metric& metric) {
  if constexpr (std::same_as<Metric, auc_metric>)
    return resampled_auc(rows, scores);
  else if constexpr (std::same_as<Metric, gauc_metric>)
    return resampled_gauc(rows, scores);
  else
    return resampled_copies<Metric>(rows, scores, metric);
}

/// Number of resamples, counted from one end, at which the interval begins: floor((B + 1) alpha).
inline std::size_t rank_of_bound(std::size_t resamples, double level) {
  // 1 - level has rounded: without the rest, 199 resamples would be too few for some levels.
  const double rank = (static_cast<double>(resamples) + 1) * ((1 - level) / 2) * (1 + 1e-9);
  return static_cast<std::size_t>(rank);
}

inline void check_bootstrap(std::string_view function, const bootstrap_options& options) {
  check_that(function, "level", options.level, options.level > 0 && options.level < 1,
             "a number in (0, 1)");
  check_at_least_one(function, "resamples", options.resamples);
  array_size<double>(join_text("funnel::", function, ": resamples"), options.resamples);
  if (rank_of_bound(options.resamples, options.level) == 0)
    fail_check(function, "resamples", " is ", options.resamples, ", expected at least ",
               std::ceil((2 / (1 - options.level) - 1) * (1 - 1e-9)), " for the level ",
               options.level);
}

/// Runs `statistic(times_drawn, scratch)` on all resamples.
template <Executor E, class Statistic>
bootstrap_interval interval_of(E& executor, double value, std::size_t users,
                               const bootstrap_options& options, const Statistic& statistic) {
  bootstrap_interval result;
  result.value = value;
  result.users = users;
  std::vector<double> values(options.resamples, std::numeric_limits<double>::quiet_NaN());
  if (users > 0) {
    constexpr std::size_t block = 16;  // resamples that share memory
    for_blocks(executor, options.resamples, block, [&](std::size_t begin, std::size_t end) {
      resample_scratch scratch;
      scratch.times_drawn.resize(users);
      for (std::size_t b = begin; b < end; ++b) {
        draw_users(options.seed, b, scratch.times_drawn);
        values[b] = statistic(scratch.times_drawn, scratch);
      }
    });
  }
  std::erase_if(values, [](double v) { return std::isnan(v); });
  result.undefined = options.resamples - values.size();
  if (values.empty()) return result;
  std::sort(values.begin(), values.end());
  const auto above = values.end() - std::upper_bound(values.begin(), values.end(), 0.);
  result.share_above = static_cast<double>(above) / static_cast<double>(values.size());
  const std::size_t rank = rank_of_bound(values.size(), options.level);
  if (rank == 0) return result;
  result.low = values[rank - 1];
  result.high = values[values.size() - rank];
  return result;
}

template <class Metric>
void check_labels_of(std::string_view function, const Metric&, const number_column& labels) {
  if constexpr (std::same_as<Metric, auc_metric> || std::same_as<Metric, gauc_metric>)
    for (std::size_t i = 0; i < labels.size(); ++i)
      if (const double label = labels[i]; label != 0 && label != 1 && !std::isnan(label))
        fail_check(function, "labels", "[", i, "] is ", label,
                   ", expected 0 or 1, or NaN if it is missing");
}

}  // namespace detail

/// Bootstrap over users: a confidence interval of a metric.
///
///     const auto interval = bootstrap(users, p, clicked, gauc_metric());
///
/// A resample draws as many users as there are, with replacement, and takes each with all their
/// rows: the rows of a user are not independent, and an interval from drawing single rows is too
/// narrow. A user who is drawn twice counts as two. The interval is the percentile interval: of B
/// values of the metric in ascending order, the k-th from both ends, k = floor((B + 1) alpha).
///
/// Shapes      users, scores and labels [n], n >= 1; rows whose label is NaN are left out.
/// Units       as the metric has them; labels are 0 or 1 for `auc_metric` and `gauc_metric`.
/// Order       the same for any order of the rows, and with an executor as first argument for any
///             number of threads; a metric of your own sees the rows user by user.
/// Errors      std::invalid_argument if n is 0, the sizes differ, the level is outside (0, 1), there
///             are too few resamples for the level, or a label is wrong; also what a metric throws.
/// Cost        with `auc_metric` a sort, then O(n + users) per resample; with `gauc_metric` a sort,
///             then O(users) per resample; otherwise a copy of the rows and a call of the metric
///             per resample.
/// Numerics    with `auc_metric` the same bits as with a callable that calls `auc`.
/// Source      Efron and Tibshirani, An Introduction to the Bootstrap, 1993, section 13.3;
///             docs/formulas.md#bootstrap-over-users.
template <Executor E, BootstrapMetric Metric>
bootstrap_interval bootstrap(E& executor, std::span<const user_id> users,
                             const number_column& scores, const number_column& labels,
                             const Metric& metric, const bootstrap_options& options = {}) {
  constexpr const char* function = "bootstrap";
  detail::check_bootstrap(function, options);
  const detail::user_rows rows = detail::user_rows_of(function, users, scores, nullptr, labels);
  detail::check_labels_of(function, metric, labels);
  const auto of = detail::resampled(rows, rows.scores, metric);
  return detail::interval_of(executor, of.value(), rows.user_count, options, of);
}

template <BootstrapMetric Metric>
bootstrap_interval bootstrap(std::span<const user_id> users, const number_column& scores,
                             const number_column& labels, const Metric& metric,
                             const bootstrap_options& options = {}) {
  serial_executor serial;
  return bootstrap(serial, users, scores, labels, metric, options);
}

/// Paired bootstrap over users: is a model better than another on the same rows? A confidence
/// interval of the difference of a metric.
///
///     const auto gain = paired_bootstrap(users, p, p_before, clicked, auc_metric());
///     if (gain.low > 0) ...   // better, at that level
///
///     value = metric(scores, labels) - metric(baseline, labels)
///
/// Both metrics are computed on the same resamples, so that what is hard for both models cancels:
/// two intervals that overlap say little about the difference. Everything else as `bootstrap`;
/// baseline [n].
template <Executor E, BootstrapMetric Metric>
bootstrap_interval paired_bootstrap(E& executor, std::span<const user_id> users,
                                    const number_column& scores, const number_column& baseline,
                                    const number_column& labels, const Metric& metric,
                                    const bootstrap_options& options = {}) {
  constexpr const char* function = "paired_bootstrap";
  detail::check_bootstrap(function, options);
  const detail::user_rows rows = detail::user_rows_of(function, users, scores, &baseline, labels);
  detail::check_labels_of(function, metric, labels);
  const auto of = detail::resampled(rows, rows.scores, metric);
  const auto before = detail::resampled(rows, rows.baseline, metric);
  return detail::interval_of(executor, of.value() - before.value(), rows.user_count, options,
                             [&](auto times_drawn, detail::resample_scratch& scratch) {
                               const double value = of(times_drawn, scratch);
                               return value - before(times_drawn, scratch);
                             });
}

template <BootstrapMetric Metric>
bootstrap_interval paired_bootstrap(std::span<const user_id> users, const number_column& scores,
                                    const number_column& baseline, const number_column& labels,
                                    const Metric& metric, const bootstrap_options& options = {}) {
  serial_executor serial;
  return paired_bootstrap(serial, users, scores, baseline, labels, metric, options);
}

}  // namespace funnel
