// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>
#include <funnel/core/matrix.hpp>
#include <funnel/nn/parameter.hpp>
#include <funnel/nn/parameter_gradient.hpp>
#include <funnel/nn/training_context.hpp>
#include <funnel/optim/detail/check_fits.hpp>
#include <funnel/optim/detail/gradient_norm.hpp>
#include <funnel/simd/optimizer.hpp>
#include <funnel/simd/reduce.hpp>

#include <cmath>
#include <cstddef>
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
  const double norm = detail::gradient_norm(squares, for_each_gradient);
  if (norm > max_norm && std::isfinite(norm)) {
    detail::for_each_clip_factor<T>(norm, max_norm, [&](T factor) {
      for_each_gradient([&](T* g, std::size_t n) { scale_kernel(Arch{}, factor, g, g, n); });
    });
  }
  return norm;
}

}  // namespace funnel
