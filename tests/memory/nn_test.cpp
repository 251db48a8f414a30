// SPDX-License-Identifier: MIT
#include <funnel/nn/embedding.hpp>
#include <funnel/nn/mlp.hpp>
#include <funnel/nn/training_context.hpp>
#include <funnel/optim/adagrad.hpp>
#include <funnel/optim/adam.hpp>
#include <funnel/optim/add_gradients.hpp>
#include <funnel/optim/sgd.hpp>

#include "support/failing_allocator.hpp"
#include "support/matrices.hpp"

#include <cstdint>
#include <memory>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

using failing_allocator::check_every_failure;
using funnel::parameter;
using funnel::parameter_gradient;
using funnel::parameter_kind;
using numbers = std::vector<double>;

namespace {

using tape = funnel::training_context<double>;
using ids = std::vector<std::uint32_t>;

/// A dense parameter, two tables of which one is touched later, and a statistic.
struct model {
  parameter<double> weight{3, 2};
  parameter<double> table{5, 2, funnel::initial_values::normal, parameter_kind::rows};
  parameter<double> late{5, 2, funnel::initial_values::normal, parameter_kind::rows};
  parameter<double> mean{1, 2, funnel::initial_values::zeros, parameter_kind::statistic};

  void visit_parameters(auto&& visit) {
    visit("weight", weight);
    visit("table", table);
    visit("late", late);
    visit("mean", mean);
  }
};

void fill(tape& context, const model& m, bool all) {
  for (double& g : context.gradient(m.weight).values().row(1)) g = 0.5;
  for (double& g : context.gradient(m.table).row(3)) g = -1;
  context.gradient(m.mean).observe(3, numbers{4, 5}, 0.25);
  if (!all) return;
  for (double& g : context.gradient(m.late).row(0)) g = 2;
  for (double& g : context.gradient(m.table).row(4)) g = 2;
}

numbers values_of(const model& m) {
  numbers all;
  funnel::for_each_parameter(m, [&](std::string_view, const auto& p) {
    all.insert(all.end(), p.value.flat().begin(), p.value.flat().end());
  });
  return all;
}

numbers values_of(const parameter_gradient<double>& gradient) {
  numbers all(gradient.touched().begin(), gradient.touched().end());
  for (std::size_t i = 0; i < gradient.values().rows(); ++i) {
    const auto row = gradient.values().row(i);
    all.insert(all.end(), row.begin(), row.end());
  }
  return all;
}

/// A model in training; contexts are found by the address of the model's parameters, which stays.
template <class Optimizer>
struct training_run {
  std::unique_ptr<model> trained = std::make_unique<model>();
  std::unique_ptr<tape> context = std::make_unique<tape>();
  Optimizer optimizer;

  explicit training_run(Optimizer made) : optimizer(std::move(made)) {}
};

}  // namespace

TEMPLATE_TEST_CASE("optimizers: a step that runs out of memory moves nothing", "",
                   funnel::sgd<double>, funnel::adagrad<double>, funnel::adam<double>) {
  auto options = TestType().options;
  if constexpr (std::is_same_v<TestType, funnel::sgd<double>>) options.momentum = 0.5;
  for (const bool first : {true, false}) {
    check_every_failure(
        first ? "the first step" : "a step that meets another table",
        [&] {
          training_run<TestType> run{TestType(options)};
          if (!first) {
            fill(*run.context, *run.trained, false);
            run.optimizer.step(*run.trained, *run.context);
            run.context->clear();
          }
          fill(*run.context, *run.trained, true);
          return run;
        },
        [](auto& run) { run.optimizer.step(*run.trained, *run.context); },
        [](const auto& run) { return values_of(*run.trained); });
  }
}

TEMPLATE_TEST_CASE("optimizers: copied whole or not at all", "", funnel::sgd<double>,
                   funnel::adagrad<double>, funnel::adam<double>) {
  const auto trained = [](double learning_rate, bool all) {
    auto options = TestType().options;
    options.learning_rate = learning_rate;
    if constexpr (std::is_same_v<TestType, funnel::sgd<double>>) options.momentum = 0.5;
    training_run<TestType> run{TestType(options)};
    for (int step = 0; step < 2; ++step) {
      fill(*run.context, *run.trained, all);
      run.optimizer.step(*run.trained, *run.context);
      run.context->clear();
    }
    fill(*run.context, *run.trained, true);
    return run;
  };
  const auto other = trained(.25, true);
  check_every_failure(
      "copy", [&] { return trained(.5, false); },
      [&](auto& run) { run.optimizer = other.optimizer; },
      [](const auto& run) {  // where its next step leads
        const model before = *run.trained;
        TestType optimizer = run.optimizer;
        optimizer.step(*run.trained, *run.context);
        const numbers moved = values_of(*run.trained);
        *run.trained = before;
        return moved;
      });
}

TEST_CASE("add_gradients: one that runs out of memory adds nothing") {
  struct shards {
    std::unique_ptr<model> of = std::make_unique<model>();
    std::unique_ptr<tape> to = std::make_unique<tape>();
    std::unique_ptr<tape> from = std::make_unique<tape>();
  };
  check_every_failure(
      "add_gradients",
      [] {
        shards s;
        fill(*s.to, *s.of, false);
        fill(*s.from, *s.of, true);
        return s;
      },
      [](shards& s) { add_gradients(*s.of, *s.to, *s.from, 1.); },
      [](const shards& s) {
        numbers all;
        funnel::for_each_parameter(*s.of, [&](std::string_view, const auto& p) {
          const auto* gradient = std::as_const(*s.to).find_gradient(p);
          all.push_back(gradient != nullptr ? 1 : 0);
          if (gradient == nullptr) return;
          const numbers values = values_of(*gradient);
          all.insert(all.end(), values.begin(), values.end());
        });
        return all;
      });
}

TEST_CASE("parameter_gradient: rows that find no memory are not there") {
  const parameter<double> table(1000, 3, funnel::initial_values::normal, parameter_kind::rows);
  ids many;
  for (std::uint32_t i = 0; i < 200; ++i) many.push_back(i * 7 % 1000);
  const auto make = [&] {
    parameter_gradient<double> gradient(table);
    gradient.add_rows(funnel::default_arch{}, ids{5, 7}, random_matrix<double>(2, 3, 1));
    return gradient;
  };
  const auto observe = [](const auto& gradient) { return values_of(gradient); };
  const funnel::matrix<double> values = random_matrix<double>(200, 3, 2);
  check_every_failure(
      "add_rows", make,
      [&](auto& gradient) { gradient.add_rows(funnel::default_arch{}, many, values); }, observe);
  check_every_failure(
      "row", make, [&](auto& gradient) { gradient.row(900)[0] = 1; }, observe);
}
