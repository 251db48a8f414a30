// SPDX-License-Identifier: MIT
#include <funnel/crossing/cross_network.hpp>

#include <funnel/nn/freeze.hpp>
#include <funnel/nn/inference_context.hpp>
#include <funnel/nn/initialization.hpp>
#include <funnel/nn/training_context.hpp>

#include "crossing_layers.hpp"
#include "support/catch.hpp"
#include "support/cpu_time.hpp"
#include "support/errors.hpp"
#include "support/gradients.hpp"
#include "support/matrices.hpp"
#include "support/requests.hpp"
#include "support/tolerance.hpp"

#include <limits>
#include <string>
#include <string_view>
#include <vector>

using funnel::concat;
using funnel::cross_network;
using funnel::cross_network_options;
using funnel::matrix;

namespace {

/// Rank 3, or full matrices.
const std::vector<cross_network_options> kinds{
    {.layers = 1}, {.layers = 3}, {.layers = 1, .rank = 3}, {.layers = 2, .rank = 3}};

/// One layer on x0 = (.1, .2, .3) whose matrix has `weight` everywhere, as TFRS and keras-rs test it.
std::vector<double> one_layer(std::size_t rank, double weight, double bias,
                              const std::vector<double>& row) {
  cross_network<double> net(3, {.layers = 1, .rank = rank});
  for (double& w : net.layers[0].weight.value.flat()) w = weight;
  for (double& b : net.layers[0].bias.value.flat()) b = bias;
  for (auto& p : net.projections)
    for (double& w : p.weight.value.flat()) w = 1;
  funnel::inference_context<double> context;
  const funnel::matrix_view<const double> x(row.data(), 1, 3);
  const auto y = net(context, x);
  return {y(0, 0), y(0, 1), y(0, 2)};
}

void check_row(const std::vector<double>& found, const std::vector<double>& expected) {
  for (std::size_t j = 0; j < 3; ++j)
    CHECK(tolerance::within(found[j], expected[j], tolerance::iterative<double>(3, 2)));
}

}  // namespace

TEST_CASE("cross_network: golden values of TFRS and keras-rs") {
  check_row(one_layer(0, 1, 0, {.1, .2, .3}), {.16, .32, .48});
  check_row(one_layer(1, 1, 0, {.1, .2, .3}), {.16, .32, .48});
  check_row(one_layer(0, 1, 1, {.1, .2, .3}), {.26, .52, .78});

  // Their layer takes x0 and x apart: x0 = (.1, .2, .3), x = (.4, .5, .6).
  funnel::inference_context<double> context;
  const matrix<double> x0 = rows_of({{.1, .2, .3}}), x = rows_of({{.4, .5, .6}});
  funnel::dense<double> ones(3, 3);
  for (double& w : ones.weight.value.flat()) w = 1;
  const auto cross = [&] {
    const auto y = funnel::detail::cross(context, x0.view(), ones(context, x.view()), x.view());
    return std::vector<double>{y(0, 0), y(0, 1), y(0, 2)};
  };
  check_row(cross(), {.55, .8, 1.05});
  for (double& b : ones.bias.value.flat()) b = 1;
  check_row(cross(), {.65, 1, 1.35});
}

TEST_CASE("cross_network: agrees with deepctr-torch and fuxictr") {
  // CrossNet(3, 2, "matrix") of deepctr-torch 0.3.0 and CrossNetV2(3, 2) of fuxictr 2.3.10, whose
  // weights are the transposes of ours.
  const double expected[2][3] = {{1.352733256, 1.058510739, -0.592543661},
                                 {-2.638799718, -2.512847612, -0.183898908}};
  cross_network<double> net(3);
  for (std::size_t l = 0; l < 2; ++l) {
    net.layers[l].weight.value = wave(3, 3, 1. + double(l));
    net.layers[l].bias.value = wave(1, 3, 5. + double(l));
  }
  funnel::inference_context<double> context;
  const matrix<double> x = wave(2, 3, .1);
  const auto y = net(context, x.view());
  for (std::size_t i = 0; i < 2; ++i)
    for (std::size_t j = 0; j < 3; ++j)
      CHECK(tolerance::within(y(i, j), expected[i][j], tolerance::printed(9)));
}

TEST_CASE("cross_network: against the definition") {
  for (const auto& options : kinds) {
    const auto net = with_random_parameters(cross_network<double>(7, options));
    const matrix<double> x = random_matrix<double>(4, 7, 30);
    funnel::inference_context<double> context;
    const auto y = net(context, x.view());
    for (std::size_t i = 0; i < 4; ++i) {
      std::vector<double> at(x.row(i).begin(), x.row(i).end());
      for (std::size_t l = 0; l < options.layers; ++l) {
        std::vector<double> inner = at;
        if (options.rank > 0) {
          inner.assign(options.rank, 0);
          for (std::size_t k = 0; k < options.rank; ++k)
            for (std::size_t j = 0; j < 7; ++j)
              inner[k] += at[j] * net.projections[l].weight.value(j, k);
        }
        std::vector<double> next = at;
        for (std::size_t j = 0; j < 7; ++j) {
          double q = net.layers[l].bias.value(0, j);
          for (std::size_t k = 0; k < inner.size(); ++k)
            q += inner[k] * net.layers[l].weight.value(k, j);
          next[j] += x(i, j) * q;
        }
        at = next;
      }
      for (std::size_t j = 0; j < 7; ++j)
        CHECK(tolerance::within(y(i, j), at[j], tolerance::iterative<double>(30, 100)));
    }
  }
}

TEST_CASE("cross_network: layers of zeros return their input") {
  for (const auto& options : kinds) {
    const cross_network<float> net(9, options);  // weights and biases start as zeros
    const matrix<float> x = random_matrix<float>(300, 9, 1);
    funnel::inference_context<float> context;
    CHECK(same_bits(net(context, x.view()), x.view()));
  }
}

TEST_CASE("cross_network: shapes, names and defaults") {
  cross_network<float> net(5);
  CHECK(net.in() == 5);
  CHECK(net.out() == 5);
  CHECK(net.layers.size() == 2);
  CHECK(net.projections.empty());
  CHECK(names_of(net) == "layers.0.weight layers.0.bias layers.1.weight layers.1.bias ");
  CHECK(names_of(cross_network<float>(5, {.layers = 1, .rank = 2})) ==
        "projections.0.weight layers.0.weight layers.0.bias ");
  funnel::initialize(net, 1);
  CHECK(net.layers[0].weight.value(0, 0) != net.layers[1].weight.value(0, 0));
  CHECK(net.layers[1].bias.value(0, 0) == 0);
  CHECK(funnel::count_parameters(cross_network<float>(8, {.layers = 3, .rank = 2})) ==
        3 * (8 * 2 + 2 * 8 + 8));
}

TEST_CASE("cross_network: the same bits frozen, in training, in any batch and with grouped rows") {
  for (const auto& options : kinds) {
    const auto net = with_random_parameters(cross_network<float>(14, options));
    check_same_bits(net, {5, 9}, [](const auto& layer, auto& context, const auto&... parts) {
      return layer(context, concat(context, parts...));
    });
  }
}

TEST_CASE("cross_network: gradients, with one row, no row and grouped rows") {
  const auto run = [](auto& context, const auto& net, const double_values& x) {
    return net(context, concat(context, x[0], x[1]));
  };
  for (const auto& options : kinds) {
    const cross_network<double> net(5, options);
    for (const auto& shapes :
         {std::vector<shape>{{6, 2}, {6, 3}}, {{1, 2}, {6, 3}}, {{1, 2}, {1, 3}}})
      check_layer(net, shapes, run);
    const request_offsets requests{0, 1, 4, 6};
    check_layer(net, {{3, 2}, {6, 3}}, [&](auto& context, const auto& layer, const auto& x) {
      context.group_rows(requests);
      return layer(context, concat(context, x[0], x[1]));
    });
    // Numbers of the caller have no gradient.
    const matrix<double> numbers = random_matrix<double>(6, 3, 4);
    check_layer(net, {{6, 2}}, [&](auto& context, const auto& layer, const double_values& x) {
      return layer(context, concat(context, x[0], context.input(numbers.view())));
    });
    const matrix<double> five = random_matrix<double>(6, 5, 4);
    check_layer(net, {}, [&](auto& context, const auto& layer, const double_values&) {
      return layer(context, context.input(five.view()));
    });
    funnel::training_context<double> tape;
    tape.backward(weighted_sum(tape, net(tape, tape.make(0, 5))));
    CHECK(tape.find_gradient(net.layers[0].bias)->values()(0, 0) == 0);
  }
}

TEST_CASE("cross_network: the user's product is made once for all blocks of a request") {
  // Nearly all of x is the user's: half of a layer with a rank, the product with V, is then free.
  const std::size_t in = 1000, n = 3 * 256;
  const auto frozen = funnel::freeze(cross_network<float>(in + 1, {.layers = 1, .rank = 100}));
  const matrix<float> user(1, in, 1.f), items(n, 1, 1.f), copies(n, in + 1, 1.f);
  funnel::inference_context<float> context;
  const auto seconds = [&](const auto& run) {
    return cpu_time([&] {
      run();
      context.reset();
    });
  };
  CHECK(seconds([&] { frozen(context, concat(context, user, items)); }) <
        .8 * seconds([&] { frozen(context, copies.view()); }));
}

TEST_CASE("cross_network: a NaN stays in its row") {
  const auto net = with_random_parameters(cross_network<float>(6));
  matrix<float> x = random_matrix<float>(33, 6, 2);
  x(3, 2) = std::numeric_limits<float>::quiet_NaN();
  funnel::inference_context<float> context;
  const auto y = net(context, x.view());
  for (std::size_t i = 0; i < 33; ++i) CHECK((y(i, 0) != y(i, 0)) == (i == 3));
}

TEST_CASE("cross_network: what is refused") {
  using net = cross_network<float>;
  constexpr std::size_t largest = std::numeric_limits<std::size_t>::max();
  CHECK(refuses([] { net(0); }, "funnel::cross_network", "in is 0"));
  CHECK(refuses([] { net(3, {.layers = 0}); }, "funnel::cross_network", "layers is 0"));
  CHECK(refuses([] { net(3, {.rank = 4}); }, "funnel::cross_network",
                "rank is 4, expected at most 3"));
  for (const std::size_t huge : {largest, std::size_t{1} << 63}) {
    CHECK(refuses([&] { net(3, {.layers = huge}); }, "funnel::cross_network", "layers is"));
    CHECK(refuses([&] { net(3, {.rank = huge}); }, "funnel::cross_network", "rank is"));
    CHECK(refuses([&] { net{huge}; }, "funnel::matrix", "rows x cols"));
  }
  const auto full = with_random_parameters(net(3));
  const auto frozen = funnel::freeze(full);
  funnel::inference_context<float> context;
  for (const std::size_t n : size_list{5, 300}) {
    const matrix<float> wide(n, 4);
    CHECK(refuses([&] { full(context, wide.view()); }, "funnel::cross_network",
                  "4 columns, expected 3"));
    CHECK(refuses([&] { frozen(context, wide.view()); }, "funnel::cross_network",
                  "4 columns, expected 3"));
  }
  CHECK(refuses([&] { net().in(); }, "funnel::cross_network", "layers is empty"));
  auto packed = full;
  packed.layers[0].freeze<funnel::default_arch>();
  CHECK(refuses([&] { funnel::freeze(packed); }, "funnel::dense::freeze", "frozen"));
  auto mixed = full;
  mixed.layers[1] = funnel::dense<float>(2, 3);
  const matrix<float> x(5, 3);
  CHECK(refuses([&] { mixed(context, x.view()); }, "funnel::cross_network", "is 2, expected 3"));
}
