// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>
#include <funnel/core/detail/element_of.hpp>
#include <funnel/loss/detail/row_weights.hpp>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>

namespace funnel {

/// Options of `distillation_targets`.
template <class T>
struct distillation_options {
  /// Weight of the teacher against the label, in [0, 1]. lambda.
  T teacher_weight = T(0.5);
  /// [n]; 0 marks a candidate that was scored but not shown. It has no label (its entry in `labels`
  /// is not read), so its target is the teacher's probability. Empty means all were shown.
  std::span<const std::uint8_t> shown = {};
};

namespace detail {

template <class T>
void mix_targets(std::span<const T> labels, std::span<const T> teacher, std::span<T> targets,
                 const distillation_options<T>& options) {
  constexpr const char* name = "distillation_targets";
  const std::size_t n = labels.size();
  const auto shown = [&](std::size_t i) { return options.shown.empty() || options.shown[i] != 0; };
  check_size(name, "teacher", teacher.size(), n, "labels");
  check_size(name, "targets", targets.size(), n, "labels");
  if (!options.shown.empty()) check_size(name, "shown", options.shown.size(), n, "labels");
  check_unit_interval(name, "teacher_weight", options.teacher_weight);
  check_unit_interval(name, "teacher", teacher);
  for (std::size_t i = 0; i < n; ++i) {
    if (shown(i) && !(labels[i] >= 0 && labels[i] <= 1))
      fail("funnel::", name, ": labels[", i, "] is ", labels[i], ", expected a number in [0, 1]");
  }
  for (std::size_t i = 0; i < n; ++i) {
    targets[i] =
        shown(i) ? (1 - options.teacher_weight) * labels[i] + options.teacher_weight * teacher[i]
                 : teacher[i];
  }
}

}  // namespace detail

/// Computes soft labels for `bce_with_logits`: a mix of the observed labels and the probabilities
/// of a teacher (a larger model from which the trained model learns: knowledge distillation).
///
///     targets_i = (1 - lambda) y_i + lambda p_i
///
/// The cross-entropy with these targets is the same mix of the cross-entropies with y and with p.
///
/// Shapes      labels, teacher, targets [n]; targets may be the same array as labels or teacher.
/// Units       teacher holds calibrated probabilities for the same head, not logits. If the teacher
///             was trained on down-sampled data, correct its probabilities first.
/// Errors      std::invalid_argument if a size differs, a label or a teacher's probability is
///             outside [0, 1] or NaN, or teacher_weight is outside [0, 1]; nothing is written then.
/// Source      docs/formulas.md#distillation-targets.
template <class Labels, class Teacher, class Targets>
void distillation_targets(const Labels& labels, const Teacher& teacher, Targets&& targets,
                          const distillation_options<detail::element_of<Targets>>& options = {}) {
  using t = detail::element_of<Targets>;
  detail::mix_targets(std::span<const t>(labels), std::span<const t>(teacher),
                      std::span<t>(targets), options);
}

/// The result of `check_teacher`.
struct teacher_report {
  /// Whether the batch is good to learn from.
  bool usable = false;
  /// Mean of the valid probabilities; 0 if there is none.
  double mean = 0;
  /// Number of values that are NaN or outside [0, 1].
  std::size_t invalid = 0;
};

/// Checks a batch of a teacher's probabilities before a model learns from them: a broken teacher
/// damages every model that is trained with it.
///
/// The batch is usable if every value is a number in [0, 1] and the mean is close to its usual
/// value: |mean - usual_mean| <= largest_drift * usual_mean. Measure the usual mean over several
/// days.
///
/// Shapes      teacher [n]; a batch with n = 0 is not usable.
/// Errors      std::invalid_argument if usual_mean is outside (0, 1] or largest_drift is negative.
/// Source      docs/formulas.md#distillation-targets.
template <class Teacher>
teacher_report check_teacher(const Teacher& teacher, double usual_mean,
                             double largest_drift = 0.3) {
  using t = detail::element_of<const Teacher>;
  const std::span<const t> probabilities(teacher);
  detail::check_that("check_teacher", "usual_mean", usual_mean, usual_mean > 0 && usual_mean <= 1,
                     "a number in (0, 1]");
  detail::check_that("check_teacher", "largest_drift", largest_drift, largest_drift >= 0,
                     "a number of 0 or more");
  teacher_report report;
  double sum = 0;
  for (const t p : probabilities) {
    if (p >= 0 && p <= 1) {
      sum += static_cast<double>(p);
    } else {
      ++report.invalid;
    }
  }
  const std::size_t valid = probabilities.size() - report.invalid;
  if (valid > 0) report.mean = sum / static_cast<double>(valid);
  report.usable = valid > 0 && report.invalid == 0 &&
                  std::abs(report.mean - usual_mean) <= largest_drift * usual_mean;
  return report;
}

}  // namespace funnel
