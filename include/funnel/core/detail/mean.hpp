// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/build.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>

// Means and differences that are right even if intermediate results overflow.
namespace funnel::detail {

/// Converts x to T. A finite number beyond the largest T becomes the largest T with its sign;
/// infinity and NaN stay as they are.
template <class T>
T saturated(double x) {
  constexpr double most = static_cast<double>(std::numeric_limits<T>::max());
  return static_cast<T>(std::isinf(x) ? x : std::clamp(x, -most, most));
}

/// scale * x. If it overflows although x is finite: the largest double with the sign of the
/// product.
inline double scaled(double scale, double x) {
  const double product = scale * x;
  return std::isinf(product) && std::isfinite(x)
             ? std::copysign(std::numeric_limits<double>::max(), product)
             : product;
}

/// scale * (a - b) for a `scale` above 0. If it overflows although a and b are finite: the largest
/// double with the sign of the difference.
inline double scaled_difference(double scale, double a, double b) {
  constexpr double most = std::numeric_limits<double>::max();
  const double whole = scale * (a - b);
  if (!std::isinf(whole) || !std::isfinite(a) || !std::isfinite(b)) return whole;
  return std::clamp(scale * (a / 2 - b / 2) * 2, -most, most);  // a - b alone may overflow
}

/// A sum of weights, and a power of two by which each weight is multiplied, so that the sum neither
/// overflows nor loses its digits to underflow. The power is 1 for all usual weights.
struct weight_total {
  double unit = 1;
  double total = 0;

  /// Sums n weights; `weight_of(i)` is weight i, finite and 0 or more.
  template <class WeightOf>
  static weight_total of(std::size_t n, WeightOf weight_of) {
    return of([&](auto&& add) {
      for (std::size_t i = 0; i < n; ++i) add(static_cast<double>(weight_of(i)));
    });
  }
  /// Sums the weights that `visit(add)` passes to `add`. `visit` may run twice and must pass the
  /// same weights each time.
  template <class Visit>
  static weight_total of(Visit visit) {
    weight_total result;
    double largest = 0;
    visit([&](double weight) {
      result.total += weight;
      largest = std::max(largest, weight);
    });
    if (result.total == 0 || (result.total > 1e-100 && result.total < 1e20)) return result;
    result = {std::ldexp(1., std::clamp(-std::ilogb(largest), -1020, 1020)), 0};
    visit([&](double weight) { result.total += result(weight); });
    return result;
  }

  template <class T>
  double operator()(T weight) const {
    return unit * static_cast<double>(weight);
  }
};

/// A weight divided by the total; at most the largest T.
template <class T, class Weight>
T share_of(const weight_total& total, Weight weight) {
  constexpr double most = static_cast<double>(std::numeric_limits<T>::max());
  return static_cast<T>(std::min(total(weight) / total.total, most));
}

/// Weighted sum and weighted mean. The mean is finite if all values are, even if their sum
/// overflows.
class weighted_sum_of {
 public:
  void add(double weight, double value) {
    if (std::abs(value) < 1e250)
      sum_ += weight * value;
    else  // NaN too
      far_ += weight * (value * 0x1p-80);
  }
  /// The weighted sum; infinite if it overflows.
  double sum() const { return sum_ + far_ * 0x1p80; }
  /// The weighted sum divided by the total weight; 0 if the total is 0.
  double mean(double total) const {
    constexpr double most = std::numeric_limits<double>::max();
    if (!(total > 0)) return 0;
    const double mean = sum_ / total + far_ / total * 0x1p80;
    return std::isfinite(far_) ? std::clamp(mean, -most, most) : mean;
  }

 private:
  double sum_ = 0;
  double far_ = 0;  // sum of the values of 1e250 or more, times 2^-80
};

}  // namespace funnel::detail
