// SPDX-License-Identifier: MIT
#include <funnel/nn/concat.hpp>
#include <funnel/nn/freeze.hpp>
#include <funnel/nn/inference_context.hpp>
#include <funnel/nn/initialization.hpp>
#include <funnel/nn/training_context.hpp>
#include <funnel/ranking/gate_diagnostics.hpp>
#include <funnel/ranking/ple.hpp>

#include "support/allocation.hpp"
#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/gradients.hpp"
#include "support/matrices.hpp"
#include "support/random_parameters.hpp"
#include "support/requests.hpp"
#include "support/shared_product.hpp"
#include "support/tolerance.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <vector>

using funnel::concat;
using funnel::matrix;
using funnel::ple;
using funnel::ple_options;

namespace {

using sizes = std::vector<std::size_t>;

/// Biases are random too.
template <class T, std::size_t Tasks>
ple<T, Tasks> random_ple(std::size_t in, const ple_options& options) {
  return with_random_parameters(ple<T, Tasks>(in, options));
}

/// Two experts a task, one for both, whose levels differ in their sizes.
ple_options uneven(std::size_t levels, double gate_dropout = 0) {
  std::vector<sizes> of_levels{{7, 4}, {5}, {6, 3}};
  of_levels.resize(levels);
  return {.experts_per_task = 2, .expert_sizes = of_levels, .gate_dropout = gate_dropout};
}

/// Row i of the mixture of `outputs` with weights softmax(x_i W), where x holds the row alone.
std::vector<double> mixed_row(const std::vector<double>& x, const funnel::dense<double>& gate,
                              const std::vector<std::vector<double>>& outputs) {
  std::vector<double> weights;
  double sum = 0;
  for (std::size_t k = 0; k < outputs.size(); ++k) {
    double logit = 0;
    for (std::size_t j = 0; j < x.size(); ++j) logit += x[j] * gate.weight.value(j, k);
    sum += weights.emplace_back(std::exp(logit));
  }
  std::vector<double> mixed(outputs[0].size());
  for (std::size_t k = 0; k < outputs.size(); ++k)
    for (std::size_t j = 0; j < mixed.size(); ++j) mixed[j] += weights[k] / sum * outputs[k][j];
  return mixed;
}

/// PLE of one row by its definition, with experts run one by one.
template <std::size_t Tasks>
std::array<std::vector<double>, Tasks + 1> by_definition(const ple<double, Tasks>& model,
                                                         const std::vector<double>& row) {
  std::array<std::vector<double>, Tasks + 1> x;
  x.fill(row);
  for (const auto& level : model.levels) {
    const auto run = [](const auto& experts, const std::vector<double>& in) {
      std::vector<std::vector<double>> outputs;
      funnel::inference_context<double> context;
      for (const auto& expert : experts) {
        const auto y = expert(context, funnel::matrix_view<const double>(in.data(), 1, in.size()));
        outputs.emplace_back(y.row(0).begin(), y.row(0).end());
      }
      return outputs;
    };
    const auto shared = run(level.shared.experts, x[Tasks]);
    std::vector<std::vector<double>> all;
    std::array<std::vector<double>, Tasks + 1> next;
    for (std::size_t t = 0; t < Tasks; ++t) {
      auto seen = run(level.tasks[t].experts, x[t]);
      all.insert(all.end(), seen.begin(), seen.end());
      seen.insert(seen.end(), shared.begin(), shared.end());
      next[t] = mixed_row(x[t], level.tasks[t].gate, seen);
    }
    all.insert(all.end(), shared.begin(), shared.end());
    if (&level != &model.levels.back()) next[Tasks] = mixed_row(x[Tasks], level.shared.gate, all);
    x = next;
  }
  return x;
}

/// All numbers of a value that an operation made.
template <class T>
std::span<T> flat(funnel::matrix_view<T> values) {
  return {values.data(), values.size()};
}

double largest(const funnel::parameter_gradient<float>* gradient) {
  double value = 0;
  if (gradient == nullptr) return 0;
  for (const float g : flat(gradient->values()))
    value = std::max(value, std::abs(static_cast<double>(g)));
  return value;
}

}  // namespace

TEST_CASE("ple: one level worked by hand") {
  ple<double, 2> model(1, {.expert_sizes = {{1}}});
  auto& level = model.levels[0];
  level.tasks[0].experts[0].layers[0].weight.value(0, 0) = 1;  // relu(x)
  level.tasks[1].experts[0].layers[0].weight.value(0, 0) = 2;  // relu(2 x)
  level.shared.experts[0].layers[0].bias.value(0, 0) = 3;      // 3
  level.tasks[1].gate.weight.value(0, 1) = std::log(3.);       // the shared expert at x = 1: 3 / 4
  const std::vector<double> x{1, -1};
  funnel::inference_context<double> context;
  const auto h = model(context, funnel::matrix_view<const double>(x.data(), 2, 1));
  const auto near = [](double found, double expected) {
    return tolerance::within(found, expected, tolerance::iterative<double>(3, 3));
  };
  CHECK(near(h[0](0, 0), 2));     // (1 + 3) / 2
  CHECK(near(h[0](1, 0), 1.5));   // (0 + 3) / 2
  CHECK(near(h[1](0, 0), 2.75));  // 2 / 4 + 3 * 3 / 4
  CHECK(near(h[1](1, 0), .75));   // 3 / 4 * 0 + 1 / 4 * 3
}

TEST_CASE("ple: the numbers of torch-rechub") {
  // CGC of torch-rechub 0.9.0 in double, with its batch normalizations taken out and the biases of its
  // gates at zero. Element (i, j) of parameter c, in the order of for_each_parameter, is
  // .8 sin(1 + 2c + 3i + 5j), and x(i, j) = cos(i + 2j).
  const double expected[3][2][2][3] = {
      {{{.24128841, .12411259, .2853415}, {.07089226, .20961471, .10275635}},
       {{.344285, .20115276, .28156661}, {.45069674, .16504305, .04549514}}},
      {{{.45477157, .29159156, .27070818}, {.37507344, .38212505, .35645712}},
       {{.57057784, .275197, .31434979}, {.51694084, .26353093, .3459559}}},
      {{{.02478552, .21302141, .38411451}, {.03860313, .23354122, .39934277}},
       {{.01614885, .32862653, .82083439}, {.0086166, .33640933, .82875422}}}};
  matrix<double> x(2, 3);
  for (std::size_t i = 0; i < 2; ++i)
    for (std::size_t j = 0; j < 3; ++j) x(i, j) = std::cos(static_cast<double>(i + 2 * j));
  for (std::size_t levels = 1; levels <= 3; ++levels) {
    ple<double, 2> model(3, {.experts_per_task = 2, .expert_sizes = {levels, sizes{4, 3}}});
    std::size_t c = 0;
    funnel::for_each_parameter(model, [&](std::string_view, auto& p) {
      for (std::size_t i = 0; i < p.rows(); ++i)
        for (std::size_t j = 0; j < p.cols(); ++j)
          p.value(i, j) = .8 * std::sin(static_cast<double>(1 + 2 * c + 3 * i + 5 * j));
      ++c;
    });
    funnel::inference_context<double> context;
    const auto h = model(context, x.view());
    for (std::size_t t = 0; t < 2; ++t)
      for (std::size_t i = 0; i < 2; ++i)
        for (std::size_t j = 0; j < 3; ++j)
          CHECK(
              tolerance::within(h[t](i, j), expected[levels - 1][t][i][j], tolerance::printed(8)));
  }
}

TEST_CASE("ple: against the definition, with levels of other sizes") {
  for (const std::size_t levels : size_list{1, 2, 3}) {
    const ple<double, 3> model = random_ple<double, 3>(6, uneven(levels));
    const matrix<double> x = random_matrix<double>(4, 6, 2);
    funnel::inference_context<double> context;
    const auto h = model(context, x.view());
    for (std::size_t i = 0; i < 4; ++i) {
      const auto expected = by_definition(model, {x.row(i).begin(), x.row(i).end()});
      for (std::size_t t = 0; t < 3; ++t) {
        REQUIRE(expected[t].size() == model.out());
        const double scale = std::abs(std::ranges::max(expected[t]));
        for (std::size_t j = 0; j < model.out(); ++j)
          CHECK(tolerance::within(h[t](i, j), expected[t][j],
                                  tolerance::iterative<double>(30 * levels, 1 + scale)));
      }
    }
  }
}

TEST_CASE("ple: shapes, names and defaults") {
  const ple<float, 2> model(7);
  CHECK(model.levels.size() == 2);
  CHECK(model.out() == 64);
  CHECK(model.gate_dropout == .1);
  const ple<float, 2> small = random_ple<float, 2>(7, uneven(2));
  for (const std::size_t n : size_list{0, 1, 6, 300}) {
    const matrix<float> x = random_matrix<float>(n, 7, 2);
    funnel::inference_context<float> context;
    for (const auto& h : small(context, x.view())) {
      CHECK(h.rows() == n);
      CHECK(h.cols() == 5);
    }
    for (std::size_t level = 0; level < 2; ++level) {
      for (const auto& g : small.gate_weights(context, x.view(), level)) {
        CHECK(g.rows() == n);
        CHECK(g.cols() == 3);
      }
    }
    CHECK(small.shared_gate_weights(context, x.view(), 0).cols() == 5);
  }
  std::string names;
  funnel::for_each_parameter(small, [&](std::string_view path, const auto&) {
    names += path;
    names += ' ';
  });
  CHECK(names.starts_with("levels.0.tasks.0.experts.0.layers.0.weight "));
  CHECK(names.find(" levels.0.tasks.1.gate.weight levels.0.shared.experts.0.layers.0.weight ") !=
        std::string::npos);
  CHECK(names.find(" levels.0.shared.gate.weight ") != std::string::npos);
  CHECK(names.ends_with(" levels.1.shared.experts.0.layers.0.bias "));  // and no gate
  const std::size_t first = 7 * 7 + 7 + 7 * 4 + 4, second = 4 * 5 + 5;
  CHECK(funnel::count_parameters(small) == 5 * first + 7 * (3 + 3 + 5) + 5 * second + 4 * (3 + 3));
  for (const auto& layer : small.levels[0].tasks[1].experts[0].layers)
    CHECK(layer.function == funnel::activation::relu);
}

TEST_CASE("ple: the weights of the gates, for gate_diagnostics") {
  ple<double, 2> model = random_ple<double, 2>(4, uneven(3));
  const matrix<double> x = random_matrix<double>(9, 4, 2);
  funnel::inference_context<double> context;
  for (std::size_t level = 0; level < 3; ++level) {
    funnel::gate_diagnostics<2> watched(3);
    watched.add(model.gate_weights(context, x.view(), level));
    const auto report = watched.report(1);
    CHECK(tolerance::within(report.utilization[0] + report.utilization[1] + report.utilization[2],
                            1, tolerance::reduction<double>(27, 9)));
  }
  // The weights are those that mix: a gate that is sure of expert k returns that expert's output.
  for (std::size_t k = 0; k < 3; ++k) {
    auto& gate = model.levels[0].tasks[1].gate;
    gate.weight.value = matrix<double>(4, 3);
    const matrix<double> ones(2, 4, 1.);
    for (std::size_t j = 0; j < 4; ++j) gate.weight.value(j, k) = 300;
    const auto g = model.gate_weights(context, ones.view(), 0)[1];
    CHECK(g(0, k) == 1);
    ple<double, 2> bottom = model;
    bottom.levels.resize(1);
    bottom.levels[0].shared.gate = {};
    const auto& level = model.levels[0];
    const auto& expert = k < 2 ? level.tasks[1].experts[k] : level.shared.experts[0];
    CHECK(same_bits(bottom(context, ones.view())[1], expert(context, ones.view())));
  }
  auto& shared_gate = model.levels[1].shared.gate;
  shared_gate.weight.value = matrix<double>(4, 5);
  for (const double g : model.shared_gate_weights(context, x.view(), 1).row(3))
    CHECK(tolerance::within(g, .2, tolerance::elementwise<double>(.2)));
}

TEST_CASE("ple: the loss of a task does not reach the own experts of another at the last level") {
  for (const std::size_t levels : size_list{1, 2, 3}) {
    const ple<float, 3> model = random_ple<float, 3>(5, uneven(levels));
    const matrix<float> x = random_matrix<float>(8, 5, 2);
    for (std::size_t task = 0; task < 3; ++task) {
      funnel::training_context<float> tape;
      const auto h = model(tape, tape.input(x));
      for (float& g : flat(h[task].gradient)) g = 1;
      const auto loss = tape.make(1, 1);
      loss.values(0, 0) = 0;
      tape.backward(loss);
      for (std::size_t j = 0; j < levels; ++j) {
        for (std::size_t t = 0; t < 3; ++t) {
          double reached = 0;
          funnel::for_each_parameter(model.levels[j].tasks[t],
                                     [&](std::string_view, const auto& p) {
                                       reached = std::max(reached, largest(tape.find_gradient(p)));
                                     });
          if (j + 1 == levels && t != task)
            CHECK(reached == 0);
          else
            CHECK(reached > 0);  // of other tasks: through the shared gate
        }
        CHECK(largest(tape.find_gradient(model.levels[j].shared.experts[0].layers[0].weight)) > 0);
      }
    }
  }
}

TEST_CASE("ple: gradients") {
  const auto run = [](auto& context, const auto& model, const double_values& x) {
    const auto h = model(context, concat(context, x[0], x[1]));
    return materialize(context, concat(context, h[0], h[1]));
  };
  const std::vector<shape> shapes{{1, 2}, {6, 3}};
  for (const std::size_t levels : size_list{1, 2, 3})
    check_layer(ple<double, 2>(5, uneven(levels)), shapes, run);
  ple_options dropping = uneven(2, .4);
  dropping.dropout = .2;
  check_layer(ple<double, 2>(5, dropping), shapes, run);
  check_layer(ple<double, 2>(5, {.expert_sizes = {{4}}, .gate_dropout = 0}), {{1, 2}, {1, 3}}, run);
}

TEST_CASE("ple: gradients, one row per request") {
  const request_offsets requests = offsets_of({2, 1, 3});
  check_layer(ple<double, 2>(7, uneven(2)), {{3, 4}, {6, 2}, {1, 1}},
              [&](auto& context, const auto& m, const double_values& x) {
                context.group_rows(requests);
                const auto y = m(context, concat(context, x[0], x[1], x[2]));
                return materialize(context, concat(context, y[0], y[1]));
              });
}

TEST_CASE("ple: frozen it gives the same bits") {
  const matrix<float> user = random_matrix<float>(1, 5, 2);
  const matrix<float> items = random_matrix<float>(64, 6, 3);
  const auto check = [&]<class Arch>(Arch, const ple<float, 3>& model) {
    const auto frozen = funnel::freeze<Arch>(model);
    for (const std::size_t n : size_list{0, 1, 7, 64}) {
      funnel::inference_context<float, Arch> context;
      const auto x = concat(context, user, items.view().middle_rows(0, n));
      const auto expected = model(context, x);
      const auto found = frozen(context, x);
      for (std::size_t t = 0; t < 3; ++t) CHECK(same_bits(found[t], expected[t]));
      for (std::size_t level = 0; level < model.levels.size(); ++level) {
        const auto gates = model.gate_weights(context, x, level);
        const auto of_frozen = frozen.call(
            context,
            [](const auto& m, auto& c, const auto& rows, std::size_t j) {
              return m.gate_weights(c, rows, j);
            },
            x, level);
        for (std::size_t t = 0; t < 3; ++t) CHECK(same_bits(of_frozen[t], gates[t]));
      }
    }
  };
  for (const std::size_t levels : size_list{1, 2, 3}) {
    ple<float, 3> model = random_ple<float, 3>(11, uneven(levels));
    check(funnel::default_arch{}, model);
    check(funnel::scalar_arch{}, model);
    // Experts and gates that cannot be joined are packed one by one.
    model.levels[0].tasks[2].experts[1].layers[0].function = funnel::activation::tanh;
    model.levels.back().tasks[1].experts[0].layers[0].function = funnel::activation::tanh;
    model.levels[0].tasks[1].gate = funnel::dense<float>(11, 3);
    model.levels[0].tasks[1].gate.weight.value = random_matrix<float>(11, 3, 9);
    check(funnel::default_arch{}, model);
    // Experts of other widths are joined.
    model.levels[0].tasks[0].experts[0] = funnel::mlp<float>(
        11, {9, model.levels[0].tasks[0].experts[1].out()}, {.output = funnel::activation::relu});
    funnel::initialize(model.levels[0].tasks[0].experts[0], 3);
    model.levels[0].tasks[2].experts[1].layers[0].function = funnel::activation::relu;
    check(funnel::default_arch{}, model);
  }
}

TEST_CASE("ple: a request in several blocks gives a row the bits it has alone") {
  constexpr std::size_t n = 513;  // two blocks of 256 rows, and one of a single row
  const ple<float, 2> model = random_ple<float, 2>(9, uneven(2));
  const auto frozen = funnel::freeze(model);
  const matrix<float> user = random_matrix<float>(1, 4, 2);
  const matrix<float> items = random_matrix<float>(n, 5, 4);
  funnel::inference_context<float> context;
  funnel::training_context<float> tape;
  const auto check = [&](const auto& in_order) {
    const auto many = in_order(context, user.view(), items.view());
    const auto whole = model(context, many);
    const auto served = frozen(context, many);
    const auto trained = model(tape, in_order(tape, user.view(), items.view()));
    for (std::size_t t = 0; t < 2; ++t) {
      CHECK(same_bits(served[t], whole[t]));
      CHECK(same_bits(view(trained[t]), whole[t]));
    }
    for (const std::size_t i : size_list{0, 255, 256, 511, 512}) {
      const auto alone = in_order(context, user.view(), items.view().middle_rows(i, 1));
      const auto row = model(context, alone);
      const auto served_row = frozen(context, alone);
      for (std::size_t t = 0; t < 2; ++t) {
        CHECK(same_bits(row[t], whole[t].middle_rows(i, 1)));
        CHECK(same_bits(served_row[t], whole[t].middle_rows(i, 1)));
      }
    }
  };
  check([](auto& c, auto u, auto v) { return concat(c, u, v); });
  check([](auto& c, auto u, auto v) { return concat(c, v, u); });
}

TEST_CASE("ple: one row per request gives the bits of repeated rows, served and trained") {
  const ple<float, 2> model = random_ple<float, 2>(9, uneven(2));
  const auto frozen = funnel::freeze(model);
  for (const request_offsets& requests :
       {offsets_of({1}), offsets_of({1, 1, 1}), offsets_of({1, 2, 255, 256, 257, 1000})}) {
    const matrix<float> user = random_matrix<float>(requests.size() - 1, 5, 1);
    const matrix<float> users = repeated(user, requests);
    const matrix<float> items = random_matrix<float>(requests.back(), 4, 2);
    funnel::inference_context<float> plain, context;
    context.group_rows(requests);
    funnel::training_context<float> tape;
    tape.group_rows(requests);
    const auto expected = model(plain, concat(plain, users.view(), items.view()));
    const auto grouped = model(context, concat(context, user.view(), items.view()));
    const auto served = frozen(context, concat(context, user.view(), items.view()));
    const auto trained = model(tape, concat(tape, user.view(), items.view()));
    for (std::size_t t = 0; t < 2; ++t) {
      CHECK(same_bits(grouped[t], expected[t]));
      CHECK(same_bits(served[t], expected[t]));
      CHECK(same_bits(view(trained[t]), expected[t]));
    }
  }
}

TEST_CASE("ple: the user's product is made once for all blocks of a request") {
  const std::size_t in = 100000;
  const auto frozen = funnel::freeze(ple<float, 1>(in + 1, {.expert_sizes = {{4}, {4}}}));
  CHECK(shares_user_product(frozen, in));
}

TEST_CASE("ple: serving asks for no memory after the first requests") {
  const ple<float, 2> model = random_ple<float, 2>(5, uneven(3));
  const auto frozen = funnel::freeze(model);
  const matrix<float> x = random_matrix<float>(600, 5, 2);
  funnel::inference_context<float> context;
  const auto serve = [&](std::size_t n) {
    frozen(context, x.view().middle_rows(0, n));
    model(context, x.view().middle_rows(0, n));
    context.reset();
  };
  CHECK(allocations_of([&] { serve(600); }) > 0);
  CHECK(allocations_of([&] {
          for (const std::size_t n : size_list{600, 1, 0, 257}) serve(n);
        }) == 0);
}

TEST_CASE("ple: gate dropout in training alone") {
  ple_options options = uneven(2, .5);
  const ple<float, 2> model = random_ple<float, 2>(5, options);
  const matrix<float> x = random_matrix<float>(50, 5, 2);
  funnel::training_context<float> tape(1);
  std::size_t dropped = 0;
  for (const auto& g : model.gate_weights(tape, tape.input(x), 1))
    for (const float weight : flat(view(g))) dropped += weight == 0 ? 1 : 0;
  CHECK(dropped > 75);  // of 300
  for (const float weight : flat(view(model.shared_gate_weights(tape, tape.input(x), 0))))
    dropped += weight == 0 ? 1 : 0;
  CHECK(dropped > 150);  // of 550
  funnel::inference_context<float> context;
  for (const auto& g : model.gate_weights(context, x.view(), 1))
    for (const float weight : flat(g)) CHECK(weight > 0);
  const auto served = model(context, x.view());
  const auto trained = model(tape, tape.input(x));
  for (std::size_t t = 0; t < 2; ++t) CHECK_FALSE(same_bits(view(trained[t]), served[t]));
}

TEST_CASE("ple: what is refused") {
  constexpr std::size_t most = std::numeric_limits<std::size_t>::max();
  const auto refused = [](const ple_options& options, std::string_view what) {
    return refuses([&] { ple<float, 2>(3, options); }, "funnel::ple", what);
  };
  CHECK(refused({.experts_per_task = 0}, "experts_per_task is 0"));
  CHECK(refused({.experts_per_task = most}, "expected at most"));
  CHECK(refused({.experts_per_task = std::size_t{1} << 63}, "expected at most"));
  CHECK(refused({.shared_experts = 0}, "shared_experts is 0"));
  CHECK(refused({.shared_experts = most}, "expected at most"));
  CHECK(refused({.expert_sizes = {}}, "expert_sizes is empty"));
  CHECK(refuses([] { ple<float, 2>(3, {.expert_sizes = {{4}, {}}}); }, "funnel::mlp", "empty"));
  CHECK(refuses([] { ple<float, 2>(3, {.expert_sizes = {{0}}}); }, "funnel::dense", "out is 0"));
  CHECK(refuses([] { ple<float, 2>(0); }, "funnel::dense", "in is 0"));
  for (const double rate : {-.1, 1., std::nan("")}) {
    CHECK(refused({.gate_dropout = rate}, "gate_dropout is"));
    CHECK(refused({.dropout = rate}, "dropout is"));
  }

  ple<float, 2> model = random_ple<float, 2>(3, uneven(2));
  const matrix<float> x = random_matrix<float>(4, 3, 6), wide(5, 4);
  funnel::inference_context<float> context;
  const auto frozen = funnel::freeze(model);
  CHECK(refuses([&] { model(context, wide.view()); }, "funnel::dense", "4 columns, expected 3"));
  CHECK(refuses([&] { frozen(context, wide.view()); }, "funnel::dense", "4 columns, expected 3"));
  CHECK(refuses([&] { model.gate_weights(context, x.view(), 2); }, "funnel::ple", "level is 2"));
  CHECK(refuses([&] { model.shared_gate_weights(context, x.view(), 1); }, "funnel::ple",
                "level is 1"));
  CHECK(refuses([&] { ple<float, 2>()(context, x.view()); }, "funnel::ple", "levels is empty"));
  ple<float, 2> changed = model;
  changed.levels[1].shared.experts.push_back(changed.levels[1].shared.experts[0]);
  CHECK(refuses([&] { changed(context, x.view()); }, "funnel::ple", "3 outputs, expected 4"));
  changed = model;
  changed.levels.pop_back();  // the last level has no shared gate
  CHECK(refuses([&] { changed(context, x.view()); }, "funnel::ple", "5 outputs, expected 0"));
  changed = model;
  changed.levels[0].tasks[1].experts.clear();
  CHECK(refuses([&] { funnel::freeze(changed); }, "funnel::ple", "experts is empty"));

  model.freeze<funnel::default_arch>();
  CHECK(refuses([&] { model.freeze<funnel::default_arch>(); }, "funnel::ple", "is frozen"));
  funnel::training_context<float> tape;
  CHECK(refuses([&] { model(tape, tape.input(x)); }, "funnel::dense", "weight is"));
}
