// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/nn/parameter.hpp>
#include <funnel/nn/parameter_gradient.hpp>

#include <cstddef>
#include <string>
#include <string_view>

namespace funnel::detail {

/// Path of a parameter, given its position in the model's order of parameters.
template <HasParameters Model>
std::string path_of_parameter(const Model& model, std::size_t position) {
  std::string found;
  for_each_parameter(model, [&](std::string_view path, const auto&) {
    if (position-- == 0) found = path;
  });
  return found;
}

/// Errors      std::invalid_argument if the shape or kind of a parameter is not that of its
///             gradient.
template <HasParameters Model, class T>
void check_fits(std::string_view function, const Model& model, std::size_t position,
                const parameter<T>& p, const parameter_gradient<T>& gradient) {
  if (gradient.fits(p)) return;
  fail("funnel::", function, ": parameter ", path_of_parameter(model, position), " is [", p.rows(),
       ", ", p.cols(), "], expected the shape and kind it had in the backward step");
}

}  // namespace funnel::detail
