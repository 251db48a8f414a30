// SPDX-License-Identifier: MIT
#include <funnel/nn/dropout.hpp>
#include <funnel/nn/inference_context.hpp>

#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/gradients.hpp"
#include "support/matrices.hpp"
#include "support/tolerance.hpp"

#include <cmath>
#include <limits>

using funnel::dropout;
using funnel::matrix;

TEST_CASE("dropout: keeps the mean by scaling up what stays") {
  const matrix<double> ones(200, 100, 1);
  for (const double rate : {0.1, 0.5, 0.9}) {
    double_training context(1);
    const auto y = dropout(context, context.input(ones), rate);
    double sum = 0;
    double dropped = 0;
    for (std::size_t i = 0; i < y.rows(); ++i) {
      for (const double value : y.values.row(i)) {
        CHECK((value == 0 || value == 1 / (1 - rate)));
        sum += value;
        dropped += value == 0 ? 1 : 0;
      }
    }
    const auto n = static_cast<double>(ones.size());
    // One value is 0 or 1 / (1 - rate): variance rate / (1 - rate).
    CHECK(tolerance::within(sum / n, 1,
                            tolerance::statistical(std::sqrt(rate / (1 - rate)), ones.size())));
    CHECK(tolerance::within(dropped / n, rate,
                            tolerance::statistical(std::sqrt(rate * (1 - rate)), ones.size())));
  }
}

TEST_CASE("dropout: nothing happens while serving, and at rate 0") {
  const matrix<double> x = random_matrix<double>(3, 4, 1);
  funnel::inference_context<double> serving;
  CHECK(dropout(serving, x.view(), 0.9).data() == x.data());
  double_training context;
  const auto input = context.input(x);
  CHECK(dropout(context, input, 0).values.data() == x.data());
}

TEST_CASE("dropout: the seed decides; every call draws anew") {
  const matrix<double> x = random_matrix<double>(20, 20, 2);
  const auto run = [&](std::uint64_t seed, int calls) {
    double_training context(seed);
    matrix<double> last;
    for (int i = 0; i < calls; ++i)
      last = matrix<double>(view(dropout(context, context.input(x), 0.5)));
    return last;
  };
  CHECK(same_bits(run(1, 1), run(1, 1)));
  CHECK(same_bits(run(1, 2), run(1, 2)));
  CHECK_FALSE(same_bits(run(1, 1), run(2, 1)));
  CHECK_FALSE(same_bits(run(1, 1), run(1, 2)));
}

TEST_CASE("dropout: a rate outside [0, 1) is refused in both contexts") {
  const matrix<double> x(1, 1);
  funnel::inference_context<double> serving;
  double_training context;
  for (const double rate : {-0.1, 1.0, std::numeric_limits<double>::quiet_NaN()}) {
    CHECK(refuses([&] { dropout(serving, x.view(), rate); }, "funnel::dropout", "in [0, 1)"));
    CHECK(refuses([&] { dropout(context, context.input(x), rate); }, "funnel::dropout", "rate is"));
  }
}

TEST_CASE("dropout: gradients flow where values did") {
  check_operation(
      {{6, 5}}, [](auto& context, const double_values& x) { return dropout(context, x[0], 0.3); });
}
