// SPDX-License-Identifier: MIT
#include <funnel/core/random.hpp>
#include <funnel/nn/training_context.hpp>
#include <funnel/optim/adagrad.hpp>
#include <funnel/optim/adam.hpp>
#include <funnel/optim/add_gradients.hpp>
#include <funnel/optim/clip_gradients.hpp>
#include <funnel/optim/optimizer.hpp>
#include <funnel/optim/sgd.hpp>

#include "optim/small_models.hpp"
#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/matrices.hpp"
#include "support/saved_state.hpp"
#include "support/tolerance.hpp"

#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <type_traits>
#include <vector>

using funnel::adagrad;
using funnel::adam;
using funnel::matrix;
using funnel::parameter;
using funnel::parameter_kind;
using funnel::sgd;

namespace {

struct many_weights {
  std::vector<parameter<double>> weights{2, parameter<double>(1, 2)};

  void visit_parameters(auto&& visit) { visit("weights", weights); }
};

struct one_table {
  parameter<double> table;

  one_table(std::size_t rows, std::size_t dim)
      : table(rows, dim, funnel::initial_values::normal, parameter_kind::rows) {}
  void visit_parameters(auto&& visit) { visit("table", table); }
};

}  // namespace

static_assert(funnel::Optimizer<sgd<double>, small_model, tape>);
static_assert(funnel::Optimizer<adagrad<double>, small_model, tape>);
static_assert(funnel::Optimizer<adam<double>, small_model, tape>);
static_assert(!funnel::Optimizer<small_model, small_model, tape>);

TEMPLATE_TEST_CASE("optimizer: only the rows that were touched move, each by its own count", "",
                   sgd<double>, adagrad<double>, adam<double>) {
  auto options = TestType().options;
  options.learning_rate = 0.1;
  options.weight_decay = 0.25;
  if constexpr (std::is_same_v<TestType, sgd<double>>) options.momentum = 0.5;
  small_model m;
  m.table.value = random_matrix<double>(4, 2, 1);
  set(m.table.value.row(3), {m.table.value(1, 0), m.table.value(1, 1)});
  const small_model before = m;
  TestType optimizer(options);
  step_row(optimizer, m, 1, {0.5, -1});
  for (int i = 0; i < 5; ++i) step_row(optimizer, m, 0, {0.3, 0.2});
  for (const std::uint32_t row : {2u, 3u})
    CHECK(same_bits(m.table.value.row(row).data(), before.table.value.row(row).data(), 2));
  CHECK(same_bits(m.weight.value, before.weight.value));  // no gradient, no decay

  // Row 3 was where row 1 was: its first step, however late, is the same.
  step_row(optimizer, m, 3, {0.5, -1});
  CHECK(same_bits(m.table.value.row(3).data(), m.table.value.row(1).data(), 2));
  // And so is its second.
  step_row(optimizer, m, 1, {0.1, 0.1});
  step_row(optimizer, m, 0, {0.3, 0.2});
  step_row(optimizer, m, 3, {0.1, 0.1});
  CHECK(same_bits(m.table.value.row(3).data(), m.table.value.row(1).data(), 2));
}

TEMPLATE_TEST_CASE("optimizer: rows that step together move as each alone, whatever its count", "",
                   sgd<double>, adagrad<double>, adam<double>) {
  constexpr std::size_t rows = 200;
  constexpr std::size_t dim = 5;
  auto options = TestType().options;
  options.weight_decay = 0.25;
  if constexpr (std::is_same_v<TestType, sgd<double>>) options.momentum = 0.5;
  one_table together(rows, dim);
  together.table.value = random_matrix<double>(rows, dim, 1);
  TestType optimizer(options);
  std::vector<one_table> alone(rows, one_table(1, dim));
  std::vector<TestType> optimizers(rows, TestType(options));
  for (std::size_t i = 0; i < rows; ++i)
    alone[i].table.value = matrix<double>(together.table.value.view().middle_rows(i, 1));

  funnel::random_generator bits(1);
  tape context;
  tape context_alone;
  for (std::size_t step = 0; step < 150; ++step) {
    for (std::uint32_t i = 0; i < rows; ++i) {
      // The first ten rows come every time, the next every second time, ...: counts up to 150.
      const std::uint32_t row = static_cast<std::uint32_t>((i * 7 + step) % rows);
      if (step % (row / 10 + 1) != 0) continue;
      doubles g(dim);
      for (double& x : g) x = funnel::uniform01(bits) - 0.5;
      set(context.gradient(together.table).row(row), g);
      set(context_alone.gradient(alone[row].table).row(0), g);
      optimizers[row].step(alone[row], context_alone);
      context_alone.clear();
    }
    optimizer.step(together, context);
    context.clear();
  }
  std::size_t wrong = 0;
  for (std::size_t i = 0; i < rows; ++i) {
    const double* expected = alone[i].table.value.data();
    wrong += same_bits(together.table.value.row(i).data(), expected, dim) ? 0 : 1;
  }
  CHECK(wrong == 0);
}

TEMPLATE_TEST_CASE("optimizer: statistics take their gradient as it is", "", sgd<double>,
                   adagrad<double>, adam<double>) {
  auto options = TestType().options;
  options.learning_rate = 1e-3;
  options.weight_decay = 0.5;
  small_model m;
  m.mean.value(0, 0) = 4;
  TestType optimizer(options);
  tape context;
  context.gradient(m.mean).values()(0, 0) = 0.5;
  optimizer.step(m, context);
  CHECK(m.mean.value(0, 0) == 3.5);
}

TEMPLATE_TEST_CASE("optimizer: find the bottom of a bowl", "", sgd<double>, adagrad<double>,
                   adam<double>) {
  auto options = TestType().options;
  options.learning_rate = std::is_same_v<TestType, adagrad<double>> ? 0.5 : 0.05;
  TestType optimizer(options);
  small_model m;
  for (int step = 0; step < 500; ++step) {
    tape context;
    // Half of (w0 - 3)^2 + (w1 - 5)^2.
    set(context.gradient(m.weight).values().row(0),
        {m.weight.value(0, 0) - 3, m.weight.value(0, 1) - 5});
    optimizer.step(m, context);
  }
  CHECK(tolerance::within(m.weight.value(0, 0), 3, tolerance::promised(0.01, 3)));
  CHECK(tolerance::within(m.weight.value(0, 1), 5, tolerance::promised(0.01, 5)));
}

TEST_CASE("optimizer: a schedule may change the rate between steps") {
  small_model m;
  sgd<double> optimizer({.learning_rate = 0.1});
  CHECK(near(step_weight(optimizer, m, 1), 0.9));
  optimizer.options.learning_rate = 0.5;
  CHECK(near(step_weight(optimizer, m, 1), 0.4));
}

TEMPLATE_TEST_CASE("optimizer: a parameter that changed is refused before anything moves", "",
                   sgd<double>, adagrad<double>, adam<double>) {
  // The weight comes before the table, and the statistic after it.
  const auto change = GENERATE(0, 1, 2, 3, 4, 5);
  const bool before_first_step = GENERATE(true, false);
  auto options = TestType().options;
  if constexpr (std::is_same_v<TestType, sgd<double>>) options.momentum = 0.5;
  TestType optimizer(options);
  small_model m;
  tape context;
  const auto fill = [&] {
    context.clear();
    set(context.gradient(m.weight).values().row(0), {1, 1});
    set(context.gradient(m.table).row(3), {1, 1});
    context.gradient(m.mean).observe(2, doubles{5}, 0.5);
  };
  fill();
  if (!before_first_step) optimizer.step(m, context);
  const small_model kept = m;
  TestType twin = optimizer;
  if (change == 0) m.table.value.assign(2, 2);  // smaller: row 3 would be written past the end
  if (change == 1) m.table.value.assign(6, 2);
  if (change == 2) m.table.kind = parameter_kind::dense;
  if (change == 3) m.mean.value.assign(1, 3);
  if (change == 4) m.mean.kind = parameter_kind::dense;
  if (change == 5) m.table.value.assign(2, 4);
  const std::string name = change == 3 || change == 4 ? "parameter mean" : "parameter table";
  CHECK(refuses([&] { optimizer.step(m, context); }, "funnel::optimizer", name));
  CHECK(refuses([&] { clip_gradients(m, context, 1e-3); }, "funnel::clip_gradients", name));
  tape other;
  CHECK(refuses([&] { add_gradients(m, other, context, 1.); }, "funnel::add_gradients", name));
  CHECK(other.find_gradient(m.weight) == nullptr);
  CHECK(context.gradient(m.weight).values()(0, 0) == 1);
  CHECK(same_bits(m.weight.value, kept.weight.value));

  // What failed has left no trace: the next step is that of an optimizer that never saw it.
  m.table = kept.table;
  m.mean = kept.mean;
  optimizer.step(m, context);
  const small_model found = m;
  m.weight = kept.weight;
  m.table = kept.table;
  m.mean = kept.mean;
  twin.step(m, context);
  CHECK(same_bits(found.weight.value, m.weight.value));
  CHECK(same_bits(found.table.value, m.table.value));
  CHECK(same_bits(found.mean.value, m.mean.value));
  CHECK_FALSE(same_bits(found.weight.value, kept.weight.value));
}

TEST_CASE("optimizer: a model that got another number of parameters is refused") {
  many_weights m;
  m.weights.reserve(3);  // the parameters stay where they are
  adam<double> optimizer;
  const auto step = [&] {
    tape context;
    for (auto& w : m.weights) set(context.gradient(w).values().row(0), {1, 1});
    optimizer.step(m, context);
  };
  step();
  const double before = m.weights[0].value(0, 0);
  m.weights.emplace_back(1, 2);
  CHECK(refuses(step, "funnel::optimizer", "3 parameters, expected 2"));
  m.weights.resize(1);
  CHECK(refuses(step, "funnel::optimizer", "1 parameters, expected 2"));
  CHECK(m.weights[0].value(0, 0) == before);
}

TEMPLATE_TEST_CASE("optimizer: options are checked again in every step", "", sgd<float>,
                   adagrad<float>, adam<float>) {
  one_weight<float> m;
  m.weight.value(0, 0) = 1;
  funnel::training_context<float> context;
  context.gradient(m.weight).values()(0, 0) = 1;
  for (const double rate : {-1., std::nan(""), 1e60, std::numeric_limits<double>::infinity()}) {
    TestType optimizer;
    optimizer.options.learning_rate = rate;
    CHECK(refuses([&] { optimizer.step(m, context); }, "funnel::", "learning_rate is"));
    TestType decay;
    decay.options.weight_decay = rate;
    CHECK(refuses([&] { decay.step(m, context); }, "funnel::", "weight_decay is"));
  }
  TestType both;
  both.options.learning_rate = both.options.weight_decay = 1e30;
  CHECK(refuses([&] { both.step(m, context); }, "funnel::", "learning_rate * weight_decay is"));
  CHECK(m.weight.value(0, 0) == 1);
  TestType none;
  none.options.learning_rate = 0;  // the end of a schedule
  none.step(m, context);
  CHECK(m.weight.value(0, 0) == 1);
}

TEMPLATE_TEST_CASE("optimizer: gradients at the ends of float leave weights finite", "", sgd<float>,
                   adagrad<float>, adam<float>) {
  auto options = TestType().options;
  options.learning_rate = 1e-3;
  options.weight_decay = 1e-3;
  if constexpr (std::is_same_v<TestType, sgd<float>>) options.momentum = 0.9;
  const float largest = std::numeric_limits<float>::max();
  for (const float g : {2e19f, -2e19f, 1e30f, largest, -largest, 1e-30f, 1e-45f}) {
    TestType optimizer(options);
    one_weight<float> m;
    for (int step = 0; step < 200; ++step) {
      funnel::training_context<float> context;
      context.gradient(m.weight).values()(0, 0) = step < 20 ? g : 0.1f;
      context.gradient(m.table).row(0)[0] = step < 20 ? g : 0.1f;
      optimizer.step(m, context);
      if (step == 0 && std::abs(g) > 1 && !std::is_same_v<TestType, sgd<float>>) {
        // One step of about the rate, as for every gradient that is alone.
        for (const float value : {m.weight.value(0, 0), m.table.value(0, 0)}) {
          CHECK(tolerance::within(static_cast<double>(value), g > 0 ? -1e-3 : 1e-3,
                                  tolerance::promised(1e-3, 1e-3)));
        }
      }
      REQUIRE(std::isfinite(m.weight.value(0, 0)));
      REQUIRE(std::isfinite(m.table.value(0, 0)));
    }
  }
}

TEMPLATE_TEST_CASE("optimizer: a statistic moves once, toward the mean over all rows", "",
                   sgd<double>, adagrad<double>, adam<double>) {
  small_model m;
  m.mean.value(0, 0) = 4;
  TestType optimizer;
  tape a;
  tape b;
  a.gradient(m.mean).observe(3, doubles{10}, 0.5);
  a.next_micro_batch();
  a.gradient(m.mean).observe(1, doubles{2}, 0.5);
  b.gradient(m.mean).observe(4, doubles{20}, 0.5);
  add_gradients(m, a, b, 0.125);  // the factor is for gradients
  optimizer.step(m, a);
  CHECK(m.mean.value(0, 0) == 9);  // toward (30 + 2 + 80) / 8 = 14, half of the way
  a.clear();
  optimizer.step(m, a);
  CHECK(m.mean.value(0, 0) == 9);
  CHECK(refuses(
      [&] {
        a.gradient(m.mean).observe(1, doubles{1, 2}, 0.5);
      },
      "funnel::parameter_gradient::observe", "2 values"));
  CHECK(refuses(
      [&] {
        a.gradient(m.weight).observe(1, doubles{1, 2}, 0.5);
      },
      "funnel::parameter_gradient::observe", "running statistic"));
}

namespace {

/// A step whose gradients differ from step to step; every third leaves the table out.
void train(auto& optimizer, small_model& m, unsigned step) {
  tape context;
  const matrix<double> g = random_matrix<double>(3, 2, step);
  set(context.gradient(m.weight).values().row(0), {g(0, 0), g(0, 1)});
  if (step % 3 != 0) set(context.gradient(m.table).row(step % 4), {g(1, 0), g(1, 1)});
  context.gradient(m.mean).observe(2, doubles{g(2, 0)}, 0.5);
  optimizer.step(m, context);
}

bool same(const small_model& a, const small_model& b) {
  return same_bits(a.weight.value, b.weight.value) && same_bits(a.table.value, b.table.value) &&
         same_bits(a.mean.value, b.mean.value);
}

}  // namespace

TEMPLATE_TEST_CASE("optimizer: loaded, it goes on as the one that was saved", "", sgd<double>,
                   adagrad<double>, adam<double>) {
  static_assert(funnel::HasState<TestType>);
  auto options = TestType().options;
  if constexpr (std::is_same_v<TestType, sgd<double>>) options.momentum = 0.5;
  for (const unsigned saved_after : {0u, 1u, 7u}) {
    small_model m;
    TestType optimizer(options);
    for (unsigned step = 0; step < saved_after; ++step) train(optimizer, m, step);
    const saved_state file(optimizer);
    small_model continued = m;
    TestType loaded(options);
    // What it was before does not matter.
    for (unsigned step = 0; step < 3; ++step) {
      small_model other;
      train(loaded, other, step);
    }
    file.load(loaded);
    CHECK(saved_state(loaded) == file);
    for (unsigned step = saved_after; step < 12; ++step) {
      train(optimizer, m, step);
      train(loaded, continued, step);
    }
    CHECK(same(m, continued));
    if (saved_after == 0) continue;
    // The state matters: without it the steps are others.
    small_model anew = m;
    TestType fresh(options);
    train(fresh, anew, 20);
    train(optimizer, m, 20);
    CHECK_FALSE(same(m, anew));
  }
}

TEMPLATE_TEST_CASE("optimizer: a state that is not of the model is refused by its path", "",
                   sgd<double>, adagrad<double>, adam<double>) {
  auto options = TestType().options;
  if constexpr (std::is_same_v<TestType, sgd<double>>) options.momentum = 0.5;
  small_model m;
  TestType optimizer(options);
  for (unsigned step = 0; step < 3; ++step) train(optimizer, m, step);
  const saved_state file(optimizer);
  const small_model kept = m;
  const auto check_refused = [&](auto change, const std::string& words) {
    saved_state changed = file;
    change(changed.fields);
    TestType loaded(options);
    changed.load(loaded);
    CHECK(refuses([&] { train(loaded, m, 4); }, "funnel::optimizer", words));
    CHECK(same(m, kept));
  };
  const std::string table = std::is_same_v<TestType, adagrad<double>> ? "row_sums" : "first";
  const std::string weight = std::is_same_v<TestType, adagrad<double>> ? "second" : "first";
  check_refused([&](auto& fields) { fields.at("parameters.1." + table).resize(8); },
                "the state of parameter table has arrays");
  check_refused([&](auto& fields) { fields.at("parameters.0." + weight).resize(24); },
                "the state of parameter weight has arrays");
  check_refused([&](auto& fields) { fields.at("parameters.1.steps").resize(4 * 5); },
                "the state of parameter table has arrays");
  check_refused([&](auto& fields) { fields.at("parameters.2.rows")[0] = std::byte{2}; },
                "parameter mean is [1, 1]");
  check_refused([&](auto& fields) { fields.at("parameters.1.kind")[0] = std::byte{77}; },
                "parameter table is [4, 2] of kind 1, expected [4, 2] of kind 77");
  const std::string name = std::is_same_v<TestType, adam<double>>      ? "adam"
                           : std::is_same_v<TestType, adagrad<double>> ? "adagrad"
                                                                       : "sgd";
  check_refused([&](auto& fields) { fields.at(name)[0] = std::byte{2}; },
                "the model has 3 parameters, expected 2");
  // That of another optimizer has another name.
  std::conditional_t<std::is_same_v<TestType, sgd<double>>, adam<double>, sgd<double>> other;
  CHECK_THROWS_AS(file.load(other), std::out_of_range);
}
