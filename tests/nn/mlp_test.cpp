// SPDX-License-Identifier: MIT
#include <funnel/nn/concat.hpp>
#include <funnel/nn/freeze.hpp>
#include <funnel/nn/inference_context.hpp>
#include <funnel/nn/initialization.hpp>
#include <funnel/nn/mlp.hpp>

#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/gradients.hpp"
#include "support/matrices.hpp"
#include "support/shared_product.hpp"

#include <string>

using funnel::activation;
using funnel::concat;
using funnel::initial_values;
using funnel::matrix;
using funnel::mlp;

namespace {

template <class T>
mlp<T> random_mlp(std::size_t in, const std::vector<std::size_t>& outs,
                  const funnel::mlp_options& options = {}) {
  mlp<T> tower(in, outs, options);
  funnel::random_generator bits(1);
  funnel::initialize(tower, bits);
  return tower;
}

}  // namespace

TEST_CASE("mlp: its dense layers one after another") {
  const mlp<float> tower =
      random_mlp<float>(5, {8, 3}, {.hidden = activation::silu, .output = activation::sigmoid});
  CHECK(tower.in() == 5);
  CHECK(tower.out() == 3);
  REQUIRE(tower.layers.size() == 2);
  CHECK(tower.layers[0].function == activation::silu);
  CHECK(tower.layers[1].function == activation::sigmoid);
  const matrix<float> x = random_matrix<float>(6, 5, 2);
  funnel::inference_context<float> context;
  const auto hidden = tower.layers[0](context, x.view());
  CHECK(same_bits(tower(context, x.view()), tower.layers[1](context, hidden)));
  CHECK(same_bits(tower.rest(context, hidden), tower.layers[1](context, hidden)));
}

TEST_CASE("mlp: dropout is for training only") {
  const mlp<double> plain = random_mlp<double>(5, {30, 30, 2});
  mlp<double> dropping = plain;
  dropping.dropout_rate = 0.5;
  const matrix<double> x = random_matrix<double>(6, 5, 3);
  funnel::inference_context<double> serving;
  CHECK(same_bits(dropping(serving, x.view()), plain(serving, x.view())));
  double_training tape(4);
  CHECK_FALSE(same_bits(view(dropping(tape, tape.input(x))), view(plain(tape, tape.input(x)))));
  double_training same_seed(4);
  tape.clear();
  double_training again(4);
  CHECK(same_bits(view(dropping(same_seed, same_seed.input(x))),
                  view(dropping(again, again.input(x)))));
}

TEST_CASE("mlp: names, counts and starting values") {
  const mlp<float> tower(5, {8, 3}, {.output = activation::sigmoid});
  std::string names;
  funnel::for_each_parameter(tower, [&](std::string_view path, const auto&) {
    names += path;
    names += ' ';
  });
  CHECK(names == "layers.0.weight layers.0.bias layers.1.weight layers.1.bias ");
  CHECK(funnel::count_parameters(tower) == 5 * 8 + 8 + 8 * 3 + 3);
  CHECK(tower.layers[0].weight.initial == initial_values::he_normal);  // before a relu
  CHECK(tower.layers[1].weight.initial == initial_values::glorot_uniform);
}

TEST_CASE("mlp: no sizes, or another number of columns, are refused") {
  CHECK(refuses([] { mlp<float>(5, {}); }, "funnel::mlp", "sizes is empty"));
  const mlp<float> tower(5, {2});
  funnel::inference_context<float> context;
  const matrix<float> x(3, 4);
  CHECK(refuses([&] { tower(context, x.view()); }, "funnel::dense", "4 columns, expected 5"));
}

TEST_CASE("mlp: gradients, with a user of one row and with dropout") {
  const auto run = [](auto& context, const mlp<double>& tower, const double_values& x) {
    return tower(context, concat(context, x[0], x[1]));
  };
  const std::vector<shape> shapes{{1, 2}, {4, 3}};
  check_layer(mlp<double>(5, {6, 4, 2}, {.hidden = activation::gelu}), shapes, run);
  check_layer(mlp<double>(5, {6, 4, 2}, {.hidden = activation::tanh, .dropout = 0.3}), shapes, run);
}

TEST_CASE("mlp: a request in several blocks gives a row the bits it has alone") {
  constexpr std::size_t n = 513;  // two blocks of 256 rows, and one of a single row
  const mlp<float> tower = random_mlp<float>(11, {7, 5, 2}, {.hidden = activation::silu});
  const auto frozen = funnel::freeze(tower);
  const matrix<float> user = random_matrix<float>(1, 2, 2);
  const matrix<float> place = random_matrix<float>(1, 3, 3);
  const matrix<float> items = random_matrix<float>(n, 6, 4);
  funnel::inference_context<float> context;
  const auto check = [&](const auto& in_order) {
    const auto many = in_order(user.view(), place.view(), items.view());
    const auto whole = tower(context, many);
    CHECK(same_bits(frozen(context, many), whole));
    for (const std::size_t i : size_list{0, 255, 256, 511, 512}) {
      const auto alone = in_order(user.view(), place.view(), items.view().middle_rows(i, 1));
      CHECK(same_bits(tower(context, alone), whole.middle_rows(i, 1)));
      CHECK(same_bits(frozen(context, alone), whole.middle_rows(i, 1)));
    }
  };
  check([&](auto u, auto p, auto v) { return concat(context, u, p, v); });
  check([&](auto u, auto p, auto v) { return concat(context, u, v, p); });
  check([&](auto u, auto p, auto v) { return concat(context, v, u, p); });
}

TEST_CASE("mlp: the user's product is made once for all blocks of a request") {
  const std::size_t in = 100000;
  const auto frozen = funnel::freeze(mlp<float>(in + 1, {8, 1}));
  CHECK(shares_user_product(frozen, in));
}

TEST_CASE("mlp: one without layers is refused") {
  const mlp<float> none;
  funnel::inference_context<float> context;
  const matrix<float> x(2, 3);
  CHECK(refuses([&] { none(context, x.view()); }, "funnel::mlp", "layers is empty"));
  CHECK(refuses([&] { none.in(); }, "funnel::mlp", "layers is empty"));
}
