// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/nn/parameter.hpp>
#include <funnel/nn/training_context.hpp>

#include "support/catch.hpp"
#include "support/tolerance.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <span>
#include <vector>

// Small models, and single steps of an optimizer on them.

using tape = funnel::training_context<double>;
using doubles = std::vector<double>;

/// One weight [1, 2], a table [4, 2] and a statistic.
struct small_model {
  funnel::parameter<double> weight{1, 2};
  funnel::parameter<double> table{4, 2, funnel::initial_values::normal,
                                  funnel::parameter_kind::rows};
  funnel::parameter<double> mean{1, 1, funnel::initial_values::zeros,
                                 funnel::parameter_kind::statistic};

  small_model() {
    weight.value.flat()[0] = 1;
    weight.value.flat()[1] = -2;
    for (std::size_t i = 0; i < 8; ++i) table.value.flat()[i] = static_cast<double>(i) + 1;
  }
  void visit_parameters(auto&& visit) {
    visit("weight", weight);
    visit("table", table);
    visit("mean", mean);
  }
};

/// One weight and one row of a table, both of one value.
template <class T>
struct one_weight {
  funnel::parameter<T> weight{1, 1};
  funnel::parameter<T> table{1, 1, funnel::initial_values::zeros, funnel::parameter_kind::rows};

  void visit_parameters(auto&& visit) {
    visit("weight", weight);
    visit("table", table);
  }
};

inline void set(std::span<double> to, const doubles& values) {
  std::ranges::copy(values, to.begin());
}

/// One step whose gradient of the weight is {g, 0}; what became of its first value.
inline double step_weight(auto& optimizer, small_model& m, double g) {
  tape context;
  set(context.gradient(m.weight).values().row(0), {g, 0});
  optimizer.step(m, context);
  return m.weight.value(0, 0);
}

/// One step whose gradient reaches one row of the table.
inline void step_row(auto& optimizer, small_model& m, std::uint32_t row, const doubles& g) {
  tape context;
  set(context.gradient(m.table).row(row), g);
  optimizer.step(m, context);
}

inline bool near(double found, double expected) {
  return tolerance::within(found, expected, tolerance::printed(9));
}

/// Steps whose gradients are 0, tiny and 0.5: finite, and none longer than twice a rate of 0.1.
inline void check_small_steps(auto optimizer) {
  one_weight<float> m;
  for (const float g : {0.f, 1e-30f, 0.5f, 0.f}) {
    funnel::training_context<float> context;
    context.gradient(m.weight).values()(0, 0) = g;
    const float before = m.weight.value(0, 0);
    optimizer.step(m, context);
    CHECK(std::abs(m.weight.value(0, 0) - before) <= 0.2f);
  }
  CHECK(m.weight.value(0, 0) < -0.05f);
}
