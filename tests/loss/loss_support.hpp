// SPDX-License-Identifier: MIT
#pragma once

#include "support/catch.hpp"
#include "support/tolerance.hpp"

#include <funnel/core/random.hpp>
#include <funnel/nn/inference_context.hpp>
#include <funnel/nn/training_context.hpp>

#include <algorithm>
#include <cstddef>
#include <initializer_list>
#include <stdexcept>
#include <string>
#include <vector>

// What the tests of losses share. A loss is a function `loss(context, x)` that gives [1, 1].
namespace loss_test {

template <class T>
funnel::matrix<T> filled(std::size_t rows, std::size_t cols, std::initializer_list<T> values) {
  funnel::matrix<T> x(rows, cols);
  std::ranges::copy(values, x.flat().begin());
  return x;
}

template <class T>
funnel::matrix<T> column(std::initializer_list<T> values) {
  return filled(values.size(), 1, values);
}

template <class T>
funnel::matrix<T> random_matrix(funnel::random_generator& random, std::size_t rows,
                                std::size_t cols, double scale) {
  funnel::matrix<T> x(rows, cols);
  for (T& value : x.flat()) value = static_cast<T>(scale * (2 * funnel::uniform01(random) - 1));
  return x;
}

template <class T>
struct evaluation {
  double loss;
  funnel::matrix<T> gradient;
};

template <class T, class Loss>
evaluation<T> evaluate(const funnel::matrix<T>& x, Loss loss) {
  funnel::training_context<T> context;
  const auto value = context.make(x.rows(), x.cols());
  std::ranges::copy(x.flat(), value.values.data());
  const auto result = loss(context, value);
  context.backward(result);
  return {static_cast<double>(view(result)(0, 0)), funnel::matrix<T>(value.gradient)};
}

/// The gradient against central differences, and the value while serving against that while
/// training.
template <class Loss>
void check_gradient(funnel::matrix<double> x, Loss loss) {
  const evaluation<double> found = evaluate(x, loss);
  funnel::inference_context<double> serving;
  CHECK(view(loss(serving, serving.input(x)))(0, 0) == found.loss);
  for (std::size_t i = 0; i < x.size(); ++i) {
    constexpr double step = 1e-5;
    const double kept = x.flat()[i];
    x.flat()[i] = kept + step;
    const double above = evaluate(x, loss).loss;
    x.flat()[i] = kept - step;
    const double below = evaluate(x, loss).loss;
    x.flat()[i] = kept;
    const double numeric = (above - below) / (2 * step), exact = found.gradient.flat()[i];
    INFO("position " << i << ": gradient " << exact << ", by differences " << numeric);
    CHECK(tolerance::within(exact, numeric, tolerance::finite_difference(found.loss)));
  }
}

/// The one logit z, given to every one of n rows, where the loss is least: where its slope changes
/// sign in (-30, 30).
template <class Loss>
double minimizer(std::size_t n, Loss loss) {
  double low = -30, high = 30;
  for (int step = 0; step < 100; ++step) {
    const double middle = (low + high) / 2;
    const evaluation<double> found = evaluate(funnel::matrix<double>(n, 1, middle), loss);
    double slope = 0;
    for (const double g : found.gradient.flat()) slope += g;
    (slope > 0 ? high : low) = middle;
  }
  return (low + high) / 2;
}

/// Counts what is made and recorded.
struct counting : funnel::training_context<double> {
  int touched = 0;

  value make(std::size_t rows, std::size_t cols) {
    ++touched;
    return training_context::make(rows, cols);
  }
  template <class Backward>
  void record(const Backward& backward) {
    ++touched;
    training_context::record(backward);
  }
};

/// The text of the std::invalid_argument that the loss throws for x before it makes or records
/// anything; empty if it throws none.
template <class Loss>
std::string error_of(const funnel::matrix<double>& x, Loss loss) {
  counting context;
  const auto value = context.input(x);
  try {
    loss(context, value);
  } catch (const std::invalid_argument& error) {
    CHECK(context.touched == 0);
    return error.what();
  }
  return {};
}

inline bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace loss_test
