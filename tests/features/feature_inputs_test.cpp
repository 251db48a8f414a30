// SPDX-License-Identifier: MIT
#include <funnel/features/feature_inputs.hpp>

#include <funnel/features/fit_schema.hpp>
#include <funnel/features/request_encoder.hpp>
#include <funnel/loss/bce.hpp>
#include <funnel/nn/concat.hpp>
#include <funnel/nn/freeze.hpp>
#include <funnel/nn/gradient_check.hpp>
#include <funnel/nn/inference_context.hpp>
#include <funnel/nn/initialization.hpp>
#include <funnel/nn/mlp.hpp>
#include <funnel/sequence/target_attention.hpp>

#include "features/random_log.hpp"
#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/gradients.hpp"

#include <cstddef>
#include <cstdint>
#include <numeric>
#include <span>
#include <string>
#include <vector>

using namespace funnel;

namespace {

schema_options all_inputs() {
  schema_options options = every_kind();
  options.of_item.push_back(vector_of{"content", 3});
  return options;
}
column_table log_with_content(std::uint64_t seed) {
  const auto rows = random_log(seed);
  column_table log = table_of(rows);
  log.add("content", rows.size(), [&](std::size_t i) {
    const double x = static_cast<double>(rows[i].item);
    return std::vector<double>{x, -x, .5};
  });
  return log;
}

template <class T>
struct small_ranker {
  feature_inputs<T> inputs;
  mlp<T> head;

  small_ranker() = default;
  explicit small_ranker(const schema& features)
      : inputs(features, {.dim = 3}), head(inputs.width(), {5, 1}, {.hidden = activation::tanh}) {}

  template <Context C>
  value_of<C> operator()(C& context, const row_batch& rows) const {
    const auto x = inputs(context, rows);
    return head(context, concat(context, x.user, x.item));
  }
  void visit_parameters(auto&& visit) { visit("inputs", inputs), visit("head", head); }
};

row_batch batch_of(const encoded_log& rows, std::vector<std::uint32_t> requests) {
  row_batch batch;
  rows.gather(requests, batch);
  return batch;
}

}  // namespace

TEST_CASE("inputs have the columns of their features") {
  schema features(all_inputs());
  const column_table log = log_with_content(1);
  const fitted past = fit_schema(features, log);
  const feature_inputs<float> inputs(features, {.dim = 3});
  // user_id, active; the mean of two history fields; rates of 3 + 2 numbers
  CHECK(inputs.width(feature_side::user) == 2 * 3 + 2 * 3 + 5);
  // item_id, category, tags; price and age with their missing inputs; 2 + 2 rates, 4 of the window, 2 stocks; 3 of content
  CHECK(inputs.width(feature_side::item) == 3 * 3 + 4 + 2 + 2 + 4 + 2 + 3);
  CHECK(inputs.width(feature_side::context) == 3 * 3 + 1 + 2);
  CHECK(inputs.width(feature_side::cross) == 2 + 2);
  CHECK(inputs.history_width("clicked") == 6);
  CHECK(inputs.width() == inputs.user_width() + inputs.item_width());
  const row_batch batch = batch_of(past.rows, {3, 4, 5});
  inference_context<float> context;
  const auto x = inputs(context, batch);
  CHECK(x.user.rows() == 3);
  CHECK(x.user.cols() == inputs.user_width());
  CHECK(x.item.rows() == batch.rows());
  CHECK(x.item.cols() == inputs.item_width());
  // The embedding of the item's category is where the side says it is.
  const auto row = inputs.tables[features.plan().of[1].categories[1].table].table.value.row(
      batch.item.categories[1][0]);
  for (std::size_t j = 0; j < 3; ++j) CHECK(x.item(0, 3 + j) == row[j]);
  const auto only = inputs.values(context, batch, feature_side::item);
  for (std::size_t j = 0; j < only.cols(); ++j) CHECK(only(1, j) == x.item(1, j));
}

TEST_CASE("fields are the embeddings without the numbers") {
  schema features(all_inputs());
  const column_table log = log_with_content(1);
  const fitted past = fit_schema(features, log);
  const feature_inputs<float> inputs(features, {.dim = 3});
  // user_id, active, a history of two fields; 3 of the context; item_id, category, tags
  CHECK(inputs.field_widths() == std::vector<std::size_t>(4 + 3 + 3, 3));
  const row_batch batch = batch_of(past.rows, {3, 4, 5});
  inference_context<float> context;
  const auto x = inputs(context, batch);
  const auto fields = inputs.fields(context, x);
  REQUIRE(fields.cols() == 3 * 10);
  CHECK(fields.rows() == batch.rows());
  const auto all = materialize(context, fields);
  const std::size_t request = inputs.width(feature_side::user);
  for (std::size_t j = 0; j < 12; ++j) CHECK(all(0, j) == x.user(0, j));
  for (std::size_t j = 0; j < 9; ++j) {
    CHECK(all(0, 12 + j) == x.user(0, request + j));
    CHECK(all(1, 21 + j) == x.item(1, j));
  }
  CHECK(fields.parts[0].data() == x.user.data());  // no copy
  CHECK(fields.parts[3].cols() == 0);              // crosses are numbers

  // Without the mean of histories, and with a size of its own for one feature.
  schema own({.of_user = {category{.column = "user_id", .dim = 5}},
              .of_item = {category{"item_id"}},
              .labels = "click"});
  column_table few;
  few.add("user_id", 4, [](std::size_t i) { return i % 2; });
  few.add("item_id", 4, [](std::size_t i) { return i; });
  few.add("time", 4, [](std::size_t i) { return i; });
  few.add("click", 4, [](std::size_t i) { return i % 2; });
  fit_schema(own, few);
  CHECK(feature_inputs<float>(own, {.dim = 2}).field_widths() == std::vector<std::size_t>{5, 2});
  CHECK(refuses(
      [&] {
        inputs.fields(context, input_values<matrix_view<const float>>{x.item, x.user});
      },
      "funnel::feature_inputs::fields", "x.user has"));
}

TEST_CASE("gradients of the embeddings are right, also of histories and lists") {
  schema features(all_inputs());
  const column_table log = log_with_content(2);
  const fitted past = fit_schema(features, log);
  const row_batch batch = batch_of(past.rows, {5, 30, 31, 55});
  REQUIRE(batch.histories[0].offsets.back() > 3);
  REQUIRE(batch.item.lists[0].ids.size() > 1);
  small_ranker<double> model(features);
  random_generator bits(1);
  initialize(model, bits);
  const auto result = check_gradients<double>(model, [&](training_context<double>& context) {
    return weighted_sum(context, model(context, batch));
  });
  INFO(result.worst_parameter << ' ' << result.largest_error);
  CHECK(result.largest_error < tolerance::finite_difference(0));
  CHECK(result.nonzero > 100);
  const auto of_history = check_gradients<double>(model, [&](training_context<double>& context) {
    const auto h = model.inputs.history(context, batch, "clicked");
    std::vector<std::uint32_t> of_rows{0};
    return weighted_sum(context, concat(context, h.candidates).parts[0]);
  });
  CHECK(of_history.largest_error < tolerance::finite_difference(0));
  CHECK(of_history.nonzero > 3);
}

TEST_CASE("a request scores as its rows did in training, to the bit") {
  schema features(every_kind());
  const auto rows = random_log(3);
  const fitted past = fit_schema(features, table_of(rows));
  small_ranker<float> model(features);
  random_generator bits(1);
  initialize(model, bits);
  const auto frozen_model = freeze(model);
  std::vector<std::uint32_t> all(past.rows.requests());
  std::iota(all.begin(), all.end(), 0u);
  const row_batch together = batch_of(past.rows, all);
  inference_context<float> context;
  const auto scores = frozen_model(context, together);
  inference_context<float> alone;
  for (const std::uint32_t r : all) {
    const row_batch one = batch_of(past.rows, {r});
    const auto z = frozen_model(alone, one);
    for (std::size_t i = 0; i < z.rows(); ++i) CHECK(z(i, 0) == scores(together.offsets[r] + i, 0));
    alone.reset();
  }
}

TEST_CASE("a batch of another schema is refused") {
  schema features(every_kind()), other(all_inputs());
  const fitted past = fit_schema(features, table_of(random_log(1)));
  fit_schema(other, log_with_content(1));
  const feature_inputs<float> inputs(other);
  inference_context<float> context;
  const row_batch batch = batch_of(past.rows, {1});
  CHECK(refuses([&] { inputs(context, batch); }, "funnel::feature_inputs", "numbers of a side"));
  CHECK(refuses([&] { feature_inputs<float>(schema(every_kind())); }, "funnel::feature_inputs",
                "not fitted"));
  CHECK(refuses([&] { feature_inputs<float>(features, {.dim = 0}); }, "funnel::feature_inputs",
                "dim is 0"));
  CHECK(refuses([&] { inputs.history_width("liked"); }, "funnel::feature_inputs", "\"liked\""));
}

TEST_CASE("a model without user columns") {
  schema features({.of_item = {number{"price"}}, .labels = "click"});
  const fitted past = fit_schema(features, table_of(random_log(1)));
  small_ranker<float> model(features);
  random_generator bits(1);
  initialize(model, bits);
  inference_context<float> context;
  const row_batch batch = batch_of(past.rows, {1, 2, 3});
  CHECK(model(context, batch).rows() == 3);
  training_context<float> training;
  const auto loss = bce_with_logits(training, model(training, batch), batch.label(0));
  training.backward(loss);
}
