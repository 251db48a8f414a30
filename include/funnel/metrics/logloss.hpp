// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>
#include <funnel/core/detail/element_of.hpp>
#include <funnel/core/detail/mean.hpp>

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>

namespace funnel {
namespace detail {

/// Returns -(y ln p + (1 - y) ln(1 - p)) with p and 1 - p clipped at 1e-15.
inline double cross_entropy(double probability, double label) {
  constexpr double clip = 1e-15;
  // For small p, ln(1 - p) would lose its digits; log1p keeps them.
  const double log_rest =
      probability < 0.5 ? std::log1p(-probability) : std::log(std::max(1 - probability, clip));
  return -(label * std::log(std::max(probability, clip)) + (1 - label) * log_rest);
}

/// Returns `loss` / entropy(m), where m is the mean label; NaN if m is 0 or 1.
template <class T, class Entropy>
double over_base_entropy(double loss, std::span<const T> labels, const Entropy& entropy) {
  double sum = 0;
  for (const T y : labels) sum += static_cast<double>(y);
  const double mean = sum / static_cast<double>(labels.size());
  if (!(mean > 0 && mean < 1)) return std::numeric_limits<double>::quiet_NaN();
  return loss / entropy(mean);
}

}  // namespace detail

/// Log loss (binary cross-entropy) of predicted probabilities, as a metric. For training see
/// `bce_with_logits`.
///
///     logloss = -(1/n) sum_i y_i ln p_i + (1 - y_i) ln(1 - p_i)
///
/// Shapes      probabilities [n], labels [n].
/// Units       natural logarithm; probabilities, not logits; labels in [0, 1], soft labels too.
/// Errors      std::invalid_argument if the sizes differ or a value is outside [0, 1] or NaN.
/// Cost        O(n).
/// Numerics    p and 1 - p are clipped at 1e-15; computed in double. NaN if n is 0.
/// Source      docs/formulas.md#log-loss.
template <detail::Numbers Probabilities, detail::Numbers Labels>
double logloss(const Probabilities& probabilities, const Labels& labels) {
  const auto probability = detail::as_span(probabilities);
  const auto label = detail::as_span(labels);
  detail::check_size("logloss", "labels", label.size(), probability.size(), "probabilities");
  detail::check_unit_interval("logloss", "probabilities", probability);
  detail::check_unit_interval("logloss", "labels", label);
  double sum = 0;
  for (std::size_t i = 0; i < label.size(); ++i)
    sum +=
        detail::cross_entropy(static_cast<double>(probability[i]), static_cast<double>(label[i]));
  return sum / static_cast<double>(label.size());
}

/// Log loss (binary cross-entropy) of predicted logits; nothing is clipped.
///
///     logloss = (1/n) sum_i max(z_i, 0) - y_i z_i + ln(1 + exp(-|z_i|))
///
/// Shapes      logits [n], labels [n].
/// Units       natural logarithm; logits, not probabilities; labels in [0, 1], soft labels too.
/// Errors      std::invalid_argument if the sizes differ, a logit is not finite or a label is
///             outside [0, 1].
/// Cost        O(n).
/// Numerics    accurate for every finite logit. NaN if n is 0.
/// Source      docs/formulas.md#log-loss.
template <detail::Numbers Logits, detail::Numbers Labels>
double logloss_from_logits(const Logits& logits, const Labels& labels) {
  const auto logit = detail::as_span(logits);
  const auto label = detail::as_span(labels);
  detail::check_size("logloss_from_logits", "labels", label.size(), logit.size(), "logits");
  detail::check_finite("logloss_from_logits", "logits", logit);
  detail::check_unit_interval("logloss_from_logits", "labels", label);
  if (label.empty()) return std::numeric_limits<double>::quiet_NaN();
  detail::weighted_sum_of sum;
  for (std::size_t i = 0; i < label.size(); ++i) {
    const double z = static_cast<double>(logit[i]);
    // Two forms by the sign of z: with y = 1 and a large z, exp(-z) remains and not a difference.
    const double y = static_cast<double>(label[i]);
    sum.add(1, (z > 0 ? (1 - y) * z : -y * z) + std::log1p(std::exp(-std::abs(z))));
  }
  return sum.mean(static_cast<double>(label.size()));
}

/// Normalized entropy: the log loss divided by the log loss of always predicting the mean label.
/// Below 1 the predictions are better than that.
///
///     ne = logloss / H(m),  H(m) = -m ln m - (1 - m) ln(1 - m),  m = mean label
///
/// Shapes, units, errors and cost as in `logloss`.
///
/// Numerics    NaN if n is 0 or the mean label is 0 or 1.
/// Source      He et al., ADKDD 2014; docs/formulas.md#normalized-entropy.
template <detail::Numbers Probabilities, detail::Numbers Labels>
double normalized_entropy(const Probabilities& probabilities, const Labels& labels) {
  return detail::over_base_entropy(logloss(probabilities, labels), detail::as_span(labels),
                                   [](double m) { return detail::cross_entropy(m, m); });
}

/// `normalized_entropy` of logits, computed with `logloss_from_logits`.
template <detail::Numbers Logits, detail::Numbers Labels>
double normalized_entropy_from_logits(const Logits& logits, const Labels& labels) {
  return detail::over_base_entropy(
      logloss_from_logits(logits, labels), detail::as_span(labels),
      [](double m) { return -(m * std::log(m) + (1 - m) * std::log1p(-m)); });
}

}  // namespace funnel
