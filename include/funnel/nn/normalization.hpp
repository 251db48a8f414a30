// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/nn/concat.hpp>
#include <funnel/nn/parameter.hpp>
#include <funnel/nn/training.hpp>

#include <cmath>
#include <cstddef>

namespace funnel {

/// y = scale * (x - mean(x)) / sqrt(variance(x) + epsilon) + shift, over the columns of each row.
///
/// Shapes      [n, d] -> [n, d]; scale and shift [1, d].
/// Errors      std::invalid_argument if x has another number of columns.
/// Source      Ba, Kiros and Hinton, "Layer normalization", 2016, equation 3.
template <class T>
struct layer_norm {
  parameter<T> scale;
  parameter<T> shift;
  T epsilon = T(1e-5);

  layer_norm() = default;
  explicit layer_norm(std::size_t dim) : scale(1, dim, initial_values::ones), shift(1, dim) {}

  template <Context C>
  value_of<C> operator()(C& context, const value_of<C>& x) const {
    const std::size_t d = scale.cols();
    if (x.cols() != d)
      detail::fail("funnel::layer_norm: x has ", x.cols(), " columns, expected ", d);
    const auto y = context.make(x.rows(), d);
    // What the backward step needs: the normalised values and 1 / deviation.
    const matrix_view<T> unit(context.scratch().template allocate<T>(x.rows() * d), x.rows(), d);
    T* inverse = context.scratch().template allocate<T>(x.rows());
    for (std::size_t i = 0; i < x.rows(); ++i) {
      const auto from = view(x).row(i);
      double sum = 0;
      for (const T v : from) sum += static_cast<double>(v);
      const double mean = sum / static_cast<double>(d);
      double squares = 0;
      for (const T v : from)
        squares += (static_cast<double>(v) - mean) * (static_cast<double>(v) - mean);
      inverse[i] = static_cast<T>(
          1 / std::sqrt(squares / static_cast<double>(d) + static_cast<double>(epsilon)));
      for (std::size_t j = 0; j < d; ++j) {
        unit(i, j) = (from[j] - static_cast<T>(mean)) * inverse[i];
        writable(y)(i, j) = scale.value(0, j) * unit(i, j) + shift.value(0, j);
      }
    }
    if constexpr (C::is_training) {
      context.record([this, &context, x, y, unit, inverse] {
        const std::size_t cols = unit.cols();
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
          if (!x.learns()) continue;
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
};

/// y = scale * (x - mean) / sqrt(variance + epsilon) + shift, over the rows of each column: of the
/// batch while training, of the running statistics while serving, so that a score does not depend
/// on its batch.
///
/// The running statistics move by `momentum` towards the batch's in every step of an optimizer.
///
/// Shapes      [n, d] -> [n, d]; all parameters [1, d].
/// Errors      std::invalid_argument if x has another number of columns, or no rows while training.
/// Source      Ioffe and Szegedy, ICML 2015, algorithms 1 and 2 (biased variance in both).
template <class T>
struct batch_norm {
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

  template <Context C>
  value_of<C> operator()(C& context, const value_of<C>& x) const {
    const std::size_t d = scale.cols();
    if (x.cols() != d)
      detail::fail("funnel::batch_norm: x has ", x.cols(), " columns, expected ", d);
    if (C::is_training && x.rows() == 0)
      detail::fail("funnel::batch_norm: x has 0 rows, expected 1 or more");
    const auto y = context.make(x.rows(), d);
    T* mean = context.scratch().template allocate<T>(d);
    T* inverse = context.scratch().template allocate<T>(d);
    for (std::size_t j = 0; j < d; ++j) {
      double m = static_cast<double>(running_mean.value(0, j));
      double v = static_cast<double>(running_variance.value(0, j));
      if constexpr (C::is_training) {
        const double n = static_cast<double>(x.rows());
        m = v = 0;
        for (std::size_t i = 0; i < x.rows(); ++i) m += static_cast<double>(view(x)(i, j)) / n;
        for (std::size_t i = 0; i < x.rows(); ++i) {
          const double distance = static_cast<double>(view(x)(i, j)) - m;
          v += distance * distance / n;
        }
        // An optimizer subtracts the gradient of a statistic as it is.
        context.gradient(running_mean).values()(0, j) +=
            momentum * (running_mean.value(0, j) - static_cast<T>(m));
        context.gradient(running_variance).values()(0, j) +=
            momentum * (running_variance.value(0, j) - static_cast<T>(v));
      }
      mean[j] = static_cast<T>(m);
      inverse[j] = static_cast<T>(1 / std::sqrt(v + static_cast<double>(epsilon)));
    }
    for (std::size_t i = 0; i < x.rows(); ++i) {
      for (std::size_t j = 0; j < d; ++j) {
        writable(y)(i, j) =
            scale.value(0, j) * ((view(x)(i, j) - mean[j]) * inverse[j]) + shift.value(0, j);
      }
    }
    if constexpr (C::is_training) {
      context.record(
          [this, &context, x, y, mean, inverse] { backward(context, x, y, mean, inverse); });
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
  template <class C>
  void backward(C& context, const variable<T>& x, const variable<T>& y, const T* mean,
                const T* inverse) const {
    const matrix_view<T> scale_gradient = context.gradient(scale).values();
    const matrix_view<T> shift_gradient = context.gradient(shift).values();
    const T n = static_cast<T>(x.rows());
    for (std::size_t j = 0; j < x.cols(); ++j) {
      T sum = 0;
      T along = 0;
      for (std::size_t i = 0; i < x.rows(); ++i) {
        sum += y.gradient(i, j);
        along += y.gradient(i, j) * (x.values(i, j) - mean[j]) * inverse[j];
      }
      scale_gradient(0, j) += along;
      shift_gradient(0, j) += sum;
      if (!x.learns()) continue;
      for (std::size_t i = 0; i < x.rows(); ++i) {
        const T unit = (x.values(i, j) - mean[j]) * inverse[j];
        x.gradient(i, j) +=
            scale.value(0, j) * inverse[j] * (y.gradient(i, j) - sum / n - unit * along / n);
      }
    }
  }
};

}  // namespace funnel
