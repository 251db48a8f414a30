// SPDX-License-Identifier: MIT
#include <funnel/nn/training_context.hpp>
#include <funnel/optim/adagrad.hpp>
#include <funnel/optim/adam.hpp>
#include <funnel/optim/add_gradients.hpp>
#include <funnel/optim/clip_gradients.hpp>
#include <funnel/optim/optimizer.hpp>
#include <funnel/optim/sgd.hpp>

#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/matrices.hpp"
#include "support/tolerance.hpp"

#include <cmath>
#include <cstdint>
#include <limits>
#include <span>
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

using tape = funnel::training_context<double>;
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

/// One weight and one row of a table, both of one value.
template <class T>
struct one_weight {
  parameter<T> weight{1, 1};
  parameter<T> table{1, 1, funnel::initial_values::zeros, parameter_kind::rows};

  void visit_parameters(auto&& visit) {
    visit("weight", weight);
    visit("table", table);
  }
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

TEMPLATE_TEST_CASE("optimizers: a parameter that changed is refused before anything moves", "",
                   sgd<double>, adagrad<double>, adam<double>) {
  // The weight comes before the table, and the statistic after it.
  const auto change = GENERATE(0, 1, 2, 3, 4, 5);
  const bool before_first_step = GENERATE(true, false);
  auto options = TestType().options;
  if constexpr (std::is_same_v<TestType, sgd<double>>) options.momentum = 0.5;
  TestType optimizer(options);
  model m;
  tape context;
  const auto fill = [&] {
    context.clear();
    set(context.gradient(m.weight).values().row(0), {1, 1});
    set(context.gradient(m.table).row(3), {1, 1});
    context.gradient(m.mean).observe(2, doubles{5}, 0.5);
  };
  fill();
  if (!before_first_step) optimizer.step(m, context);
  const model kept = m;
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
  const model found = m;
  m.weight = kept.weight;
  m.table = kept.table;
  m.mean = kept.mean;
  twin.step(m, context);
  CHECK(same_bits(found.weight.value, m.weight.value));
  CHECK(same_bits(found.table.value, m.table.value));
  CHECK(same_bits(found.mean.value, m.mean.value));
  CHECK_FALSE(same_bits(found.weight.value, kept.weight.value));
}

TEST_CASE("add_gradients: what is added to must fit too") {
  model m;
  tape to;
  tape from;
  set(to.gradient(m.weight).values().row(0), {1, 1});
  set(to.gradient(m.table).row(3), {1, 1});
  m.table.value.assign(2, 2);
  set(from.gradient(m.weight).values().row(0), {1, 1});
  set(from.gradient(m.table).row(1), {1, 1});
  CHECK(refuses([&] { add_gradients(m, to, from, 1.); }, "funnel::add_gradients", "table"));
  CHECK(to.gradient(m.weight).values()(0, 0) == 1);
}

TEST_CASE("optimizers: a model that got another number of parameters is refused") {
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

TEMPLATE_TEST_CASE("optimizers: options are checked again in every step", "", sgd<float>,
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

TEST_CASE("optimizers: options that are something else in float") {
  CHECK(refuses([] { sgd<float>({.momentum = 1 - 1e-9}); }, "funnel::sgd", "momentum"));
  CHECK(refuses([] { adagrad<float>({.initial_accumulator = 1e60}); }, "funnel::adagrad",
                "initial_accumulator"));
  CHECK(refuses([] { adam<float>({.epsilon = 1e60}); }, "funnel::adam", "epsilon"));
  CHECK(refuses([] { adam<float>({.learning_rate = 1e38, .first_decay = 0.99}); }, "funnel::adam",
                "learning_rate / (1 - first_decay)"));
  // Too small for float: 0 / 0 would be NaN, and it counts as the smallest that is safe.
  const auto check = [](auto optimizer) {
    one_weight<float> m;
    for (const float g : {0.f, 1e-30f, 0.5f, 0.f}) {
      funnel::training_context<float> context;
      context.gradient(m.weight).values()(0, 0) = g;
      const float before = m.weight.value(0, 0);
      optimizer.step(m, context);
      CHECK(std::abs(m.weight.value(0, 0) - before) <= 0.2f);
    }
    CHECK(m.weight.value(0, 0) < -0.05f);
  };
  check(adam<float>({.learning_rate = 0.1, .epsilon = 1e-60}));
  check(adagrad<float>({.learning_rate = 0.1, .initial_accumulator = 0, .epsilon = 1e-60}));
  check(adagrad<float>({.learning_rate = 0.1, .initial_accumulator = 1e-60, .epsilon = 1e-60}));
}

TEST_CASE("adam: nothing cancels, whatever is kept of the means") {
  // Large gradients, and then small ones that a difference of means would lose.
  for (const double first : {0., 0.1, 0.5, 0.9}) {
    for (const double second : {0., 0.01, 0.3, 0.9, 0.999}) {
      one_weight<float> m;
      adam<float> optimizer({.learning_rate = 0.01, .first_decay = first, .second_decay = second});
      double mean = 0;
      double square = 0;
      int t = 0;
      for (const float g : {1.f, 1e-4f, 1e-4f, -1e-5f, 3.f, 1e-4f}) {
        const double wide = static_cast<double>(g);
        ++t;
        mean = first * mean + (1 - first) * wide;
        square = second * square + (1 - second) * wide * wide;
        const double move = -0.01 * (mean / (1 - std::pow(first, t))) /
                            (std::sqrt(square / (1 - std::pow(second, t))) + 1e-8);
        m.weight.value(0, 0) = 0;
        funnel::training_context<float> context;
        context.gradient(m.weight).values()(0, 0) = g;
        optimizer.step(m, context);
        CHECK(tolerance::within(static_cast<double>(m.weight.value(0, 0)), move,
                                tolerance::promised(1e-3, move)));
      }
    }
  }
}

TEMPLATE_TEST_CASE("optimizers: gradients at the ends of float leave weights finite", "",
                   sgd<float>, adagrad<float>, adam<float>) {
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

TEST_CASE("adagrad: the largest rate leaves rows without a gradient where they are") {
  one_weight<float> m;
  m.weight.value(0, 0) = m.table.value(0, 0) = 2;
  adagrad<float> optimizer({.learning_rate = static_cast<double>(std::numeric_limits<float>::max()),
                            .initial_accumulator = 0});
  funnel::training_context<float> context;
  context.gradient(m.weight).values()(0, 0) = 0;
  context.gradient(m.table).row(0)[0] = 0;
  optimizer.step(m, context);
  CHECK(m.weight.value(0, 0) == 2);
  CHECK(m.table.value(0, 0) == 2);
}

TEST_CASE("adagrad: sums of rows are in double") {
  const auto sum_after = [&]<class T>(T) {
    one_weight<T> w;
    adagrad<T> optimizer({.learning_rate = 1, .initial_accumulator = 1});
    for (int i = 0; i < 200000; ++i) {
      funnel::training_context<T> context;
      context.gradient(w.table).row(0)[0] = i % 2 == 0 ? T(1e-4) : T(-1e-4);
      optimizer.step(w, context);
    }
    // 1 / the root of the sum is how far a gradient of 1e-3 moves.
    w.table.value(0, 0) = 0;
    funnel::training_context<T> context;
    context.gradient(w.table).row(0)[0] = T(1e-3);
    optimizer.step(w, context);
    const double move = static_cast<double>(w.table.value(0, 0)) / 1e-3;
    return 1 / (move * move);
  };
  CHECK(tolerance::within(sum_after(float{}), 1.002001, tolerance::promised(1e-5, 1)));
  CHECK(tolerance::within(sum_after(double{}), 1.002001, tolerance::promised(1e-9, 1)));
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

TEMPLATE_TEST_CASE("optimizers: a statistic moves once, towards the mean over all rows", "",
                   sgd<double>, adagrad<double>, adam<double>) {
  model m;
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
  CHECK(m.mean.value(0, 0) == 9);  // towards (30 + 2 + 80) / 8 = 14, half of the way
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

TEMPLATE_TEST_CASE("clip_gradients: lengths at the ends of the numbers", "", float, double) {
  using real = TestType;
  const double largest = static_cast<double>(std::numeric_limits<real>::max());
  const double smallest = static_cast<double>(std::numeric_limits<real>::min());
  for (const double size :
       {largest / 8, std::sqrt(largest) * 8, 1., std::sqrt(smallest) / 64, smallest}) {
    one_weight<real> m;
    funnel::training_context<real> context;
    const auto fill = [&] {
      context.gradient(m.weight).values()(0, 0) = static_cast<real>(3 * size);
      context.gradient(m.table).row(0)[0] = static_cast<real>(4 * size);
    };
    fill();
    const double norm = clip_gradients(m, context, 2 * size);
    CHECK(tolerance::within(norm, 5 * size, tolerance::elementwise<real>(5 * size)));
    const double first = static_cast<double>(context.gradient(m.weight).values()(0, 0));
    CHECK(tolerance::within(first, 1.2 * size, tolerance::elementwise<real>(1.2 * size)));
    if (size < 1) continue;
    fill();
    clip_gradients(m, context, 1e-3);  // the factor has no exact number where size is the largest
    const double second = static_cast<double>(context.gradient(m.table).row(0)[0]);
    CHECK(tolerance::within(second, 0.8e-3, tolerance::elementwise<real>(0.8e-3)));
  }
}

TEST_CASE("clip_gradients: an infinite gradient is reported, and nothing is clipped") {
  model m;
  tape context;
  set(context.gradient(m.weight).values().row(0), {3, std::numeric_limits<double>::infinity()});
  set(context.gradient(m.table).row(2), {0, 4});
  CHECK(clip_gradients(m, context, 1) == std::numeric_limits<double>::infinity());
  CHECK(context.gradient(m.weight).values()(0, 0) == 3);
  CHECK(context.gradient(m.table).row(2)[1] == 4);
}
