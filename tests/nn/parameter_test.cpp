// SPDX-License-Identifier: MIT
#include <funnel/nn/parameter.hpp>

#include "support/catch.hpp"

#include <array>
#include <string>
#include <type_traits>
#include <vector>

using funnel::count_parameters;
using funnel::for_each_parameter;
using funnel::HasParameters;
using funnel::parameter;
using funnel::parameter_kind;

namespace {

struct layer {
  parameter<float> weight{2, 3};
  parameter<float> bias{1, 3};

  void visit_parameters(auto&& visit) {
    visit("weight", weight);
    visit("bias", bias);
  }
};

struct tower {
  std::vector<layer> layers{2};

  void visit_parameters(auto&& visit) { visit("layers", layers); }
};

struct model {
  parameter<float> table{5, 2, funnel::initial_values::normal, parameter_kind::rows};
  std::array<tower, 2> experts;
  std::vector<parameter<float>> scales{parameter<float>(1, 1)};
  parameter<float> mean{1, 4, funnel::initial_values::zeros, parameter_kind::statistic};

  void visit_parameters(auto&& visit) {
    visit("table", table);
    visit("experts", experts);
    visit("scales", scales);
    visit("mean", mean);
  }
};

struct nothing_learned {
  void visit_parameters(auto&&) {}
};

}  // namespace

TEST_CASE("for_each_parameter: paths are the names joined by dots, in the model's order") {
  model m;
  std::vector<std::string> paths;
  for_each_parameter(m, [&](std::string_view path, auto& p) {
    static_assert(std::is_same_v<decltype(p), parameter<float>&>);
    paths.emplace_back(path);
    p.value.assign(p.rows(), p.cols(), 1);
  });
  CHECK(paths == std::vector<std::string>{"table", "experts.0.layers.0.weight",
                                          "experts.0.layers.0.bias", "experts.0.layers.1.weight",
                                          "experts.0.layers.1.bias", "experts.1.layers.0.weight",
                                          "experts.1.layers.0.bias", "experts.1.layers.1.weight",
                                          "experts.1.layers.1.bias", "scales.0", "mean"});
  CHECK(m.experts[1].layers[1].bias.value(0, 2) == 1);
}

TEST_CASE("for_each_parameter: a constant model is only read") {
  const model m;
  std::size_t values = 0;
  for_each_parameter(m, [&](std::string_view, auto& p) {
    static_assert(std::is_same_v<decltype(p), const parameter<float>&>);
    values += p.value.size();
  });
  CHECK(values == 10 + 4 * 9 + 1 + 4);
}

TEST_CASE("count_parameters: what is learned, without running statistics") {
  CHECK(count_parameters(model()) == 10 + 4 * 9 + 1);
  CHECK(count_parameters(nothing_learned()) == 0);
}

TEST_CASE("parameter: starts at zero, or one where asked") {
  const parameter<double> zeros(2, 2);
  const parameter<double> ones(2, 2, funnel::initial_values::ones);
  for (const double value : zeros.value.flat()) CHECK(value == 0);
  for (const double value : ones.value.flat()) CHECK(value == 1);
  CHECK(zeros.kind == parameter_kind::dense);
}
