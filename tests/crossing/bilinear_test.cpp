// SPDX-License-Identifier: MIT
#include <funnel/crossing/bilinear.hpp>

#include <funnel/nn/freeze.hpp>
#include <funnel/nn/inference_context.hpp>
#include <funnel/nn/initialization.hpp>
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
#include <utility>
#include <vector>

using funnel::bilinear;
using funnel::bilinear_form;
using funnel::bilinear_options;
using funnel::bilinear_weights;
using funnel::concat;
using funnel::matrix;

namespace {

using pair_list = std::vector<std::pair<std::size_t, std::size_t>>;

/// All forms, with all pairs and with some by hand: field 4 is left of two, field 2 of none.
std::vector<bilinear_options> all_options() {
  std::vector<bilinear_options> all;
  for (const auto form : {bilinear_form::hadamard, bilinear_form::inner})
    for (const auto weights :
         {bilinear_weights::all, bilinear_weights::each, bilinear_weights::interaction})
      for (const pair_list& pairs : {pair_list{}, pair_list{{4, 0}, {1, 3}, {4, 2}, {0, 3}}})
        all.push_back({form, weights, pairs});
  return all;
}

/// The matrix of a pair, [dim, dim].
matrix<double> matrix_of(const bilinear<double>& layer, const bilinear_options& options,
                         std::size_t pair) {
  const std::size_t k = layer.dim();
  std::size_t group = 0, matrix_in_group = 0;
  if (options.weights != bilinear_weights::all) {
    std::vector<std::size_t> lefts;
    for (const auto& [i, j] : layer.pairs())
      if (std::ranges::find(lefts, i) == lefts.end()) lefts.push_back(i);
    std::ranges::sort(lefts);
    const std::size_t left = layer.pairs()[pair].first;
    group = static_cast<std::size_t>(std::ranges::find(lefts, left) - lefts.begin());
    if (options.weights == bilinear_weights::interaction)
      for (std::size_t p = 0; p < pair; ++p) matrix_in_group += layer.pairs()[p].first == left;
  }
  return matrix<double>(
      layer.weights[group].weight.value.view().middle_cols(matrix_in_group * k, k));
}

}  // namespace

TEST_CASE("bilinear: worked by hand") {
  bilinear<double> layer(2, 2, {});
  layer.weights[0].weight.value = rows_of({{1, 2}, {3, 4}});
  const matrix<double> x = rows_of({{1, 10, 5, 7}});
  funnel::inference_context<double> context;
  const auto p = layer(context, x.view());  // (1, 10) W = (31, 42)
  REQUIRE(p.cols() == 2);
  CHECK(p(0, 0) == 31 * 5);
  CHECK(p(0, 1) == 42 * 7);
  bilinear<double> inner(2, 2, {.form = bilinear_form::inner});
  inner.weights = layer.weights;
  const auto f = inner(context, x.view());
  REQUIRE(f.cols() == 1);
  CHECK(f(0, 0) == 31 * 5 + 42 * 7);
}

TEST_CASE("bilinear: agrees with deepctr-torch and fuxictr") {
  // BilinearInteraction(3, 2, type) of deepctr-torch 0.3.0 (weights transposed) and of fuxictr 2.3.10.
  const double expected[3][2][6] = {
      {{0.345402347, 0.92275309, 0.496663676, -0.081556131, -0.720954012, 0.043963788},
       {-0.380940562, 0.42698162, 1.090422278, 0.587300151, -0.2644175, 0.235804162}},
      {{0.345402347, 0.92275309, 0.496663676, -0.081556131, -0.299933826, -0.040238621},
       {-0.380940562, 0.42698162, 1.090422278, 0.587300151, 0.385582327, 0.489336722}},
      {{0.345402347, 0.92275309, 0.663552956, -0.034216037, 0.396844136, -0.087445828},
       {-0.380940562, 0.42698162, 0.737436753, -0.133729328, 0.68107954, 0.292975357}}};
  const matrix<double> x = wave(2, 6, .3);
  funnel::inference_context<double> context;
  const auto check = [&](bilinear_weights weights, const double(&values)[2][6]) {
    bilinear<double> layer(3, 2, {.weights = weights});
    std::size_t made = 0;
    for (auto& w : layer.weights)
      for (std::size_t c = 0; c < w.out(); c += 2, ++made) {
        const matrix<double> one = wave(2, 2, 2. + double(made));
        for (std::size_t i = 0; i < 2; ++i)
          for (std::size_t j = 0; j < 2; ++j) w.weight.value(i, c + j) = one(i, j);
      }
    const auto p = layer(context, x.view());
    REQUIRE(p.cols() == 6);
    for (std::size_t i = 0; i < 2; ++i)
      for (std::size_t j = 0; j < 6; ++j)
        CHECK(tolerance::within(p(i, j), values[i][j], tolerance::printed(9)));
  };
  check(bilinear_weights::all, expected[0]);
  check(bilinear_weights::each, expected[1]);
  check(bilinear_weights::interaction, expected[2]);
}

TEST_CASE("bilinear: against the definition") {
  for (const auto& options : all_options()) {
    for (const std::size_t k : size_list{1, 3, 17}) {
      const auto layer = with_random_parameters(bilinear<double>(5, k, options));
      const matrix<double> x = random_matrix<double>(3, 5 * k, 30);
      funnel::inference_context<double> context;
      const auto found = layer(context, x.view());
      REQUIRE(found.cols() == layer.out());
      if (!options.pairs.empty()) CHECK(layer.pairs() == options.pairs);
      for (std::size_t p = 0; p < layer.pairs().size(); ++p) {
        const auto [i, j] = layer.pairs()[p];
        const matrix<double> w = matrix_of(layer, options, p);
        for (std::size_t row = 0; row < 3; ++row) {
          double sum = 0;
          for (std::size_t c = 0; c < k; ++c) {
            double product = 0;
            for (std::size_t b = 0; b < k; ++b) product += x(row, i * k + b) * w(b, c);
            product *= x(row, j * k + c);
            sum += product;
            if (options.form == bilinear_form::hadamard)
              CHECK(tolerance::within(found(row, p * k + c), product,
                                      tolerance::iterative<double>(k, 1)));
          }
          if (options.form == bilinear_form::inner)
            CHECK(tolerance::within(found(row, p), sum, tolerance::iterative<double>(k * k, 1)));
        }
      }
    }
  }
}

TEST_CASE("bilinear: shapes, names and initial values") {
  const bilinear<float> layer(4, 8, {});
  CHECK(layer.fields() == 4);
  CHECK(layer.dim() == 8);
  CHECK(layer.in() == 32);
  CHECK(layer.out() == 6 * 8);
  CHECK(layer.pairs() == pair_list{{0, 1}, {0, 2}, {0, 3}, {1, 2}, {1, 3}, {2, 3}});
  CHECK(funnel::count_parameters(layer) == 6 * 64);
  CHECK(names_of(layer) == "weights.0.weight weights.1.weight weights.2.weight ");
  CHECK(funnel::count_parameters(bilinear<float>(4, 8, {.weights = bilinear_weights::each})) ==
        3 * 64);
  CHECK(funnel::count_parameters(bilinear<float>(4, 8, {.weights = bilinear_weights::all})) == 64);
  bilinear<float> wide(2, 100, {});
  funnel::initialize(wide, 1);
  double squares = 0;
  for (const float w : wide.weights[0].weight.value.flat()) squares += double(w) * double(w);
  CHECK(tolerance::within(squares / 1e4, .01, tolerance::statistical(.01 * std::sqrt(2.), 10000)));
}

TEST_CASE("bilinear: the same bits frozen, in training, in any batch and with grouped rows") {
  for (const auto& options : all_options()) {
    const auto layer = with_random_parameters(bilinear<float>(5, 9, options));
    check_same_bits(layer, {2 * 9, 3 * 9}, [](const auto& m, auto& context, const auto&... parts) {
      return m(context, concat(context, parts...));
    });
  }
}

TEST_CASE("bilinear: gradients, with one row, no row and grouped rows") {
  const auto run = [](auto& context, const auto& layer, const double_values& x) {
    return layer(context, concat(context, x[0], x[1]));
  };
  for (const auto& options : all_options()) {
    const bilinear<double> layer(5, 2, options);
    for (const auto& shapes :
         {std::vector<shape>{{4, 6}, {4, 4}}, {{1, 6}, {4, 4}}, {{1, 6}, {1, 4}}})
      check_layer(layer, shapes, run);
    const request_offsets requests{0, 1, 4};
    check_layer(layer, {{2, 6}, {4, 4}}, [&](auto& context, const auto& m, const auto& x) {
      context.group_rows(requests);
      return run(context, m, x);
    });
    const matrix<double> numbers = random_matrix<double>(4, 4, 4);
    check_layer(layer, {{4, 6}}, [&](auto& context, const auto& m, const double_values& x) {
      return m(context, concat(context, x[0], context.input(numbers.view())));
    });
    funnel::training_context<double> tape;
    tape.backward(weighted_sum(tape, layer(tape, tape.make(0, 10))));
  }
}

TEST_CASE("bilinear: what is refused") {
  using layer = bilinear<float>;
  constexpr std::size_t largest = std::numeric_limits<std::size_t>::max();
  for (const std::size_t fields : size_list{0, 1})
    CHECK(refuses([&] { layer(fields, 4); }, "funnel::bilinear", "expected 2 or more"));
  CHECK(refuses([] { layer(3, 0); }, "funnel::bilinear", "dim is 0"));
  for (const std::size_t huge : {largest, std::size_t{1} << 63}) {
    CHECK(refuses([&] { layer(huge, 4); }, "funnel::bilinear", "fields x fields"));
    CHECK(refuses([&] { layer(3, huge); }, "funnel::bilinear", "dim x pairs of a field"));
    CHECK(refuses([&] { layer(2, huge); }, "funnel::", "expected at most"));
    CHECK(refuses(
        [&] {
          layer(3, 4, {.pairs = {{0, huge}}});
        },
        "funnel::bilinear", "pairs[0] is (0, "));
  }
  CHECK(refuses(
      [] {
        layer(3, 4, {.pairs = {{0, 1}, {3, 1}}});
      },
      "funnel::bilinear", "pairs[1] is (3, 1), expected two different fields below 3"));
  CHECK(refuses(
      [] {
        layer(3, 4, {.pairs = {{1, 1}}});
      },
      "funnel::bilinear", "pairs[0] is (1, 1)"));
  const auto good = with_random_parameters(layer(3, 4));
  funnel::inference_context<float> context;
  const matrix<float> wide(5, 13), x(5, 12);
  CHECK(
      refuses([&] { good(context, wide.view()); }, "funnel::bilinear", "13 columns, expected 12"));
  CHECK(refuses(
      [&] {
        good(context, concat(context, x.view().middle_cols(0, 6), x.view().middle_cols(6, 6)));
      },
      "funnel::bilinear", "a part of x ends within field 1, expected whole fields"));
  CHECK(refuses([&] { layer()(context, x.view()); }, "funnel::bilinear", "pairs is empty"));
  auto other = good;
  other.weights[1] = funnel::dense<float>(4, 5);
  CHECK(refuses([&] { other(context, x.view()); }, "funnel::bilinear",
                "weights[1] is [4, 5], expected [4, 4]"));
  auto packed = good;
  packed.weights[0].freeze<funnel::default_arch>();
  CHECK(refuses([&] { funnel::freeze(packed); }, "funnel::dense::freeze", "frozen"));
}
