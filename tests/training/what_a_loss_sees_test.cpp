// SPDX-License-Identifier: MIT
#include <funnel/training/train.hpp>

#include <funnel/core/math.hpp>
#include <funnel/features/feature_inputs.hpp>
#include <funnel/features/fit_schema.hpp>
#include <funnel/loss/bce.hpp>
#include <funnel/loss/in_batch_softmax.hpp>
#include <funnel/loss/total_loss.hpp>
#include <funnel/nn/concat.hpp>
#include <funnel/nn/inference_context.hpp>
#include <funnel/nn/initialization.hpp>
#include <funnel/nn/mlp.hpp>
#include <funnel/nn/normalization.hpp>
#include <funnel/nn/similarity.hpp>
#include <funnel/optim/sgd.hpp>

#include "features/random_log.hpp"
#include "support/catch.hpp"
#include "support/tolerance.hpp"
#include "support/two_head_ranker.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <span>
#include <string_view>
#include <vector>

// docs/training.md, "What a loss sees": the batch is cut into leaves, or is one (whole_batch).
using namespace funnel;

namespace {

struct data {
  schema features;
  fitted past;

  data(schema_options options, std::size_t requests, std::size_t rows_of_request)
      : features(std::move(options)) {
    past = fit_schema(
        features,
        table_of(random_log(
            1, {.requests = requests, .most_rows = rows_of_request, .users = 40, .items = 30})));
  }
  const encoded_log& rows() const { return past.rows; }
};

/// One step on all rows: in leaves of about 2 rows, or as one.
train_options one_step(const data& d, bool whole) {
  return {.batch_rows = d.rows().rows(),
          .last_fraction = 1,
          .leaf_rows = 2,
          .max_leaves = 64,
          .whole_batch = whole};
}

template <class Model, class Loss>
train_result run(const data& d, Model& model, const Loss& loss, const train_options& options) {
  serial_executor executor;
  sgd<double> optimizer({.learning_rate = .5});
  return train(executor, model, optimizer, d.rows(), loss, options);
}

/// All rows, in the order of requests.
row_batch all_rows(const encoded_log& rows) {
  std::vector<std::uint32_t> all(rows.requests());
  std::iota(all.begin(), all.end(), 0u);
  row_batch batch;
  rows.gather(all, batch);
  return batch;
}

template <class Model>
std::vector<double> weights_of(const Model& model) {
  std::vector<double> all;
  for_each_parameter(model, [&](std::string_view, const auto& p) {
    all.insert(all.end(), p.value.flat().begin(), p.value.flat().end());
  });
  return all;
}

/// The greatest difference of two weights. Sums of `n` rows differ in their order alone if it is
/// within the tolerance.
double difference(const std::vector<double>& a, const std::vector<double>& b) {
  double greatest = 0;
  for (std::size_t i = 0; i < a.size(); ++i) greatest = std::max(greatest, std::abs(a[i] - b[i]));
  return greatest;
}

template <class T>
struct two_heads : two_head_ranker<T> {
  explicit two_heads(const schema& features)
      : two_head_ranker<T>(features, 1, {.dim = 4, .initial_scale = .5}) {}
};

template <class T>
struct towers {
  feature_inputs<T> inputs;
  mlp<T> user, item;

  explicit towers(const schema& features)
      : inputs(features, {.dim = 4, .initial_scale = .5}), user(inputs.user_width(), {4}),
        item(inputs.item_width(), {4}) {
    random_generator bits(1);
    initialize(*this, bits);
  }
  template <Context C>
  value_of<C> operator()(C& context, const row_batch& rows) const {
    const auto x = inputs(context, rows);
    const auto u = user(context, x.user);
    return pairwise_dot(context, u, item(context, x.item));
  }
  void visit_parameters(auto&& visit) {
    visit("inputs", inputs), visit("user", user), visit("item", item);
  }
};

template <class T>
struct normalized {
  feature_inputs<T> inputs;
  batch_norm<T> norm;
  dense<T> head;

  explicit normalized(const schema& features)
      : inputs(features), norm(inputs.item_width()), head(inputs.item_width(), 1) {
    random_generator bits(1);
    initialize(*this, bits);
  }
  template <Context C>
  value_of<C> operator()(C& context, const row_batch& rows) const {
    return head(context, norm(context, inputs(context, rows).item));
  }
  void visit_parameters(auto&& visit) {
    visit("inputs", inputs), visit("norm", norm), visit("head", head);
  }
};

/// Numbers of a batch in the type of the model; they live as long as the values of the leaf.
template <class C>
std::span<const double> in_double(C& context, std::span<const float> values) {
  double* const kept = context.scratch().template allocate<double>(values.size());
  std::ranges::copy(values, kept);
  return {kept, values.size()};
}

/// - ln of the probability of a label.
double cross_entropy(double logit, float label) {
  return softplus(label != 0 ? -logit : logit);
}

}  // namespace

TEST_CASE("a head on some rows: the sum over the leaves is that of the whole batch") {
  const data d(every_kind(), 100, 3);
  const std::size_t n = d.rows().rows();
  const row_batch all = all_rows(d.rows());
  inference_context<double> context;
  const two_heads<double> start(d.features);
  const auto z = start(context, all);
  double clicks = 0, click_sum = 0, like_sum = 0;
  for (std::size_t i = 0; i < n; ++i) {
    click_sum += cross_entropy(z[0](i, 0), all.label(0)[i]);
    if (all.label(0)[i] == 0) continue;
    clicks += 1;
    like_sum += cross_entropy(z[1](i, 0), all.label(1)[i]);
  }
  const double rows = static_cast<double>(n);
  REQUIRE(clicks > 20);

  // Divided by the clicked rows of the batch, or by all its rows.
  for (const bool by_clicks : {true, false}) {
    std::size_t leaves = 0, without_clicks = 0;
    const auto loss = [&](auto& c, const auto& model, const row_batch& leaf) {
      ++leaves;
      const std::span<const float> clicked = leaf.label(0);
      without_clicks += std::ranges::find(clicked, 1.f) == clicked.end() ? 1 : 0;
      CHECK(leaf.step_rows == n);
      CHECK(leaf.label_sums[0] == clicks);
      const auto scores = model(c, leaf);
      const double total = by_clicks ? leaf.label_sums[0] : 0;
      const auto click = bce_with_logits(c, scores[0], in_double(c, clicked));
      const auto like = bce_with_logits(c, scores[1], in_double(c, leaf.label(1)),
                                        {.weights = in_double(c, clicked), .total_weight = total});
      return total_loss(c, {click, like});
    };
    two_heads<double> cut(d.features), whole(d.features);
    const double expected = click_sum / rows + like_sum / (by_clicks ? clicks : rows);
    const auto of_leaves = run(d, cut, loss, one_step(d, false));
    CHECK(leaves > 32);
    CHECK(without_clicks > 3);  // by its own clicks, such a leaf divides by 0
    leaves = 0;
    const auto of_whole = run(d, whole, loss, one_step(d, true));
    CHECK(leaves == 1);
    for (const train_result& result : {of_leaves, of_whole}) {
      CHECK(result.steps == 1);
      CHECK(
          tolerance::within(result.losses[0], expected, tolerance::iterative<double>(n, expected)));
    }
    CHECK(difference(weights_of(cut), weights_of(whole)) <= tolerance::iterative<double>(n, 1));
    CHECK(difference(weights_of(cut), weights_of(start)) > .01);
  }
}

TEST_CASE(
    "in_batch_softmax: the negatives are those of the leaf, or with whole_batch of the batch") {
  const data d(every_kind(), 200, 1);
  const std::size_t n = d.rows().rows();
  REQUIRE(d.rows().requests() == n);
  const towers<double> start(d.features);
  inference_context<double> context;
  const auto s = start(context, all_rows(d.rows()));
  std::vector<std::size_t> place(n);  // of a row of the log
  for (std::size_t i = 0; i < n; ++i) place[d.rows().log_rows()[i]] = i;

  std::vector<double> losses;
  for (const bool whole : {false, true}) {
    std::vector<std::vector<std::uint32_t>> seen;
    const auto loss = [&](auto& c, const auto& model, const row_batch& leaf) {
      seen.push_back(leaf.log_rows);
      return in_batch_softmax(c, model(c, leaf), {.temperature = .5});
    };
    towers<double> model(d.features);
    train_options options = one_step(d, whole);
    options.leaf_rows = 25;
    losses.push_back(run(d, model, loss, options).losses[0]);
    CHECK(seen.size() == (whole ? 1 : 8));
    double expected = 0;
    std::size_t rows = 0;
    for (const std::vector<std::uint32_t>& leaf : seen) {
      rows += leaf.size();
      for (const std::uint32_t i : leaf) {
        double sum = 0;
        for (const std::uint32_t j : leaf)
          sum += std::exp((s(place[i], place[j]) - s(place[i], place[i])) / .5);
        expected += std::log(sum) / static_cast<double>(n);
      }
    }
    CHECK(rows == n);
    CHECK(tolerance::within(losses.back(), expected, tolerance::iterative<double>(n, expected)));
  }
  CHECK(losses[1] > losses[0] + 1);  // ln 8 if all items were alike
}

TEST_CASE("batch_norm: statistics move once a step, toward those of the step's rows") {
  const data d({.request = "request",
                .of_item = {number{"price"}},
                .of_cross = {number{"position", number_as::raw}, number{"seconds"}},
                .labels = "click"},
               150, 3);
  const auto loss = [](auto& c, const auto& model, const row_batch& leaf) {
    return bce_with_logits(c, model(c, leaf), in_double(c, leaf.label(0)));
  };
  std::vector<double> losses;
  for (const bool whole : {false, true}) {
    train_options options = one_step(d, whole);
    options.batch_rows = 60;
    options.leaf_rows = 10;
    normalized<double> model(d.features);
    const train_result result = run(d, model, loss, options);
    losses.push_back(result.losses[0]);
    REQUIRE(result.steps > 3);

    const std::size_t columns = model.inputs.item_width();
    std::vector<double> mean(columns, 0), variance(columns, 1);
    batches steps(d.rows(), {.rows = options.batch_rows, .seed = options.seed});
    inference_context<double> context;
    while (steps.next()) {
      const auto x = model.inputs(context, steps.batch()).item;
      const double rows = static_cast<double>(x.rows());
      for (std::size_t j = 0; j < columns; ++j) {
        double sum = 0, squares = 0;
        for (std::size_t i = 0; i < x.rows(); ++i) sum += x(i, j);
        for (std::size_t i = 0; i < x.rows(); ++i)
          squares += (x(i, j) - sum / rows) * (x(i, j) - sum / rows);
        mean[j] += .1 * (sum / rows - mean[j]);
        variance[j] += .1 * (squares / rows - variance[j]);
      }
      context.reset();
    }
    for (std::size_t j = 0; j < columns; ++j) {
      CHECK(tolerance::within(model.norm.running_mean.value(0, j), mean[j],
                              tolerance::iterative<double>(60, 1)));
      CHECK(tolerance::within(model.norm.running_variance.value(0, j), variance[j],
                              tolerance::iterative<double>(60, 1)));
    }
  }
  // A leaf is normalized by its own rows.
  CHECK(std::abs(losses[0] - losses[1]) > tolerance::iterative<double>(1000, 1));
}
