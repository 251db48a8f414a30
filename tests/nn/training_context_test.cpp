// SPDX-License-Identifier: MIT
#include <funnel/nn/concat.hpp>
#include <funnel/nn/elementwise.hpp>
#include <funnel/nn/embedding.hpp>
#include <funnel/nn/inference_context.hpp>
#include <funnel/nn/initialization.hpp>
#include <funnel/nn/mlp.hpp>
#include <funnel/nn/training_context.hpp>
#include <funnel/optim/adam.hpp>
#include <funnel/optim/add_gradients.hpp>

#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/gradients.hpp"
#include "support/matrices.hpp"
#include "support/tolerance.hpp"

#include <cstdint>
#include <span>
#include <stdexcept>
#include <vector>

using funnel::matrix;
using funnel::parameter;

namespace {

using ids = std::vector<std::uint32_t>;

struct small_model {
  funnel::embedding<double> item{6, 3};
  funnel::mlp<double> tower{5, {4, 1}, {.hidden = funnel::activation::tanh}};

  template <funnel::Context C>
  auto operator()(C& context, std::span<const std::uint32_t> items,
                  funnel::matrix_view<const double> numbers) const {
    return tower(context, concat(context, item(context, items), numbers));
  }
  void visit_parameters(auto&& visit) {
    visit("item", item);
    visit("tower", tower);
  }
};

small_model random_model() {
  small_model model;
  funnel::random_generator bits(1);
  funnel::initialize(model, bits);
  return model;
}

const ids batch_items{0, 1, 1, 5, 2, 0, 1, 1};
const matrix<double> batch_numbers = random_matrix<double>(8, 2, 3);

/// The mean over rows [begin, end) of the model's squared outputs.
double_value mean_square(double_training& context, const small_model& model, std::size_t begin,
                         std::size_t end) {
  const std::size_t n = end - begin;
  const auto y = model(context, std::span(batch_items).subspan(begin, n),
                       batch_numbers.view().middle_rows(begin, n));
  const auto squares = multiply(context, y, y);
  const auto loss = context.make(1, 1);
  loss.values(0, 0) = 0;
  for (std::size_t i = 0; i < n; ++i)
    loss.values(0, 0) += squares.values(i, 0) / static_cast<double>(n);
  context.record([squares, loss, n] {
    for (std::size_t i = 0; i < n; ++i)
      squares.gradient(i, 0) += loss.gradient(0, 0) / static_cast<double>(n);
  });
  return loss;
}

/// All gradients of a model one after another, untouched rows as zeros.
std::vector<double> all_gradients(const small_model& model, const double_training& context) {
  std::vector<double> all;
  funnel::for_each_parameter(model, [&](std::string_view, const parameter<double>& p) {
    matrix<double> dense(p.rows(), p.cols());
    if (const auto* gradient = context.find_gradient(p)) {
      for (std::size_t i = 0; i < gradient->values().rows(); ++i) {
        std::ranges::copy(gradient->values().row(i),
                          dense.row(gradient->by_rows() ? gradient->touched()[i] : i).begin());
      }
    }
    all.insert(all.end(), dense.flat().begin(), dense.flat().end());
  });
  return all;
}

}  // namespace

TEST_CASE("training_context: nothing of a step is left after clear") {
  const small_model model = random_model();
  double_training context;
  const auto run = [&](std::size_t begin, std::size_t end) {
    context.backward(mean_square(context, model, begin, end));
    std::vector<double> gradients = all_gradients(model, context);
    context.clear();
    return gradients;
  };
  const std::vector<double> first = run(0, 4);
  const std::vector<double> zeros(first.size());
  CHECK(first != zeros);
  CHECK(all_gradients(model, context) == zeros);
  CHECK(context.find_gradient(model.item.table) == nullptr);
  CHECK(run(4, 8) != first);
  CHECK(run(0, 4) == first);  // to the bit

  // Asked for again after clear, a gradient starts from zero, and a table's without rows.
  for (const double g :
       std::as_const(context.gradient(model.tower.layers[0].weight)).values().row(0))
    CHECK(g == 0);
  CHECK(context.gradient(model.item.table).touched().empty());
  CHECK(context.gradient(model.item.table).row(1)[0] == 0);
}

TEST_CASE("training_context: memory settles") {
  const small_model model = random_model();
  double_training context;
  std::size_t settled = 0;
  for (int step = 0; step < 5; ++step) {
    context.backward(mean_square(context, model, 0, 8));
    context.clear();
    if (step == 0) settled = context.scratch().capacity();
    CHECK(context.scratch().capacity() == settled);
  }
}

TEST_CASE("training_context: backward wants one number") {
  double_training context;
  for (const shape s : {shape{2, 1}, shape{1, 2}, shape{0, 1}}) {
    const auto y = context.make(s.rows, s.cols);
    CHECK(refuses([&] { context.backward(y); }, "funnel::training_context::backward",
                  "expected [1, 1]"));
  }
}

TEST_CASE("training_context: backward times a factor; two losses that were added") {
  const small_model model = random_model();
  const auto run = [&](double factor, int times) {
    double_training context;
    auto loss = mean_square(context, model, 0, 8);
    for (int i = 1; i < times; ++i) loss = add(context, loss, mean_square(context, model, 0, 8));
    context.backward(loss, factor);
    return all_gradients(model, context);
  };
  const std::vector<double> one = run(1, 1);
  const std::vector<double> half = run(0.5, 1);
  const std::vector<double> twice = run(1, 2);
  for (std::size_t i = 0; i < one.size(); ++i) {
    CHECK(half[i] == one[i] / 2);  // a power of two
    CHECK(tolerance::within(twice[i], 2 * one[i], tolerance::iterative<double>(8, 1)));
  }
}

TEST_CASE("training_context: shards of a batch on one model give the gradient of the batch") {
  small_model model = random_model();
  double_training whole;
  whole.backward(mean_square(whole, model, 0, 8));
  double_training sum;
  for (const auto& [begin, end] : {std::pair<std::size_t, std::size_t>{0, 3}, {3, 8}}) {
    double_training shard;
    shard.backward(mean_square(shard, model, begin, end));
    add_gradients(model, sum, shard, static_cast<double>(end - begin) / 8);
  }
  const std::vector<double> expected = all_gradients(model, whole);
  const std::vector<double> found = all_gradients(model, sum);
  for (std::size_t i = 0; i < expected.size(); ++i)
    CHECK(tolerance::within(found[i], expected[i], tolerance::iterative<double>(8, 1)));
  const auto rows = sum.find_gradient(model.item.table)->touched();
  CHECK(rows.size() == 4);  // items 0, 1, 2, 5
}

TEST_CASE(
    "training_context: micro-batches add up to the gradient of the batch, in the room of one") {
  const small_model model = random_model();
  double_training whole;
  whole.backward(mean_square(whole, model, 0, 8));
  double_training parts;
  for (int step = 0; step < 3; ++step) {
    parts.clear();
    std::size_t settled = 0;
    for (std::size_t begin = 0; begin < 8; begin += 2) {
      parts.backward(mean_square(parts, model, begin, begin + 2), .25);
      parts.next_micro_batch();
      if (begin == 0) settled = parts.scratch().capacity();
      CHECK(parts.scratch().capacity() == settled);
    }
    const std::vector<double> expected = all_gradients(model, whole);
    const std::vector<double> found = all_gradients(model, parts);
    for (std::size_t i = 0; i < expected.size(); ++i)
      CHECK(tolerance::within(found[i], expected[i], tolerance::iterative<double>(8, 1)));
  }
}

TEST_CASE("training_context: the caller's data is an input without a gradient") {
  double_training context;
  const auto input = context.input(batch_numbers);
  CHECK_FALSE(input.has_gradient());
  CHECK(view(input).data() == batch_numbers.data());
  CHECK(context.make(2, 3).has_gradient());
  // A loss that nothing learned reaches: nothing happens.
  const matrix<double> one(1, 1, 3);
  context.backward(context.input(one));
}

namespace {

/// What user code reads from a value, on whatever context.
template <funnel::Context C>
std::vector<double> numbers_of(C& context, const small_model& model,
                               std::span<const std::uint32_t> items,
                               funnel::matrix_view<const double> numbers) {
  const auto z = model(context, items, numbers);
  std::vector<double> read{static_cast<double>(z.rows()), static_cast<double>(z.cols()),
                           static_cast<double>(z.size()), z.empty() ? 1. : 0., z(1, 0)};
  for (std::size_t i = 0; i < z.rows(); ++i)
    for (const double logit : z.row(i)) read.push_back(logit);
  return read;
}

}  // namespace

TEST_CASE("training_context: values are read as those of an inference context") {
  small_model model;
  funnel::random_generator bits(1);
  funnel::initialize(model, bits);
  const ids items{3, 1, 5};
  const auto numbers = random_matrix<double>(3, 2, 4);
  funnel::training_context<double> training;
  funnel::inference_context<double> serving;
  const auto read = numbers_of(training, model, items, numbers);
  CHECK(read == numbers_of(serving, model, items, numbers));
  CHECK(read == std::vector<double>{3, 1, 3, 0, read[6], read[5], read[6], read[7]});
  CHECK(read[5] != read[6]);

  // A view of some columns of a wider value is read by its own stride.
  const auto wide = training.input(numbers);
  const auto second = funnel::detail::middle_cols(wide, 1, 1);
  CHECK(second(2, 0) == numbers(2, 1));
  CHECK(second.row(1).size() == 1);
  CHECK(second.row(1)[0] == numbers(1, 1));
}

TEST_CASE("training_context: a gradient follows its parameter's shape and kind") {
  double_training context;
  parameter<double> p(2, 2);
  context.gradient(p).values()(1, 1) = 4;
  p.value.assign(3, 2);
  CHECK(context.gradient(p).values().rows() == 3);
  CHECK(context.gradient(p).values()(1, 1) == 0);
  p.kind = funnel::parameter_kind::rows;
  CHECK(context.gradient(p).by_rows());
}

TEST_CASE("training_context: every step fits better") {
  small_model model = random_model();
  funnel::adam<double> optimizer({.learning_rate = 0.02});
  double first = 0;
  double last = 0;
  double_training context;
  for (int step = 0; step < 60; ++step) {
    const auto loss = mean_square(context, model, 0, 8);
    last = loss.values(0, 0);
    if (step == 0) first = last;
    context.backward(loss);
    optimizer.step(model, context);
    context.clear();
  }
  CHECK(last < 0.1 * first);
}

TEST_CASE(
    "training_context: a second backward on the same tape is refused, one on a new tape adds") {
  funnel::training_context<double> context;
  const auto loss = context.make(1, 1);
  writable(loss)(0, 0) = 2;
  context.record([] {});
  context.backward(loss);
  CHECK(refuses([&] { context.backward(loss); }, "funnel::training_context::backward",
                "the record is empty"));
  context.record([] {});
  context.backward(loss);
  context.clear();

  // A new micro-batch, and a new step, may again have a loss that nothing was recorded for.
  const matrix<double> one(1, 1, 3);
  context.backward(context.input(one));
  CHECK(refuses([&] { context.backward(context.input(one)); }, "funnel::training_context",
                "the record is empty"));
  context.next_micro_batch();
  context.backward(context.input(one));
  context.clear();
  context.backward(context.input(one));
}

TEST_CASE("training_context: a backward step that throws does not run twice") {
  funnel::training_context<double> context;
  const auto loss = context.make(1, 1);
  static int runs = 0;
  context.record([] { ++runs; });
  context.record([] { throw std::invalid_argument("a parameter was replaced"); });
  CHECK_THROWS_AS(context.backward(loss), std::invalid_argument);
  CHECK(runs == 0);
  context.backward(loss);  // what is left of the tape
  CHECK(runs == 1);
  CHECK(refuses([&] { context.backward(loss); }, "funnel::training_context::backward",
                "the record is empty"));
}

TEST_CASE("training_context: reseed starts the random numbers anew") {
  double_training context(3), other(9);
  context.random()();
  context.reseed(9);
  CHECK(context.random()() == other.random()());
}
