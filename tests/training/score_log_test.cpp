// SPDX-License-Identifier: MIT
#include <funnel/training/score_log.hpp>

#include <funnel/features/feature_inputs.hpp>
#include <funnel/features/fit_schema.hpp>
#include <funnel/nn/concat.hpp>
#include <funnel/nn/dense.hpp>
#include <funnel/nn/initialization.hpp>

#include "features/random_log.hpp"
#include "support/catch.hpp"
#include "support/errors.hpp"

#include <array>
#include <cstdint>
#include <tuple>
#include <vector>

using namespace funnel;

namespace {

struct example {
  schema features;
  fitted past;

  explicit example(std::size_t requests) {
    schema_options options = every_kind();
    std::get<category>(options.of_user[0]).drop_rate = .5;
    features = schema(options);
    past = fit_schema(features, table_of(random_log(1, {.requests = requests})));
  }
};

template <class T>
struct ranker {
  feature_inputs<T> inputs;
  dense<T> two, one;

  explicit ranker(const schema& features)
      : inputs(features), two(inputs.width(), 2), one(inputs.width(), 1) {
    initialize(*this, 1);
  }
  auto operator()(auto& context, const row_batch& rows) const {
    const auto x = inputs(context, rows);
    const auto all = concat(context, x.user, x.item);
    const auto pair = two(context, all);
    return std::array{pair, one(context, all)};
  }
  void visit_parameters(auto&& v) { v("inputs", inputs), v("two", two), v("one", one); }
};

}  // namespace

TEST_CASE("score_log: each column of each output, for the rows in the order of the log") {
  const example e(2500);  // several batches
  const ranker<float> model(e.features);
  const encoded_log& rows = e.past.rows;
  const auto scores = score_log(model, rows);
  REQUIRE(scores.size() == 3);
  for (const auto& column : scores) REQUIRE(column.size() == rows.rows());
  REQUIRE(rows.rows() > 3000);
  inference_context<float> context;
  row_batch batch;
  for (std::uint32_t r = 0; r < rows.requests(); r += 7) {
    rows.gather(std::array{r}, batch);  // drops nothing
    context.reset();
    const auto z = model(context, batch);
    for (std::size_t i = 0; i < batch.rows(); ++i) {
      const std::size_t row = rows.offsets()[r] + i;
      CHECK(batch.log_rows[i] == rows.log_rows()[row]);
      CHECK(scores[0][row] == z[0](i, 0));
      CHECK(scores[1][row] == z[0](i, 1));
      CHECK(scores[2][row] == z[1](i, 0));
    }
  }
}

TEST_CASE("score_log: outputs of any form, in double too") {
  const example e(40);
  const ranker<double> model(e.features);
  const auto all = score_log(model, e.past.rows);
  const auto single = [&](auto& context, const row_batch& rows) {
    const ranker<float> copy(e.features);
    return copy(context, rows)[0];
  };
  CHECK(score_log(single, e.past.rows).size() == 2);
  const auto tuple = [&](auto& context, const row_batch& rows) {
    const ranker<float> copy(e.features);
    const auto z = copy(context, rows);
    return std::tuple(z[1], z);
  };
  const auto nested = score_log(tuple, e.past.rows);
  CHECK(nested.size() == 4);
  CHECK(nested[0] == nested[3]);
  CHECK(all.size() == 3);
}

TEST_CASE("score_log: no rows, and outputs of another number of rows") {
  const example e(40);
  const ranker<float> model(e.features);
  CHECK(score_log(model, encoded_log()).empty());
  const auto of_requests = [&](auto& context, const row_batch& rows) {
    return model.inputs(context, rows).user;
  };
  CHECK(refuses([&] { score_log(of_requests, e.past.rows); }, "funnel::score_log",
                "as in the batch"));
}
