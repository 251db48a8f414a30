// SPDX-License-Identifier: MIT
#include <funnel/nn/initialization.hpp>

#include "support/catch.hpp"
#include "support/matrices.hpp"
#include "support/tolerance.hpp"

#include <algorithm>
#include <cmath>

using funnel::initial_values;
using funnel::initialize;
using funnel::parameter;

namespace {

template <class T>
parameter<T> initialized(initial_values initial, std::uint64_t seed = 1, double scale = 0.01) {
  parameter<T> p(120, 80, initial);
  p.initial_scale = scale;
  for (T& value : p.value.flat()) value = T(7);  // what was there is overwritten
  funnel::random_generator bits(seed);
  initialize(p, bits);
  return p;
}

struct moments {
  double mean = 0;
  double square = 0;
  double fourth = 0;
};

template <class T>
moments moments_of(const parameter<T>& p) {
  moments m;
  const auto n = static_cast<double>(p.value.size());
  for (const T value : p.value.flat()) {
    const auto x = static_cast<double>(value);
    m.mean += x / n;
    m.square += x * x / n;
    m.fourth += x * x * x * x / n;
  }
  return m;
}

struct two_layers {
  parameter<float> first{3, 4, initial_values::glorot_uniform};
  parameter<float> second{3, 4, initial_values::glorot_uniform};
  parameter<float> bias{1, 4};

  void visit_parameters(auto&& visit) {
    visit("first", first);
    visit("second", second);
    visit("bias", bias);
  }
};

}  // namespace

TEST_CASE("initialize: constants") {
  const auto zeros = initialized<double>(initial_values::zeros);
  const auto ones = initialized<double>(initial_values::ones);
  CHECK(std::ranges::count(zeros.value.flat(), 0.) == 120 * 80);
  CHECK(std::ranges::count(ones.value.flat(), 1.) == 120 * 80);
}

TEMPLATE_TEST_CASE("initialize: glorot is uniform within its limit", "", float, double) {
  const auto p = initialized<TestType>(initial_values::glorot_uniform);
  const double limit = std::sqrt(6. / (120 + 80));
  double largest = 0;
  for (const TestType value : p.value.flat())
    largest = std::max(largest, std::abs(static_cast<double>(value)));
  const std::size_t n = p.value.size();
  CHECK(largest <= limit + tolerance::elementwise<TestType>(limit));
  // The largest of n uniform values misses its limit by limit / n on average, as deviation too.
  CHECK(tolerance::within(largest, limit,
                          tolerance::statistical(limit / std::sqrt(static_cast<double>(n)), n)));
  const moments m = moments_of(p);
  CHECK(tolerance::within(m.mean, 0, tolerance::statistical(limit / std::sqrt(3.), n)));
  // x^2 has mean limit^2 / 3 and variance limit^4 (1/5 - 1/9).
  CHECK(tolerance::within(m.square, limit * limit / 3,
                          tolerance::statistical(limit * limit * std::sqrt(4. / 45), n)));
}

TEMPLATE_TEST_CASE("initialize: normal ones have their deviation", "", float, double) {
  const auto check = [](const parameter<TestType>& p, double deviation) {
    const std::size_t n = p.value.size();
    const double variance = deviation * deviation;
    const moments m = moments_of(p);
    CHECK(tolerance::within(m.mean, 0, tolerance::statistical(deviation, n)));
    CHECK(
        tolerance::within(m.square, variance, tolerance::statistical(variance * std::sqrt(2.), n)));
    // x^4 has mean 3 and variance 96, in units of the variance.
    CHECK(tolerance::within(m.fourth, 3 * variance * variance,
                            tolerance::statistical(variance * variance * std::sqrt(96.), n)));
  };
  check(initialized<TestType>(initial_values::he_normal), std::sqrt(2. / 120));
  check(initialized<TestType>(initial_values::normal, 2, 0.3), 0.3);
}

TEST_CASE("initialize: the seed decides; parameters of one model differ") {
  const auto once = initialized<float>(initial_values::he_normal, 3);
  CHECK(same_bits(once.value, initialized<float>(initial_values::he_normal, 3).value));
  CHECK_FALSE(same_bits(once.value, initialized<float>(initial_values::he_normal, 4).value));

  two_layers a;
  two_layers b;
  funnel::random_generator bits_a(5);
  funnel::random_generator bits_b(5);
  initialize(a, bits_a);
  initialize(b, bits_b);
  CHECK(same_bits(a.first.value, b.first.value));
  CHECK(same_bits(a.second.value, b.second.value));
  CHECK_FALSE(same_bits(a.first.value, a.second.value));
  for (const float value : a.bias.value.flat()) CHECK(value == 0);
  two_layers c;
  initialize(c, 5);  // a seed instead of a generator
  CHECK(same_bits(a.second.value, c.second.value));
}
