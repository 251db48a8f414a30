// SPDX-License-Identifier: MIT
#include <funnel/nn/concat.hpp>
#include <funnel/nn/freeze.hpp>
#include <funnel/nn/inference_context.hpp>
#include <funnel/nn/training_context.hpp>
#include <funnel/ranking/gate_diagnostics.hpp>
#include <funnel/ranking/gated_experts.hpp>

#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/gradients.hpp"
#include "support/matrices.hpp"
#include "support/random_parameters.hpp"
#include "support/requests.hpp"
#include "support/tolerance.hpp"

#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string_view>
#include <vector>

using funnel::concat;
using funnel::gated_experts;
using funnel::gated_experts_options;
using funnel::matrix;

namespace {

template <class T>
gated_experts<T> random_experts(std::size_t in, std::size_t user_in,
                                const gated_experts_options& options) {
  return with_random_parameters(gated_experts<T>(in, user_in, options));
}

}  // namespace

TEST_CASE("gated_experts: worked by hand") {
  gated_experts<double> experts(1, 1, {.experts = 2, .expert_sizes = {1}});
  experts.experts[0].layers[0].weight.value(0, 0) = 1;   // relu(x)
  experts.experts[1].layers[0].weight.value(0, 0) = 10;  // relu(10 x)
  experts.gate.layers[0].weight.value(0, 1) = std::log(3.);
  // A new user, 1: weights (1, 3) / 4. An ordinary one, 0: one half each.
  matrix<double> x(2, 1, 2.);
  x(1, 0) = -1;
  const matrix<double> new_user(1, 1, 1.), ordinary(1, 1, 0.);
  funnel::inference_context<double> context;
  const auto h = experts(context, x.view(), new_user.view());
  CHECK(tolerance::within(h(0, 0), .25 * 2 + .75 * 20, tolerance::iterative<double>(2, 20)));
  CHECK(h(1, 0) == 0);
  CHECK(experts(context, x.view(), ordinary.view())(0, 0) == 11);
  const auto g = experts.gate_weights(context, new_user.view());
  CHECK(g.rows() == 1);
  CHECK(tolerance::within(g(0, 1), .75, tolerance::iterative<double>(2, 1)));
  CHECK(same_bits(experts.mix(context, x.view(), g), h));
  funnel::gate_diagnostics<1> watched(2);
  watched.add(std::array{g});
  CHECK(
      tolerance::within(watched.report(0).utilization[1], .75, tolerance::iterative<double>(2, 1)));
}

TEST_CASE("gated_experts: a mixture of its experts, against the definition") {
  const auto experts =
      random_experts<double>(6, 2, {.experts = 3, .expert_sizes = {9, 4}, .gate_sizes = {5}});
  CHECK(experts.out() == 4);
  CHECK(experts.gate.layers.size() == 2);
  for (const auto& layer : experts.experts[1].layers)
    CHECK(layer.function == funnel::activation::relu);
  const matrix<double> x = random_matrix<double>(5, 6, 2), user = random_matrix<double>(1, 2, 3);
  funnel::inference_context<double> context;
  const auto h = experts(context, x.view(), user.view());
  const auto z = experts.gate(context, user.view());
  double sum = 0;
  for (std::size_t k = 0; k < 3; ++k) sum += std::exp(z(0, k));
  for (std::size_t i = 0; i < 5; ++i) {
    std::vector<double> mixed(4);
    double magnitude = 0;
    for (std::size_t k = 0; k < 3; ++k) {
      const auto f = experts.experts[k](context, x.view().middle_rows(i, 1));
      for (std::size_t j = 0; j < 4; ++j) {
        mixed[j] += std::exp(z(0, k)) / sum * f(0, j);
        magnitude = std::max(magnitude, f(0, j));
      }
    }
    for (std::size_t j = 0; j < 4; ++j)
      CHECK(tolerance::within(h(i, j), mixed[j], tolerance::iterative<double>(9, magnitude)));
  }
}

TEST_CASE("gated_experts: one row per request gives the bits of repeated rows, in any batch") {
  const auto experts = random_experts<float>(
      9, 3, {.experts = 3, .expert_sizes = {16, 8}, .gate_sizes = {4}, .gate_dropout = 0});
  const auto frozen = funnel::freeze(experts);
  for (const request_offsets& requests :
       {offsets_of({1}), offsets_of({1, 1, 1}), offsets_of({1, 2, 255, 256, 257, 500})}) {
    const matrix<float> user = random_matrix<float>(requests.size() - 1, 5, 1);
    const matrix<float> kind = random_matrix<float>(requests.size() - 1, 3, 7);
    const matrix<float> items = random_matrix<float>(requests.back(), 4, 2);
    funnel::inference_context<float> plain, context;
    context.group_rows(requests);
    funnel::training_context<float> tape;
    tape.group_rows(requests);
    const auto expected = experts(plain, concat(plain, repeated(user, requests), items.view()),
                                  repeated(kind, requests).view());
    const auto x = concat(context, user.view(), items.view());
    CHECK(experts.gate_weights(context, kind.view()).rows() == requests.size() - 1);
    CHECK(same_bits(experts(context, x, kind.view()), expected));
    CHECK(same_bits(frozen(context, x, kind.view()), expected));
    CHECK(same_bits(view(experts(tape, concat(tape, user.view(), items.view()), tape.input(kind))),
                    expected));
    for (std::size_t r = 0; r + 1 < requests.size(); ++r) {
      const std::size_t begin = requests[r], count = requests[r + 1] - begin;
      funnel::inference_context<float> alone;
      CHECK(same_bits(frozen(alone,
                             concat(alone, user.view().middle_rows(r, 1),
                                    items.view().middle_rows(begin, count)),
                             kind.view().middle_rows(r, 1)),
                      expected.middle_rows(begin, count)));
    }
  }
}

TEST_CASE("gated_experts: the gate does not see the items") {
  const auto experts = random_experts<float>(4, 2, {.experts = 3, .expert_sizes = {5}});
  const matrix<float> user = random_matrix<float>(1, 2, 3);
  matrix<float> x = random_matrix<float>(3, 4, 2);
  funnel::inference_context<float> context;
  const auto before = experts(context, x.view(), user.view());
  x(1, 2) = std::numeric_limits<float>::quiet_NaN();
  const auto after = experts(context, x.view(), user.view());
  CHECK(std::isnan(after(1, 0)));
  CHECK(same_bits(after.middle_rows(0, 1), before.middle_rows(0, 1)));
  CHECK(same_bits(after.middle_rows(2, 1), before.middle_rows(2, 1)));
}

TEST_CASE("gated_experts: gate dropout drops per request, in training alone") {
  gated_experts<float> experts(1, 1, {.experts = 2, .expert_sizes = {1}, .gate_dropout = .5});
  experts.experts[0].layers[0].weight.value(0, 0) = 1;
  const request_offsets requests = offsets_of({50, 50, 50, 50, 50, 50, 50, 50});
  const matrix<float> x(400, 1, 1.f), user(8, 1, 1.f);
  funnel::training_context<float> tape(1);
  tape.group_rows(requests);
  const auto h = experts(tape, tape.input(x), tape.input(user));
  std::size_t dropped = 0, kept = 0;
  for (std::size_t i = 0; i < 400; ++i) {
    CHECK(h(i, 0) == h(i / 50 * 50, 0));  // the same for all candidates of a request
    dropped += h(i, 0) == 0;
    kept += h(i, 0) == 1;
  }
  CHECK(dropped > 0);
  CHECK(kept > 0);
  funnel::inference_context<float> context;
  CHECK(experts(context, x.view(), user.view().middle_rows(0, 1))(0, 0) == .5f);
}

TEST_CASE("gated_experts: gradients") {
  const auto run = [](auto& context, const auto& experts, const double_values& x) {
    return experts(context, concat(context, x[0], x[1]), x[2]);
  };
  const gated_experts_options plain{
      .experts = 3, .expert_sizes = {4, 3}, .gate_sizes = {3}, .gate_dropout = 0};
  check_layer(gated_experts<double>(5, 2, plain), {{1, 2}, {6, 3}, {1, 2}}, run);
  check_layer(gated_experts<double>(5, 2, plain), {{1, 2}, {6, 3}, {6, 2}}, run);
  check_layer(gated_experts<double>(5, 2, {.experts = 2, .expert_sizes = {16}}),
              {{1, 2}, {1, 3}, {1, 2}}, run);
  check_layer(gated_experts<double>(
                  5, 2, {.experts = 3, .expert_sizes = {4, 3}, .gate_dropout = .4, .dropout = .2}),
              {{1, 2}, {6, 3}, {6, 2}}, run);
  const request_offsets requests = offsets_of({2, 1, 3});
  check_layer(gated_experts<double>(5, 2, plain), {{3, 2}, {6, 3}, {3, 2}},
              [&](auto& context, const auto& experts, const double_values& x) {
                context.group_rows(requests);
                return run(context, experts, x);
              });
}

TEST_CASE("gated_experts: no rows, and what is refused") {
  const auto experts = random_experts<float>(3, 2, {.experts = 2, .expert_sizes = {4}});
  funnel::inference_context<float> context;
  const matrix<float> none(0, 3), user(1, 2);
  CHECK(experts(context, none.view(), user.view()).rows() == 0);
  CHECK(gated_experts<float>(3, 2).experts.size() == 4);
  CHECK(gated_experts<float>(3, 2).gate_dropout == .1);

  constexpr std::string_view name = "funnel::gated_experts";
  CHECK(refuses([] { gated_experts<float>(3, 2, {.experts = 0}); }, name, "experts is 0"));
  for (const std::size_t size : {std::numeric_limits<std::size_t>::max(), std::size_t{1} << 63})
    CHECK(refuses([&] { gated_experts<float>(3, 2, {.experts = size}); },
                  "funnel::gated_experts: experts is", "expected at most"));
  CHECK(
      refuses([] { gated_experts<float>(3, 2, {.gate_dropout = 1}); }, name, "gate_dropout is 1"));
  CHECK(refuses([] { gated_experts<float>(3, 2, {.dropout = -1}); }, name, "dropout is -1"));
  CHECK(refuses([] { gated_experts<float>(3, 2, {.expert_sizes = {}}); }, "funnel::mlp",
                "sizes is empty"));
  const matrix<float> x(5, 3), two(2, 2);
  CHECK(refuses([&] { experts(context, x.view(), two.view()); }, name,
                "user.rows() is 2, expected 1, one per request, or 5 as in x"));
  CHECK(refuses([&] { experts(context, x.view(), x.view()); }, "funnel::dense",
                "3 columns, expected 2"));
  auto grown = experts;
  grown.experts.push_back(grown.experts.front());
  CHECK(refuses([&] { grown(context, x.view(), user.view()); }, name,
                "gate has 2 outputs, expected 3"));
  CHECK(refuses([&] { gated_experts<float>()(context, x.view(), user.view()); }, name,
                "experts is empty"));
  auto twice = experts;
  funnel::detail::freeze_field<funnel::default_arch>(twice);
  CHECK(refuses([&] { funnel::detail::freeze_field<funnel::default_arch>(twice); }, "funnel::dense",
                "is frozen"));
}
