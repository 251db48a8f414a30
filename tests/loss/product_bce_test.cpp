// SPDX-License-Identifier: MIT
#include "loss/loss_support.hpp"

#include <funnel/core/math.hpp>
#include <funnel/loss/product_bce.hpp>
#include <funnel/nn/inference_context.hpp>
#include <funnel/nn/training_context.hpp>

#include "support/errors.hpp"
#include "support/gradients.hpp"

#include <cmath>
#include <limits>
#include <vector>

using namespace loss_test;

namespace {

template <class T>
constexpr T infinity = std::numeric_limits<T>::infinity();

template <class T>
struct found_loss {
  T loss;
  std::vector<T> of_a, of_b;
};

template <class T>
found_loss<T> run(const std::vector<T>& a, const std::vector<T>& b, const std::vector<T>& labels,
                  const funnel::bce_options<T>& options = {}) {
  funnel::training_context<T> tape;
  const auto x = tape.make(a.size(), 1), y = tape.make(b.size(), 1);
  std::ranges::copy(a, x.values.data());
  std::ranges::copy(b, y.values.data());
  const auto loss = funnel::product_bce_with_logits(tape, x, y, labels, options);
  tape.backward(loss);
  const auto column = [](const auto& v) {
    return std::vector<T>(v.gradient.data(), v.gradient.data() + v.rows());
  };
  return {loss(0, 0), column(x), column(y)};
}

}  // namespace

TEST_CASE("product_bce_with_logits: worked examples", "[loss]") {
  const double log3 = std::log(3.);  // sigmoid(ln 3) = 3 / 4
  const auto clicked = run<double>({0}, {log3}, {1});
  const double exact = -std::log(3. / 8);
  CHECK(tolerance::within(clicked.loss, exact, tolerance::iterative<double>(3, 1)));
  CHECK(tolerance::within(clicked.of_a[0], -.5, tolerance::iterative<double>(3, 1)));
  CHECK(tolerance::within(clicked.of_b[0], -.25, tolerance::iterative<double>(3, 1)));
  const auto skipped = run<double>({0}, {log3}, {0});
  CHECK(tolerance::within(skipped.loss, -std::log(5. / 8), tolerance::iterative<double>(3, 1)));
  CHECK(tolerance::within(skipped.of_a[0], .3, tolerance::iterative<double>(3, 1)));   // 3/5 1/2
  CHECK(tolerance::within(skipped.of_b[0], .15, tolerance::iterative<double>(3, 1)));  // 3/5 1/4
}

TEST_CASE("product_bce_with_logits: gradients", "[loss]") {
  const std::vector<double> labels = {0, 1, .3, 0, 1, 0}, weights = {1, 2, .5, 0, 1, 3};
  for (const auto& of : {std::vector<double>{}, weights}) {
    check_operation({{6, 1}, {6, 1}}, [&](auto& context, const double_values& x) {
      return funnel::product_bce_with_logits(context, x[0], x[1], labels, {.weights = of});
    });
  }
}

TEST_CASE("product_bce_with_logits: with a certain factor it is the loss of the other", "[loss]") {
  const std::vector<double> z = {-3, 0, 2, 40, -40}, certain(5, infinity<double>);
  for (const double label : {0., 1., .25}) {
    const std::vector<double> labels(5, label);
    const auto found = run(certain, z, labels), turned = run(z, certain, labels);
    const auto expected =
        evaluate(column({-3., 0., 2., 40., -40.}), [&](auto& context, const auto& x) {
          return funnel::bce_with_logits(context, x, labels);
        });
    CHECK(tolerance::within(found.loss, expected.loss,
                            tolerance::iterative<double>(5, expected.loss)));
    CHECK(turned.loss == found.loss);
    for (std::size_t i = 0; i < 5; ++i) {
      const double slope = expected.gradient(i, 0);
      CHECK(tolerance::within(found.of_b[i], slope, tolerance::iterative<double>(5, .2)));
      CHECK(found.of_a[i] == 0);
    }
  }
}

TEST_CASE("product_bce_with_logits: two certain factors", "[loss]") {
  const double sure = infinity<double>;
  const auto right = run<double>({sure}, {sure}, {1}), wrong = run<double>({sure}, {sure}, {0});
  CHECK(right.loss == 0);
  CHECK(wrong.loss == sure);
  for (const auto& found : {right, wrong}) {
    CHECK(found.of_a[0] == 0);
    CHECK(found.of_b[0] == 0);
  }
}

TEST_CASE("product_bce_with_logits: stable at both ends", "[loss]") {
  // 1 - p is 2 e^-30, far below the precision of p.
  const auto sure = run<float>({30}, {30}, {0});
  const double exact = 30 - std::log(2.);
  CHECK(tolerance::within(static_cast<double>(sure.loss), exact,
                          tolerance::elementwise<float>(exact)));
  CHECK(
      tolerance::within(static_cast<double>(sure.of_a[0]), .5, tolerance::elementwise<float>(.5)));
  // And p e^-60; its gradient is that of the label.
  const auto never = run<float>({-30}, {-30}, {1});
  CHECK(tolerance::within(static_cast<double>(never.loss), 60, tolerance::elementwise<float>(60)));
  CHECK(never.of_b[0] == -1);
  const auto rare = run<double>({-30}, {-30}, {0});
  CHECK(tolerance::within(rare.loss, std::exp(-60.), tolerance::elementwise<double>(1e-20)));
  // Next to p = 1/2, where the formula of 1 - p changes.
  for (const double a : {.88, .8813735870195429, .882}) {
    const double p = funnel::sigmoid(a) * funnel::sigmoid(a);
    CHECK(tolerance::within(run<double>({a}, {a}, {0}).loss, -std::log(1 - p),
                            tolerance::iterative<double>(2, 1)));
  }
  constexpr float far = std::numeric_limits<float>::max();
  for (const float a : {-far, -1e4f, -100.f, 0.f, 100.f, 1e4f, far}) {
    for (const float b : {-far, -1e4f, -100.f, 0.f, 100.f, 1e4f, far}) {
      for (const float label : {0.f, .5f, 1.f}) {
        const auto found = run<float>({a}, {b}, {label});
        CHECK(std::isfinite(found.loss));
        CHECK(found.loss >= 0);
        CHECK(std::abs(found.of_a[0]) <= 1);
        CHECK(std::abs(found.of_b[0]) <= 1);
      }
    }
  }
}

TEST_CASE("product_bce_with_logits: weights", "[loss]") {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const std::vector<double> weights = {2, 0, 1}, none = {0, 0, 0};
  const auto masked = run<double>({.5, nan, 1}, {1, nan, 2}, {1, 0, 0}, {.weights = weights});
  const auto doubled = run<double>({.5, .5, 1}, {1, 1, 2}, {1, 1, 0});
  CHECK(tolerance::within(masked.loss, doubled.loss, tolerance::iterative<double>(3, 1)));
  CHECK(masked.of_a[1] == 0);
  CHECK(run<double>({.5, nan, 1}, {1, nan, 2}, {1, 0, 0}, {.weights = none}).loss == 0);
  CHECK(run<double>({}, {}, {}).loss == 0);
  CHECK(std::isnan(run<double>({.5, nan}, {1, 1}, {1, 0}).loss));
  const auto part = run<double>({.5}, {1}, {1}, {.total_weight = 4});
  CHECK(tolerance::within(part.loss, run<double>({.5}, {1}, {1}).loss / 4,
                          tolerance::iterative<double>(2, 1)));
}

TEST_CASE("product_bce_with_logits: errors", "[loss]") {
  constexpr const char* name = "funnel::product_bce_with_logits";
  funnel::inference_context<double> context;
  const funnel::matrix<double> two(2, 1), three(3, 1), wide(2, 2);
  const std::vector<double> labels = {0, 1}, bad = {0, 1.5}, negative = {1, -1};
  const auto refused = [&](const auto& a, const auto& b, const auto& y, const char* what,
                           const funnel::bce_options<double>& options = {}) {
    return refuses(
        [&] { funnel::product_bce_with_logits(context, a.view(), b.view(), y, options); }, name,
        what);
  };
  CHECK(refused(wide, two, labels, "a has 2 columns"));
  CHECK(refused(two, three, labels, "b is [3, 1], expected [2, 1] as in a"));
  CHECK(refused(three, three, labels, "labels has 2 values"));
  CHECK(refused(two, two, bad, "labels[1] is 1.5"));
  CHECK(refused(two, two, labels, "weights[1] is -1", {.weights = negative}));
  CHECK(refused(two, two, labels, "total_weight is -1", {.total_weight = -1}));
}
