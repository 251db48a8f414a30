// SPDX-License-Identifier: MIT
#include <funnel/nn/inference_context.hpp>
#include <funnel/nn/normalization.hpp>
#include <funnel/nn/training_context.hpp>
#include <funnel/optim/adam.hpp>
#include <funnel/optim/add_gradients.hpp>
#include <funnel/optim/sgd.hpp>

#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/gradients.hpp"
#include "support/matrices.hpp"
#include "support/tolerance.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numeric>

using funnel::batch_norm;
using funnel::layer_norm;
using funnel::matrix;

namespace {

/// (x - mean) / sqrt(variance + epsilon), values one after another.
std::vector<double> standardized(const std::vector<double>& x, double epsilon) {
  const auto n = static_cast<double>(x.size());
  const double mean = std::accumulate(x.begin(), x.end(), 0.) / n;
  double variance = 0;
  for (const double value : x) variance += (value - mean) * (value - mean) / n;
  std::vector<double> y;
  for (const double value : x) y.push_back((value - mean) / std::sqrt(variance + epsilon));
  return y;
}

std::vector<double> column(const matrix<float>& x, std::size_t j) {
  std::vector<double> values;
  for (std::size_t i = 0; i < x.rows(); ++i) values.push_back(static_cast<double>(x(i, j)));
  return values;
}

}  // namespace

TEST_CASE("layer_norm: worked by hand") {
  layer_norm<double> layer(4);
  layer.epsilon = 0;
  matrix<double> x(1, 4);
  for (std::size_t j = 0; j < 4; ++j) x(0, j) = static_cast<double>(j + 1);
  layer.scale.value(0, 3) = 2;
  layer.shift.value(0, 0) = 5;
  funnel::inference_context<double> context;
  const auto y = layer(context, x.view());
  // Mean 2.5, variance 1.25: (1 - 2.5) / sqrt(1.25) = -1.341640786.
  const double expected[] = {5 - 1.341640786, -0.447213595, 0.447213595, 2 * 1.341640786};
  for (std::size_t j = 0; j < 4; ++j)
    CHECK(tolerance::within(y(0, j), expected[j], 2 * tolerance::printed(9)));
}

TEST_CASE("layer_norm: rows against the definition, each alone") {
  for (const std::size_t d : size_list{1, 3, 64}) {
    layer_norm<float> layer(d);
    layer.scale.value = random_matrix<float>(1, d, 1);
    layer.shift.value = random_matrix<float>(1, d, 2);
    // The mean is 100 times the deviation.
    const matrix<float> x = random_matrix<float>(9, d, 3, 99, 101);
    funnel::inference_context<float> context;
    const auto y = layer(context, x.view());
    for (std::size_t i = 0; i < 9; ++i) {
      const std::vector<double> unit =
          standardized({x.row(i).begin(), x.row(i).end()}, static_cast<double>(layer.epsilon));
      for (std::size_t j = 0; j < d; ++j) {
        const auto scale = static_cast<double>(layer.scale.value(0, j));
        const double expected = scale * unit[j] + static_cast<double>(layer.shift.value(0, j));
        CHECK(tolerance::within(static_cast<double>(y(i, j)), expected,
                                tolerance::iterative<float>(1, 2 + std::abs(scale))));
      }
      CHECK(same_bits(layer(context, x.view().middle_rows(i, 1)), y.middle_rows(i, 1)));
    }
  }
}

TEST_CASE("layer_norm: equal values give the shift; a NaN its row") {
  layer_norm<double> layer(3);
  layer.shift.value(0, 1) = 7;
  matrix<double> x(2, 3, 4);
  x(1, 0) = std::nan("");
  funnel::inference_context<double> context;
  const auto y = layer(context, x.view());
  CHECK(y(0, 0) == 0);
  CHECK(y(0, 1) == 7);
  for (std::size_t j = 0; j < 3; ++j) CHECK(std::isnan(y(1, j)));
}

TEMPLATE_TEST_CASE("layer_norm: far from 0 nothing is lost; equal values give the shift", "", float,
                   double) {
  using real = TestType;
  const double far = 1 / static_cast<double>(std::numeric_limits<real>::epsilon());
  layer_norm<real> pair(2);
  funnel::inference_context<real> context;
  for (const double scale : {1., 2., -4., 1024.}) {
    matrix<real> x(1, 2);
    x(0, 0) = static_cast<real>(2 * far * scale);
    x(0, 1) = static_cast<real>((2 * far + 2) * scale);  // one unit in the last place more
    const auto y = pair(context, x.view());
    const double expected = std::abs(scale) / std::sqrt(scale * scale + 1e-5);
    for (const std::size_t j : size_list{0, 1}) {
      const double sign = (j == 0) == (scale > 0) ? -1 : 1;
      CHECK(tolerance::within(static_cast<double>(y(0, j)), sign * expected,
                              tolerance::elementwise<real>(1)));
    }
  }
  const real largest = std::numeric_limits<real>::max();
  const real smallest = std::numeric_limits<real>::denorm_min();
  for (const std::size_t d : size_list{1, 2, 3, 7, 100}) {
    layer_norm<real> layer(d);
    layer.shift.value = random_matrix<real>(1, d, 1);
    for (const real epsilon : {real(1e-5), real(0)}) {
      layer.epsilon = epsilon;
      for (const real value : {real(0.1), real(-1e-3), real(1e8), largest, -largest, smallest}) {
        const matrix<real> x(1, d, value);
        CHECK(same_bits(layer(context, x.view()), layer.shift.value));
      }
    }
  }
}

TEMPLATE_TEST_CASE("layer_norm: values at the ends of the numbers", "", float, double) {
  using real = TestType;
  layer_norm<real> layer(4);
  funnel::inference_context<real> context;
  const real largest = std::numeric_limits<real>::max();
  matrix<real> x(1, 4);
  for (const real size : {largest, largest / 4, std::sqrt(largest) * 4, real(100)}) {
    for (std::size_t j = 0; j < 4; ++j) x(0, j) = j % 2 == 0 ? size : -size;
    const auto y = layer(context, x.view());
    for (std::size_t j = 0; j < 4; ++j) {
      CHECK(tolerance::within(static_cast<double>(y(0, j)), j % 2 == 0 ? 1 : -1,
                              tolerance::promised(1e-6, 1)));
    }
  }
  x(0, 2) = std::numeric_limits<real>::infinity();
  for (std::size_t j = 0; j < 4; ++j) CHECK(std::isnan(layer(context, x.view())(0, j)));
  CHECK(layer_norm<real>(0)(context, matrix<real>(3, 0).view()).rows() == 3);
  layer.epsilon = real(-1);
  CHECK(refuses([&] { layer(context, x.view()); }, "funnel::layer_norm", "epsilon is -1"));
  layer.epsilon = real(1);
  layer.shift.value.assign(1, 2);
  CHECK(refuses([&] { layer(context, x.view()); }, "funnel::layer_norm: shift", "[1, 4]"));
}

TEST_CASE("layer_norm: gradients, and other numbers of columns refused") {
  check_layer(layer_norm<double>(5), {{4, 5}},
              [](auto& context, const layer_norm<double>& layer, const double_values& x) {
                return layer(context, x[0]);
              });
  funnel::inference_context<double> context;
  const matrix<double> x(2, 4);
  CHECK(refuses([&] { layer_norm<double>(5)(context, x.view()); }, "funnel::layer_norm",
                "4 columns, expected 5"));
}

TEST_CASE("batch_norm: in training over the batch, while serving over the running statistics") {
  batch_norm<float> layer(3);
  layer.scale.value = random_matrix<float>(1, 3, 1);
  layer.shift.value = random_matrix<float>(1, 3, 2);
  layer.running_mean.value = random_matrix<float>(1, 3, 3);
  layer.running_variance.value = random_matrix<float>(1, 3, 4, 0.5, 2);
  const matrix<float> x = random_matrix<float>(8, 3, 5, -2, 3);

  funnel::training_context<float> tape;
  const auto trained = layer(tape, tape.input(x));
  funnel::inference_context<float> serving;
  const auto served = layer(serving, x.view());
  for (std::size_t j = 0; j < 3; ++j) {
    const std::vector<double> unit = standardized(column(x, j), static_cast<double>(layer.epsilon));
    const auto scale = static_cast<double>(layer.scale.value(0, j));
    const auto shift = static_cast<double>(layer.shift.value(0, j));
    for (std::size_t i = 0; i < 8; ++i) {
      CHECK(tolerance::within(static_cast<double>(trained.values(i, j)), scale * unit[i] + shift,
                              tolerance::iterative<float>(1, 4)));
      const double distance =
          static_cast<double>(x(i, j)) - static_cast<double>(layer.running_mean.value(0, j));
      const double deviation = std::sqrt(static_cast<double>(layer.running_variance.value(0, j)) +
                                         static_cast<double>(layer.epsilon));
      CHECK(tolerance::within(static_cast<double>(served(i, j)),
                              scale * distance / deviation + shift,
                              tolerance::iterative<float>(1, 6)));
    }
  }
  for (std::size_t i = 0; i < 8; ++i) {
    CHECK(same_bits(layer(serving, x.view().middle_rows(i, 1)), served.middle_rows(i, 1)));
  }
}

TEST_CASE("batch_norm: an optimizer's step moves the running statistics by the momentum") {
  batch_norm<double> layer(1);
  layer.momentum = 0.25;
  matrix<double> x(2, 1);
  x(0, 0) = 1;
  x(1, 0) = 5;  // mean 3, variance 4
  funnel::sgd<double> optimizer({.learning_rate = 1e-3, .weight_decay = 0.5});
  double mean = 0;
  double variance = 1;
  for (int step = 0; step < 3; ++step) {
    double_training context;
    layer(context, context.input(x));
    CHECK(layer.running_mean.value(0, 0) == mean);  // not before the step
    optimizer.step(layer, context);
    mean += 0.25 * (3 - mean);
    variance += 0.25 * (4 - variance);
    CHECK(tolerance::within(layer.running_mean.value(0, 0), mean,
                            tolerance::elementwise<double>(mean)));
    CHECK(tolerance::within(layer.running_variance.value(0, 0), variance,
                            tolerance::elementwise<double>(variance)));
  }
  CHECK(funnel::count_parameters(layer) == 2);
}

TEST_CASE("batch_norm: one row, and equal rows, are their own mean") {
  batch_norm<double> layer(2);
  layer.shift.value(0, 1) = 3;
  const matrix<double> x(1, 2, 8);
  double_training context;
  const auto y = layer(context, context.input(x));
  CHECK(y.values(0, 0) == 0);
  CHECK(y.values(0, 1) == 3);
}

TEMPLATE_TEST_CASE("batch_norm: far from 0 nothing is lost", "", float, double) {
  using real = TestType;
  const double far = 2 / static_cast<double>(std::numeric_limits<real>::epsilon());
  batch_norm<real> layer(1);
  matrix<real> x(2, 1);
  x(0, 0) = static_cast<real>(far);
  x(1, 0) = static_cast<real>(far + 2);
  funnel::training_context<real> tape;
  const auto y = layer(tape, tape.input(x));
  for (const std::size_t i : size_list{0, 1}) {
    CHECK(tolerance::within(static_cast<double>(y.values(i, 0)),
                            (i == 0 ? -1 : 1) / std::sqrt(1 + 1e-5),
                            tolerance::elementwise<real>(1)));
  }
  // Served by what was learned of the same rows.
  layer.momentum = 1;
  tape.clear();
  layer(tape, tape.input(x));
  funnel::sgd<real> optimizer;
  optimizer.step(layer, tape);
  CHECK(layer.running_variance.value(0, 0) == 1);
  const real largest = std::numeric_limits<real>::max();
  for (const real value : {real(0.1), largest, -largest, std::numeric_limits<real>::denorm_min()}) {
    layer.shift.value(0, 0) = 3;
    const auto equal = layer(tape, tape.input(matrix<real>(3, 1, value)));
    for (const std::size_t i : size_list{0, 1, 2}) CHECK(equal.values(i, 0) == 3);
  }
  x(0, 0) = largest;
  x(1, 0) = -largest;
  tape.clear();
  const auto ends = layer(tape, tape.input(x));
  CHECK(tolerance::within(static_cast<double>(ends.values(0, 0)), 4, tolerance::promised(1e-6, 4)));
  optimizer.step(layer, tape);
  CHECK(std::isfinite(layer.running_variance.value(0, 0)));
  CHECK(std::isfinite(layer.running_mean.value(0, 0)));
}

TEMPLATE_TEST_CASE("batch_norm: a step in parts moves the statistics as the whole batch does", "",
                   float, double) {
  using real = TestType;
  constexpr std::size_t rows = 1024;
  constexpr std::size_t d = 3;
  batch_norm<real> whole(d);
  batch_norm<real> parts(d);
  batch_norm<real> contexts(d);
  funnel::adam<real> optimizers[3];
  funnel::training_context<real> tape;
  funnel::training_context<real> other;
  for (std::uint64_t step = 0; step < 30; ++step) {
    const matrix<real> x = random_matrix<real>(rows, d, step + 1, real(90), real(110));
    whole(tape, tape.input(x));
    optimizers[0].step(whole, tape);
    tape.clear();
    for (std::size_t begin = 0; begin < rows; begin += 48) {
      const std::size_t count = std::min<std::size_t>(48, rows - begin);
      parts(tape, tape.input(x.view().middle_rows(begin, count)));
      tape.next_micro_batch();
      // The same parts in two contexts, the second one the smaller.
      auto& context = begin < 700 ? tape : other;
      contexts(context, context.input(x.view().middle_rows(begin, count)));
      context.next_micro_batch();
    }
    optimizers[1].step(parts, tape);
    add_gradients(contexts, tape, other, real(0.25));
    optimizers[2].step(contexts, tape);
    tape.clear();
    other.clear();
    for (std::size_t j = 0; j < d; ++j) {
      for (const auto* found : {&parts, &contexts}) {
        const double mean = static_cast<double>(whole.running_mean.value(0, j));
        const double variance = static_cast<double>(whole.running_variance.value(0, j));
        CHECK(tolerance::within(static_cast<double>(found->running_mean.value(0, j)), mean,
                                tolerance::iterative<real>(step, mean)));
        CHECK(tolerance::within(static_cast<double>(found->running_variance.value(0, j)), variance,
                                tolerance::iterative<real>(step, variance)));
      }
    }
  }
  // Uniform in a range of 20: after 30 steps of a tenth they are nearly there.
  CHECK(tolerance::within(static_cast<double>(parts.running_mean.value(0, 0)), 100,
                          tolerance::promised(0.05, 100)));
  CHECK(tolerance::within(static_cast<double>(parts.running_variance.value(0, 0)), 100. / 3,
                          tolerance::promised(0.1, 100. / 3)));
}

TEST_CASE("batch_norm: parts whose means differ have the variance of all their rows") {
  batch_norm<double> layer(1);
  layer.momentum = 1;
  double_training context;
  matrix<double> x(3, 1);
  x(0, 0) = 1;
  x(1, 0) = 5;
  x(2, 0) = 9;
  layer(context, context.input(x.view().middle_rows(0, 2)));
  context.next_micro_batch();
  layer(context, context.input(x.view().middle_rows(2, 1)));
  funnel::sgd<double> optimizer;
  optimizer.step(layer, context);
  CHECK(tolerance::within(layer.running_mean.value(0, 0), 5, tolerance::elementwise<double>(5)));
  CHECK(tolerance::within(layer.running_variance.value(0, 0), 32. / 3,
                          tolerance::elementwise<double>(32. / 3)));
}

TEST_CASE("batch_norm: NaN in one part of a step reaches the statistics, whichever part it is") {
  matrix<double> x(4, 1, 2.);
  x(0, 0) = std::nan("");
  for (const bool first : {true, false}) {
    batch_norm<double> layer(1);
    double_training context;
    layer(context, context.input(x.view().middle_rows(first ? 0 : 2, 2)));
    context.next_micro_batch();
    layer(context, context.input(x.view().middle_rows(first ? 2 : 0, 2)));
    funnel::sgd<double> optimizer;
    optimizer.step(layer, context);
    CHECK(std::isnan(layer.running_mean.value(0, 0)));
    CHECK(std::isnan(layer.running_variance.value(0, 0)));
    context.clear();
    layer(context, context.input(x.view().middle_rows(1, 3)));
    optimizer.step(layer, context);
    CHECK(std::isnan(layer.running_mean.value(0, 0)));  // a finite step does not hide it
  }
}

TEST_CASE("layer_norm and batch_norm: without epsilon, values whose squares are 0 in double") {
  funnel::inference_context<double> context;
  double_training tape;
  for (const double size : {1e-150, 1e-170, 1e-300}) {
    layer_norm<double> layer(2);
    batch_norm<double> batch(1);
    layer.epsilon = batch.epsilon = 0;
    matrix<double> x(1, 2, size);
    x(0, 1) = 3 * size;
    const auto y = layer(context, x.view());
    const auto z =
        batch(tape, tape.input(funnel::matrix_view<const double>(x.view().data(), 2, 1)));
    for (const double found : {-y(0, 0), y(0, 1), -z.values(0, 0), z.values(1, 0)})
      CHECK(tolerance::within(found, 1, tolerance::elementwise<double>(1)));
  }
  layer_norm<double> layer(2);
  layer.epsilon = 0;
  const matrix<double> equal(1, 2, 1e300);
  CHECK(layer(context, equal.view())(0, 1) == 0);
}

TEST_CASE("batch_norm: what a layer cannot work with is refused") {
  batch_norm<double> layer(2);
  double_training context;
  const matrix<double> x(4, 2, 1.);
  layer.momentum = 1.5;
  CHECK(refuses([&] { layer(context, context.input(x)); }, "funnel::batch_norm", "momentum"));
  layer.momentum = 0.1;
  layer.epsilon = std::nan("");
  CHECK(refuses([&] { layer(context, context.input(x)); }, "funnel::batch_norm", "epsilon"));
  layer.epsilon = 1e-5;
  layer.running_mean.value.assign(1, 1);
  CHECK(refuses([&] { layer(context, context.input(x)); }, "funnel::batch_norm: running_mean",
                "[1, 2]"));
}

TEST_CASE("batch_norm: gradients, also into the statistics of the batch") {
  check_layer(batch_norm<double>(3), {{6, 3}},
              [](auto& context, const batch_norm<double>& layer, const double_values& x) {
                return layer(context, x[0]);
              });
}

TEST_CASE("batch_norm: other numbers of columns, and no rows in training, are refused") {
  const batch_norm<double> layer(3);
  const matrix<double> narrow(2, 2);
  const matrix<double> none(0, 3);
  funnel::inference_context<double> serving;
  double_training context;
  CHECK(refuses([&] { layer(serving, narrow.view()); }, "funnel::batch_norm", "2 columns"));
  CHECK(refuses([&] { layer(context, context.input(none)); }, "funnel::batch_norm", "0 rows"));
  CHECK(layer(serving, none.view()).rows() == 0);
}
