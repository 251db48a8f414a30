// SPDX-License-Identifier: MIT
#include <funnel/loss/in_batch_softmax.hpp>
#include <funnel/nn/freeze.hpp>
#include <funnel/nn/inference_context.hpp>
#include <funnel/nn/mlp.hpp>
#include <funnel/nn/training_context.hpp>
#include <funnel/retrieval/two_tower.hpp>

#include "retrieval/small_towers.hpp"
#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/gradients.hpp"
#include "support/matrices.hpp"
#include "support/tolerance.hpp"
#include "support/towers.hpp"

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

using funnel::item_id;
using funnel::matrix;
using funnel::matrix_view;

namespace {

/// Towers that share nothing: plain networks.
struct plain_tower {
  funnel::mlp<double> network{3, {4}};

  template <funnel::Context C>
  auto operator()(C& context, matrix_view<const double> x) const {
    return network(context, context.input(x));
  }
  void visit_parameters(auto&& visit) { visit("network", network); }
};

template <class Model>
std::string names_of(const Model& model) {
  std::string names;
  funnel::for_each_parameter(model, [&](std::string_view path, const auto&) {
    names += path;
    names += ' ';
  });
  return names;
}

}  // namespace

TEST_CASE("two_tower: scores are cosines of vectors of length one") {
  const towers<double> model = random_towers<double>(9);
  const history_batch users = three_users();
  const std::vector<item_id> items{8, 0, 3, 3, 1};
  funnel::inference_context<double> context;
  const auto a = model.user_vectors(context, users.lists());
  const auto b = model.item_vectors(context, items);
  const auto scores = model(context, users.lists(), items);
  CHECK(a.rows() == 3);
  CHECK(b.rows() == 5);
  CHECK(a.cols() == 4);
  REQUIRE(scores.rows() == 3);
  REQUIRE(scores.cols() == 5);
  const auto dot = [](std::span<const double> x, std::span<const double> y) {
    double sum = 0;
    for (std::size_t j = 0; j < x.size(); ++j)
      sum += static_cast<double>(x[j]) * static_cast<double>(y[j]);
    return sum;
  };
  const double bound = tolerance::reduction<double>(8, 1);
  for (const auto& vectors : {a, b}) {
    for (std::size_t i = 0; i < vectors.rows(); ++i)
      CHECK(tolerance::within(dot(vectors.row(i), vectors.row(i)), 1, bound));
  }
  // The towers' own outputs have other lengths, and the same cosines.
  const auto raw_users = model.user(context, users.lists(), model.shared);
  const auto raw_items = model.item(context, items, model.shared);
  for (std::size_t i = 0; i < 3; ++i) {
    for (std::size_t j = 0; j < 5; ++j) {
      const auto x = raw_users.row(i), y = raw_items.row(j);
      CHECK(tolerance::within(static_cast<double>(scores(i, j)),
                              dot(x, y) / std::sqrt(dot(x, x) * dot(y, y)), bound));
    }
  }
}

TEST_CASE("two_tower: a vector of zeros has score 0, not NaN") {
  funnel::two_tower<plain_tower, plain_tower> model;  // all weights are zero
  model.item.network.layers[0].weight.value = random_matrix<double>(3, 4, 1);
  const matrix<double> x = random_matrix<double>(2, 3, 2);
  funnel::inference_context<double> context;
  const auto scores = model(context, x.view(), x.view());
  for (std::size_t i = 0; i < 2; ++i) {
    for (const double s : scores.row(i)) CHECK(s == 0);
  }
}

TEST_CASE("two_tower: training, serving, frozen, one user alone: the same bits") {
  const towers<double> model = random_towers<double>(9);
  const auto frozen = funnel::freeze(model);
  const history_batch users = three_users();
  history_batch last;
  last.append({7, 7});
  const std::vector<item_id> items{8, 0, 3, 3, 1};
  funnel::inference_context<double> context;
  const auto scores = model(context, users.lists(), items);
  CHECK(same_bits(frozen(context, users.lists(), items), scores));
  CHECK(same_bits(model(context, last.lists(), items), scores.middle_rows(2, 1)));
  const auto user_vectors = [](const auto& m, auto& c, const auto& x) {
    return m.user_vectors(c, x);
  };
  CHECK(same_bits(frozen.call(context, user_vectors, last.lists()),
                  model.user_vectors(context, users.lists()).middle_rows(2, 1)));
  funnel::training_context<double> tape;
  CHECK(same_bits(view(model(tape, users.lists(), items)), scores));
}

TEST_CASE("two_tower: names; gradients of a shared table come from both towers") {
  const funnel::two_tower<plain_tower, plain_tower> apart;
  CHECK(names_of(apart) == "user.network.layers.0.weight user.network.layers.0.bias "
                           "item.network.layers.0.weight item.network.layers.0.bias ");
  const towers<double> model = random_towers<double>(9);
  CHECK(names_of(model).ends_with("item.network.layers.1.bias shared.item.table "));

  const history_batch users = three_users();
  const std::vector<item_id> items{8, 0, 3};
  double_training tape;
  tape.backward(weighted_sum(tape, model(tape, users.lists(), items)));
  const auto* gradient = tape.find_gradient(model.shared.item.table);
  REQUIRE(gradient != nullptr);
  std::vector<std::uint32_t> touched(gradient->touched().begin(), gradient->touched().end());
  std::ranges::sort(touched);
  CHECK(touched == std::vector<std::uint32_t>{0, 1, 2, 3, 7, 8});
}

TEST_CASE("two_tower: gradients through the in-batch softmax") {
  towers<double> model = random_towers<double>(9);
  const history_batch users = three_users();
  const std::vector<item_id> items{8, 3, 3, 5};  // the last is a further negative
  const std::vector<double> log_q{-1, -2, -2, -.5}, weights{1, 2, .5};
  const auto result = funnel::check_gradients<double>(model, [&](double_training& context) {
    return funnel::in_batch_softmax(
        context, model(context, users.lists(), items),
        {.temperature = .2, .log_q = log_q, .items = items, .weights = weights});
  });
  INFO("worst: " << result.worst_parameter << "[" << result.worst_position << "]");
  CHECK(result.largest_error <= tolerance::finite_difference(0));
  CHECK(2 * result.nonzero >= result.checked);
}

TEST_CASE("two_tower: the user's tower runs first, so that dropout draws the same everywhere") {
  std::string spoken;
  const funnel::two_tower<spoken_tower, spoken_tower> model{{'u', &spoken}, {'i', &spoken}, {}};
  const matrix<double> x(2, 3, 1.);
  funnel::inference_context<double> context;
  model(context, x.view(), x.view());
  CHECK(spoken == "ui");
}

TEST_CASE("two_tower: towers of different widths are refused") {
  towers<double> model = random_towers<double>(9);
  model.item.network = funnel::mlp<double>(5, {7, 3});
  const history_batch users = three_users();
  funnel::inference_context<double> context;
  const std::vector<item_id> items{1};
  CHECK(refuses([&] { model(context, users.lists(), items); }, "funnel::pairwise_dot",
                "b has 3 columns, expected 4 as in a"));
}
