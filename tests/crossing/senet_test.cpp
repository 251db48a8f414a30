// SPDX-License-Identifier: MIT
#include <funnel/crossing/senet.hpp>

#include <funnel/nn/freeze.hpp>
#include <funnel/nn/inference_context.hpp>
#include <funnel/nn/slice.hpp>
#include <funnel/nn/training_context.hpp>

#include "crossing_layers.hpp"
#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/gradients.hpp"
#include "support/matrices.hpp"
#include "support/requests.hpp"
#include "support/tolerance.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

using funnel::activation;
using funnel::concat;
using funnel::matrix;
using funnel::senet;

namespace {

using sizes = std::vector<std::size_t>;

const std::vector<sizes> all_widths{{1}, {4, 4, 4}, {2, 1, 3, 5, 3, 2, 1}};

}  // namespace

TEST_CASE("senet: worked by hand") {
  senet<double> layer(sizes{1, 3}, {.reduction = 2});
  REQUIRE(layer.reduce.out() == 1);
  layer.reduce.weight.value = rows_of({{1}, {2}});
  layer.excite.weight.value = rows_of({{0, std::log(3.)}});
  // Means 1 and 0: relu(1) = 1; gates 1/2 and 3/4. Means -3 and 1: relu(-1) = 0; gates 1/2.
  const matrix<double> x = rows_of({{1, 4, -8, 4}, {-3, 0, 1, 2}});
  const double expected[2][4] = {{.5, 3, -6, 3}, {-1.5, 0, .5, 1}};
  funnel::inference_context<double> context;
  const auto y = layer(context, x.view());
  for (std::size_t i = 0; i < 2; ++i)
    for (std::size_t j = 0; j < 4; ++j)
      CHECK(tolerance::within(y(i, j), expected[i][j], tolerance::iterative<double>(3, 8)));
}

TEST_CASE("senet: agrees with deepctr-torch and fuxictr") {
  // SENETLayer(4, 2) of deepctr-torch 0.3.0 and SqueezeExcitation(4, 2, type) of fuxictr 2.3.10, whose
  // weights are the transposes of ours.
  const double with_relu[2][8] = {{0, 0, 0, 0, 0, 0, 0.544387595, 0.619727941}, {}};
  const double with_sigmoid[2][8] = {{0.23587348, 0.089466471, -0.104279573, -0.20449003,
                                      -0.264260101, 0.03185213, 0.54882599, 0.624780586},
                                     {0.149617557, -0.224139595, -0.3177897, -0.22876484,
                                      0.035510445, 0.287478625, 0.456278019, 0.159752292}};
  const matrix<double> x = wave(2, 8, .3);
  funnel::inference_context<double> context;
  const auto check = [&](activation gate, const double(&expected)[2][8]) {
    senet<double> layer(4, 2, {.reduction = 2, .gate = gate});
    layer.reduce.weight.value = wave(4, 2, 1.5);
    layer.excite.weight.value = wave(2, 4, 2.5);
    const auto y = layer(context, x.view());
    for (std::size_t i = 0; i < 2; ++i)
      for (std::size_t j = 0; j < 8; ++j)
        CHECK(tolerance::within(y(i, j), expected[i][j], tolerance::printed(9)));
  };
  check(activation::relu, with_relu);
  check(activation::sigmoid, with_sigmoid);
}

TEST_CASE("senet: against the definition") {
  for (const sizes& widths : all_widths) {
    const auto layer = with_random_parameters(senet<double>(widths, {.reduction = 2}));
    const std::size_t m = widths.size();
    std::size_t columns = 0;
    for (const std::size_t width : widths) columns += width;
    const matrix<double> x = random_matrix<double>(4, columns, 7);
    funnel::inference_context<double> context;
    const auto y = layer(context, x.view());
    for (std::size_t i = 0; i < 4; ++i) {
      std::vector<double> hidden(layer.reduce.out());
      for (std::size_t f = 0, at = 0; f < m; at += widths[f++]) {
        double mean = 0;
        for (std::size_t j = 0; j < widths[f]; ++j) mean += x(i, at + j) / double(widths[f]);
        for (std::size_t h = 0; h < hidden.size(); ++h)
          hidden[h] += mean * layer.reduce.weight.value(f, h);
      }
      for (std::size_t f = 0, at = 0; f < m; at += widths[f++]) {
        double logit = 0;
        for (std::size_t h = 0; h < hidden.size(); ++h)
          logit += std::max(0., hidden[h]) * layer.excite.weight.value(h, f);
        for (std::size_t j = 0; j < widths[f]; ++j)
          CHECK(tolerance::within(y(i, at + j), x(i, at + j) / (1 + std::exp(-logit)),
                                  tolerance::iterative<double>(m, 1)));
      }
    }
  }
}

TEST_CASE("senet: shapes and names") {
  CHECK(senet<float>(7, 4).reduce.out() == 2);
  CHECK(senet<float>(2, 4).reduce.out() == 1);
  CHECK(senet<float>(9, 4, {.reduction = 1}).reduce.out() == 9);
  CHECK(senet<float>(9, 4, {.reduction = 100}).reduce.out() == 1);
  CHECK(senet<float>(3, 4).widths() == sizes{4, 4, 4});
  CHECK(senet<float>(3, 4).fields() == 3);
  CHECK(names_of(senet<float>(3, 4)) == "reduce.weight excite.weight ");
}

TEST_CASE("senet: the same bits frozen, in training, in any batch and with grouped rows") {
  const auto run = [](const auto& layer, auto& context, const auto&... parts) {
    return layer(context, concat(context, parts...));
  };
  for (const auto gate : {activation::sigmoid, activation::relu}) {
    check_same_bits(with_random_parameters(senet<float>(5, 9, {.gate = gate})), {2 * 9, 3 * 9},
                    run);
    check_same_bits(with_random_parameters(senet<float>(sizes{20, 1, 3, 33}, {.gate = gate})),
                    {21, 36}, run);
  }
}

TEST_CASE("senet: gradients, with one row, no row, grouped rows and parts without columns") {
  const auto run = [](auto& context, const auto& layer, const double_values& x) {
    return layer(context, concat(context, x[0], x[1]));
  };
  for (const auto gate : {activation::sigmoid, activation::gelu}) {
    const senet<double> layer(sizes{2, 1, 3, 5}, {.reduction = 2, .gate = gate});
    for (const auto& shapes :
         {std::vector<shape>{{4, 3}, {4, 8}}, {{1, 3}, {4, 8}}, {{1, 3}, {1, 8}}})
      check_layer(layer, shapes, run);
    const request_offsets requests{0, 1, 4};
    check_layer(layer, {{2, 3}, {4, 8}}, [&](auto& context, const auto& m, const auto& x) {
      context.group_rows(requests);
      return run(context, m, x);
    });
    check_layer(layer, {{4, 11}}, [&](auto& context, const auto& m, const double_values& x) {
      return m(context,
               concat(context, slice(context, x[0], 0, 0), x[0], slice(context, x[0], 2, 0)));
    });
    const matrix<double> numbers = random_matrix<double>(4, 8, 4);
    check_layer(layer, {{4, 3}}, [&](auto& context, const auto& m, const double_values& x) {
      return m(context, concat(context, x[0], context.input(numbers.view())));
    });
    funnel::training_context<double> tape;
    tape.backward(weighted_sum(tape, layer(tape, tape.make(0, 11))));
  }
}

TEST_CASE("senet: what is refused") {
  using layer = senet<float>;
  constexpr std::size_t largest = std::numeric_limits<std::size_t>::max();
  CHECK(refuses([] { layer(sizes{}); }, "funnel::senet", "widths is empty"));
  CHECK(refuses([] { layer(0, 4); }, "funnel::senet", "widths is empty"));
  CHECK(refuses([] { layer(sizes{3, 0}); }, "funnel::senet", "widths[1] is 0, expected 1 or more"));
  CHECK(refuses([] { layer(sizes{1, largest}); }, "funnel::senet: a width", "expected at most"));
  CHECK(refuses([] { layer(sizes(5, std::size_t{1} << 59)); }, "funnel::senet: the sum of widths",
                "expected at most"));
  CHECK(refuses([] { layer(3, 4, {.reduction = 0}); }, "funnel::senet", "reduction is 0"));
  CHECK(refuses([] { layer(largest, 4); }, "funnel::senet", "fields is"));
  CHECK(layer(3, 4, {.reduction = largest}).reduce.out() == 1);
  funnel::inference_context<float> context;
  const matrix<float> x(5, 12), one(5, 1);
  const auto good = with_random_parameters(layer(3, 4));
  CHECK(refuses([&] { good(context, one.view()); }, "funnel::senet", "1 column, expected 12"));
  CHECK(refuses(
      [&] {
        good(context, concat(context, x.view().middle_cols(0, 5), x.view().middle_cols(5, 7)));
      },
      "funnel::senet", "a part of x ends within field 1, expected whole fields"));
  CHECK(refuses([&] { layer()(context, x.view()); }, "funnel::senet", "widths is empty"));
}
