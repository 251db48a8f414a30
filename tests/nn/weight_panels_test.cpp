// SPDX-License-Identifier: MIT
#include <funnel/core/executor.hpp>
#include <funnel/nn/dense.hpp>
#include <funnel/nn/training_context.hpp>
#include <funnel/nn/weight_panels.hpp>
#include <funnel/simd/arch.hpp>

#include "support/catch.hpp"
#include "support/matrices.hpp"
#include "support/threads.hpp"

#include <utility>
#include <vector>

using funnel::panels_key;
using funnel::parameter;
using arch = funnel::default_arch;

namespace {

struct layers {
  std::vector<parameter<float>> weights;

  layers() {
    for (std::size_t i = 0; i < 3; ++i) {
      weights.emplace_back(7 + i, 40);
      weights[i].value = random_matrix<float>(7 + i, 40, i);
    }
  }
  void visit_parameters(auto&& visit) { visit("weights", weights); }
};

/// Products of a layer in two parts, and all gradients of a step.
std::vector<float> run(funnel::training_context<float>& context, const funnel::dense<float>& layer,
                       funnel::matrix<float>& x) {
  const auto a = context.make(x.rows(), 3), b = context.make(x.rows(), 2);
  for (std::size_t i = 0; i < x.rows(); ++i) {
    for (std::size_t j = 0; j < 5; ++j) (j < 3 ? a.values(i, j) : b.values(i, j - 3)) = x(i, j);
  }
  const auto y = layer(context, concat(context, a, b));
  const auto loss = context.make(1, 1);
  loss.values(0, 0) = 0;
  context.record([y] {
    for (std::size_t i = 0; i < y.rows(); ++i) {
      for (std::size_t j = 0; j < y.cols(); ++j) y.gradient(i, j) += y.values(i, j);
    }
  });
  context.backward(loss);
  std::vector<float> found(y.values.data(), y.values.data() + y.values.size());
  for (const auto& values : {a.gradient, b.gradient})
    found.insert(found.end(), values.data(), values.data() + values.size());
  const auto g = context.gradient(layer.weight).values();
  found.insert(found.end(), g.data(), g.data() + g.size());
  return found;
}

}  // namespace

TEST_CASE("weight_panels: what was asked for is packed in the next step") {
  layers model;
  funnel::weight_panels<float> panels;
  const panels_key<float> whole{&model.weights[0], 0, 7, false};
  const panels_key<float> part{&model.weights[1], 2, 5, true};
  CHECK(panels.find(whole) == nullptr);
  panels.add(whole);
  panels.add(part);
  panels.add(part);
  CHECK(panels.find(whole) == nullptr);  // not packed yet
  for (int step = 0; step < 2; ++step) {
    for (float& value : model.weights[1].value.flat()) value += 1;
    thread_executor executor{2};
    panels.pack<arch>(model, executor);
    std::vector<float> expected(funnel::packed_size<arch, float>(7, 40));
    funnel::pack_weights_kernel(arch{}, model.weights[0].value.data(), 40, 7, 40, expected.data());
    REQUIRE(panels.find(whole) != nullptr);
    CHECK(same_bits(panels.find(whole), expected.data(), expected.size()));
    expected.assign(funnel::packed_size<arch, float>(40, 5), 0);
    funnel::pack_transposed_kernel(arch{},
                                   std::as_const(model.weights[1].value).view().middle_rows(2, 5),
                                   1.f, expected.data());
    REQUIRE(panels.find(part) != nullptr);
    CHECK(same_bits(panels.find(part), expected.data(), expected.size()));
    CHECK(panels.find({&model.weights[1], 2, 5, false}) == nullptr);
    CHECK(panels.find({&model.weights[1], 1, 5, true}) == nullptr);
  }
}

TEST_CASE("weight_panels: what the model no longer has is forgotten") {
  layers model;
  funnel::serial_executor executor;
  funnel::weight_panels<float> panels;
  const panels_key<float> last{&model.weights[2], 0, 9, false};
  const panels_key<float> first{&model.weights[0], 0, 7, false};
  const panels_key<float> second{&model.weights[1], 6, 2, true};
  for (const auto& key : {first, second, last}) panels.add(key);
  panels.pack<arch>(model, executor);
  model.weights.pop_back();
  model.weights[1].value.assign(7, 40);  // has no row 7 now
  panels.pack<arch>(model, executor);
  CHECK(panels.find(first) != nullptr);
  CHECK(panels.find(second) == nullptr);
  CHECK(panels.find(last) == nullptr);
}

TEST_CASE("training_context: panels that are given change no bit, and only those are used") {
  struct one_layer {
    funnel::dense<float> layer{5, 33, {.function = funnel::activation::relu}};
  } model;
  model.layer.weight.value = random_matrix<float>(5, 33, 1);
  funnel::matrix<float> x = random_matrix<float>(9, 5, 2);
  funnel::training_context<float> context;
  const std::vector<float> expected = run(context, model.layer, x);
  context.clear();

  funnel::weight_panels<float> panels;
  funnel::serial_executor executor;
  context.use_panels(&panels);
  CHECK(run(context, model.layer, x) == expected);
  CHECK(context.missing_panels().size() == 3);  // W, and the transpose of each part of it
  for (const auto& key : context.missing_panels()) panels.add(key);
  panels.pack<arch>(model.layer, executor);
  context.clear();
  context.use_panels(&panels);
  CHECK(run(context, model.layer, x) == expected);
  CHECK(context.missing_panels().empty());

  // They are what is multiplied with: without a new `pack`, changed weights are not seen.
  context.clear();
  const funnel::matrix<float> kept = model.layer.weight.value;
  for (float& value : model.layer.weight.value.flat()) value = 0;
  CHECK(run(context, model.layer, x) == expected);
  context.clear();
  context.use_panels(nullptr);
  CHECK(run(context, model.layer, x) != expected);
}
