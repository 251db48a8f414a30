// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/calibration/detail/head_lines.hpp>
#include <funnel/calibration/downsampling.hpp>
#include <funnel/calibration/fit_bias.hpp>
#include <funnel/calibration/platt.hpp>
#include <funnel/calibration/platt_scaling.hpp>
#include <funnel/core/detail/checks.hpp>
#include <funnel/core/detail/element_of.hpp>
#include <funnel/core/matrix.hpp>
#include <funnel/core/state.hpp>
#include <funnel/features/segments.hpp>

#include <algorithm>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace funnel {

/// What a head of a ranker estimates.
enum class head_kind : std::uint8_t {
  probability,  ///< the model gives a logit, which becomes a probability
  amount,       ///< the model gives an amount of 0 or more, such as seconds, which stays one
};

/// A head, before `head_calibration` is fitted.
struct calibrated_head {
  head_kind kind = head_kind::probability;
  /// Fraction of the negatives that were kept in training, in (0, 1]: a head of probabilities starts
  /// with `downsampling_correction` of it. See `negative_downsampling::correction`.
  double kept_negatives = 1;
};

/// Options of `head_calibration::fit`.
struct head_fit_options {
  /// Whether the slope of the logits is fitted together with the bias. Otherwise slopes stay as they
  /// are. Of no meaning for amounts.
  bool slope = false;
  /// Number of positives and number of negatives from which on a segment gets a slope of its own.
  std::size_t slope_labels = 1000;
  /// How strongly a segment is held to its parent, 0 or more: as if it had this many further
  /// positives (of a frequent label: as much as so many positives of a rare one), or rows of an
  /// amount, of which the parent's estimates are right. m.
  double prior_strength = 50;
};

/// What `head_calibration::fit` did with a head.
enum class head_fit_status : std::uint8_t {
  fitted,      ///< as asked
  bias_alone,  ///< the best slope is 0, negative or infinite: the slope stayed, the bias is fitted
  no_rows,     ///< unchanged: no row has a label
  one_class,   ///< unchanged: all labels are 0 or all are 1; of an amount, all are 0
  not_converged,  ///< unchanged: the estimates are too far from the labels for any finite bias
};

/// Result of `head_calibration::fit`.
struct head_fit {
  head_fit_status status = head_fit_status::no_rows;
  std::size_t rows = 0;            ///< rows with a label
  double label_sum = 0;            ///< sum of their labels: the number of positives, or the amount
  std::size_t segments = 0;        ///< segments with rows, but for segment 0
  std::size_t segment_slopes = 0;  ///< segments that got a slope of their own
};

/// Calibration of all heads of a ranker, for each head and segment.
///
///     probability   p = sigma(a z + b)
///     amount        t = a x
///
/// A head starts with the correction of dropped negatives. `fit` then fits segment 0 to all rows:
/// slope and bias of a head of probabilities (`fit_platt`), its bias (`fit_bias`), or the factor of
/// an amount, which makes the sum of the estimates that of the labels. Each further segment gets a
/// correction of its parent's calibration, fitted to the rows in it and in the segments below it. It
/// is shrunk toward the parent's: n rows that deviate by a factor r give about the factor
///
///     (positives + m) / (expected positives + m),      of an amount  (n r + m) / (n + m)
///
/// so that a segment with few rows keeps its parent's calibration. What a fit finds for segments
/// replaces what fits before it have found; a fit without segments keeps their differences from
/// segment 0.
///
/// Estimates of one head within one segment keep their order: slopes and factors are above 0.
///
/// Shapes      estimates [n] of one head or [n, heads] of all; labels and segments have n rows.
/// Units       logits of heads of probabilities, amounts of the others.
/// Errors      std::invalid_argument for a head or segment that does not exist, sizes that differ,
///             options out of range and, of rows with a label, logits that are not finite, amounts
///             that are negative or not finite, labels outside [0, 1] or negative amounts;
///             std::bad_alloc. Nothing is changed then.
/// Cost        a value is a table look-up and an exponential, without allocation. A fit takes up to
///             ten passes over the rows per category of the segments.
/// Numerics    in double. NaN stays NaN. Estimates that round to the same number become equal.
/// Source      docs/formulas.md#calibration-by-segment.
class head_calibration {
 public:
  /// Of no heads, to be loaded.
  head_calibration() = default;
  /// Heads that are not fitted, for these segments.
  explicit head_calibration(std::span<const calibrated_head> heads, const funnel::segments& by = {})
      : segments_(by) {
    for (std::size_t h = 0; h < heads.size(); ++h) {
      const double alpha = heads[h].kept_negatives;
      const bool amount = heads[h].kind == head_kind::amount;
      if (!(alpha > 0 && alpha <= 1) || (amount && alpha != 1))
        detail::fail_check("head_calibration", "kept_negatives", " of head ", h, " is ", alpha,
                           ", expected ", amount ? "1, as it is an amount" : "a number in (0, 1]");
      kinds_.push_back(static_cast<std::uint8_t>(heads[h].kind));
      heads_.emplace_back(segments_.size());
      heads_[h].biases[0] = downsampling_correction<double>(alpha).logit(0.);
      heads_[h].chain(segments_);
    }
  }
  explicit head_calibration(std::initializer_list<calibrated_head> heads,
                            const funnel::segments& by = {})
      : head_calibration(std::span(heads.begin(), heads.size()), by) {}

  head_calibration(const head_calibration&) = default;
  head_calibration(head_calibration&&) noexcept = default;
  /// Copies the whole object; if memory runs out, this object is unchanged.
  head_calibration& operator=(const head_calibration& other) {
    *this = head_calibration(other);
    return *this;
  }
  head_calibration& operator=(head_calibration&&) noexcept = default;

  std::size_t heads() const { return heads_.size(); }
  head_kind kind(std::size_t head) const {
    check_head("head_calibration::kind", head);
    return static_cast<head_kind>(kinds_[head]);
  }
  /// Gives a row or a request its segment.
  const funnel::segments& segments() const { return segments_; }

  /// The a and b of a head in a segment; of an amount, a is the factor and b is 0.
  platt_scaling scaling(std::size_t head, std::uint32_t segment = 0) const {
    const detail::calibration_line& line = line_of("head_calibration::scaling", head, segment);
    return {.a = line.a, .b = line.b, .converged = true};
  }

  /// Fits a head, with rows that the model was not trained on. Rows whose label is NaN are left out.
  ///
  /// `segments`: the segment of each row, of `segments().of_rows`, or empty.
  template <detail::Numbers Estimates, detail::Numbers Labels>
  head_fit fit(std::size_t head, const Estimates& estimates, const Labels& labels,
               std::span<const std::uint32_t> segments = {}, const head_fit_options& options = {}) {
    constexpr std::string_view name = "head_calibration::fit";
    check_head(name, head);
    const auto x = detail::as_span(estimates);
    const auto y = detail::as_span(labels);
    detail::check_size(name, "labels", y.size(), x.size(), "estimates");
    check_fit(x.size(), segments, options);
    detail::head_lines next = heads_[head];
    const head_fit result = fit_rows(head, next, labeled(head, x, y, segments), options);
    if (changes(result)) heads_[head] = std::move(next);
    return result;
  }

  /// The same for all heads, of matrices or views [n, heads]. If a head is refused, none is changed.
  template <detail::Matrix Estimates, detail::Matrix Labels>
  std::vector<head_fit> fit(const Estimates& estimates, const Labels& labels,
                            std::span<const std::uint32_t> segments = {},
                            const head_fit_options& options = {}) {
    constexpr std::string_view name = "head_calibration::fit";
    const auto x = detail::as_view(estimates);
    const auto y = detail::as_view(labels);
    detail::check_cols(name, "estimates", x.cols(), heads(), "heads");
    detail::check_shape(name, "labels", y, x.rows(), heads(), "estimates");
    check_fit(x.rows(), segments, options);
    std::vector<detail::head_lines> next = heads_;
    std::vector<head_fit> results;
    std::vector<typename Estimates::value_type> column_x(x.rows());
    std::vector<typename Labels::value_type> column_y(x.rows());
    for (std::size_t h = 0; h < heads(); ++h) {
      for (std::size_t i = 0; i < x.rows(); ++i) {
        column_x[i] = x(i, h);
        column_y[i] = y(i, h);
      }
      const auto rows = labeled(h, detail::as_span(column_x), detail::as_span(column_y), segments);
      results.push_back(fit_rows(h, next[h], rows, options));
      if (!changes(results.back())) next[h] = heads_[h];
    }
    heads_ = std::move(next);
    return results;
  }

  /// The probability of a logit, or the corrected amount.
  template <std::floating_point T>
  T calibrate(std::size_t head, T estimate, std::uint32_t segment = 0) const {
    const detail::calibration_line& line = line_of("head_calibration::calibrate", head, segment);
    return calibrated(kinds_[head], line, estimate);
  }
  /// The same for estimates [n] of a head, in place, of a request in this segment.
  template <detail::Floats Estimates>
  void calibrate(std::size_t head, Estimates&& estimates, std::uint32_t segment = 0) const {
    const detail::calibration_line line = line_of("head_calibration::calibrate", head, segment);
    for (auto& x : estimates) x = calibrated(kinds_[head], line, x);
  }
  /// The same for all heads: a matrix or a view [n, heads], in place.
  template <detail::Matrix Estimates>
  void calibrate(Estimates&& estimates, std::uint32_t segment = 0) const {
    constexpr std::string_view name = "head_calibration::calibrate";
    const matrix_view<typename std::remove_cvref_t<Estimates>::value_type> x = estimates;
    detail::check_cols(name, "estimates", x.cols(), heads(), "heads");
    detail::check_below(name, "segment", segment, segments_.size());
    for (std::size_t h = 0; h < heads(); ++h) {
      const detail::calibration_line line = heads_[h].lines[segment];
      for (std::size_t i = 0; i < x.rows(); ++i) x(i, h) = calibrated(kinds_[h], line, x(i, h));
    }
  }
  /// The same for rows of several requests: `segments` has the segment of each row.
  template <detail::Matrix Estimates>
  void calibrate(Estimates&& estimates, std::span<const std::uint32_t> segments) const {
    constexpr std::string_view name = "head_calibration::calibrate";
    const matrix_view<typename std::remove_cvref_t<Estimates>::value_type> x = estimates;
    detail::check_cols(name, "estimates", x.cols(), heads(), "heads");
    check_segments(name, segments, x.rows());
    for (std::size_t i = 0; i < x.rows(); ++i)
      for (std::size_t h = 0; h < heads(); ++h)
        x(i, h) = calibrated(kinds_[h], heads_[h].lines[segments[i]], x(i, h));
  }

  /// See `HasState`. Throws a format_error if what was loaded is not a state, and is unchanged then.
  void visit_state(auto&& visit) {
    if (!is_loading(visit)) return visit_fields(visit);
    head_calibration loaded;
    loaded.visit_fields(visit);
    detail::check_loaded([&] { loaded.check(); });
    *this = std::move(loaded);
  }

 private:
  static bool changes(const head_fit& result) {
    return result.status == head_fit_status::fitted || result.status == head_fit_status::bias_alone;
  }

  template <std::floating_point T>
  static T calibrated(std::uint8_t kind, const detail::calibration_line& line, T x) {
    const double u = line.a * static_cast<double>(x) + line.b;
    const bool amount = kind == static_cast<std::uint8_t>(head_kind::amount);
    return static_cast<T>(amount ? u : 1 / (1 + std::exp(-u)));  // as platt_scaling, to the bit
  }

  /// The rows that have a label, checked.
  template <class X, class Y>
  detail::labeled_rows labeled(std::size_t head, std::span<const X> x, std::span<const Y> y,
                               std::span<const std::uint32_t> segments) const {
    const bool amount = kind(head) == head_kind::amount;
    const auto refuse = [&](std::string_view argument, std::size_t i, auto value, auto expected) {
      detail::fail_check("head_calibration::fit", argument, "[", i, "] of head ", head, " is ",
                         value, ", expected ", expected);
    };
    detail::labeled_rows rows;
    for (std::size_t i = 0; i < x.size(); ++i) {
      const auto estimate = static_cast<double>(x[i]), label = static_cast<double>(y[i]);
      if (std::isnan(label)) continue;
      if (!(label >= 0 && std::isfinite(label) && (amount || label <= 1)))
        refuse("labels", i, y[i],
               amount ? "a finite number of 0 or more, or NaN" : "a number in [0, 1] or NaN");
      if (!std::isfinite(estimate) || (amount && estimate < 0))
        refuse("estimates", i, x[i],
               amount ? "a finite number of 0 or more" : "a finite number, the logit");
      rows.x.push_back(estimate);
      rows.y.push_back(label);
      rows.label_sum += label;
      if (!segments.empty()) rows.segments.push_back(segments[i]);
    }
    return rows;
  }

  head_fit fit_rows(std::size_t head, detail::head_lines& next, const detail::labeled_rows& rows,
                    const head_fit_options& options) const {
    head_fit result{.rows = rows.x.size(), .label_sum = rows.label_sum};
    const auto n = static_cast<double>(rows.x.size());
    const bool amount = kind(head) == head_kind::amount;
    if (rows.x.empty()) return result;
    result.status = head_fit_status::one_class;
    if (rows.label_sum == 0 || (!amount && rows.label_sum == n)) return result;
    result.status = head_fit_status::fitted;
    if (amount)
      fit_factors(next, rows, options, result);
    else
      fit_logits(next, rows, options, result);
    if (changes(result) && !next.chain(segments_)) result.status = head_fit_status::not_converged;
    return result;
  }

  void fit_factors(detail::head_lines& next, const detail::labeled_rows& rows,
                   const head_fit_options& options, head_fit& result) const {
    double estimates = 0;
    for (const double x : rows.x) estimates += next.lines[0](x);
    next.slopes[0] *= rows.label_sum / estimates;
    next.lines[0] = next.line_of(0, {});
    if (rows.segments.empty()) return;
    const auto fit_one = [&](std::uint32_t s, auto x, auto y) {
      detail::fit_segment_factor(next, s, next.parent_of(s, segments_), x, y,
                                 options.prior_strength);
      next.lines[s] = next.line_of(s, next.parent_of(s, segments_));
    };
    result.segments = detail::for_segment_rows(rows, segments_, fit_one);
  }

  void fit_logits(detail::head_lines& next, const detail::labeled_rows& rows,
                  const head_fit_options& options, head_fit& result) const {
    std::vector<double> u(rows.x.size());
    std::ranges::transform(rows.x, u.begin(), next.lines[0]);
    platt_scaling root = options.slope ? fit_platt(u, rows.y) : fit_bias(u, rows.y);
    if (options.slope && !(root.converged && root.a > 0)) {
      root = fit_bias(u, rows.y);
      result.status = head_fit_status::bias_alone;
    }
    if (!root.converged) {
      result.status = head_fit_status::not_converged;
      return;
    }
    next.slopes[0] *= root.a;
    next.biases[0] = root.a * next.biases[0] + root.b;
    next.lines[0] = next.line_of(0, {});
    if (rows.segments.empty()) return;
    const auto fit_one = [&](std::uint32_t s, std::span<const double> x,
                             std::span<const double> y) {
      double positives = 0;
      for (const double label : y) positives += label;
      const auto enough = static_cast<double>(options.slope_labels);
      const bool slope = options.slope && positives >= enough &&
                         static_cast<double>(y.size()) - positives >= enough;
      const detail::calibration_line parent = next.parent_of(s, segments_);
      if (options.slope) {
        next.slopes[s] = 1;
        next.centers[s] = 0;
      }
      if (detail::fit_segment(next, s, parent, x, y, slope, options.prior_strength))
        ++result.segment_slopes;
      next.lines[s] = next.line_of(s, parent);
    };
    result.segments = detail::for_segment_rows(rows, segments_, fit_one);
  }

  void check_fit(std::size_t rows, std::span<const std::uint32_t> segments,
                 const head_fit_options& options) const {
    constexpr std::string_view name = "head_calibration::fit";
    detail::check_not_negative(name, "prior_strength", options.prior_strength);
    if (!segments.empty()) check_segments(name, segments, rows);
  }
  void check_segments(std::string_view function, std::span<const std::uint32_t> segments,
                      std::size_t rows) const {
    detail::check_size(function, "segments", segments.size(), rows, "estimates");
    for (std::size_t i = 0; i < segments.size(); ++i)
      if (segments[i] >= segments_.size())
        detail::fail_check(function, "segments", "[", i, "] is ", segments[i], ", expected below ",
                           segments_.size(), ", the number of segments");
  }
  void check_head(std::string_view function, std::size_t head) const {
    detail::check_below(function, "head", head, heads());
  }
  const detail::calibration_line& line_of(std::string_view function, std::size_t head,
                                          std::uint32_t segment) const {
    check_head(function, head);
    detail::check_below(function, "segment", segment, segments_.size());
    return heads_[head].lines[segment];
  }

  void visit_fields(auto&& visit) {
    visit("kinds", kinds_), visit("segments", segments_);
    if (is_loading(visit)) heads_.resize(kinds_.size());
    visit("heads", heads_);
  }
  void check() {
    constexpr std::string_view name = "head_calibration";
    for (std::size_t h = 0; h < heads(); ++h) {
      detail::check_that(name, "a kind", kinds_[h], kinds_[h] <= 1, "0 or 1");
      detail::head_lines& head = heads_[h];
      for (const auto* values : {&head.slopes, &head.centers, &head.biases}) {
        detail::check_size(name, "a head", values->size(), segments_.size(), "segments");
        detail::check_finite(name, "a head", std::span<const double>(*values));
      }
      detail::check_positive(name, "slopes", std::span<const double>(head.slopes));
      head.lines.resize(segments_.size());
      if (!head.chain(segments_))
        detail::fail_check(name, "slopes", " of head ", h,
                           " multiply to 0 or infinity, expected lines that increase");
    }
  }

  funnel::segments segments_;
  std::vector<std::uint8_t> kinds_;  // head_kind, per head
  std::vector<detail::head_lines> heads_;
};

}  // namespace funnel
