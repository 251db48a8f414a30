// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/nn/parameter.hpp>
#include <funnel/nn/parameter_gradient.hpp>
#include <funnel/nn/training_context.hpp>
#include <funnel/optim/detail/check_fits.hpp>

#include <cstddef>
#include <string_view>
#include <utility>

namespace funnel {

/// Adds the gradients of `from`, times `factor`, to those of `to`: for a batch that is split over
/// several training contexts.
///
/// Observations of running statistics are weighted by their numbers of rows, not by the factor.
///
/// Errors      std::invalid_argument if the shape or kind of a parameter changed since a backward
///             step; nothing is added then.
template <class T, class Arch, HasParameters Model>
void add_gradients(Model& model, training_context<T, Arch>& to,
                   const training_context<T, Arch>& from, T factor) {
  const auto for_each = [&](const auto& visit) {
    std::size_t index = 0;
    detail::visit_parameters_below(model, [&](const parameter<T>& p) {
      const std::size_t position = index++;
      if (const parameter_gradient<T>* gradient = from.find_gradient(p))
        visit(position, p, *gradient);
    });
  };
  for_each([&](std::size_t position, const parameter<T>& p, const parameter_gradient<T>& gradient) {
    constexpr std::string_view name = "add_gradients";
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
