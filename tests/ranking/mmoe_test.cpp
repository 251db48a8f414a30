// SPDX-License-Identifier: MIT
#include <funnel/nn/concat.hpp>
#include <funnel/nn/freeze.hpp>
#include <funnel/nn/inference_context.hpp>
#include <funnel/nn/initialization.hpp>
#include <funnel/nn/training_context.hpp>
#include <funnel/ranking/mmoe.hpp>

#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/gradients.hpp"
#include "support/matrices.hpp"
#include "support/random_parameters.hpp"
#include "support/requests.hpp"
#include "support/shared_product.hpp"
#include "support/tolerance.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

using funnel::concat;
using funnel::matrix;
using funnel::matrix_view;
using funnel::mmoe;
using funnel::mmoe_options;

namespace {

using sizes = std::vector<std::size_t>;

/// Biases are random too.
template <class T, std::size_t Tasks>
mmoe<T, Tasks> random_mmoe(std::size_t in, const mmoe_options& options) {
  return with_random_parameters(mmoe<T, Tasks>(in, options));
}

/// One expert with one output by hand: relu(x w + b).
void set_expert(funnel::mlp<double>& expert, double w0, double w1, double b) {
  expert.layers[0].weight.value(0, 0) = w0;
  expert.layers[0].weight.value(1, 0) = w1;
  expert.layers[0].bias.value(0, 0) = b;
}

matrix<double> rows_of(std::initializer_list<std::initializer_list<double>> rows) {
  matrix<double> values(rows.size(), rows.begin()->size());
  std::size_t i = 0;
  for (const auto& row : rows) std::ranges::copy(row, values.row(i++).begin());
  return values;
}

}  // namespace

TEST_CASE("mmoe: worked by hand") {
  mmoe<double, 2> experts(2, {.experts = 2, .expert_sizes = {1}});
  set_expert(experts.experts[0], 1, 0, 0);  // relu(x0)
  set_expert(experts.experts[1], 0, 2, 1);  // relu(2 x1 + 1)
  experts.gates.weight.value(0, 3) =
      std::log(3.);  // task 1's; task 0's gate stays at one half each
  const matrix<double> x = rows_of({{1, 1}, {-1, 1}, {2, -5}});
  // f = (1, 3), (0, 3), (2, 0); g^1 = (1, 3) / 4, (3, 1) / 4, (1, 9) / 10
  const double expected[2][3] = {{2, 1.5, 1}, {2.5, .75, .2}};
  const double gate[3] = {.75, .25, .9};

  funnel::inference_context<double> context;
  const auto h = experts(context, x.view());
  const auto g = experts.gate_weights(context, x.view());
  for (std::size_t i = 0; i < 3; ++i) {
    for (std::size_t t = 0; t < 2; ++t) {
      CHECK(tolerance::within(h[t](i, 0), expected[t][i], tolerance::iterative<double>(2, 3)));
    }
    CHECK(g[0](i, 0) == .5);
    CHECK(tolerance::within(g[1](i, 1), gate[i], tolerance::iterative<double>(2, 1)));
  }
  CHECK(same_bits(experts.mix(context, x.view(), g)[1], h[1]));
}

TEST_CASE("mmoe: shapes, names and what the layers are") {
  const mmoe<float, 3> experts =
      random_mmoe<float, 3>(7, {.experts = 5, .expert_sizes = {8, 4}, .gate_dropout = .2});
  CHECK(experts.out() == 4);
  CHECK(experts.gate_dropout == .2);
  REQUIRE(experts.experts.size() == 5);
  REQUIRE(experts.gates.out() == 3 * 5);
  for (const std::size_t n : size_list{0, 1, 6}) {
    const matrix<float> x = random_matrix<float>(n, 7, 2);
    funnel::inference_context<float> context;
    for (const auto& h : experts(context, x.view())) {
      CHECK(h.rows() == n);
      CHECK(h.cols() == 4);
    }
    for (const auto& g : experts.gate_weights(context, x.view())) {
      CHECK(g.rows() == n);
      CHECK(g.cols() == 5);
    }
  }
  // relu throughout, and gates that are linear and without bias.
  for (const auto& layer : experts.experts[2].layers)
    CHECK(layer.function == funnel::activation::relu);
  std::string names;
  funnel::for_each_parameter(experts, [&](std::string_view path, const auto&) {
    names += path;
    names += ' ';
  });
  CHECK(names.find("experts.4.layers.1.bias ") != std::string::npos);
  CHECK(names.ends_with(" gates.weight "));
  CHECK(funnel::count_parameters(experts) == 5 * (7 * 8 + 8 + 8 * 4 + 4) + 3 * 7 * 5);
  // Defaults of the options.
  CHECK(mmoe<float, 1>(3, {}).experts.size() == 4);
  CHECK(mmoe<float, 1>(3, {}).gate_dropout == .1);
}

TEST_CASE("mmoe: a mixture of its experts, against the definition") {
  const mmoe<double, 2> experts = random_mmoe<double, 2>(6, {.experts = 3, .expert_sizes = {9, 4}});
  const matrix<double> x = random_matrix<double>(5, 6, 2);
  funnel::inference_context<double> context;
  const auto h = experts(context, x.view());
  const auto g = experts.gate_weights(context, x.view());
  for (std::size_t t = 0; t < 2; ++t) {
    for (std::size_t i = 0; i < 5; ++i) {
      std::vector<double> weights(3), mixed(4);
      double sum = 0;
      for (std::size_t k = 0; k < 3; ++k) {
        double logit = 0;
        for (std::size_t j = 0; j < 6; ++j)
          logit += x(i, j) * experts.gates.weight.value(j, 3 * t + k);
        sum += weights[k] = std::exp(logit);
      }
      double magnitude = 0;
      for (std::size_t k = 0; k < 3; ++k) {
        weights[k] /= sum;
        CHECK(tolerance::within(g[t](i, k), weights[k], tolerance::iterative<double>(6, 1)));
        const auto f = experts.experts[k](context, x.view().middle_rows(i, 1));
        for (std::size_t j = 0; j < 4; ++j) {
          mixed[j] += weights[k] * f(0, j);
          magnitude = std::max(magnitude, f(0, j));
        }
      }
      for (std::size_t j = 0; j < 4; ++j)
        CHECK(tolerance::within(h[t](i, j), mixed[j], tolerance::iterative<double>(9, magnitude)));
      CHECK(tolerance::within(g[t](i, 0) + g[t](i, 1) + g[t](i, 2), 1,
                              tolerance::reduction<double>(3, 1)));
    }
  }
}

TEST_CASE("mmoe: one expert is a shared bottom; tasks don't change each other") {
  const mmoe<float, 2> shared = random_mmoe<float, 2>(6, {.experts = 1, .expert_sizes = {8, 4}});
  const matrix<float> x = random_matrix<float>(5, 6, 2);
  funnel::inference_context<float> context;
  const auto bottom = shared.experts[0](context, x.view());
  const auto frozen = funnel::freeze(shared);
  for (const auto& h : shared(context, x.view())) CHECK(same_bits(h, bottom));
  for (const auto& h : frozen(context, x.view())) CHECK(same_bits(h, bottom));
  funnel::training_context<float> tape(3);  // gate dropout has nothing to drop
  for (const auto& h : shared(tape, tape.input(x))) CHECK(same_bits(view(h), bottom));

  const mmoe<float, 2> both = random_mmoe<float, 2>(6, {.experts = 3, .expert_sizes = {8, 4}});
  mmoe<float, 1> second(6, {.experts = 3, .expert_sizes = {8, 4}});
  second.experts = both.experts;
  for (std::size_t j = 0; j < 6; ++j)
    std::ranges::copy(both.gates.weight.value.row(j).subspan(3),
                      second.gates.weight.value.row(j).begin());
  CHECK(same_bits(second(context, x.view())[0], both(context, x.view())[1]));
}

TEST_CASE("mmoe: units of experts start apart") {
  mmoe<float, 1> experts(6, {.experts = 4, .expert_sizes = {5}});
  funnel::random_generator bits(1);
  funnel::initialize(experts, bits);
  std::vector<std::vector<float>> units;
  for (const auto& expert : experts.experts) {
    for (std::size_t j = 0; j < 5; ++j) {
      std::vector<float> unit;
      for (std::size_t i = 0; i < 6; ++i) unit.push_back(expert.layers[0].weight.value(i, j));
      CHECK(std::ranges::find(units, unit) == units.end());
      units.push_back(unit);
    }
  }
}

TEST_CASE("mmoe: a row's gates and outputs depend on that row alone") {
  const mmoe<float, 2> experts =
      random_mmoe<float, 2>(6, {.experts = 3, .expert_sizes = {8, 4}, .gate_dropout = 0});
  const auto frozen = funnel::freeze(experts);
  matrix<float> x = random_matrix<float>(33, 6, 2);
  funnel::inference_context<float> context;
  const auto whole = experts(context, x.view());
  for (const std::size_t i : size_list{0, 7, 32}) {
    const auto row = x.view().middle_rows(i, 1);
    funnel::training_context<float> tape;
    for (std::size_t t = 0; t < 2; ++t) {
      CHECK(same_bits(experts(context, row)[t], whole[t].middle_rows(i, 1)));
      CHECK(same_bits(frozen(context, row)[t], whole[t].middle_rows(i, 1)));
      CHECK(same_bits(view(experts(tape, tape.input(row))[t]), whole[t].middle_rows(i, 1)));
    }
  }
  x(3, 2) = std::numeric_limits<float>::quiet_NaN();
  const auto with_nan = experts(context, x.view());
  for (std::size_t i = 0; i < 33; ++i) CHECK(std::isnan(with_nan[0](i, 0)) == (i == 3));
}

TEST_CASE("mmoe: frozen it gives the same bits") {
  const matrix<float> user = random_matrix<float>(1, 5, 2);
  const matrix<float> items = random_matrix<float>(64, 6, 3);
  const auto check = [&]<class Arch>(Arch, const mmoe_options& options) {
    const mmoe<float, 3> experts = random_mmoe<float, 3>(11, options);
    const auto frozen = funnel::freeze<Arch>(experts);
    for (const std::size_t n : size_list{0, 1, 7, 64}) {
      funnel::inference_context<float, Arch> context;
      const auto x = concat(context, user, items.view().middle_rows(0, n));
      const auto expected = experts(context, x);
      const auto found = frozen(context, x);
      const auto gates = experts.gate_weights(context, x);
      const auto frozen_gates = frozen.call(
          context, [](const auto& m, auto& c, const auto& rows) { return m.gate_weights(c, rows); },
          x);
      for (std::size_t t = 0; t < 3; ++t) {
        CHECK(same_bits(found[t], expected[t]));
        CHECK(same_bits(frozen_gates[t], gates[t]));
      }
    }
    CHECK_FALSE(experts.gates.weight.value.empty());  // the model stays as it was
    CHECK_FALSE(experts.experts[0].layers[0].weight.value.empty());
  };
  for (const sizes& layers : {sizes{5}, sizes{33, 16}, sizes{7, 3, 2}}) {
    for (const std::size_t k : size_list{1, 3, 17}) {
      const mmoe_options options{.experts = k, .expert_sizes = layers, .dropout = .5};
      check(funnel::default_arch{}, options);
      check(funnel::scalar_arch{}, options);
    }
  }
}

TEST_CASE("mmoe: gradients, with gate dropout and a user of one row") {
  const auto run = [](auto& context, const auto& experts, const double_values& x) {
    const auto h = experts(context, concat(context, x[0], x[1]));
    return materialize(context, concat(context, h[0], h[1]));
  };
  const std::vector<shape> shapes{{1, 2}, {6, 3}};
  check_layer(mmoe<double, 2>(5, {.experts = 3, .expert_sizes = {4, 3}, .gate_dropout = 0}), shapes,
              run);
  check_layer(
      mmoe<double, 2>(5, {.experts = 3, .expert_sizes = {4, 3}, .gate_dropout = .4, .dropout = .2}),
      shapes, run);
}

TEST_CASE("mmoe: what is refused") {
  CHECK(refuses([] { mmoe<float, 1>(3, {.experts = 0}); }, "funnel::mmoe", "experts is 0"));
  for (const std::size_t size : {std::numeric_limits<std::size_t>::max(), std::size_t{1} << 63})
    CHECK(refuses([&] { mmoe<float, 2>(3, {.experts = size}); }, "funnel::mmoe: experts x tasks is",
                  "expected at most"));
  CHECK(
      refuses([] { mmoe<float, 1>(3, {.gate_dropout = 1}); }, "funnel::mmoe", "gate_dropout is 1"));
  CHECK(refuses([] { mmoe<float, 1>(3, {.expert_sizes = {}}); }, "funnel::mlp", "sizes is empty"));
  const mmoe<float, 2> experts(3, {});
  const auto frozen = funnel::freeze(experts);
  funnel::inference_context<float> context;
  const matrix<float> wide(5, 4);
  CHECK(refuses([&] { experts(context, wide.view()); }, "funnel::dense", "4 columns, expected 3"));
  CHECK(refuses([&] { frozen(context, wide.view()); }, "funnel::dense", "4 columns, expected 3"));
}

TEST_CASE("mmoe: a request in several blocks gives a row the bits it has alone") {
  constexpr std::size_t n = 513;  // two blocks of 256 rows, and one of a single row
  const mmoe<float, 2> experts = random_mmoe<float, 2>(9, {.experts = 3, .expert_sizes = {7, 4}});
  const auto frozen = funnel::freeze(experts);
  const matrix<float> user = random_matrix<float>(1, 4, 2);
  const matrix<float> items = random_matrix<float>(n, 5, 4);
  funnel::inference_context<float> context;
  const auto check = [&](const auto& in_order) {
    const auto many = in_order(user.view(), items.view());
    const auto whole = experts(context, many);
    const auto served = frozen(context, many);
    for (std::size_t t = 0; t < 2; ++t) CHECK(same_bits(served[t], whole[t]));
    for (const std::size_t i : size_list{0, 255, 256, 511, 512}) {
      const auto alone = in_order(user.view(), items.view().middle_rows(i, 1));
      const auto row = experts(context, alone);
      const auto served_row = frozen(context, alone);
      for (std::size_t t = 0; t < 2; ++t) {
        CHECK(same_bits(row[t], whole[t].middle_rows(i, 1)));
        CHECK(same_bits(served_row[t], whole[t].middle_rows(i, 1)));
      }
    }
  };
  check([&](auto u, auto v) { return concat(context, u, v); });
  check([&](auto u, auto v) { return concat(context, v, u); });
}

TEST_CASE("mmoe: the user's product is made once for all blocks of a request") {
  const std::size_t in = 50000;
  const auto frozen = funnel::freeze(mmoe<float, 1>(in + 1, {.experts = 2, .expert_sizes = {4}}));
  CHECK(shares_user_product(frozen, in));
}

TEST_CASE("mmoe: frozen with experts that differ, it packs each by itself") {
  mmoe<float, 1> experts = random_mmoe<float, 1>(3, {.experts = 2, .expert_sizes = {5, 2}});
  experts.experts[1] = funnel::mlp<float>(3, {8, 2}, {.hidden = funnel::activation::tanh});
  experts.experts[1].layers[0].weight.value = random_matrix<float>(3, 8, 5);
  const auto frozen = funnel::freeze(experts);
  funnel::inference_context<float> context;
  for (const std::size_t n : size_list{4, 300}) {
    const matrix<float> x = random_matrix<float>(n, 3, 6);
    CHECK(same_bits(frozen(context, x)[0], experts(context, x)[0]));
  }
}

TEST_CASE("mmoe: what grew or was frozen is refused") {
  mmoe<float, 2> experts = random_mmoe<float, 2>(3, {.experts = 2, .expert_sizes = {2}});
  const matrix<float> x = random_matrix<float>(4, 3, 6);
  funnel::inference_context<float> context;
  mmoe<float, 2> grown = experts;
  grown.experts.push_back(grown.experts.front());
  CHECK(refuses([&] { grown(context, x); }, "funnel::mmoe", "4 outputs, expected 6"));
  CHECK(refuses([&] { funnel::freeze(grown); }, "funnel::mmoe", "4 outputs, expected 6"));
  CHECK(refuses([&] { mmoe<float, 2>()(context, x); }, "funnel::mmoe", "experts is empty"));
  experts.freeze<funnel::default_arch>();
  CHECK(refuses([&] { experts.freeze<funnel::default_arch>(); }, "funnel::dense", "is frozen"));
  funnel::training_context<float> tape;
  CHECK(refuses([&] { experts(tape, tape.input(x)); }, "funnel::dense", "is frozen"));
  const auto gates = experts.gate_weights(context, x);
  const std::array<funnel::variable<float>, 2> weights{tape.make(4, 2), tape.make(4, 2)};
  CHECK(refuses([&] { experts.mix(tape, tape.input(x), weights); }, "funnel::dense", "weight is"));
  CHECK(gates[0].rows() == 4);
}

TEST_CASE("mmoe: one row per request gives the bits of repeated rows, served and trained") {
  funnel::mmoe<float, 2> model(9, {.experts = 3, .expert_sizes = {16, 8}, .gate_dropout = 0});
  funnel::random_generator bits(4);
  funnel::initialize(model, bits);
  funnel::mmoe<float, 2> uneven = model;  // is served expert by expert
  uneven.experts[1] = funnel::mlp<float>(9, {5, 8});
  funnel::initialize(uneven.experts[1], bits);
  for (const request_offsets& requests :
       {offsets_of({1}), offsets_of({1, 1, 1}), offsets_of({1, 2, 255, 256, 257, 1000})}) {
    const matrix<float> user = random_matrix<float>(requests.size() - 1, 5, 1);
    const matrix<float> users = repeated(user, requests);
    const matrix<float> items = random_matrix<float>(requests.back(), 4, 2);
    for (const auto* m : {&model, &uneven}) {
      funnel::inference_context<float> plain, context;
      context.group_rows(requests);
      funnel::training_context<float> tape;
      tape.group_rows(requests);
      const auto frozen = funnel::freeze(*m);
      const auto expected = (*m)(plain, concat(plain, users.view(), items.view()));
      const auto grouped = (*m)(context, concat(context, user.view(), items.view()));
      const auto served = frozen(context, concat(context, user.view(), items.view()));
      const auto trained = (*m)(tape, concat(tape, user.view(), items.view()));
      for (std::size_t t = 0; t < 2; ++t) {
        CHECK(same_bits(grouped[t], expected[t]));
        CHECK(same_bits(served[t], expected[t]));
        CHECK(same_bits(view(trained[t]), expected[t]));
      }
      // A request alone gives its rows of the batch.
      for (std::size_t r = 0; r + 1 < requests.size(); ++r) {
        const std::size_t begin = requests[r], count = requests[r + 1] - begin;
        funnel::inference_context<float> alone;
        const auto of_request = frozen(alone, concat(alone, user.view().middle_rows(r, 1),
                                                     items.view().middle_rows(begin, count)));
        for (std::size_t t = 0; t < 2; ++t)
          CHECK(same_bits(of_request[t], expected[t].middle_rows(begin, count)));
      }
    }
  }
}

TEST_CASE("mmoe: gradients, one row per request") {
  const request_offsets requests = offsets_of({2, 1, 3});
  const funnel::mmoe<double, 2> model(7, {.experts = 2, .expert_sizes = {5, 3}, .gate_dropout = 0});
  check_layer(model, {{3, 4}, {6, 2}, {1, 1}},
              [&](auto& context, const auto& m, const double_values& x) {
                context.group_rows(requests);
                const auto y = m(context, concat(context, x[0], x[1], x[2]));
                return materialize(context, concat(context, y[0], y[1]));
              });
}
