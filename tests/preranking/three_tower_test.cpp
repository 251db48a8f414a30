// SPDX-License-Identifier: MIT
#include <funnel/nn/freeze.hpp>
#include <funnel/nn/inference_context.hpp>
#include <funnel/nn/mlp.hpp>
#include <funnel/nn/training_context.hpp>
#include <funnel/preranking/three_tower.hpp>

#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/gradients.hpp"
#include "support/matrices.hpp"
#include "support/random_parameters.hpp"
#include "support/requests.hpp"
#include "support/tolerance.hpp"
#include "support/towers.hpp"

#include <algorithm>
#include <cmath>
#include <string>
#include <string_view>
#include <vector>

using funnel::matrix;
using funnel::matrix_view;
using funnel::mlp;

namespace {

using tower = network_tower<double>;
using preranker = funnel::three_tower<tower, tower, tower, mlp<double>>;

constexpr std::size_t tasks = 2;

preranker random_preranker() {
  const funnel::mlp_options smooth{.hidden = funnel::activation::gelu};
  preranker model{{mlp<double>(4, {9, 6}, smooth)},
                  {mlp<double>(3, {7, 5}, smooth)},
                  {mlp<double>(2, {3}, smooth)},
                  mlp<double>(6 + 5 + 3, {8, tasks}, smooth)};
  return with_random_parameters(model);
}

constexpr std::size_t n = 40;
const matrix<double> user = random_matrix<double>(1, 4, 21);
const matrix<double> items = random_matrix<double>(n, 3, 22);
const matrix<double> crosses = random_matrix<double>(n, 2, 23);

/// The user in every row.
matrix<double> repeated_user() {
  matrix<double> all(n, 4);
  for (std::size_t i = 0; i < n; ++i) std::ranges::copy(user.row(0), all.row(i).begin());
  return all;
}

}  // namespace

TEST_CASE("three_tower: the top network on the three vectors side by side") {
  const preranker model = random_preranker();
  funnel::inference_context<double> context;
  const auto z = model(context, user.view(), items.view(), crosses.view());
  REQUIRE(z.rows() == n);
  REQUIRE(z.cols() == tasks);
  const auto u = model.user(context, user);
  const auto v = model.item(context, items);
  const auto c = model.cross(context, crosses);
  matrix<double> joined(n, 14);
  double magnitude = 0;
  for (std::size_t i = 0; i < n; ++i) {
    std::ranges::copy(u.row(0), joined.row(i).begin());
    std::ranges::copy(v.row(i), joined.row(i).begin() + 6);
    std::ranges::copy(c.row(i), joined.row(i).begin() + 11);
    for (const double x : joined.row(i)) magnitude = std::max(magnitude, std::abs(x));
  }
  const auto expected = model.top(context, joined.view());
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t t = 0; t < tasks; ++t) {
      CHECK(tolerance::within(z(i, t), expected(i, t),
                              tolerance::iterative<double>(14 + 8, 14 * 8 * magnitude)));
    }
  }
}

TEST_CASE("three_tower: a user of one row is the user in every row") {
  const preranker model = random_preranker();
  funnel::inference_context<double> context;
  const matrix<double> users = repeated_user();
  const auto one = model(context, user.view(), items.view(), crosses.view());
  const auto many = model(context, users.view(), items.view(), crosses.view());
  double magnitude = 0;
  for (std::size_t i = 0; i < n; ++i) {
    for (const double z : one.row(i)) magnitude = std::max(magnitude, std::abs(z));
  }
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t t = 0; t < tasks; ++t) {
      CHECK(tolerance::within(one(i, t), many(i, t),
                              tolerance::iterative<double>(14 + 8, 10 * magnitude)));
    }
  }
}

TEST_CASE("three_tower: users of one row per request are the users in every row") {
  const preranker model = random_preranker();
  const request_offsets requests = offsets_of({7, 1, 30, 2});
  const matrix<double> users = random_matrix<double>(4, 4, 24);
  const matrix<double> all = repeated(users, requests);
  funnel::inference_context<double> plain, context;
  context.group_rows(requests);
  funnel::training_context<double> tape;
  tape.group_rows(requests);
  const auto expected = model(plain, all.view(), items.view(), crosses.view());
  const auto frozen = funnel::freeze(model);
  CHECK(same_bits(model(context, users.view(), items.view(), crosses.view()), expected));
  CHECK(same_bits(frozen(context, users.view(), items.view(), crosses.view()), expected));
  CHECK(same_bits(view(model(tape, users.view(), items.view(), crosses.view())), expected));
  CHECK(model.user(context, users.view()).rows() == 4);
  check_layer(model, {}, [&](auto& c, const auto& m, const double_values&) {
    c.group_rows(requests);
    return m(c, users.view(), items.view(), crosses.view());
  });
  context.group_rows(request_offsets{0, 7, 8, 40});
  CHECK(refuses([&] { model(context, users.view(), items.view(), crosses.view()); },
                "funnel::concat", "a value has 4 rows, expected 1, 3 for one per request, or 40"));
}

TEST_CASE("three_tower: item vectors from before, any batch, training, frozen: the same bits") {
  const preranker model = random_preranker();
  const auto frozen = funnel::freeze(model);
  funnel::inference_context<double> context;
  const auto whole = model(context, user.view(), items.view(), crosses.view());
  const matrix<double> kept(model.item(context, items));
  CHECK(
      same_bits(model.with_item_vectors(context, user.view(), kept.view(), crosses.view()), whole));
  const auto with_item_vectors = [](const auto& m, auto& c, const auto&... x) {
    return m.with_item_vectors(c, x...);
  };
  CHECK(same_bits(frozen.call(context, with_item_vectors, user.view(), kept.view(), crosses.view()),
                  whole));
  CHECK(same_bits(frozen.call(context, &preranker::item, items), kept));
  for (const std::size_t size : size_list{1, 7, n}) {
    for (const std::size_t begin : size_list{0, n - size}) {
      const auto rows = whole.middle_rows(begin, size);
      const auto x = items.view().middle_rows(begin, size);
      const auto c = crosses.view().middle_rows(begin, size);
      CHECK(same_bits(model(context, user.view(), x, c), rows));
      CHECK(same_bits(frozen(context, user.view(), x, c), rows));
    }
  }
  double_training tape;
  CHECK(same_bits(view(model(tape, user.view(), items.view(), crosses.view())), whole));
}

TEST_CASE("three_tower: names; the gradient of a kept item vector stops there") {
  preranker model = random_preranker();
  std::string names;
  funnel::for_each_parameter(model, [&](std::string_view path, const auto&) {
    names += path;
    names += ' ';
  });
  CHECK(names.starts_with("user.network.layers.0.weight "));
  CHECK(names.find(" item.network.layers.0.weight ") < names.find(" cross.network."));
  CHECK(names.ends_with(" cross.network.layers.0.bias top.layers.0.weight top.layers.0.bias "
                        "top.layers.1.weight top.layers.1.bias "));

  const matrix<double> kept = random_matrix<double>(n, 5, 24);
  double_training tape;
  tape.backward(weighted_sum(
      tape, model.with_item_vectors(tape, user.view(), tape.input(kept), crosses.view())));
  CHECK(tape.find_gradient(model.item.network.layers[0].weight) == nullptr);
  CHECK(tape.find_gradient(model.cross.network.layers[0].weight) != nullptr);
}

TEST_CASE("three_tower: gradients, with one user and with many") {
  preranker model = random_preranker();
  const matrix<double> users = repeated_user();
  const auto x = items.view().middle_rows(0, 5);
  const auto c = crosses.view().middle_rows(0, 5);
  for (const auto& u : {user.view(), users.view().middle_rows(0, 5)}) {
    const auto result = funnel::check_gradients<double>(model, [&](double_training& context) {
      return weighted_sum(context, model(context, u, x, c));
    });
    INFO("worst: " << result.worst_parameter << "[" << result.worst_position << "]");
    CHECK(result.largest_error <= tolerance::finite_difference(0));
    CHECK(result.nonzero == result.checked);
  }
}

TEST_CASE(
    "three_tower: towers run one after the other, so that dropout draws the same everywhere") {
  std::string spoken;
  const funnel::three_tower<spoken_tower, spoken_tower, spoken_tower, mlp<double>> model{
      {'u', &spoken}, {'i', &spoken}, {'c', &spoken}, mlp<double>(9, {1})};
  funnel::inference_context<double> context;
  model(context, user.view(), items.view(), crosses.view());
  CHECK(spoken == "iuc");
}

TEST_CASE("three_tower: vectors that don't fit are refused") {
  const preranker model = random_preranker();
  funnel::inference_context<double> context;
  const matrix<double> narrow(n, 4), fewer(n - 1, 5);
  CHECK(
      refuses([&] { model.with_item_vectors(context, user.view(), narrow.view(), crosses.view()); },
              "funnel::dense", "13 columns, expected 14"));
  CHECK(
      refuses([&] { model.with_item_vectors(context, user.view(), fewer.view(), crosses.view()); },
              "funnel::concat", "rows"));
}
