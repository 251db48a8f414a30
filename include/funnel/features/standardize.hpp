// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/error.hpp>
#include <funnel/core/matrix.hpp>

#include <algorithm>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <limits>
#include <span>
#include <type_traits>
#include <vector>

namespace funnel {

/// Brings numeric features to mean 0 and deviation 1, and puts 0 where a value is missing (NaN).
///
///     out = (x - mean) / deviation
///
/// of each column's present values; a column that never varies becomes 0.
///
/// Numerics    in double, at any magnitude whose deviation is a normal `double`: squares are taken of
///             values brought near 1 by a power of two. What is beyond the largest T becomes the
///             largest T. One outlier decides a deviation: give a masked value as NaN, not as a huge
///             number. An infinite value given to `apply` stays infinite.
/// Source      docs/formulas.md#standardization.
template <std::floating_point T = float>
class standardizer {
 public:
  /// Errors      std::invalid_argument if a value is infinite.
  explicit standardizer(matrix_view<const T> values)
      : means_(values.cols()), deviations_(values.cols()) {
    std::vector<std::size_t> counts(values.cols());
    std::vector<double> units(values.cols());  // the largest magnitude, then a power of two
    for (std::size_t i = 0; i < values.rows(); ++i) {
      for (std::size_t j = 0; j < values.cols(); ++j) {
        const auto x = std::abs(static_cast<double>(values(i, j)));
        if (std::isinf(x))
          detail::fail("funnel::standardizer: the value in row ", i, ", column ", j,
                       " is infinite");
        if (x > units[j]) units[j] = x;  // not NaN
      }
    }
    // Brought to [1, 2), or as near as a normal unit comes.
    for (double& unit : units)
      unit = unit > 0 ? std::ldexp(1., std::clamp(-std::ilogb(unit), -1020, 1020)) : 1;
    // Welford's update: no difference of large sums.
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
  /// Copies all of it or, where memory runs out, nothing.
  standardizer& operator=(const standardizer& other) {
    *this = standardizer(other);
    return *this;
  }
  standardizer& operator=(standardizer&&) noexcept = default;

  /// Columns.
  std::size_t size() const { return means_.size(); }
  std::span<const double> means() const { return means_; }
  /// Of the population (divided by n); 0 for a column that never varies.
  std::span<const double> deviations() const { return deviations_; }

  /// Shapes      values [n, size()]; out the same, may be `values` itself.
  /// Errors      std::invalid_argument if a shape differs.
  void apply(matrix_view<const T> values, matrix_view<T> out) const {
    if (values.cols() != size() || out.rows() != values.rows() || out.cols() != size())
      detail::fail("funnel::standardizer: values is [", values.rows(), ", ", values.cols(),
                   "], out [", out.rows(), ", ", out.cols(), "], expected ", size(), " columns");
    for (std::size_t i = 0; i < values.rows(); ++i) {
      for (std::size_t j = 0; j < size(); ++j) {
        const auto x = static_cast<double>(values(i, j));
        const bool useful = !std::isnan(x) && deviations_[j] > 0;
        out(i, j) = useful ? standardized(x, means_[j], deviations_[j]) : T{0};
      }
    }
  }

 private:
  static T standardized(double x, double mean, double deviation) {
    constexpr double most = static_cast<double>(std::numeric_limits<T>::max());
    if (std::isinf(x)) return static_cast<T>(x);
    const double off = x - mean;
    // By halves where the distance is beyond the largest number.
    const double out = std::isfinite(off) ? off / deviation : (x / 2 - mean / 2) / deviation * 2;
    return static_cast<T>(std::clamp(out, -most, most));
  }

  std::vector<double> means_;
  std::vector<double> deviations_;
};

}  // namespace funnel
