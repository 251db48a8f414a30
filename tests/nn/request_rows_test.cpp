// SPDX-License-Identifier: MIT
// Values with one row per request: everywhere the bits of the value repeated for every row.
#include <funnel/nn/detail/request_rows.hpp>

#include <funnel/nn/concat.hpp>
#include <funnel/nn/dense.hpp>
#include <funnel/nn/elementwise.hpp>
#include <funnel/nn/freeze.hpp>
#include <funnel/nn/inference_context.hpp>
#include <funnel/nn/initialization.hpp>
#include <funnel/nn/mlp.hpp>
#include <funnel/nn/similarity.hpp>
#include <funnel/nn/training_context.hpp>

#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/gradients.hpp"
#include "support/matrices.hpp"
#include "support/tolerance.hpp"

#include <algorithm>
#include <cstdint>
#include <vector>

using funnel::concat;
using funnel::matrix;
using funnel::matrix_view;

namespace {

using offsets = std::vector<std::uint32_t>;

/// Row r of `values` for every row of request r.
template <class T>
matrix<T> repeated(const matrix<T>& values, const offsets& requests) {
  matrix<T> all(requests.back(), values.cols());
  for (std::size_t r = 0; r + 1 < requests.size(); ++r)
    for (std::size_t i = requests[r]; i < requests[r + 1]; ++i)
      std::ranges::copy(values.row(r), all.row(i).begin());
  return all;
}

const std::vector<offsets> divisions{
    {0, 1}, {0, 5}, {0, 1, 2, 3}, {0, 3, 4, 11}, {0, 300, 301, 700}};

struct inputs {
  matrix<float> user, moment, items;

  explicit inputs(const offsets& requests)
      : user(random_matrix<float>(requests.size() - 1, 5, 1)),
        moment(random_matrix<float>(1, 3, 2)), items(random_matrix<float>(requests.back(), 9, 3)) {}
};

/// `run` of three parts in every order.
template <class Run>
void for_orders(const matrix_view<const float>& a, const matrix_view<const float>& b,
                const matrix_view<const float>& c, const Run& run) {
  run(a, b, c), run(b, a, c), run(a, c, b), run(b, c, a), run(c, a, b), run(c, b, a);
}

template <class Model>
void check_grouped(const Model& model) {
  for (const offsets& requests : divisions) {
    const inputs x(requests);
    const matrix<float> users = repeated(x.user, requests);
    std::vector<matrix<float>> expected;
    funnel::inference_context<float> plain;
    for_orders(users.view(), x.moment.view(), x.items.view(), [&](const auto&... parts) {
      expected.emplace_back(model(plain, concat(plain, parts...)));
    });
    std::size_t order = 0;
    for_orders(x.user.view(), x.moment.view(), x.items.view(), [&](const auto&... parts) {
      funnel::inference_context<float> context;
      context.group_rows(requests);
      CHECK(same_bits(model(context, concat(context, parts...)), expected[order].view()));
      funnel::training_context<float> tape;
      tape.group_rows(requests);
      CHECK(same_bits(view(model(tape, concat(tape, parts...))), expected[order].view()));
      ++order;
    });
  }
}

}  // namespace

TEST_CASE("request rows: dense and mlp give the bits of repeated rows, in any order of parts") {
  funnel::random_generator bits(5);
  for (const funnel::activation f : {funnel::activation::identity, funnel::activation::gelu}) {
    funnel::dense<float> layer(17, 21, {.function = f});
    funnel::initialize(layer, bits);
    layer.bias.value = random_matrix<float>(1, 21, 7);
    check_grouped(layer);
  }
  funnel::mlp<float> tower(17, {12, 7});
  funnel::initialize(tower, bits);
  check_grouped(tower);
  const auto frozen = funnel::freeze(tower);
  const inputs x(divisions.back());
  funnel::inference_context<float> plain, context;
  context.group_rows(divisions.back());
  const matrix<float> users = repeated(x.user, divisions.back());
  CHECK(same_bits(frozen(context, concat(context, x.user.view(), x.items.view(), x.moment.view())),
                  tower(plain, concat(plain, users.view(), x.items.view(), x.moment.view()))));
}

TEST_CASE("request rows: materialize, add, multiply and row_dot give the bits of repeated rows") {
  for (const offsets& requests : divisions) {
    const matrix<float> user = random_matrix<float>(requests.size() - 1, 6, 1);
    const matrix<float> items = random_matrix<float>(requests.back(), 6, 2);
    const matrix<float> users = repeated(user, requests);
    funnel::inference_context<float> plain, context;
    context.group_rows(requests);
    const auto check = [&](const auto& run) {
      CHECK(same_bits(run(context, user.view(), items.view()),
                      run(plain, users.view(), items.view())));
      CHECK(same_bits(run(context, items.view(), user.view()),
                      run(plain, items.view(), users.view())));
    };
    using value = matrix_view<const float>;
    check([](auto& c, value a, value b) { return add(c, a, b); });
    check([](auto& c, value a, value b) { return subtract(c, a, b); });
    check([](auto& c, value a, value b) { return multiply(c, a, b); });
    check([](auto& c, value a, value b) { return row_dot(c, a, b); });
    check([](auto& c, value a, value b) { return materialize(c, concat(c, a, b)); });
    // One row per request stays that where nothing else has more rows.
    CHECK(add(context, user.view(), user.view()).rows() == user.rows());
    CHECK(concat(context, user.view(), user.view()).rows() == user.rows());
  }
}

TEST_CASE("request rows: gradients") {
  const offsets requests{0, 2, 3, 7};
  const std::vector<shape> shapes{{3, 4}, {1, 2}, {7, 3}};
  const auto grouped = [&](auto&& run) {
    return [&requests, run](auto& context, const auto& layer, const double_values& x) {
      context.group_rows(requests);
      return run(context, layer, x);
    };
  };
  for (const funnel::activation f : {funnel::activation::identity, funnel::activation::tanh})
    for (const bool user_first : {true, false})
      check_layer(funnel::dense<double>(9, 5, {.function = f}), shapes,
                  grouped([user_first](auto& context, const auto& layer, const double_values& x) {
                    return user_first ? layer(context, concat(context, x[0], x[1], x[2]))
                                      : layer(context, concat(context, x[2], x[0], x[1]));
                  }));
  const std::vector<shape> pair{{3, 4}, {7, 4}};
  const auto check = [&](auto&& run) {
    check_layer(no_parameters{}, pair,
                grouped([run](auto& context, const auto&, const double_values& x) {
                  return run(context, x[0], x[1]);
                }));
  };
  check([](auto& c, const double_value& a, const double_value& b) { return add(c, a, b); });
  check([](auto& c, const double_value& a, const double_value& b) { return subtract(c, a, b); });
  check([](auto& c, const double_value& a, const double_value& b) { return multiply(c, b, a); });
  check([](auto& c, const double_value& a, const double_value& b) { return row_dot(c, a, b); });
  check([](auto& c, const double_value& a, const double_value& b) {
    return materialize(c, concat(c, a, b));
  });
}

TEST_CASE("request rows: what is refused, and when they end") {
  funnel::inference_context<float> context;
  const auto refused = [&](const offsets& requests, std::string_view text) {
    return refuses([&] { context.group_rows(requests); }, "funnel::inference_context::group_rows",
                   text);
  };
  CHECK(refused({}, "offsets.size() is 0, expected 2 or more"));
  CHECK(refused({0}, "offsets.size() is 1, expected 2 or more"));
  CHECK(refused({1, 2}, "offsets[0] is 1, expected 0"));
  CHECK(refused({0, 2, 2}, "offsets[2] is 2, expected more than 2"));
  CHECK(refused({0, 3, 2}, "offsets[2] is 2, expected more than 3"));

  const matrix<float> user(2, 3), items(5, 3), other(4, 3);
  const auto together = [&] { add(context, user.view(), items.view()); };
  CHECK(refuses(together, "funnel::add", "b has 5 rows, expected 1, or 2 as in a"));
  context.group_rows(offsets{0, 2, 5});
  CHECK_NOTHROW(together());
  CHECK(refuses([&] { add(context, user.view(), other.view()); }, "funnel::add", "b has 4 rows"));
  CHECK(refuses([&] { concat(context, other.view(), items.view()); }, "funnel::concat",
                "a value has 4 rows"));
  context.reset();
  CHECK(refuses(together, "funnel::add", "b has 5 rows"));
  funnel::training_context<float> tape;
  tape.group_rows(offsets{0, 2, 5});
  tape.next_micro_batch();
  CHECK(tape.requests().of_row() == nullptr);
}
