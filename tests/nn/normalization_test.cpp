// SPDX-License-Identifier: MIT
#include <funnel/nn/normalization.hpp>
#include <funnel/nn/optimizer.hpp>

#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/gradients.hpp"
#include "support/matrices.hpp"
#include "support/tolerance.hpp"

#include <cmath>
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
  funnel::inference<double> context;
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
    funnel::inference<float> context;
    const auto y = layer(context, x.view());
    for (std::size_t i = 0; i < 9; ++i) {
      const std::vector<double> unit =
          standardized({x.row(i).begin(), x.row(i).end()}, static_cast<double>(layer.epsilon));
      for (std::size_t j = 0; j < d; ++j) {
        const auto scale = static_cast<double>(layer.scale.value(0, j));
        const double expected = scale * unit[j] + static_cast<double>(layer.shift.value(0, j));
        // The mean, about 100, is rounded to float before it is subtracted.
        const double bound = tolerance::iterative<float>(1, 1 + 100 * std::abs(scale));
        CHECK(tolerance::within(static_cast<double>(y(i, j)), expected,
                                d == 1 ? bound / std::sqrt(1e-5) : bound));
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
  funnel::inference<double> context;
  const auto y = layer(context, x.view());
  CHECK(y(0, 0) == 0);
  CHECK(y(0, 1) == 7);
  for (std::size_t j = 0; j < 3; ++j) CHECK(std::isnan(y(1, j)));
}

TEST_CASE("layer_norm: gradients, and other numbers of columns refused") {
  check_layer(layer_norm<double>(5), {{4, 5}},
              [](auto& context, const layer_norm<double>& layer, const double_values& x) {
                return layer(context, x[0]);
              });
  funnel::inference<double> context;
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

  funnel::training<float> tape;
  const auto trained = layer(tape, tape.input(x));
  funnel::inference<float> serving;
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
  funnel::inference<double> serving;
  double_training context;
  CHECK(refuses([&] { layer(serving, narrow.view()); }, "funnel::batch_norm", "2 columns"));
  CHECK(refuses([&] { layer(context, context.input(none)); }, "funnel::batch_norm", "0 rows"));
  CHECK(layer(serving, none.view()).rows() == 0);
}
