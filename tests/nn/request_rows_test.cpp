// SPDX-License-Identifier: MIT
// Values with one row per request: everywhere the bits of the value repeated for every row.
#include <funnel/nn/detail/request_rows.hpp>

#include <funnel/nn/concat.hpp>
#include <funnel/nn/dense.hpp>
#include <funnel/nn/detail/row_blocks.hpp>
#include <funnel/nn/dropout.hpp>
#include <funnel/nn/elementwise.hpp>
#include <funnel/nn/embedding.hpp>
#include <funnel/nn/freeze.hpp>
#include <funnel/nn/inference_context.hpp>
#include <funnel/nn/initialization.hpp>
#include <funnel/nn/mlp.hpp>
#include <funnel/nn/normalization.hpp>
#include <funnel/nn/similarity.hpp>
#include <funnel/nn/softmax.hpp>
#include <funnel/nn/training_context.hpp>

#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/gradients.hpp"
#include "support/matrices.hpp"
#include "support/requests.hpp"

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <utility>
#include <vector>

using funnel::concat;
using funnel::matrix;
using funnel::matrix_view;

namespace {

using offsets = request_offsets;

/// One candidate; one request; requests of one row; requests that blocks of 256 rows cut or not.
const std::vector<offsets> divisions{{0, 1},
                                     {0, 5},
                                     {0, 1, 2, 3},
                                     {0, 3, 4, 11},
                                     offsets_of({1, 2, 255, 256, 257, 1000}),
                                     offsets_of({1000, 257, 256, 255, 2, 1}),
                                     offsets_of({200, 56, 100, 156, 1, 255, 128, 128})};

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

struct bag_model {
  funnel::embedding<double> table;
  funnel::embedding_bag<double> bags;
  funnel::dense<double> layer;

  void visit_parameters(auto&& visit) {
    visit("table", table);
    visit("bags", bags);
    visit("layer", layer);
  }
};

/// `served` is the model or its frozen form.
template <class Model, class Served>
void check_grouped(const Model& model, const Served& served) {
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
      CHECK(same_bits(served(context, concat(context, parts...)), expected[order].view()));
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
    check_grouped(layer, layer);
  }
  funnel::mlp<float> tower(17, {12, 7});
  funnel::initialize(tower, bits);
  check_grouped(tower, tower);
  check_grouped(tower, funnel::freeze(tower));
}

TEST_CASE("request rows: many requests, whose rows alone take several blocks") {
  offsets requests(601);
  std::iota(requests.begin(), requests.end(), 0u);
  for (std::size_t r = 500; r < requests.size(); ++r) requests[r] += 7;  // request 499 has 8 rows
  const inputs x(requests);
  funnel::mlp<float> tower(14, {12, 7});
  funnel::random_generator bits(5);
  funnel::initialize(tower, bits);
  funnel::inference_context<float> plain, context;
  context.group_rows(requests);
  const auto expected =
      tower(plain, concat(plain, repeated(x.user, requests).view(), x.items.view()));
  CHECK(same_bits(tower(context, concat(context, x.user.view(), x.items.view())), expected));
  // A tower of the users alone has one row per request.
  funnel::mlp<float> users(5, {12, 7});
  funnel::initialize(users, bits);
  CHECK(same_bits(users(context, x.user.view()), users(plain, x.user.view())));
}

TEST_CASE("request rows: blocks of rows end where requests do") {
  const auto ends_of = [](const offsets& requests, std::size_t n) {
    funnel::inference_context<float> context;
    context.group_rows(requests);
    const matrix<float> user(requests.size() - 1, 1), moment(1, 1), items(n, 1);
    std::vector<std::size_t> ends;
    const auto x = requests.back() == n
                       ? concat(context, user.view(), moment.view(), items.view())
                       : concat(context, items.view(), moment.view(), moment.view());
    funnel::detail::in_row_blocks(context, x, [&](const auto& block, std::size_t begin) {
      CHECK(begin == (ends.empty() ? 0 : ends.back()));
      ends.push_back(begin + block.rows());
      if (requests.back() != n) return;
      // The rows of `user` are those of the block's requests.
      const std::uint32_t* of_row = context.requests().of_row();
      CHECK(block.parts[0].data() == user.row(of_row[begin]).data());
      CHECK(block.parts[0].rows() == 1 + of_row[ends.back() - 1] - of_row[begin]);
      CHECK(block.parts[1].rows() == 1);
      CHECK(block.parts[2].data() == items.row(begin).data());
    });
    return ends;
  };
  using ends = std::vector<std::size_t>;
  CHECK(ends_of(offsets_of({1}), 1) == ends{1});
  CHECK(ends_of(offsets_of({1, 255}), 256) == ends{256});
  CHECK(ends_of(offsets_of({2, 255}), 257) == ends{2, 257});
  CHECK(ends_of(offsets_of({100, 100, 100}), 300) == ends{200, 300});
  CHECK(ends_of(offsets_of({256, 256, 1}), 513) == ends{256, 512, 513});
  CHECK(ends_of(offsets_of({257}), 257) == ends{256, 257});
  CHECK(ends_of(offsets_of({257, 255, 1}), 513) == ends{256, 512, 513});
  CHECK(ends_of(offsets_of({257, 256}), 513) == ends{256, 257, 513});
  CHECK(ends_of(offsets_of({1, 1000, 2}), 1003) == ends{1, 257, 513, 769, 1003});
  CHECK(ends_of(offsets_of({100, 100, 100}), 600) ==
        ends{256, 512, 600});  // rows of something else
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

TEST_CASE("request rows: operations on single rows give one row per request") {
  const offsets requests = offsets_of({3, 1, 4});
  const matrix<float> user = random_matrix<float>(3, 6, 1), items = random_matrix<float>(8, 6, 2);
  const matrix<float> users = repeated(user, requests);
  funnel::inference_context<float> plain, context;
  context.group_rows(requests);
  funnel::training_context<float> tape;
  tape.group_rows(requests);
  funnel::layer_norm<float> layer(6);
  funnel::batch_norm<float> batch(6);
  for (auto* p : {&layer.scale, &layer.shift, &batch.scale, &batch.shift, &batch.running_mean})
    p->value = random_matrix<float>(1, 6, 3);
  const auto check = [&](const auto& run, bool trains = true) {
    const auto expected = add(plain, run(plain, users.view()), items.view());
    const auto of_requests = run(context, user.view());
    CHECK(of_requests.rows() == 3);
    CHECK(same_bits(add(context, of_requests, items.view()), expected));
    if (trains)
      CHECK(same_bits(view(add(tape, run(tape, tape.input(user)), tape.input(items))), expected));
  };
  check([](auto& c, const auto& x) { return l2_normalize(c, x); });
  check([](auto& c, const auto& x) { return softmax(c, x); });
  check([](auto& c, const auto& x) { return affine(c, x, 2.f, 1.f); });
  check([](auto& c, const auto& x) { return activate(c, x, funnel::activation::gelu); });
  check([](auto& c, const auto& x) { return dropout(c, x, 0); });
  check([&](auto& c, const auto& x) { return layer(c, x); });
  check([&](auto& c, const auto& x) { return batch(c, x); }, false);
  CHECK(same_bits(cosine(context, user.view(), items.view()),
                  cosine(plain, users.view(), items.view())));
  // Dropout draws once per request: the rows of a request keep the same values.
  const auto kept =
      add(tape, dropout(tape, tape.input(user), 0.5), tape.input(matrix<float>(8, 6).view()));
  for (const std::size_t i : size_list{1, 2, 5, 6, 7})
    CHECK(same_bits(kept.values.middle_rows(i, 1), kept.values.middle_rows(i < 4 ? 0 : 4, 1)));
}

TEST_CASE("request rows: embeddings and bags of one list per request") {
  const offsets requests = offsets_of({3, 1, 4});
  const std::vector<std::uint32_t> ids{4, 0, 4}, bag{1, 2, 3, 3, 0};
  const offsets lists{0, 3, 3, 5};
  std::vector<std::uint32_t> all_ids, all_bags;
  offsets all_lists{0};
  for (std::size_t r = 0; r < 3; ++r)
    for (std::size_t i = requests[r]; i < requests[r + 1]; ++i) {
      all_ids.push_back(ids[r]);
      all_bags.insert(all_bags.end(), bag.begin() + lists[r], bag.begin() + lists[r + 1]);
      all_lists.push_back(static_cast<std::uint32_t>(all_bags.size()));
    }
  funnel::embedding<double> table(5, 2);
  funnel::embedding_bag<double> bags(5, 3);
  table.table.value = random_matrix<double>(5, 2, 1);
  bags.table.value = random_matrix<double>(5, 3, 2);
  const matrix<double> items = random_matrix<double>(8, 4, 3);
  funnel::dense<double> layer(9, 2);
  layer.weight.value = random_matrix<double>(9, 2, 4);
  const auto run = [&](auto& c, const auto& of_user, const auto& of_bag) {
    const auto users = table(c, of_user);
    return layer(c, concat(c, users, bags(c, of_bag), items.view()));
  };
  funnel::inference_context<double> plain, context;
  context.group_rows(requests);
  CHECK(same_bits(run(context, ids, funnel::id_lists{bag, lists}),
                  run(plain, all_ids, funnel::id_lists{all_bags, all_lists})));
  check_layer(bag_model{table, bags, layer}, {}, [&](auto& c, const auto& m, const double_values&) {
    c.group_rows(requests);
    const auto users = m.table(c, ids);
    const auto pooled = m.bags(c, funnel::id_lists{bag, lists});
    return m.layer(c, concat(c, users, pooled, c.input(items)));
  });
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
  check([](auto& c, const double_value& a, const double_value& b) { return cosine(c, b, a); });
  check([](auto& c, const double_value& a, const double_value& b) {
    return add(c, softmax(c, l2_normalize(c, a)), b);
  });
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
