// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/nn/parameter.hpp>

#include "support/matrices.hpp"

#include <cstdint>
#include <string_view>

/// The model with random values in all its parameters, biases too: those of parameter k, from 1, have
/// the seed `seed` + k.
template <class Model>
Model with_random_parameters(Model model, std::uint64_t seed = 0) {
  funnel::for_each_parameter(model, [&]<class T>(std::string_view, funnel::parameter<T>& p) {
    p.value = random_matrix<T>(p.rows(), p.cols(), ++seed);
  });
  return model;
}
