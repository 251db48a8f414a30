// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/arena.hpp>
#include <funnel/core/detail/checks.hpp>
#include <funnel/core/matrix.hpp>
#include <funnel/nn/context.hpp>
#include <funnel/nn/parameter.hpp>
#include <funnel/nn/training_context.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <span>
#include <string_view>

namespace funnel {

namespace detail {

/// Mean and variance of some values, in double. They are computed from the differences to the first
/// value: this keeps their precision if all values are far from 0, and equal values have no
/// variance.
struct moments {
  double shrink = 1;    ///< factor of all values: not 1 if squares would leave the range
  double pivot = 0;     ///< the first value, times `shrink`
  double mean = 0;      ///< mean of the differences to `pivot`
  double variance = 0;  ///< variance of the values times `shrink`

  /// Moments of value(0) .. value(n - 1). If a value is not finite, neither is the variance.
  /// Squares that underflow matter only if epsilon is as small as they are.
  template <class Value>
  static moments of(std::size_t n, const Value& value, double epsilon) {
    constexpr double small = 1e-280;
    moments found = taken(n, value, 1);
    if (!std::isfinite(found.variance)) found = taken(n, value, 0x1p-600);
    const bool lost = found.variance < small && std::abs(found.pivot) < 1e-100;
    return lost && epsilon < small ? taken(n, value, 0x1p500) : found;
  }

  /// (x - mean) / sqrt(variance + epsilon) is `distance(x)` times `inverse(epsilon)`.
  double distance(double x) const { return (x * shrink - pivot) - mean; }
  double inverse(double epsilon) const {
    const double sum = variance + epsilon * shrink * shrink;
    return sum > 0 || std::isnan(sum) ? 1 / std::sqrt(sum) : 0;
  }

 private:
  template <class Value>
  static moments taken(std::size_t n, const Value& value, double shrink) {
    moments found{.shrink = shrink};
    if (n == 0) return found;
    const double count = static_cast<double>(n);
    found.pivot = value(0) * shrink;
    double sum = 0;
    for (std::size_t i = 0; i < n; ++i) sum += value(i) * shrink - found.pivot;
    found.mean = sum / count;
    double squares = 0;
    for (std::size_t i = 0; i < n; ++i) {
      const double distance = found.distance(value(i));
      squares += distance * distance;
    }
    found.variance = squares / count;
    return found;
  }
};

template <class T>
void check_epsilon(std::string_view function, T epsilon) {
  check_that(function, "epsilon", epsilon, epsilon >= T(0), "a number of 0 or more");
}

}  // namespace detail

/// Layer normalization: y = scale * (x - mean(x)) / sqrt(variance(x) + epsilon) + shift, with the
/// mean and variance over the columns of each row.
///
/// Shapes      [n, d] -> [n, d]; scale and shift [1, d].
/// Errors      std::invalid_argument if x has another number of columns, a parameter has another
///             shape, or epsilon is below 0.
/// Numerics    The mean is subtracted in double, and the quotient is rounded once. A row of equal
///             values returns exactly the shift. A value that is not finite makes its row NaN.
/// Source      Ba, Kiros and Hinton, "Layer normalization", 2016, equation 3;
///             docs/formulas.md#layer-normalization.
template <class T>
struct layer_norm : detail::layer_of<T> {
  parameter<T> scale;
  parameter<T> shift;
  T epsilon = T(1e-5);

  layer_norm() = default;
  explicit layer_norm(std::size_t dim) : scale(1, dim, initial_values::ones), shift(1, dim) {}

  using detail::layer_of<T>::operator();
  template <ContextOf<T> C>
  value_of<C> operator()(C& context, const value_of<C>& x) const {
    const std::size_t d = scale.cols();
    detail::check_cols("layer_norm", "x", x.cols(), d);
    check_parameters(d);
    detail::check_epsilon("layer_norm", epsilon);
    const auto y = context.make(x.rows(), d);
    // Kept for the backward step: the normalized values and 1 / deviation.
    const matrix_view<T> unit(context.scratch().template allocate<T>(x.rows() * d), x.rows(), d);
    T* inverse = context.scratch().template allocate<T>(x.rows());
    for (std::size_t i = 0; i < x.rows(); ++i) {
      const auto from = view(x).row(i);
      const auto value = [&](std::size_t j) { return static_cast<double>(from[j]); };
      const auto row = detail::moments::of(d, value, static_cast<double>(epsilon));
      const double factor = row.inverse(static_cast<double>(epsilon));
      inverse[i] = static_cast<T>(factor * row.shrink);
      for (std::size_t j = 0; j < d; ++j) {
        unit(i, j) = static_cast<T>(row.distance(value(j)) * factor);
        writable(y)(i, j) = scale.value(0, j) * unit(i, j) + shift.value(0, j);
      }
    }
    if constexpr (C::is_training) {
      context.record([this, &context, x, y, unit, inverse] {
        const std::size_t cols = unit.cols();
        check_parameters(cols);  // they may have been replaced since
        const matrix_view<T> scale_gradient = context.gradient(scale).values();
        const matrix_view<T> shift_gradient = context.gradient(shift).values();
        for (std::size_t i = 0; i < unit.rows(); ++i) {
          const auto g = y.gradient.row(i);
          T mean = 0;
          T along = 0;
          for (std::size_t j = 0; j < cols; ++j) {
            scale_gradient(0, j) += g[j] * unit(i, j);
            shift_gradient(0, j) += g[j];
            mean += g[j] * scale.value(0, j);
            along += g[j] * scale.value(0, j) * unit(i, j);
          }
          if (!x.has_gradient()) continue;
          mean /= static_cast<T>(cols);
          along /= static_cast<T>(cols);
          for (std::size_t j = 0; j < cols; ++j) {
            x.gradient(i, j) += inverse[i] * (g[j] * scale.value(0, j) - mean - along * unit(i, j));
          }
        }
      });
    }
    return y;
  }

  void visit_parameters(auto&& visit) {
    visit("scale", scale);
    visit("shift", shift);
  }

 private:
  void check_parameters(std::size_t d) const {
    detail::check_parameter("layer_norm", "scale", scale, 1, d);
    detail::check_parameter("layer_norm", "shift", shift, 1, d);
  }
};

/// Batch normalization: y = scale * (x - mean) / sqrt(variance + epsilon) + shift, with the mean
/// and variance over the rows of each column. In training they are those of the batch; in serving
/// the running statistics, so that a score does not depend on its batch.
///
/// Each optimizer step moves the running statistics once, by `momentum`, toward the mean and
/// variance of all rows of the step: those of all its micro-batches, and of all contexts that
/// `add_gradients` merged. Each micro-batch is normalized by its own mean and variance.
///
/// Shapes      [n, d] -> [n, d]; all parameters [1, d].
/// Errors      std::invalid_argument if x has another number of columns, or no rows in training; if
///             a parameter has another shape, epsilon is below 0, or momentum is outside [0, 1].
/// Numerics    As `layer_norm`, but in training a value that is not finite makes its column NaN,
///             and the running statistics of that column after the step. A running statistic never
///             leaves the range of T.
/// Source      Ioffe and Szegedy, ICML 2015, algorithms 1 and 2 (biased variance in both);
///             docs/formulas.md#batch-normalization.
template <class T>
struct batch_norm : detail::layer_of<T> {
  parameter<T> scale;
  parameter<T> shift;
  parameter<T> running_mean;
  parameter<T> running_variance;
  T momentum = T(0.1);
  T epsilon = T(1e-5);

  batch_norm() = default;
  explicit batch_norm(std::size_t dim)
      : scale(1, dim, initial_values::ones), shift(1, dim),
        running_mean(1, dim, initial_values::zeros, parameter_kind::statistic),
        running_variance(1, dim, initial_values::ones, parameter_kind::statistic) {}

  using detail::layer_of<T>::operator();
  template <ContextOf<T> C>
  value_of<C> operator()(C& context, const value_of<C>& x) const {
    const std::size_t d = scale.cols();
    detail::check_cols("batch_norm", "x", x.cols(), d);
    if (C::is_training && x.rows() == 0)
      detail::fail("funnel::batch_norm: x has 0 rows, expected 1 or more");
    check_parameters(d);
    detail::check_epsilon("batch_norm", epsilon);
    const auto y = context.make(x.rows(), d);
    if constexpr (C::is_training) {
      train(context, x, y);
    } else {
      for (std::size_t j = 0; j < d; ++j) {
        const detail::moments seen{.pivot = static_cast<double>(running_mean.value(0, j)),
                                   .variance = static_cast<double>(running_variance.value(0, j))};
        const double factor = seen.inverse(static_cast<double>(epsilon));
        for (std::size_t i = 0; i < x.rows(); ++i) {
          const T unit = static_cast<T>(seen.distance(static_cast<double>(x(i, j))) * factor);
          y(i, j) = scale.value(0, j) * unit + shift.value(0, j);
        }
      }
    }
    return y;
  }

  void visit_parameters(auto&& visit) {
    visit("scale", scale);
    visit("shift", shift);
    visit("running_mean", running_mean);
    visit("running_variance", running_variance);
  }

 private:
  void check_parameters(std::size_t d) const {
    detail::check_parameter("batch_norm", "scale", scale, 1, d);
    detail::check_parameter("batch_norm", "shift", shift, 1, d);
    constexpr parameter_kind statistic = parameter_kind::statistic;
    detail::check_parameter("batch_norm", "running_mean", running_mean, 1, d, statistic);
    detail::check_parameter("batch_norm", "running_variance", running_variance, 1, d, statistic);
  }

  template <class C>
  void train(C& context, const variable<T>& x, const variable<T>& y) const {
    detail::check_unit_interval("batch_norm", "momentum", momentum);
    const std::size_t d = x.cols();
    arena& scratch = context.scratch();
    // Kept for the backward step: the normalized values and 1 / deviation.
    const matrix_view<T> unit(scratch.allocate<T>(x.rows() * d), x.rows(), d);
    T* inverse = scratch.allocate<T>(d);
    const std::span<double> means(scratch.allocate<double>(d), d);
    const std::span<double> variances(scratch.allocate<double>(d), d);
    for (std::size_t j = 0; j < d; ++j) {
      const auto value = [&](std::size_t i) { return static_cast<double>(x.values(i, j)); };
      const auto column = detail::moments::of(x.rows(), value, static_cast<double>(epsilon));
      const double factor = column.inverse(static_cast<double>(epsilon));
      inverse[j] = static_cast<T>(factor * column.shrink);
      means[j] = (column.pivot + column.mean) / column.shrink;
      variances[j] = std::min(column.variance / column.shrink / column.shrink,
                              std::numeric_limits<double>::max());
      for (std::size_t i = 0; i < x.rows(); ++i) {
        unit(i, j) = static_cast<T>(column.distance(value(i)) * factor);
        y.values(i, j) = scale.value(0, j) * unit(i, j) + shift.value(0, j);
      }
    }
    const double share = static_cast<double>(momentum);
    context.gradient(running_mean).observe(x.rows(), means, share);
    context.gradient(running_variance).observe(x.rows(), variances, share, means);
    context.record(
        [this, &context, x, y, unit, inverse] { backward(context, x, y, unit, inverse); });
  }

  template <class C>
  void backward(C& context, const variable<T>& x, const variable<T>& y, matrix_view<const T> unit,
                const T* inverse) const {
    check_parameters(unit.cols());  // they may have been replaced since
    const matrix_view<T> scale_gradient = context.gradient(scale).values();
    const matrix_view<T> shift_gradient = context.gradient(shift).values();
    const T n = static_cast<T>(x.rows());
    for (std::size_t j = 0; j < x.cols(); ++j) {
      T sum = 0;
      T along = 0;
      for (std::size_t i = 0; i < x.rows(); ++i) {
        sum += y.gradient(i, j);
        along += y.gradient(i, j) * unit(i, j);
      }
      scale_gradient(0, j) += along;
      shift_gradient(0, j) += sum;
      if (!x.has_gradient()) continue;
      for (std::size_t i = 0; i < x.rows(); ++i) {
        x.gradient(i, j) +=
            scale.value(0, j) * inverse[j] * (y.gradient(i, j) - sum / n - unit(i, j) * along / n);
      }
    }
  }
};

}  // namespace funnel
