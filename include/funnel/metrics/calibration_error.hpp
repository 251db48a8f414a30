// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>
#include <funnel/core/detail/element_of.hpp>
#include <funnel/core/detail/mean.hpp>
#include <funnel/core/detail/quantile.hpp>
#include <funnel/core/detail/sizes.hpp>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace funnel {

/// PCOC (predicted click over click): the sum of the predictions divided by the sum of the targets.
/// 1 means right on average, above 1 means that predictions are too high. Also used for other
/// numbers, such as watch time.
///
///     pcoc = sum_i p_i / sum_i y_i
///
/// Shapes      predictions [n], targets [n].
/// Units       both on the same scale; for labels, predictions are probabilities, not logits.
/// Errors      std::invalid_argument if the sizes differ.
/// Cost        O(n).
/// Numerics    NaN if the targets sum to 0 or an input is NaN.
/// Source      He et al., ADKDD 2014; docs/formulas.md#pcoc.
template <detail::Numbers Predictions, detail::Numbers Targets>
double pcoc(const Predictions& predictions, const Targets& targets) {
  const auto prediction = detail::as_span(predictions);
  const auto target = detail::as_span(targets);
  detail::check_size("pcoc", "targets", target.size(), prediction.size(), "predictions");
  // If a sum overflows, the means still have a value. Both are divided by the same total, which
  // cancels.
  const double total = static_cast<double>(target.size());
  detail::weighted_sum_of predicted, observed;
  for (std::size_t i = 0; i < target.size(); ++i) {
    predicted.add(1, static_cast<double>(prediction[i]));
    observed.add(1, static_cast<double>(target[i]));
  }
  const double sum = observed.sum();
  if (sum == 0) return std::numeric_limits<double>::quiet_NaN();
  if (std::isfinite(sum) && std::isfinite(predicted.sum())) return predicted.sum() / sum;
  return predicted.mean(total) / observed.mean(total);
}

/// How predictions are grouped into bins.
enum class binning {
  /// Bins of equal width: bin b holds [b / B, (b + 1) / B), with the bounds rounded to `double`; 1
  /// is in the last bin.
  equal_width,
  /// Bins of about n / B predictions each, in ascending order. Equal predictions share a bin: a cut
  /// that would split them moves to the nearer end of the group.
  equal_mass,
};

/// Options of `reliability_table` and `expected_calibration_error`.
struct calibration_error_options {
  /// Number of bins, 1 or more; 10 to 20 is usual. B.
  std::size_t bins = 10;
  /// Equal width shows where in [0, 1] the error is. Equal mass is better for rare events, whose
  /// predictions would all be in one bin of equal width.
  funnel::binning binning = funnel::binning::equal_width;
};

/// One row of the reliability table. An empty bin has count 0 and NaN means.
struct reliability_bin {
  /// For equal width, the bounds of the bin. For equal mass, its smallest and largest prediction.
  double lower = std::numeric_limits<double>::quiet_NaN();
  double upper = std::numeric_limits<double>::quiet_NaN();
  std::size_t count = 0;
  double mean_prediction = std::numeric_limits<double>::quiet_NaN();
  double mean_label = std::numeric_limits<double>::quiet_NaN();
};

/// Reliability table: the mean prediction and the mean label in each bin of similar predictions.
///
/// Shapes      probabilities [n], labels [n]; returns options.bins rows.
/// Units       probabilities, not logits; labels in [0, 1].
/// Order       bins are in ascending order; the order of the input only affects rounding.
/// Errors      std::invalid_argument if the sizes differ, a value is outside [0, 1] or NaN, or bins
///             is 0 or too large for an array.
/// Cost        O(n) for equal width; O(n log n) and a copy for equal mass.
/// Numerics    with equal width, every prediction p in a bin has lower <= p < upper, by the bounds
///             in the table, except that 1 is in the last bin. Equal predictions are never split,
///             so with equal mass some bins may be empty.
/// Source      docs/formulas.md#calibration-error.
template <detail::Numbers Probabilities, detail::Numbers Labels>
std::vector<reliability_bin> reliability_table(const Probabilities& probabilities,
                                               const Labels& labels,
                                               const calibration_error_options& options = {}) {
  const auto probability = detail::as_span(probabilities);
  const auto label = detail::as_span(labels);
  const std::size_t n = probability.size();
  const std::size_t bins =
      detail::array_size<reliability_bin>("funnel::reliability_table: bins", options.bins);
  detail::check_size("reliability_table", "labels", label.size(), n, "probabilities");
  detail::check_unit_interval("reliability_table", "probabilities", probability);
  detail::check_unit_interval("reliability_table", "labels", label);
  detail::check_at_least_one("reliability_table", "bins", bins);

  struct sums {
    std::size_t count = 0;
    double predictions = 0, labels = 0;
    void add(double p, double y) {
      ++count;
      predictions += p;
      labels += y;
    }
  };
  std::vector<sums> totals(bins);
  std::vector<reliability_bin> table(bins);
  if (options.binning == binning::equal_width) {
    // The rounded bounds decide which bin p is in. The first guess is off by at most one bin.
    const auto bound = [&](std::size_t b) {
      return static_cast<double>(b) / static_cast<double>(bins);
    };
    for (std::size_t i = 0; i < n; ++i) {
      const double p = static_cast<double>(probability[i]);
      std::size_t b = std::min(bins - 1, static_cast<std::size_t>(p * static_cast<double>(bins)));
      if (p < bound(b)) --b;
      if (b + 1 < bins && p >= bound(b + 1)) ++b;
      totals[b].add(p, static_cast<double>(label[i]));
    }
    for (std::size_t b = 0; b < bins; ++b) {
      table[b].lower = bound(b);
      table[b].upper = bound(b + 1);
    }
  } else {
    struct row {
      double prediction, label;
    };
    std::vector<row> rows(n);
    for (std::size_t i = 0; i < n; ++i)
      rows[i] = {static_cast<double>(probability[i]), static_cast<double>(label[i])};
    std::sort(rows.begin(), rows.end(),
              [](const row& a, const row& b) { return a.prediction < b.prediction; });
    std::size_t bin = 0, from = 0;  // the bin that is being filled, and its first row
    const auto close_bin = [&](std::size_t end) {
      for (std::size_t i = from; i < end; ++i) totals[bin].add(rows[i].prediction, rows[i].label);
      if (end > from) {
        table[bin].lower = rows[from].prediction;
        table[bin].upper = rows[end - 1].prediction;
      }
      from = end;
      ++bin;
    };
    detail::for_each_quantile(
        n, bins,
        [&](std::size_t i, std::size_t j) { return rows[i].prediction == rows[j].prediction; },
        [&](std::size_t begin, std::size_t rank, std::size_t end) {
          close_bin(detail::nearer_cut(begin, rank, end));
        });
    close_bin(n);
  }
  for (std::size_t b = 0; b < bins; ++b) {
    const double count = static_cast<double>(totals[b].count);
    table[b].count = totals[b].count;
    if (totals[b].count == 0) continue;
    table[b].mean_prediction = totals[b].predictions / count;
    table[b].mean_label = totals[b].labels / count;
  }
  return table;
}

/// Expected calibration error (ECE): the mean gap between predicted probabilities and observed
/// rates over bins.
///
///     ece = sum_b (n_b / n) |mean label in b - mean prediction in b|
///
/// Shapes, units, order, errors and cost as in `reliability_table`. NaN if n is 0.
///
/// Source      Naeini, Cooper and Hauskrecht, AAAI 2015; docs/formulas.md#calibration-error.
template <detail::Numbers Probabilities, detail::Numbers Labels>
double expected_calibration_error(const Probabilities& probabilities, const Labels& labels,
                                  const calibration_error_options& options = {}) {
  double sum = 0;
  for (const reliability_bin& bin : reliability_table(probabilities, labels, options))
    if (bin.count > 0)
      sum += static_cast<double>(bin.count) * std::abs(bin.mean_label - bin.mean_prediction);
  return sum / static_cast<double>(detail::as_span(probabilities).size());
}

}  // namespace funnel
