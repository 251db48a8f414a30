// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/matrix.hpp>
#include <funnel/nn/context.hpp>
#include <funnel/nn/parameter.hpp>
#include <funnel/nn/parameter_gradient.hpp>
#include <funnel/nn/training_context.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <type_traits>

namespace funnel {

/// Options of `check_gradients`.
struct gradient_check_options {
  /// Step h of the central difference, above 0.
  double step = 1e-5;
  /// Number of values checked per parameter, evenly spread over it; 0 means all.
  std::size_t values_per_parameter = 0;
  /// Seed of the training contexts: dropout drops the same elements in every evaluation.
  std::uint64_t seed = 1;
};

/// The result of `check_gradients`.
struct gradient_check_result {
  /// The largest |analytic - numeric| / max(1, |analytic|, |numeric|).
  double largest_error = 0;
  /// Where it occurs: the path of the parameter, and the position in the parameter's values.
  std::string worst_parameter;
  std::size_t worst_position = 0;
  /// Number of values compared.
  std::size_t checked = 0;
  /// Number of values whose analytic gradient is not zero. If it is 0, no gradient reached the
  /// parameters.
  std::size_t nonzero = 0;
};

namespace detail {

/// Restores a value in its destructor, also if a loss throws.
template <class T>
struct value_restorer {
  T& value;
  T kept;

  explicit value_restorer(T& changed) : value(changed), kept(changed) {}
  value_restorer(const value_restorer&) = delete;
  value_restorer& operator=(const value_restorer&) = delete;
  ~value_restorer() { value = kept; }
};

}  // namespace detail

/// Gradient check: compares the gradients of a loss with central differences, for every parameter
/// of a model.
///
///     (loss(p + h) - loss(p - h)) / 2h
///
/// `loss(context)` runs the model on a `training_context` and returns the loss, [1, 1]. Use double:
/// in float the difference is mostly rounding error. Running statistics are skipped.
///
/// Cost        two evaluations of the loss per value that is checked.
/// Numerics    The error of the difference itself is of order h^2. A relu whose input is within h
///             of 0 shows up as an error.
/// Source      docs/formulas.md#gradient-check.
template <class T, HasParameters Model, class Loss>
gradient_check_result check_gradients(Model& model, Loss&& loss,
                                      const gradient_check_options& options = {}) {
  training_context<T> analytic(options.seed);
  analytic.backward(loss(analytic));
  const auto evaluate = [&] {
    training_context<T> context(options.seed);
    return static_cast<double>(view(loss(context))(0, 0));
  };
  gradient_check_result result;
  const auto check = [&](std::string_view path, parameter<T>& p) {
    if (p.kind == parameter_kind::statistic || p.value.empty()) return;
    const parameter_gradient<T>* gradient = analytic.find_gradient(p);
    matrix<T> all(p.rows(), p.cols());  // the gradient; rows that were not touched are 0
    if (gradient != nullptr) {
      const matrix_view<const T> values = gradient->values();
      for (std::size_t i = 0; i < values.rows(); ++i) {
        std::ranges::copy(values.row(i),
                          all.row(gradient->by_rows() ? gradient->touched()[i] : i).begin());
      }
    }
    const std::size_t size = p.value.size();
    const std::size_t count =
        options.values_per_parameter == 0 ? size : std::min(size, options.values_per_parameter);
    for (std::size_t c = 0; c < count; ++c) {
      const std::size_t i = c * size / count;
      T& value = p.value.flat()[i];
      const detail::value_restorer<T> restorer(value);
      value = restorer.kept + static_cast<T>(options.step);
      const double above = evaluate();
      value = restorer.kept - static_cast<T>(options.step);
      const double below = evaluate();
      value = restorer.kept;
      const double numeric = (above - below) / (2 * options.step);
      const double exact = static_cast<double>(all.flat()[i]);
      const double error =
          std::abs(exact - numeric) / std::max({1.0, std::abs(exact), std::abs(numeric)});
      // NaN is the worst error, and no later error replaces it.
      if (!(error <= result.largest_error) && !std::isnan(result.largest_error)) {
        result.largest_error = error;
        result.worst_parameter = path;
        result.worst_position = i;
      }
      ++result.checked;
      result.nonzero += exact != 0 ? 1 : 0;
    }
  };
  for_each_parameter(model, [&]<class P>(std::string_view path, parameter<P>& p) {
    if constexpr (std::is_same_v<P, T>) {
      check(path, p);
    } else {
      detail::refuse_context<training_context<T>, P>();
    }
  });
  return result;
}

}  // namespace funnel
