// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>
#include <funnel/core/error.hpp>
#include <funnel/core/matrix.hpp>
#include <funnel/core/state.hpp>

#include <algorithm>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <limits>
#include <span>
#include <type_traits>
#include <vector>

namespace funnel {

/// Standardizes numeric features (z-scores): scales each column to mean 0 and standard deviation 1,
/// and replaces missing values (NaN) by 0.
///
///     out = (x - mean) / deviation
///
/// Mean and deviation are those of the column's values that are not missing. A constant column
/// becomes 0.
///
/// Numerics    in double, at any magnitude whose deviation is a normal `double`: before squaring,
///             values are scaled near 1 by a power of two. A result beyond the largest T is set to
///             the largest T. An infinite value passed to `apply` stays infinite. A single outlier
///             can dominate the deviation: pass masked values as NaN, not as a huge number.
/// Source      docs/formulas.md#standardization.
template <std::floating_point T = float>
class standardizer {
 public:
  /// A standardizer of no columns, which is to be loaded.
  standardizer() = default;
  /// Computes the mean and the deviation of each column.
  ///
  /// Errors      std::invalid_argument if a value is infinite.
  explicit standardizer(matrix_view<const T> values)
      : means_(values.cols()), deviations_(values.cols()) {
    std::vector<std::size_t> counts(values.cols());
    std::vector<double> units(values.cols());  // the largest magnitude, later a power of two
    for (std::size_t i = 0; i < values.rows(); ++i) {
      for (std::size_t j = 0; j < values.cols(); ++j) {
        const auto x = std::abs(static_cast<double>(values(i, j)));
        if (std::isinf(x))
          detail::fail("funnel::standardizer: values[", i, ", ", j, "] is ", values(i, j),
                       ", expected a finite number or NaN");
        if (x > units[j]) units[j] = x;  // false for NaN
      }
    }
    // The factor that scales the largest magnitude to [1, 2), or as close to it as a normal number
    // allows.
    for (double& unit : units)
      unit = unit > 0 ? std::ldexp(1., std::clamp(-std::ilogb(unit), -1020, 1020)) : 1;
    // Welford's update: avoids the difference of large sums.
    for (std::size_t i = 0; i < values.rows(); ++i) {
      for (std::size_t j = 0; j < values.cols(); ++j) {
        const auto x = static_cast<double>(values(i, j)) * units[j];
        if (std::isnan(x)) continue;
        const double off = x - means_[j];
        means_[j] += off / static_cast<double>(++counts[j]);
        deviations_[j] += off * (x - means_[j]);
      }
    }
    for (std::size_t j = 0; j < counts.size(); ++j) {
      if (counts[j] == 0) continue;
      means_[j] /= units[j];
      deviations_[j] = std::sqrt(deviations_[j] / static_cast<double>(counts[j])) / units[j];
    }
  }

  standardizer(const standardizer&) = default;
  standardizer(standardizer&&) noexcept = default;
  /// Copies the whole object; if memory runs out, this object is unchanged.
  standardizer& operator=(const standardizer& other) {
    *this = standardizer(other);
    return *this;
  }
  standardizer& operator=(standardizer&&) noexcept = default;

  /// Number of columns.
  std::size_t size() const { return means_.size(); }
  std::span<const double> means() const { return means_; }
  /// Standard deviations of the population (divided by n); 0 for a constant column.
  std::span<const double> deviations() const { return deviations_; }

  /// Writes the standardized values to `out`.
  ///
  /// Shapes      values [n, size()]; out has the same shape and may be the same matrix as `values`.
  /// Errors      std::invalid_argument if a shape differs.
  void apply(matrix_view<const T> values, matrix_view<T> out) const {
    detail::check_cols("standardizer", "values", values.cols(), size());
    detail::check_shape("standardizer", "out", out, values.rows(), size(), "values");
    for (std::size_t i = 0; i < values.rows(); ++i) {
      for (std::size_t j = 0; j < size(); ++j) {
        const auto x = static_cast<double>(values(i, j));
        const bool useful = !std::isnan(x) && deviations_[j] > 0;
        out(i, j) = useful ? standardized(x, means_[j], deviations_[j]) : T{0};
      }
    }
  }

  /// See `HasState`. Throws a format_error if means and deviations that were loaded do not fit
  /// together.
  void visit_state(auto&& visit) {
    visit("means", means_), visit("deviations", deviations_);
    if (!is_loading(visit)) return;
    detail::check_loaded([&] {
      const std::span<const double> means = means_, deviations = deviations_;
      detail::check_size("standardizer", "deviations", deviations.size(), means.size(), "means");
      detail::check_finite("standardizer", "means", means);
      detail::check_not_negative("standardizer", "deviations", deviations);
    });
  }

 private:
  static T standardized(double x, double mean, double deviation) {
    constexpr double most = static_cast<double>(std::numeric_limits<T>::max());
    if (std::isinf(x)) return static_cast<T>(x);
    const double off = x - mean;
    // In two halves if the difference overflows.
    const double out = std::isfinite(off) ? off / deviation : (x / 2 - mean / 2) / deviation * 2;
    return static_cast<T>(std::clamp(out, -most, most));
  }

  std::vector<double> means_;
  std::vector<double> deviations_;
};

}  // namespace funnel
