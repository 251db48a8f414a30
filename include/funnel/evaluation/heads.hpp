// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>
#include <funnel/core/detail/printable.hpp>
#include <funnel/core/ids.hpp>
#include <funnel/core/math.hpp>
#include <funnel/evaluation/number_column.hpp>
#include <funnel/evaluation/report.hpp>
#include <funnel/metrics/auc.hpp>
#include <funnel/metrics/calibration_error.hpp>
#include <funnel/metrics/gauc.hpp>
#include <funnel/metrics/logloss.hpp>
#include <funnel/metrics/mean_absolute_error.hpp>
#include <funnel/metrics/root_mean_squared_error.hpp>
#include <funnel/metrics/xauc.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace funnel {

/// What the scores of a head are.
enum class score_kind {
  /// Probabilities of a label that is 0 or 1, in [0, 1]: after the sigmoid, and calibrated if the
  /// server calibrates.
  probability,
  /// Logits of such probabilities, as models return them: sigmoid(score) is the probability.
  logit,
  /// Amounts such as watch time or stars, in the unit of the labels.
  amount,
};

/// The scores of one head and what was observed.
struct head_rows {
  /// [n], of the scale that `kind` says.
  number_column scores = {};
  /// [n], 0 or 1, or amounts; NaN where the label is missing: such rows are left out.
  number_column labels = {};
  /// [n], or empty: no GAUC.
  std::span<const user_id> users = {};
  /// [n], or empty: scores of a simpler method, to compare with. On any scale for a probability; an
  /// amount in the unit of the labels for an amount.
  number_column baseline = {};
  /// [n], or empty: rows with 0 are left out, as if the label were NaN.
  number_column present = {};
  score_kind kind = score_kind::probability;
  /// Bins of the calibration error.
  calibration_error_options calibration = {};
};

/// A head of a model with several.
struct model_head {
  std::string name = {};
  score_kind kind = score_kind::probability;
  /// As in `head_rows`.
  number_column baseline = {};
  /// The column of the labels; by default the head's own position.
  std::optional<std::size_t> label = {};
};

namespace detail {

/// The rows of a head that have a label.
struct judged_rows {
  std::vector<double> scores, labels, baseline;
  std::vector<user_id> users;
};

inline judged_rows judged_rows_of(const head_rows& rows) {
  constexpr const char* function = "evaluate_head";
  const std::size_t n = rows.scores.size();
  check_not_empty(function, "scores", n);
  check_size(function, "labels", rows.labels.size(), n, "scores");
  if (!rows.users.empty()) check_size(function, "users", rows.users.size(), n, "scores");
  if (!rows.baseline.empty()) check_size(function, "baseline", rows.baseline.size(), n, "scores");
  if (!rows.present.empty()) check_size(function, "present", rows.present.size(), n, "scores");

  const bool amount = rows.kind == score_kind::amount;
  judged_rows kept;
  for (std::size_t i = 0; i < n; ++i) {
    const double score = rows.scores[i], label = rows.labels[i];
    if (std::isnan(label)) continue;
    if (!rows.present.empty()) {
      const double present = rows.present[i];
      if (present != 0 && present != 1)
        fail_check(function, "present", "[", i, "] is ", present, ", expected 0 or 1");
      if (present == 0) continue;
    }
    if (amount ? !std::isfinite(label) : label != 0 && label != 1)
      fail_check(function, "labels", "[", i, "] is ", label, ", expected ",
                 amount ? "a finite number, or NaN if it is missing"
                        : "0 or 1, or NaN if it is missing");
    if (rows.kind == score_kind::probability && !(score >= 0 && score <= 1))
      fail_check(function, "scores", "[", i, "] is ", score,
                 ", expected a probability in [0, 1]; of logits, kind is score_kind::logit");
    if (!std::isfinite(score))
      fail_check(function, "scores", "[", i, "] is ", score, ", expected a finite number");
    kept.scores.push_back(score);
    kept.labels.push_back(label);
    if (!rows.users.empty()) kept.users.push_back(rows.users[i]);
    if (rows.baseline.empty()) continue;
    if (amount && !std::isfinite(rows.baseline[i]))
      fail_check(function, "baseline", "[", i, "] is ", rows.baseline[i],
                 ", expected a finite number");
    kept.baseline.push_back(rows.baseline[i]);
  }
  return kept;
}

/// Number of columns of scores or labels: a matrix, a list of columns, or rows with `label(j)`.
template <class Columns>
std::size_t column_count(const Columns& columns) {
  if constexpr (requires { columns.label(0); })
    return columns.labels();
  else if constexpr (requires { columns.cols(); })
    return columns.cols();
  else
    return columns.size();
}

template <class Columns>
number_column column_at(const Columns& columns, std::size_t j) {
  if constexpr (requires { columns.label(j); })
    return columns.label(j);
  else if constexpr (requires { columns.cols(); })
    return number_column(columns, j);
  else
    return columns[j];
}

}  // namespace detail

/// Measures one head of a ranker and sets the numbers in a report, as the group `name`.
///
///     evaluate_head(numbers, "rank.click", {.scores = p, .labels = clicked, .users = users});
///
/// For a probability or a logit: auc, gauc and gauc_users (users with both classes) if there are
/// users, logloss, pcoc, ece, baseline_auc if there is a baseline, rows and positives. For an
/// amount: xauc, mae, rmse, pcoc, baseline_xauc and baseline_mae if there is a baseline, and rows.
///
/// Shapes      everything [n], n >= 1; vectors, arrays or spans of any number type, or columns of a
///             matrix.
/// Units       **probabilities, not logits**, unless `kind` says so.
/// Errors      std::invalid_argument if n is 0, the sizes differ, a label is neither 0, 1 nor
///             missing, an amount is not finite, a probability is outside [0, 1], a score is not
///             finite, or a name cannot be set in the report. The report is unchanged then.
/// Cost        O(n log n), copies of the rows in double.
/// Numerics    what does not exist is NaN, such as the AUC if all labels are equal, or everything
///             but `rows` if all labels are missing. Log loss and AUC of logits are computed from
///             the logits.
/// Source      docs/formulas.md#auc, docs/formulas.md#gauc, docs/formulas.md#log-loss,
///             docs/formulas.md#pcoc, docs/formulas.md#calibration-error, docs/formulas.md#xauc,
///             docs/formulas.md#mean-absolute-error, docs/formulas.md#root-mean-squared-error.
inline void evaluate_head(report& numbers, std::string_view name, const head_rows& rows) {
  detail::check_at_least_one("evaluate_head", "calibration.bins", rows.calibration.bins);
  const detail::judged_rows kept = detail::judged_rows_of(rows);
  const std::vector<double>& labels = kept.labels;
  const bool baseline = !rows.baseline.empty();
  report part;
  if (rows.kind == score_kind::amount) {
    part.set("xauc", xauc(kept.scores, labels));
    part.set("mae", mean_absolute_error(kept.scores, labels));
    part.set("rmse", root_mean_squared_error(kept.scores, labels));
    part.set("pcoc", pcoc(kept.scores, labels));
    if (baseline) part.set("baseline_xauc", xauc(kept.baseline, labels));
    if (baseline) part.set("baseline_mae", mean_absolute_error(kept.baseline, labels));
    part.set("rows", static_cast<double>(labels.size()));
  } else {
    const bool logits = rows.kind == score_kind::logit;
    std::vector<double> probabilities = kept.scores;
    if (logits)
      for (double& p : probabilities) p = sigmoid(p);
    part.set("auc", auc(kept.scores, labels));
    if (!rows.users.empty()) {
      const gauc_result by_user = gauc(kept.users, kept.scores, labels);
      part.set("gauc", by_user.value);
      part.set("gauc_users", static_cast<double>(by_user.users_counted));
    }
    part.set("logloss",
             logits ? logloss_from_logits(kept.scores, labels) : logloss(kept.scores, labels));
    part.set("pcoc", pcoc(probabilities, labels));
    part.set("ece", expected_calibration_error(probabilities, labels, rows.calibration));
    if (baseline) part.set("baseline_auc", auc(kept.baseline, labels));
    part.set("rows", static_cast<double>(labels.size()));
    part.set("positives", static_cast<double>(std::count(labels.begin(), labels.end(), 1.)));
  }
  numbers.merge(name, part);
}

/// Measures all heads of a model, each as `evaluate_head` does, in the group `prefix.<name of the
/// head>`; with an empty prefix, in the group of its name.
///
///     evaluate_heads(numbers, "rank",
///                    {{"click", score_kind::logit}, {"watch_s", score_kind::amount}},
///                    score_log(model, test.rows), test.rows, users);
///
/// Shapes      scores: one column per head, in the order of `heads`: what `score_log` returns, a
///             list of vectors or spans, or a matrix [n, heads]. labels: the same kinds, or an
///             `encoded_log`; may have more columns than there are heads. users [n], or empty: no
///             GAUC.
/// Errors      as `evaluate_head`; also if the number of columns of the scores is not that of the
///             heads, two heads have one name, or a head has no label. The report is unchanged
///             then.
template <class Scores, class Labels>
void evaluate_heads(report& numbers, std::string_view prefix, const std::vector<model_head>& heads,
                    const Scores& scores, const Labels& labels,
                    std::span<const user_id> users = {}) {
  constexpr const char* function = "evaluate_heads";
  detail::check_not_empty(function, "heads", heads.size());
  detail::check_cols(function, "scores", detail::column_count(scores), heads.size(), "heads");
  report part;
  for (std::size_t h = 0; h < heads.size(); ++h) {
    const model_head& head = heads[h];
    for (std::size_t other = 0; other < h; ++other)
      if (heads[other].name == head.name)
        detail::fail("funnel::evaluate_heads: heads[", h, "].name is ",
                     detail::printable(head.name), ", expected another name than heads[", other,
                     "]");
    const std::size_t label = head.label.value_or(h);
    if (label >= detail::column_count(labels))
      detail::fail("funnel::evaluate_heads: the label of heads[", h, "] is ", label,
                   ", expected below ", detail::column_count(labels),
                   ", the number of columns of labels");
    evaluate_head(part, head.name,
                  {.scores = detail::column_at(scores, h),
                   .labels = detail::column_at(labels, label),
                   .users = users,
                   .baseline = head.baseline,
                   .kind = head.kind});
  }
  numbers.merge(prefix, part);
}

}  // namespace funnel
