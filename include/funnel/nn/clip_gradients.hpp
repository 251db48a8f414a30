// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/nn/parameter.hpp>
#include <funnel/nn/training.hpp>
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

/// The path of the parameter that a model names at this position.
template <HasParameters Model>
std::string path_of_parameter(const Model& model, std::size_t position) {
  std::string found;
  for_each_parameter(model, [&](std::string_view path, const auto&) {
    if (position-- == 0) found = path;
  });
  return found;
}

/// Errors      std::invalid_argument if a gradient is of another shape or kind than its parameter.
template <HasParameters Model, class T>
void check_fits(const char* function, const Model& model, std::size_t position,
                const parameter<T>& p, const parameter_gradient<T>& gradient) {
  if (gradient.fits(p)) return;
  fail(function, ": parameter ", path_of_parameter(model, position), " is [", p.rows(), ", ",
       p.cols(), "], expected the shape and kind it had in the backward step");
}

/// Calls `visit(gradient)` for every gradient of a learned parameter, which all fit.
template <class T, class Arch, HasParameters Model, class Visit>
void for_each_gradient(const char* function, Model& model, training<T, Arch>& context,
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

/// Scales all gradients of a model down so that together their length is at most `largest_norm`;
/// gives the length they had. A gradient that is not finite leaves all of them as they are: look at
/// the result before stepping.
///
/// Errors      std::invalid_argument if largest_norm is not above 0, or a parameter was replaced since
///             the backward step; nothing is scaled then.
/// Numerics    The length is summed in double, and is right for all numbers of T, where it is a double
///             itself.
/// Source      Pascanu, Mikolov and Bengio, ICML 2013, algorithm 1.
template <class T, class Arch, HasParameters Model>
double clip_gradients(Model& model, training<T, Arch>& context, double largest_norm) {
  constexpr const char* name = "funnel::clip_gradients";
  if (!(largest_norm > 0) || !std::isfinite(largest_norm))
    detail::fail(name, ": largest_norm is ", largest_norm, ", expected above 0");
  const auto for_each_gradient = [&](const auto& visit) {
    detail::for_each_gradient(name, model, context,
                              [&](matrix_view<T> g) { visit(g.data(), g.size()); });
  };
  double squares = 0;
  for_each_gradient([&](const T* g, std::size_t n) { squares += squares_kernel(Arch{}, g, n); });
  double norm = std::sqrt(squares);
  if (!(squares > std::numeric_limits<double>::min() / std::numeric_limits<double>::epsilon() &&
        std::isfinite(squares))) {
    // Squares that left the range of double, as those of 1e160 and 1e-160 do.
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
  if (norm > largest_norm && std::isfinite(norm)) {
    // In steps, where one factor would be too small to be a normal number.
    constexpr double least = static_cast<double>(std::numeric_limits<T>::min());
    constexpr double step = 0x1p-60;
    double length = norm;
    for (; largest_norm / length < least; length *= step)
      for_each_gradient([&](T* g, std::size_t n) { scale_kernel(Arch{}, T(step), g, g, n); });
    const T factor = static_cast<T>(largest_norm / length);
    for_each_gradient([&](T* g, std::size_t n) { scale_kernel(Arch{}, factor, g, g, n); });
  }
  return norm;
}

/// Adds the gradients of `from` to those of `to`, times `factor`: how shards of a batch come
/// together.
///
/// What was observed of running statistics counts by its rows, whatever the factor.
///
/// Errors      std::invalid_argument if a parameter was replaced since a backward step; nothing is
///             added then.
template <class T, class Arch, HasParameters Model>
void add_gradients(Model& model, training<T, Arch>& to, const training<T, Arch>& from, T factor) {
  const auto for_each = [&](const auto& visit) {
    std::size_t index = 0;
    detail::visit_parameters_below(model, [&](const parameter<T>& p) {
      const std::size_t position = index++;
      if (const parameter_gradient<T>* gradient = from.find_gradient(p))
        visit(position, p, *gradient);
    });
  };
  for_each([&](std::size_t position, const parameter<T>& p, const parameter_gradient<T>& gradient) {
    constexpr const char* name = "funnel::add_gradients";
    detail::check_fits(name, model, position, p, gradient);
    if (const parameter_gradient<T>* own = std::as_const(to).find_gradient(p))
      detail::check_fits(name, model, position, p, *own);
  });
  for_each([&](std::size_t, const parameter<T>& p, const parameter_gradient<T>& gradient) {
    to.reserve(p, gradient);
  });
  for_each([&](std::size_t, const parameter<T>& p, const parameter_gradient<T>& gradient) {
    to.gradient(p).add(gradient, factor, Arch{});
  });
}

}  // namespace funnel
