// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/nn/parameter.hpp>
#include <funnel/nn/parameter_gradient.hpp>

#include <cstddef>
#include <string>
#include <string_view>

namespace funnel::detail {

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

}  // namespace funnel::detail
