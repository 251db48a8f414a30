// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/random.hpp>
#include <funnel/nn/parameter.hpp>

#include <cmath>
#include <cstdint>

namespace funnel {

/// Fills one parameter with initial values, of the kind that its `initial` names.
///
/// Source      docs/formulas.md#initialization.
template <class T>
void initialize(parameter<T>& p, RandomGenerator auto& bits) {
  const double fan_in = static_cast<double>(p.rows());
  const double fan_out = static_cast<double>(p.cols());
  const auto fill = [&](auto draw) {
    for (T& value : p.value.flat()) value = static_cast<T>(draw());
  };
  switch (p.initial) {
  case initial_values::zeros:
    return fill([] { return 0; });
  case initial_values::ones:
    return fill([] { return 1; });
  case initial_values::glorot_uniform: {
    const double limit = std::sqrt(6 / (fan_in + fan_out));
    return fill([&] { return limit * (2 * uniform01(bits) - 1); });
  }
  case initial_values::he_normal: {
    const double deviation = std::sqrt(2 / fan_in);
    return fill([&] { return deviation * standard_normal(bits); });
  }
  case initial_values::normal:
    return fill([&] { return p.initial_scale * standard_normal(bits); });
  }
}

/// Initializes every parameter of a model, each as its layer chose. The same seed makes the same
/// model.
template <HasParameters Model>
void initialize(Model& model, RandomGenerator auto& bits) {
  for_each_parameter(model, [&](std::string_view, auto& p) { initialize(p, bits); });
}

/// The same with a generator of this seed.
template <HasParameters Model>
void initialize(Model& model, std::uint64_t seed) {
  random_generator random(seed);
  initialize(model, random);
}

}  // namespace funnel
