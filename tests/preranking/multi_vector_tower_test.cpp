// SPDX-License-Identifier: MIT
#include <funnel/index/flat_index.hpp>
#include <funnel/loss/bce.hpp>
#include <funnel/loss/total_loss.hpp>
#include <funnel/nn/freeze.hpp>
#include <funnel/nn/inference_context.hpp>
#include <funnel/nn/initialization.hpp>
#include <funnel/nn/mlp.hpp>
#include <funnel/nn/slice.hpp>
#include <funnel/nn/training_context.hpp>
#include <funnel/optim/adam.hpp>
#include <funnel/preranking/multi_vector_tower.hpp>

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
#include <limits>
#include <string>
#include <string_view>
#include <vector>

using funnel::cosine_heads;
using funnel::item_id;
using funnel::matrix;
using funnel::matrix_view;
using funnel::mlp;
using funnel::multi_vector_tower;
using funnel::retrieval_query;
using funnel::start_at_rate;

namespace {

template <class T>
using tower = network_tower<T>;
template <class T>
using preranker = multi_vector_tower<tower<T>, tower<T>, T>;

constexpr std::size_t tasks = 3, dim = 5, n = 40;

template <class T>
preranker<T> random_preranker() {
  const funnel::mlp_options smooth{.hidden = funnel::activation::gelu};
  preranker<T> model{
      {mlp<T>(4, {9, tasks * dim}, smooth)}, {mlp<T>(3, {7, dim}, smooth)}, cosine_heads<T>(tasks)};
  return with_random_parameters(model);
}

const matrix<double> user = random_matrix<double>(1, 4, 21);
const matrix<double> items = random_matrix<double>(n, 3, 22);

double length_of(std::span<const double> x) {
  double squares = 0;
  for (const double v : x) squares += v * v;
  return std::sqrt(squares);
}

/// Stages of a frozen model.
constexpr auto user_vectors = [](const auto& m, auto& c, const auto& x) {
  return m.user_vectors(c, x);
};
constexpr auto item_vectors = [](const auto& m, auto& c, const auto& x) {
  return m.item_vectors(c, x);
};
constexpr auto score = [](const auto& m, auto& c, const auto&... x) { return m.score(c, x...); };

}  // namespace

TEST_CASE("multi_vector_tower: worked by hand") {
  std::string spoken;
  multi_vector_tower<spoken_tower, spoken_tower, double> model{
      {'u', &spoken}, {'i', &spoken}, cosine_heads<double>(2, {.scale = 2})};
  model.heads.log_gain.value(0, 1) = std::log(5.);
  model.heads.bias.value(0, 0) = -1;
  matrix<double> of_user(1, 4), of_items(2, 2);
  const double vectors[] = {3, 4, 0, -7}, rows[] = {8, 6, 0, 0};
  std::ranges::copy(vectors, of_user.flat().begin());
  std::ranges::copy(rows, of_items.flat().begin());
  funnel::inference_context<double> context;
  const auto z = model(context, of_user.view(), of_items.view());
  REQUIRE(z.rows() == 2);
  REQUIRE(z.cols() == 2);
  const auto close = [](double found, double expected) {
    return tolerance::within(found, expected, tolerance::iterative<double>(4, 10));
  };
  CHECK(close(z(0, 0), 2 * (.6 * .8 + .8 * .6) - 1));  // cosine .96
  CHECK(close(z(0, 1), 10 * -.6));
  CHECK(z(1, 0) == -1);  // a vector of zeros has cosine 0
  CHECK(z(1, 1) == 0);
  CHECK(close(model.heads.scale(1), 10));
  CHECK(spoken == "ui");
}

TEST_CASE("multi_vector_tower: a head on the cosine of each vector of the user with the item's") {
  const preranker<double> model = random_preranker<double>();
  funnel::inference_context<double> context;
  const auto z = model(context, user.view(), items.view());
  const auto a = model.user(context, user.view());
  const auto b = model.item(context, items.view());
  REQUIRE(z.rows() == n);
  REQUIRE(z.cols() == tasks);
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t t = 0; t < tasks; ++t) {
      const auto vector = a.row(0).subspan(t * dim, dim);
      double dot = 0;
      for (std::size_t k = 0; k < dim; ++k) dot += vector[k] * b(i, k);
      const double cosine = dot / (length_of(vector) * length_of(b.row(i)));
      const double kappa = 10 * std::exp(model.heads.log_gain.value(0, t));
      CHECK(tolerance::within(z(i, t), kappa * cosine + model.heads.bias.value(0, t),
                              tolerance::iterative<double>(2 * dim, kappa + 1)));
    }
}

TEMPLATE_TEST_CASE("multi_vector_tower: scores by id are the logits of the model, to the bit", "",
                   float, double) {
  using T = TestType;
  const preranker<T> model = random_preranker<T>();
  const matrix<T> catalog = random_matrix<T>(300, 3, 31);
  const matrix<T> one = random_matrix<T>(1, 4, 32);
  const auto frozen = funnel::freeze(model);
  funnel::inference_context<T> context;
  // The table is written in parts.
  matrix<T> table(300, dim);
  for (std::size_t begin = 0; begin < 300; begin += 100) {
    const auto part = frozen.call(context, item_vectors, catalog.view().middle_rows(begin, 100));
    for (std::size_t i = 0; i < 100; ++i)
      std::ranges::copy(part.row(i), table.row(begin + i).begin());
  }
  for (const std::size_t count : size_list{0, 1, 7, 16, 100}) {
    std::vector<item_id> ids;
    matrix<T> candidates(count, 3);
    for (std::size_t i = 0; i < count; ++i) {
      ids.push_back(static_cast<item_id>(i * 77 % 300 / 2));  // some of them twice
      std::ranges::copy(catalog.row(ids[i]), candidates.row(i).begin());
    }
    const auto expected = model(context, one.view(), candidates.view());
    const auto vectors = frozen.call(context, user_vectors, one.view());
    const std::span<const item_id> picked = ids;
    CHECK(same_bits(frozen.call(context, score, vectors, table.view(), picked), expected));
    CHECK(same_bits(model.score(context, model.user_vectors(context, one.view()), table, ids),
                    expected));
    CHECK(same_bits(frozen(context, one.view(), candidates.view()), expected));
    funnel::training_context<T> tape;
    CHECK(same_bits(view(model(tape, one.view(), candidates.view())), expected));
    for (std::size_t i = 0; i < count; ++i)
      CHECK(same_bits(model.score(context, vectors, table, std::span(ids).subspan(i, 1)),
                      expected.middle_rows(i, 1)));
  }
}

TEST_CASE("multi_vector_tower: users of one row, or one row per request, are the users in every "
          "row, to the bit") {
  const preranker<double> model = random_preranker<double>();
  const request_offsets requests = offsets_of({7, 1, 30, 2});
  const matrix<double> users = random_matrix<double>(4, 4, 24);
  const matrix<double> all = repeated(users, requests);
  funnel::inference_context<double> plain, context;
  context.group_rows(requests);
  funnel::training_context<double> tape;
  tape.group_rows(requests);
  const auto expected = model(plain, all.view(), items.view());
  const auto frozen = funnel::freeze(model);
  CHECK(same_bits(model(context, users.view(), items.view()), expected));
  CHECK(same_bits(frozen(context, users.view(), items.view()), expected));
  CHECK(same_bits(view(model(tape, users.view(), items.view())), expected));
  CHECK(same_bits(model(plain, user.view(), items.view()),
                  model(plain, repeated(user, {0, n}).view(), items.view())));
  context.group_rows(request_offsets{0, 7, 8, 40});
  CHECK(refuses([&] { model(context, users.view(), items.view()); }, "funnel::multi_dot",
                "b has 40 rows, expected 1, or 4 as in a"));
}

TEST_CASE("multi_vector_tower: gradients, of one user and of requests") {
  preranker<double> model = random_preranker<double>();
  check_layer(model, {}, [&](auto& c, const auto& m, const double_values&) {
    return m(c, user.view(), items.view());
  });
  const matrix<double> users = random_matrix<double>(4, 4, 24);
  check_layer(model, {}, [&](auto& c, const auto& m, const double_values&) {
    c.group_rows(offsets_of({7, 1, 30, 2}));
    return m(c, users.view(), items.view());
  });
  check_layer(cosine_heads<double>(3), {{6, 3}},
              [](auto& c, const auto& m, const double_values& x) { return m(c, x[0]); });
  // With a loss per head, as in training.
  const std::vector<double> labels = random_values<double>(n, 25, 0, 1);
  const auto result = funnel::check_gradients<double>(model, [&](auto& context) {
    const auto z = model(context, user.view(), items.view());
    return total_loss(context,
                      {bce_with_logits(context, slice(context, z, 0, 1), labels),
                       bce_with_logits(context, slice(context, z, 2, 1), labels)},
                      {1, .5});
  });
  CHECK(result.largest_error <= tolerance::finite_difference(0));
}

TEST_CASE("multi_vector_tower: learns two tasks of opposite taste; the scales stay positive") {
  funnel::random_generator bits(1);
  preranker<float> model{
      {mlp<float>(2, {8, 2 * 4})}, {mlp<float>(2, {8, 4})}, cosine_heads<float>(2)};
  funnel::initialize(model, bits);
  CHECK(model.heads.scale(0) == 10);
  const matrix<float> users = random_matrix<float>(256, 2, 41);
  const matrix<float> of_items = random_matrix<float>(256, 2, 42);
  std::vector<float> like(256), hate(256);
  for (std::size_t i = 0; i < 256; ++i) {
    like[i] = users(i, 0) * of_items(i, 0) + users(i, 1) * of_items(i, 1) > 0 ? 1.f : 0.f;
    hate[i] = 1 - like[i];
  }
  funnel::training_context<float> tape;
  funnel::adam<float> optimizer({.learning_rate = 0.01});
  const auto step = [&] {
    const auto z = model(tape, users.view(), of_items.view());
    const auto loss = total_loss(tape, {bce_with_logits(tape, slice(tape, z, 0, 1), like),
                                        bce_with_logits(tape, slice(tape, z, 1, 1), hate)});
    const float value = loss(0, 0);
    tape.backward(loss);
    optimizer.step(model, tape);
    tape.clear();
    return value;
  };
  const float first = step();
  float last = first;
  for (int i = 0; i < 300; ++i) last = step();
  CHECK(last < first / 4);
  CHECK(model.heads.scale(0) > 0);
  CHECK(model.heads.scale(1) > 0);
  CHECK(model.heads.scale(0) != 10);
}

TEST_CASE("cosine_heads: any number of heads and rows, rows with gaps; NaN stays in its value") {
  for (const std::size_t heads : size_list{1, 3, 8, 17}) {
    cosine_heads<float> layer(heads, {.scale = 3});
    layer.log_gain.value = random_matrix<float>(1, heads, 1);
    layer.bias.value = random_matrix<float>(1, heads, 2);
    for (const std::size_t rows : size_list{0, 1, 15, 16, 17, 50}) {
      matrix<float> wide = random_matrix<float>(rows, heads + 5, 3);
      if (rows > 2) wide(2, 1) = std::numeric_limits<float>::quiet_NaN();
      const auto cosines = wide.view().middle_cols(1, heads);
      funnel::inference_context<float> context;
      const auto z = layer(context, cosines);
      CHECK(same_bits(z, layer(context, matrix<float>(cosines).view())));
      for (std::size_t i = 0; i < rows; ++i)
        for (std::size_t t = 0; t < heads; ++t) {
          const double kappa = 3 * std::exp(static_cast<double>(layer.log_gain.value(0, t)));
          const double expected = kappa * static_cast<double>(cosines(i, t)) +
                                  static_cast<double>(layer.bias.value(0, t));
          CHECK(tolerance::within(static_cast<double>(z(i, t)), expected,
                                  tolerance::iterative<float>(2, kappa + 1)));
        }
    }
  }
}

TEST_CASE("start_at_rate: a head of cosines predicts the rate at the mean cosine") {
  cosine_heads<double> heads(2, {.scale = 8});
  start_at_rate(heads, .03, 1);
  CHECK(heads.bias.value(0, 0) == 0);
  CHECK(heads.bias.value(0, 1) == funnel::logit(.03));
  start_at_rate(heads, .25, 0, .5);
  CHECK(heads.bias.value(0, 0) == funnel::logit(.25) - 4);
  funnel::inference_context<double> context;
  const matrix<double> cosines(1, 2, .5);
  CHECK(tolerance::within(funnel::sigmoid(heads(context, cosines.view())(0, 0)), .25,
                          tolerance::elementwise<double>(1)));
  CHECK(refuses([&] { start_at_rate(heads, 1); }, "funnel::start_at_rate",
                "rate is 1, expected a number in (0, 1)"));
  CHECK(refuses([&] { start_at_rate(heads, .5, 2); }, "funnel::start_at_rate",
                "head is 2, expected below 2"));
  CHECK(refuses([&] { start_at_rate(heads, .5, 0, 1.5); }, "funnel::start_at_rate",
                "mean_cosine is 1.5, expected a number in [-1, 1]"));
  CHECK(heads.bias.value(0, 0) == funnel::logit(.25) - 4);
}

TEST_CASE("retrieval_query: a search finds the largest weighted sums of cosines") {
  const preranker<float> model = random_preranker<float>();
  const matrix<float> one = random_matrix<float>(1, 4, 32);
  const matrix<float> catalog = random_matrix<float>(300, 3, 31);
  funnel::inference_context<float> context;
  const matrix<float> table(model.item_vectors(context, catalog.view()));
  const auto vectors = model.user_vectors(context, one.view());
  const std::vector<float> weights{1, -.5f, 2};
  const auto query = retrieval_query(context, vectors, weights);
  REQUIRE(query.rows() == 1);
  REQUIRE(query.cols() == dim);
  const funnel::flat_index<> index(table);
  std::vector<funnel::scored_item> found(300);
  REQUIRE(index.search(query.row(0), found) == 300);
  std::vector<double> sums;
  for (const funnel::scored_item& f : found) {
    double sum = 0;
    for (std::size_t t = 0; t < tasks; ++t) {
      double cosine = 0;
      for (std::size_t k = 0; k < dim; ++k)
        cosine +=
            static_cast<double>(vectors(0, t * dim + k)) * static_cast<double>(table(f.item, k));
      sum += static_cast<double>(weights[t]) * cosine;
    }
    CHECK(tolerance::within(static_cast<double>(f.score), sum,
                            tolerance::reduction<float>(tasks * dim, 3.5)));
    sums.push_back(sum);
  }
  for (std::size_t i = 0; i + 1 < 300; ++i)
    CHECK(sums[i + 1] - sums[i] <= 2 * tolerance::reduction<float>(tasks * dim, 3.5));
  // Several users; one weight is the vector itself.
  const matrix<float> users = random_matrix<float>(3, 4, 33);
  const auto several = model.user_vectors(context, users.view());
  CHECK(same_bits(retrieval_query(context, several.middle_cols(0, dim), std::vector<float>{1}),
                  several.middle_cols(0, dim)));
  CHECK(refuses([&] { retrieval_query(context, vectors, std::vector<float>(2)); },
                "funnel::retrieval_query",
                "vectors.cols() is 15, expected a multiple of 2, the weights"));
  CHECK(refuses([&] { retrieval_query(context, vectors, std::vector<float>()); },
                "funnel::retrieval_query", "weights"));
}

TEST_CASE("multi_vector_tower: what is refused") {
  const preranker<double> model = random_preranker<double>();
  funnel::inference_context<double> context;
  const auto vectors = model.user_vectors(context, user.view());
  const matrix<double> table(10, dim), narrow(10, dim - 1);
  const std::vector<item_id> ids{3, 10};
  CHECK(refuses([&] { model.score(context, vectors, table, ids); }, "funnel::score_items",
                "ids[1] is 10, expected below 10"));
  CHECK(refuses([&] { model.score(context, vectors, narrow, ids); }, "funnel::multi_vector_tower",
                "user's columns is 15, expected 12, 3 heads times the columns of table"));
  CHECK(refuses([&] { model.score(context, matrix<double>(2, 15).view(), table, ids); },
                "funnel::multi_vector_tower::score", "vectors has 2 rows, expected 1"));
  preranker<double> other = random_preranker<double>();
  other.heads = cosine_heads<double>(2);
  CHECK(refuses([&] { other(context, user.view(), items.view()); }, "funnel::multi_vector_tower",
                "user's columns is 15, expected a multiple of 2, the heads"));
  other.heads = cosine_heads<double>(5);
  CHECK(refuses([&] { other(context, user.view(), items.view()); }, "funnel::multi_vector_tower",
                "user's columns is 15, expected 25, 5 heads times the columns of the item tower"));
  CHECK(refuses([] { cosine_heads<double>{0}; }, "funnel::cosine_heads", "heads is 0"));
  CHECK(
      refuses([] { cosine_heads<double>(1, {.scale = 0}); }, "funnel::cosine_heads", "scale is 0"));
  CHECK(refuses([] { cosine_heads<float>(1, {.scale = 1e300}); }, "funnel::cosine_heads",
                "scale is 1e+300"));
  cosine_heads<double> heads(3);
  CHECK(refuses([&] { heads(context, table.view()); }, "funnel::cosine_heads",
                "cosines has 5 columns, expected 3"));
  CHECK(refuses([&] { heads.scale(3); }, "funnel::cosine_heads::scale", "head is 3"));
  heads.bias.value = matrix<double>(1, 2);
  CHECK(refuses([&] { heads(context, matrix<double>(4, 3).view()); }, "funnel::cosine_heads",
                "bias is [1, 2], expected [1, 3]"));
}
