// SPDX-License-Identifier: MIT
#include <funnel/nn/normalization.hpp>
#include <funnel/nn/training_context.hpp>
#include <funnel/optim/adagrad.hpp>
#include <funnel/optim/adam.hpp>
#include <funnel/optim/parameter_group.hpp>
#include <funnel/optim/sgd.hpp>

#include "optim/small_models.hpp"
#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/matrices.hpp"

#include <cmath>
#include <limits>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

using funnel::adagrad;
using funnel::adam;
using funnel::parameter;
using funnel::parameter_group;
using funnel::parameter_kind;
using funnel::sgd;

namespace {

/// Two towers of a weight and a bias, a table and a batch normalization.
struct towers_model {
  struct tower {
    parameter<double> weight{3, 2};
    parameter<double> bias{1, 2};
    void visit_parameters(auto&& visit) {
      visit("weight", weight);
      visit("bias", bias);
    }
  };
  std::vector<tower> towers{2};
  parameter<double> table{1, 2, funnel::initial_values::normal, parameter_kind::rows};
  funnel::batch_norm<double> norm{2};

  towers_model() {
    unsigned seed = 1;
    funnel::for_each_parameter(*this, [&](std::string_view, parameter<double>& p) {
      p.value = random_matrix<double>(p.rows(), p.cols(), seed++);
    });
  }
  void visit_parameters(auto&& visit) {
    visit("towers", towers);
    visit("table", table);
    visit("norm", norm);
  }
};

void fill(tape& context, const towers_model& m) {
  double g = 0.25;
  funnel::for_each_parameter(m, [&](std::string_view, const parameter<double>& p) {
    g += 0.125;
    if (p.kind == parameter_kind::statistic) {
      context.gradient(p).observe(4, doubles(p.cols(), 3), 0.5);
    } else if (p.kind == parameter_kind::rows) {
      std::ranges::fill(context.gradient(p).row(0), g);
    } else {
      auto values = context.gradient(p).values();
      std::fill_n(values.data(), values.size(), g);
    }
  });
}

/// The model after `steps` steps.
template <class Optimizer>
towers_model trained(Optimizer optimizer, int steps = 2) {
  towers_model m;
  tape context;
  for (int step = 0; step < steps; ++step) {
    fill(context, m);
    optimizer.step(m, context);
    context.clear();
  }
  return m;
}

/// The paths of the parameters that differ.
std::vector<std::string> changes(const towers_model& a, const towers_model& b) {
  std::vector<const parameter<double>*> others;
  funnel::for_each_parameter(b, [&](std::string_view, const auto& p) { others.push_back(&p); });
  std::vector<std::string> found;
  std::size_t i = 0;
  funnel::for_each_parameter(a, [&](std::string_view path, const auto& p) {
    if (!same_bits(p.value, others[i++]->value)) found.emplace_back(path);
  });
  return found;
}

using paths = std::vector<std::string>;
const paths all{
    "towers.0.weight", "towers.0.bias", "towers.1.weight",   "towers.1.bias",        "table",
    "norm.scale",      "norm.shift",    "norm.running_mean", "norm.running_variance"};

}  // namespace

TEST_CASE("parameter_group: a path is that of a parameter or of what it is in") {
  const parameter_group towers{.path = "towers.1"};
  CHECK(towers.selects("towers.1"));
  CHECK(towers.selects("towers.1.weight"));
  CHECK_FALSE(towers.selects("towers.10.weight"));
  CHECK_FALSE(towers.selects("towers"));
  CHECK_FALSE(towers.selects("my.towers.1"));
  CHECK(parameter_group{}.selects("anything"));
  const parameter_group biases{
      .path = "towers", .where = [](std::string_view path) { return path.ends_with("bias"); }};
  CHECK(biases.selects("towers.1.bias"));
  CHECK_FALSE(biases.selects("towers.1.weight"));
  CHECK_FALSE(biases.selects("head.bias"));
}

TEMPLATE_TEST_CASE("parameter_group: weight decay spares biases, scales and shifts", "",
                   sgd<double>, adagrad<double>, adam<double>) {
  auto options = TestType().options;
  const towers_model plain = trained(TestType(options));
  CHECK(changes(plain, towers_model()) == all);
  options.weight_decay = 0.5;
  // A table decays however few rows it has.
  CHECK(changes(trained(TestType(options)), plain) ==
        paths{"towers.0.weight", "towers.1.weight", "table"});
  // A group decays as a whole.
  const towers_model decayed = trained(TestType(options, {{.path = "norm", .weight_decay = 0.5}}));
  CHECK(changes(decayed, plain) ==
        paths{"towers.0.weight", "towers.1.weight", "table", "norm.scale", "norm.shift"});
  CHECK(changes(trained(TestType(options, {{.weight_decay = 0}})), plain).empty());
}

TEMPLATE_TEST_CASE("parameter_group: a group is trained as by an optimizer of its own", "",
                   sgd<double>, adagrad<double>, adam<double>) {
  auto options = TestType().options;
  options.learning_rate = 0.125;
  options.weight_decay = 0.25;
  if constexpr (std::is_same_v<TestType, sgd<double>>) options.momentum = 0.5;
  const towers_model mixed =
      trained(TestType(options, {{.path = "towers.0", .rate_factor = 0.5, .weight_decay = 0.75},
                                 {.path = "towers", .rate_factor = 2},
                                 {.path = "table", .rate_factor = 0}}));
  const towers_model plain = trained(TestType(options));
  CHECK(changes(mixed, plain) == paths(all.begin(), all.begin() + 5));
  CHECK(same_bits(mixed.table.value, towers_model().table.value));  // rate 0

  options.learning_rate = 0.25;  // the first group that selects a parameter counts
  CHECK(changes(mixed, trained(TestType(options))) ==
        paths{"towers.0.weight", "towers.0.bias", "table", "norm.scale", "norm.shift"});
  options.learning_rate = 0.0625;
  const towers_model slow = trained(TestType(options, {{.path = "towers", .weight_decay = 0.75}}));
  CHECK(same_bits(mixed.towers[0].weight.value, slow.towers[0].weight.value));
  CHECK(same_bits(mixed.towers[0].bias.value, slow.towers[0].bias.value));
}

TEMPLATE_TEST_CASE("parameter_group: what is frozen stays, and can be let go", "", sgd<double>,
                   adagrad<double>, adam<double>) {
  TestType optimizer({}, {{.path = "towers.1", .frozen = true}, {.path = "norm", .frozen = true}});
  towers_model m;
  tape context;
  const auto step = [&] {
    fill(context, m);
    optimizer.step(m, context);
    context.clear();
  };
  step();
  CHECK(changes(m, towers_model()) == paths{"towers.0.weight", "towers.0.bias", "table"});
  optimizer.set_groups({});
  const towers_model before = m;
  step();
  CHECK(changes(m, before) == all);
  // The first step of what was frozen is a first step.
  const towers_model first = trained(TestType(), 1);
  CHECK(same_bits(m.towers[1].weight.value, first.towers[1].weight.value));
}

TEMPLATE_TEST_CASE("parameter_group: errors", "", sgd<float>, adagrad<float>, adam<float>) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  CHECK(refuses([] { TestType({}, {{.rate_factor = -1}}); }, "funnel::", "rate_factor is -1"));
  CHECK(refuses([&] { TestType({}, {{.weight_decay = nan}}); }, "funnel::", "weight_decay is nan"));
  one_weight<float> m;
  funnel::training_context<float> context;
  context.gradient(m.weight).values()(0, 0) = 1;
  TestType unused({}, {{.path = "weight"}, {.path = "tables"}});
  CHECK(refuses([&] { unused.step(m, context); }, "funnel::optimizer",
                "group 1 (path \"tables\") selects no parameter"));
  TestType hidden({}, {{}, {.path = "weight"}});  // behind a group of everything
  CHECK(refuses([&] { hidden.step(m, context); }, "funnel::optimizer",
                "group 1 (path \"weight\") selects no parameter"));
  TestType huge({}, {{.path = "weight", .rate_factor = 1e60}});
  CHECK(refuses([&] { huge.step(m, context); }, "funnel::", "learning_rate"));
  TestType heavy({}, {{.path = "weight", .weight_decay = 1e60}});
  CHECK(refuses([&] { heavy.step(m, context); }, "funnel::", "learning_rate * weight_decay"));
  CHECK(m.weight.value(0, 0) == 0);
  unused.set_groups({{.path = "weight"}});
  unused.step(m, context);
  CHECK(m.weight.value(0, 0) < 0);
}
