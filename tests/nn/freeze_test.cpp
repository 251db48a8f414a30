// SPDX-License-Identifier: MIT
#include <funnel/nn/concat.hpp>
#include <funnel/nn/embedding.hpp>
#include <funnel/nn/freeze.hpp>
#include <funnel/nn/inference_context.hpp>
#include <funnel/nn/initialization.hpp>
#include <funnel/nn/mlp.hpp>
#include <funnel/nn/training_context.hpp>

#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/matrices.hpp"

#include <cstdint>
#include <thread>
#include <type_traits>
#include <vector>

using funnel::matrix;

namespace {

using ids = std::vector<std::uint32_t>;

/// A user, items and a tower.
struct ranker {
  funnel::embedding<float> user{10, 6};
  funnel::embedding<float> item{100, 10};
  std::vector<funnel::mlp<float>> towers{
      funnel::mlp<float>(16, {20, 3}, {.hidden = funnel::activation::silu}),
      funnel::mlp<float>(16, {5, 3})};

  template <funnel::Context C>
  auto operator()(C& context, const ids& users, const ids& items) const {
    const auto x = concat(context, user(context, users), item(context, items));
    return materialize(context, concat(context, towers[0](context, x), towers[1](context, x)));
  }
  void visit_parameters(auto&& visit) {
    visit("user", user);
    visit("item", item);
    visit("towers", towers);
  }
};

ranker random_ranker() {
  ranker model;
  funnel::random_generator bits(1);
  funnel::initialize(model, bits);
  return model;
}

/// A layer of somebody else's, which knows how to freeze itself.
struct own_layer {
  funnel::parameter<float> weight{1, 1};
  bool packed_for_scalar = false;

  template <class Arch>
  void freeze() {
    packed_for_scalar = std::is_same_v<Arch, funnel::scalar_arch>;
  }
  template <funnel::Context C>
  bool operator()(C&) const {
    return packed_for_scalar;
  }
  void visit_parameters(auto&& visit) { visit("weight", weight); }
};

/// A model whose tower is called by itself.
struct stages {
  funnel::mlp<float> tower{4, {5, 2}};

  funnel::inference_context<float>::value run(funnel::inference_context<float>& context,
                                              const matrix<float>& x) const {
    return tower(context, x.view());
  }
  void visit_parameters(auto&& visit) { visit("tower", tower); }
};

const ids items_of_a_request{3, 99, 0, 4, 4, 17, 50, 21, 8, 9, 10, 11, 77};

}  // namespace

TEST_CASE("freeze: the same bits as the model, which stays as it was") {
  const ranker model = random_ranker();
  const auto frozen = funnel::freeze(model);
  funnel::inference_context<float> context;
  const auto expected = model(context, {7}, items_of_a_request);
  CHECK(same_bits(frozen(context, ids{7}, items_of_a_request), expected));
  CHECK_FALSE(model.towers[0].layers[0].weight.value.empty());
  const auto unpacked = [](const ranker& m, auto&) {
    return m.towers[1].layers[0].weight.value.size();
  };
  CHECK(frozen.call(context, unpacked) == 0);  // only the packed form is kept
}

TEST_CASE("freeze: call runs one stage, by member, member function or callable") {
  stages model;
  funnel::random_generator bits(1);
  funnel::initialize(model, bits);
  const auto frozen = funnel::freeze(model);
  const matrix<float> x = random_matrix<float>(5, 4, 2);
  funnel::inference_context<float> context;
  const auto expected = model.tower(context, x.view());
  CHECK(same_bits(frozen.call(context, &stages::tower, x.view()), expected));
  CHECK(same_bits(frozen.call(context, &stages::run, x), expected));
  const auto run = [](const stages& m, funnel::inference_context<float>& c,
                      const matrix<float>& rows) { return m.run(c, rows); };
  CHECK(same_bits(frozen.call(context, run, x), expected));
  int runs = 0;
  frozen.call(context, [&](const stages&, auto&) { ++runs; });  // nothing need come of it
  CHECK(runs == 1);
}

TEST_CASE("freeze: what code takes out of a frozen model neither trains, nor runs elsewhere") {
  stages model;
  const auto frozen = funnel::freeze(model);
  const matrix<float> x(3, 4, 1.f);
  funnel::inference_context<float> context;
  funnel::inference_context<float, funnel::scalar_arch> other;
  funnel::training_context<float> tape;
  stages copy;
  frozen.call(context, [&](const stages& m, auto&) { copy = m; });
  CHECK(refuses([&] { copy.tower(tape, tape.input(x)); }, "funnel::dense", "is frozen"));
  if constexpr (!std::is_same_v<funnel::default_arch, funnel::scalar_arch>)
    CHECK(
        refuses([&] { copy.tower(other, x.view()); }, "funnel::dense", "another instruction set"));
  CHECK(refuses([&] { funnel::freeze(copy); }, "funnel::dense::freeze", "is frozen"));
  CHECK(refuses([&] { copy.tower.layers[0].freeze<funnel::scalar_arch>(); },
                "funnel::dense::freeze", "is frozen"));
  // Straight from inside, on a context that the code brings itself.
  const auto train = [&](const stages& m, auto&) { m.tower(tape, tape.input(x)); };
  CHECK(refuses([&] { frozen.call(context, train); }, "funnel::dense", "is frozen"));
  CHECK(same_bits(copy.run(context, x), frozen.call(context, &stages::run, x)));
}

TEST_CASE("freeze: for another instruction set, on a context of it") {
  const ranker model = random_ranker();
  const auto frozen = funnel::freeze<funnel::scalar_arch>(model);
  funnel::inference_context<float, funnel::scalar_arch> context;
  CHECK(same_bits(frozen(context, ids{7}, items_of_a_request),
                  model(context, {7}, items_of_a_request)));
}

TEST_CASE("freeze: a layer's own freeze is called") {
  funnel::inference_context<float, funnel::scalar_arch> context;
  CHECK(funnel::freeze<funnel::scalar_arch>(own_layer())(context));
}

TEST_CASE("freeze: many threads score with one model and a context each") {
  const ranker model = random_ranker();
  const auto frozen = funnel::freeze(model);
  funnel::inference_context<float> context;
  const matrix<float> expected(frozen(context, ids{7}, items_of_a_request));
  std::vector<int> right(3, 0);
  std::vector<std::thread> threads;
  for (int& count : right) {
    threads.emplace_back([&frozen, &expected, &count] {
      funnel::inference_context<float> own;
      for (int request = 0; request < 50; ++request) {
        count += same_bits(frozen(own, ids{7}, items_of_a_request), expected) ? 1 : 0;
        own.reset();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(right == std::vector<int>(3, 50));
}
