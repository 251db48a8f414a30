// SPDX-License-Identifier: MIT
#include <funnel/nn/optimizer.hpp>

#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/matrices.hpp"
#include "support/tolerance.hpp"

#include <cmath>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

using funnel::adagrad;
using funnel::adam;
using funnel::matrix;
using funnel::parameter;
using funnel::parameter_kind;
using funnel::sgd;

namespace {

using tape = funnel::training<double>;
using doubles = std::vector<double>;

/// One weight [1, 2], a table [4, 2] and a statistic.
struct model {
  parameter<double> weight{1, 2};
  parameter<double> table{4, 2, funnel::initial_values::normal, parameter_kind::rows};
  parameter<double> mean{1, 1, funnel::initial_values::zeros, parameter_kind::statistic};

  model() {
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

struct one_table {
  parameter<double> table;

  one_table(std::size_t rows, std::size_t dim)
      : table(rows, dim, funnel::initial_values::normal, parameter_kind::rows) {}
  void visit_parameters(auto&& visit) { visit("table", table); }
};

void set(std::span<double> to, const doubles& values) {
  std::ranges::copy(values, to.begin());
}

/// One step whose gradient of the weight is {g, 0}; what became of its first value.
double step_weight(auto& optimizer, model& m, double g) {
  tape context;
  set(context.gradient(m.weight).values().row(0), {g, 0});
  optimizer.step(m, context);
  return m.weight.value(0, 0);
}

/// One step whose gradient reaches one row of the table.
void step_row(auto& optimizer, model& m, std::uint32_t row, const doubles& g) {
  tape context;
  set(context.gradient(m.table).row(row), g);
  optimizer.step(m, context);
}

bool near(double found, double expected) {
  return tolerance::within(found, expected, tolerance::printed(9));
}

}  // namespace

static_assert(funnel::Optimizer<sgd<double>, model, tape>);
static_assert(funnel::Optimizer<adagrad<double>, model, tape>);
static_assert(funnel::Optimizer<adam<double>, model, tape>);
static_assert(!funnel::Optimizer<model, model, tape>);

TEST_CASE("sgd: two steps by hand") {
  model m;
  sgd<double> plain({.learning_rate = 0.1});
  CHECK(near(step_weight(plain, m, 0.5), 0.95));
  CHECK(near(step_weight(plain, m, -0.25), 0.975));
  CHECK(m.weight.value(0, 1) == -2);  // a gradient of 0 moves nothing

  model with_momentum;
  sgd<double> momentum({.learning_rate = 0.1, .momentum = 0.9});
  CHECK(near(step_weight(momentum, with_momentum, 0.5), 0.95));   // v = 0.5
  CHECK(near(step_weight(momentum, with_momentum, 0.5), 0.855));  // v = 0.95
  CHECK(near(step_weight(momentum, with_momentum, 0), 0.7695));   // v = 0.855

  model decayed;
  sgd<double> decay({.learning_rate = 0.1, .weight_decay = 0.5});
  CHECK(near(step_weight(decay, decayed, 0.5), 0.9));  // 1 - 0.1 (0.5 + 0.5)
  CHECK(near(decayed.weight.value(0, 1), -1.9));
}

TEST_CASE("adagrad: two steps by hand, tables with one sum a row") {
  model m;
  adagrad<double> optimizer;
  CHECK(near(step_weight(optimizer, m, 0.5), 0.957742287));
  CHECK(near(step_weight(optimizer, m, -0.25), 0.977204761));
  CHECK(m.weight.value(0, 1) == -2);

  model rows;
  adagrad<double> by_row;
  step_row(by_row, rows, 1, {0.3, -0.4});  // sum 0.1 + (0.09 + 0.16) / 2 = 0.225
  CHECK(near(rows.table.value(1, 0), 3 - 0.031622777));
  CHECK(near(rows.table.value(1, 1), 4 + 0.042163702));
  step_row(by_row, rows, 1, {0.6, 0});  // sum 0.405
  CHECK(near(rows.table.value(1, 0), 3 - 0.031622777 - 0.047140452));
  CHECK(near(rows.table.value(1, 1), 4 + 0.042163702));
}

TEST_CASE("adam: two steps by hand") {
  model m;
  adam<double> optimizer({.learning_rate = 0.1});
  CHECK(near(step_weight(optimizer, m, 0.5), 0.900000002));
  CHECK(near(step_weight(optimizer, m, -0.25), 0.873366299));
  CHECK(m.weight.value(0, 1) == -2);

  model decayed;
  adam<double> decay({.learning_rate = 0.1, .weight_decay = 0.5});
  CHECK(near(step_weight(decay, decayed, 0.5), 0.850000002));
  CHECK(near(step_weight(decay, decayed, -0.25), 0.780866299));

  model rows;
  adam<double> by_row({.learning_rate = 0.1});
  step_row(by_row, rows, 2, {0.5, 0});
  CHECK(near(rows.table.value(2, 0), 4.900000002));
  step_row(by_row, rows, 2, {-0.25, 0});
  CHECK(near(rows.table.value(2, 0), 4.873366299));
}

TEMPLATE_TEST_CASE("optimizers: only the rows that were touched move, each by its own count", "",
                   sgd<double>, adagrad<double>, adam<double>) {
  auto options = TestType().options;
  options.learning_rate = 0.1;
  options.weight_decay = 0.25;
  if constexpr (std::is_same_v<TestType, sgd<double>>) options.momentum = 0.5;
  model m;
  m.table.value = random_matrix<double>(4, 2, 1);
  set(m.table.value.row(3), {m.table.value(1, 0), m.table.value(1, 1)});
  const model before = m;
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

TEMPLATE_TEST_CASE("optimizers: rows that step together move as each alone, whatever its count", "",
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

TEMPLATE_TEST_CASE("optimizers: statistics take their gradient as it is", "", sgd<double>,
                   adagrad<double>, adam<double>) {
  auto options = TestType().options;
  options.learning_rate = 1e-3;
  options.weight_decay = 0.5;
  model m;
  m.mean.value(0, 0) = 4;
  TestType optimizer(options);
  tape context;
  context.gradient(m.mean).values()(0, 0) = 0.5;
  optimizer.step(m, context);
  CHECK(m.mean.value(0, 0) == 3.5);
}

TEMPLATE_TEST_CASE("optimizers: find the bottom of a bowl", "", sgd<double>, adagrad<double>,
                   adam<double>) {
  auto options = TestType().options;
  options.learning_rate = std::is_same_v<TestType, adagrad<double>> ? 0.5 : 0.05;
  TestType optimizer(options);
  model m;
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

TEST_CASE("optimizers: a schedule may change the rate between steps") {
  model m;
  sgd<double> optimizer({.learning_rate = 0.1});
  CHECK(near(step_weight(optimizer, m, 1), 0.9));
  optimizer.options.learning_rate = 0.5;
  CHECK(near(step_weight(optimizer, m, 1), 0.4));
}

TEST_CASE("optimizers: a table that grew is refused") {
  model m;
  sgd<double> optimizer;
  step_row(optimizer, m, 1, {1, 1});
  m.table.value.assign(6, 2);
  CHECK(refuses([&] { step_row(optimizer, m, 5, {1, 1}); }, "funnel::optimizer", "table"));
}

TEST_CASE("optimizers: a dense parameter that changed its shape is refused too, by its name") {
  model m;
  adam<double> optimizer;
  step_weight(optimizer, m, 1);
  m.weight.value.assign(2, 1);
  const auto step = [&] {
    tape context;
    optimizer.step(m, context);
  };
  CHECK(refuses(step, "funnel::optimizer", "parameter weight changed its shape"));
}

TEST_CASE("optimizers: options outside their ranges are refused") {
  const double nan_rate = std::numeric_limits<double>::quiet_NaN();
  CHECK(refuses([] { sgd<float>({.learning_rate = 0}); }, "funnel::sgd", "learning_rate is 0"));
  CHECK(refuses([&] { sgd<float>({.learning_rate = nan_rate}); }, "funnel::sgd", "learning_rate"));
  CHECK(refuses([] { sgd<float>({.momentum = 1}); }, "funnel::sgd", "momentum is 1"));
  CHECK(refuses([] { sgd<float>({.weight_decay = -1}); }, "funnel::sgd", "weight_decay"));
  CHECK(refuses([] { adagrad<float>({.initial_accumulator = -1}); }, "funnel::adagrad",
                "initial_accumulator"));
  CHECK(refuses([] { adagrad<float>({.epsilon = 0}); }, "funnel::adagrad", "epsilon"));
  CHECK(refuses([] { adam<float>({.first_decay = 1}); }, "funnel::adam", "first_decay"));
  CHECK(refuses([] { adam<float>({.second_decay = -0.1}); }, "funnel::adam", "second_decay"));
  CHECK(refuses([] { adam<float>({.epsilon = 0}); }, "funnel::adam", "epsilon"));
}

TEST_CASE("clip_gradients: shortens all together, and says how long they were") {
  model m;
  const auto fill = [&](tape& context) {
    set(context.gradient(m.weight).values().row(0), {3, 0});
    set(context.gradient(m.table).row(2), {0, 4});
    context.gradient(m.mean).values()(0, 0) = 100;  // not learned, not counted
  };
  tape context;
  fill(context);
  CHECK(near(clip_gradients(m, context, 1), 5));
  CHECK(near(context.gradient(m.weight).values()(0, 0), 0.6));
  CHECK(near(context.gradient(m.table).row(2)[1], 0.8));
  CHECK(context.gradient(m.mean).values()(0, 0) == 100);
  CHECK(near(clip_gradients(m, context, 1), 1));

  tape longer;
  fill(longer);
  CHECK(near(clip_gradients(m, longer, 10), 5));
  CHECK(longer.gradient(m.weight).values()(0, 0) == 3);

  tape bad;
  fill(bad);
  bad.gradient(m.table).row(0)[0] = std::numeric_limits<double>::quiet_NaN();
  CHECK(std::isnan(clip_gradients(m, bad, 1)));
  CHECK(bad.gradient(m.weight).values()(0, 0) == 3);

  tape empty;
  CHECK(clip_gradients(m, empty, 1) == 0);
  CHECK(refuses([&] { clip_gradients(m, empty, 0); }, "funnel::clip_gradients", "largest_norm"));
}

TEST_CASE("add_gradients: weighted sums of dense values, rows and statistics") {
  model m;
  tape a;
  tape b;
  set(a.gradient(m.weight).values().row(0), {1, 2});
  set(b.gradient(m.weight).values().row(0), {10, 20});
  set(a.gradient(m.table).row(0), {1, 1});
  set(b.gradient(m.table).row(3), {4, 8});
  set(b.gradient(m.table).row(0), {2, 2});
  b.gradient(m.mean).values()(0, 0) = 6;
  add_gradients(m, a, b, 0.5);
  CHECK(a.gradient(m.weight).values()(0, 1) == 12);
  CHECK(a.gradient(m.table).row(0)[0] == 2);
  CHECK(a.gradient(m.table).row(3)[1] == 4);
  CHECK(a.gradient(m.table).touched().size() == 2);
  CHECK(a.gradient(m.mean).values()(0, 0) == 3);
  CHECK(b.gradient(m.weight).values()(0, 1) == 20);
}
