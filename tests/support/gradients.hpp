// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/nn/gradient_check.hpp>
#include <funnel/nn/parameter.hpp>
#include <funnel/nn/training_context.hpp>

#include "support/catch.hpp"
#include "support/matrices.hpp"
#include "support/tolerance.hpp"

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

// Gradient checks of operations and layers: inputs become parameters, outputs a loss.

using double_value = funnel::variable<double>;
using double_values = std::vector<double_value>;
using double_training = funnel::training_context<double>;

/// A parameter as a value of the tape.
inline double_value value_of_parameter(double_training& context,
                                       const funnel::parameter<double>& p) {
  const auto y = context.make(p.rows(), p.cols());
  for (std::size_t i = 0; i < p.rows(); ++i)
    std::ranges::copy(p.value.row(i), y.values.row(i).begin());
  context.record([&context, &p, y] {
    const funnel::matrix_view<double> gradient = context.gradient(p).values();
    for (std::size_t i = 0; i < y.rows(); ++i) {
      for (std::size_t j = 0; j < y.cols(); ++j) gradient(i, j) += y.gradient(i, j);
    }
  });
  return y;
}

/// A loss that every element of y reaches with another weight.
inline double_value weighted_sum(double_training& context, const double_value& y) {
  const auto weight = [y](std::size_t i, std::size_t j) {
    return std::cos(static_cast<double>(3 * (i * y.cols() + j)) + 0.5);
  };
  const auto loss = context.make(1, 1);
  loss.values(0, 0) = 0;
  for (std::size_t i = 0; i < y.rows(); ++i) {
    for (std::size_t j = 0; j < y.cols(); ++j) loss.values(0, 0) += weight(i, j) * y.values(i, j);
  }
  context.record([y, loss, weight] {
    if (!y.has_gradient()) return;
    for (std::size_t i = 0; i < y.rows(); ++i) {
      for (std::size_t j = 0; j < y.cols(); ++j)
        y.gradient(i, j) += weight(i, j) * loss.gradient(0, 0);
    }
  });
  return loss;
}

/// Stands for the layer where an operation without parameters is checked.
struct no_parameters {
  void visit_parameters(auto&&) {}
};

template <class Layer>
struct layer_with_inputs {
  Layer layer;
  std::vector<funnel::parameter<double>> inputs;

  void visit_parameters(auto&& visit) {
    visit("layer", layer);
    visit("inputs", inputs);
  }
};

struct shape {
  std::size_t rows;
  std::size_t cols;
};

/// Holds the gradients of `run(context, layer, inputs)` for all parameters and all inputs against
/// central differences, at random values. Inputs of one row may stand for many.
template <class Layer, class Run>
void check_layer(const Layer& layer, const std::vector<shape>& inputs, Run&& run) {
  layer_with_inputs<Layer> model{layer, {}};
  for (const shape& s : inputs) model.inputs.emplace_back(s.rows, s.cols);
  std::uint64_t seed = 1;
  funnel::for_each_parameter(model, [&](std::string_view, auto& p) {
    p.value = random_matrix<double>(p.rows(), p.cols(), ++seed);
  });
  const auto result = funnel::check_gradients<double>(model, [&](double_training& context) {
    double_values values;
    for (const auto& p : model.inputs) values.push_back(value_of_parameter(context, p));
    return weighted_sum(context, run(context, model.layer, values));
  });
  INFO("worst: " << result.worst_parameter << "[" << result.worst_position << "]");
  CHECK(result.largest_error <= tolerance::finite_difference(0));
  CHECK(result.checked > 0);
  CHECK(2 * result.nonzero >= result.checked);  // a gradient that is zero everywhere proves little
}

template <class Run>
void check_operation(const std::vector<shape>& inputs, Run&& run) {
  check_layer(no_parameters{}, inputs,
              [&](double_training& context, const no_parameters&, const double_values& x) {
                return run(context, x);
              });
}
