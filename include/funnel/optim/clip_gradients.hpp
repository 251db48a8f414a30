// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>
#include <funnel/core/matrix.hpp>
#include <funnel/nn/parameter.hpp>
#include <funnel/nn/parameter_gradient.hpp>
#include <funnel/nn/training_context.hpp>
#include <funnel/optim/detail/check_fits.hpp>
#include <funnel/simd/optimizer.hpp>
#include <funnel/simd/reduce.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <string>
#include <string_view>
#include <utility>

namespace funnel {
namespace detail {

/// Calls `visit(gradient)` for the gradient of every learned parameter that has one.
/// Errors      std::invalid_argument if the shape or kind of a parameter changed since the backward
///             step.
template <class T, class Arch, HasParameters Model, class Visit>
void for_each_gradient(std::string_view function, Model& model, training_context<T, Arch>& context,
                       const Visit& visit) {
  std::size_t index = 0;
  visit_parameters_below(model, [&](const parameter<T>& p) {
    const std::size_t position = index++;
    parameter_gradient<T>* gradient = context.find_gradient(p);
    if (gradient == nullptr) return;
    check_fits(function, model, position, p, *gradient);
    if (p.kind != parameter_kind::statistic) visit(gradient->values());
  });
}

}  // namespace detail

/// Gradient clipping by global norm: scales all gradients of a model down so that their joint
/// Euclidean norm is at most `max_norm`. Returns the norm before scaling.
///
/// If that norm is not finite, nothing is scaled: check the result before the optimizer's step.
///
/// Errors      std::invalid_argument if max_norm is not a finite number above 0, or the shape
///             or kind of a parameter changed since the backward step; nothing is scaled then.
/// Numerics    The norm is summed in double. It is right for all gradients whose norm is within the
///             range of double.
/// Source      Pascanu, Mikolov and Bengio, ICML 2013, algorithm 1;
///             docs/formulas.md#gradient-clipping.
template <class T, class Arch, HasParameters Model>
double clip_gradients(Model& model, training_context<T, Arch>& context, double max_norm) {
  constexpr std::string_view name = "clip_gradients";
  detail::check_positive(name, "max_norm", max_norm);
  const auto for_each_gradient = [&](const auto& visit) {
    detail::for_each_gradient(name, model, context,
                              [&](matrix_view<T> g) { visit(g.data(), g.size()); });
  };
  double squares = 0;
  for_each_gradient([&](const T* g, std::size_t n) { squares += squares_kernel(Arch{}, g, n); });
  double norm = std::sqrt(squares);
  if (!(squares > std::numeric_limits<double>::min() / std::numeric_limits<double>::epsilon() &&
        std::isfinite(squares))) {
    // The squares left the range of double, as those of 1e160 and 1e-160 do.
    double largest = 0;
    for_each_gradient([&](const T* g, std::size_t n) {
      for (std::size_t i = 0; i < n; ++i) {
        const double size = std::abs(static_cast<double>(g[i]));
        largest = size <= largest ? largest : size;  // NaN stays
      }
    });
    if (largest > 0 && std::isfinite(largest)) {
      double sum = 0;
      for_each_gradient([&](const T* g, std::size_t n) {
        for (std::size_t i = 0; i < n; ++i) {
          const double part = static_cast<double>(g[i]) / largest;
          sum += part * part;
        }
      });
      norm = largest * std::sqrt(sum);
    }
  }
  if (norm > max_norm && std::isfinite(norm)) {
    // In several steps if one factor would be too small to be a normal number.
    constexpr double least = static_cast<double>(std::numeric_limits<T>::min());
    constexpr double step = 0x1p-60;
    double length = norm;
    for (; max_norm / length < least; length *= step)
      for_each_gradient([&](T* g, std::size_t n) { scale_kernel(Arch{}, T(step), g, g, n); });
    const T factor = static_cast<T>(max_norm / length);
    for_each_gradient([&](T* g, std::size_t n) { scale_kernel(Arch{}, factor, g, g, n); });
  }
  return norm;
}

}  // namespace funnel
