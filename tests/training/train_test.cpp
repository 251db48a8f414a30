// SPDX-License-Identifier: MIT
#include <funnel/training/train.hpp>

#include <funnel/core/thread_pool.hpp>
#include <funnel/features/feature_inputs.hpp>
#include <funnel/features/fit_schema.hpp>
#include <funnel/loss/bce.hpp>
#include <funnel/loss/total_loss.hpp>
#include <funnel/metrics/auc.hpp>
#include <funnel/nn/concat.hpp>
#include <funnel/nn/elementwise.hpp>
#include <funnel/nn/inference_context.hpp>
#include <funnel/nn/initialization.hpp>
#include <funnel/nn/mlp.hpp>
#include <funnel/optim/sgd.hpp>

#include "features/random_log.hpp"
#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/tolerance.hpp"
#include "support/two_head_ranker.hpp"

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <numeric>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

using namespace funnel;

namespace {

/// Its click head drops values, by the random numbers of each step.
template <class T>
struct ranker : two_head_ranker<T> {
  ranker() = default;
  explicit ranker(const schema& features, std::uint64_t seed = 1)
      : two_head_ranker<T>(features, seed, {.dim = 4}, {.dropout = .1}) {}
};

const auto loss = [](auto& context, const auto& model, const row_batch& leaf) {
  const auto z = model(context, leaf);
  const auto click = bce_with_logits(context, z[0], leaf.label(0));
  const auto like = bce_with_logits(context, z[1], leaf.label(1), {.weights = leaf.label(0)});
  return total_loss(context, {click, like});
};

struct data {
  schema features{every_kind()};
  fitted past;

  explicit data(std::size_t requests = 300) {
    past = fit_schema(features,
                      table_of(random_log(1, {.requests = requests, .users = 40, .items = 30})));
  }
};

std::vector<float> weights_of(const ranker<float>& model) {
  std::vector<float> all;
  for_each_parameter(model, [&](std::string_view, const auto& p) {
    all.insert(all.end(), p.value.flat().begin(), p.value.flat().end());
  });
  return all;
}

struct temporary_file {
  std::string path;
  explicit temporary_file(std::string name) : path(std::filesystem::temp_directory_path() / name) {
    std::filesystem::remove(path);
  }
  ~temporary_file() { std::filesystem::remove(path); }
};

}  // namespace

TEST_CASE("training lowers the loss, and tells its progress") {
  const data d;
  ranker<float> model(d.features);
  std::vector<train_progress> told;
  const train_result result =
      train(model, d.past.rows, loss,
            {.epochs = 4, .batch_rows = 64, .optimizer = {.learning_rate = .01}, .warmup = .25},
            {.progress = [&](const train_progress& p) { told.push_back(p); }});
  REQUIRE(result.losses.size() == 4);
  CHECK(result.losses[3] < .9 * result.losses[0]);
  CHECK(result.epochs == 4);
  CHECK(result.steps == told.size());
  CHECK(told.back().done == 1);
  CHECK(told.back().step == result.steps);
  CHECK(told.back().epoch == 3);
  // The rate rises over the first quarter, then falls to a tenth.
  CHECK(told[0].learning_rate < told[1].learning_rate);
  CHECK(told.back().learning_rate < .002);
  double highest = 0;
  for (const train_progress& p : told) highest = std::max(highest, p.learning_rate);
  CHECK(highest <= .01);
  CHECK(highest > .0095);
}

TEST_CASE("the same bits on 1, 2 and 4 threads, and in a second run") {
  const data d;
  const train_options options{.epochs = 2,
                              .batch_rows = 100,
                              .optimizer = {.learning_rate = .01},
                              .max_norm = 1,
                              .leaf_rows = 16};
  ranker<float> first(d.features);
  train(first, d.past.rows, loss, options);
  for (const std::size_t threads : {1u, 2u, 4u}) {
    thread_pool pool(threads);
    ranker<float> model(d.features);
    train(pool, model, d.past.rows, loss, options);
    CHECK(weights_of(model) == weights_of(first));
  }
  ranker<float> other(d.features);
  train(other, d.past.rows, loss,
        {.epochs = 2,
         .batch_rows = 100,
         .optimizer = {.learning_rate = .01},
         .max_norm = 1,
         .seed = 2,
         .leaf_rows = 16});
  CHECK(weights_of(other) != weights_of(first));
}

TEST_CASE("the best parameters are kept, and training stops without a better score") {
  const data d;
  ranker<float> model(d.features);
  std::vector<std::vector<float>> seen;
  const std::vector<double> scores{.5, .7, .6, .6, .9};
  const train_result result =
      train(model, d.past.rows, loss, {.epochs = 5, .batch_rows = 100, .patience = 2},
            {.validate = [&](const ranker<float>& m) {
              seen.push_back(weights_of(m));
              return scores[seen.size() - 1];
            }});
  CHECK(result.stopped_early);
  CHECK(result.epochs == 4);
  CHECK(result.best_epoch == 1);
  CHECK(result.scores == std::vector<double>{.5, .7, .6, .6});
  CHECK(weights_of(model) == seen[1]);
  ranker<float> last(d.features);
  seen.clear();
  train(last, d.past.rows, loss, {.epochs = 3, .batch_rows = 100, .keep_best = false},
        {.validate = [&](const ranker<float>& m) {
          seen.push_back(weights_of(m));
          return scores[seen.size() - 1];
        }});
  CHECK(weights_of(last) == seen[2]);
}

TEST_CASE("a training that is interrupted at any step goes on to the same bits") {
  const data d(120);
  const train_options options{
      .epochs = 3, .batch_rows = 64, .optimizer = {.learning_rate = .01}, .leaf_rows = 16};
  const auto score = [](const ranker<float>& m) { return static_cast<double>(weights_of(m)[0]); };
  ranker<float> whole(d.features);
  const train_result expected = train(whole, d.past.rows, loss, options, {.validate = score});
  struct stop {};
  for (std::size_t at = 1; at < expected.steps; ++at) {
    const temporary_file file("funnel_train_test_checkpoint");
    train_options saved = options;
    saved.checkpoint = {.path = file.path, .every_steps = at % 3};
    ranker<float> model(d.features);
    try {
      train(model, d.past.rows, loss, saved,
            {.progress =
                 [&](const train_progress& p) {
                   if (p.step == at) throw stop();
                 },
             .validate = score});
      FAIL("not interrupted");
    } catch (const stop&) {
    }
    ranker<float> fresh(d.features,
                        7);  // other weights: all come from the checkpoint, or from the start
    if (!std::filesystem::exists(file.path)) fresh = ranker<float>(d.features);
    const train_result result = train(fresh, d.past.rows, loss, saved, {.validate = score});
    CHECK(weights_of(fresh) == weights_of(whole));
    CHECK(result.losses == expected.losses);
    CHECK(result.scores == expected.scores);
    CHECK(result.best_epoch == expected.best_epoch);
  }
}

TEST_CASE("a checkpoint of another training is refused, and nothing has changed") {
  const data d(100);
  const temporary_file file("funnel_train_test_other");
  train_options options{.epochs = 2, .batch_rows = 64, .checkpoint = {.path = file.path}};
  ranker<float> model(d.features);
  train(model, d.past.rows, loss, options);
  ranker<float> other(d.features);
  const auto before = weights_of(other);
  options.seed = 2;
  CHECK_THROWS_AS(train(other, d.past.rows, loss, options), format_error);
  options.seed = 1;
  const data more(140);
  CHECK_THROWS_AS(train(other, more.past.rows, loss, options), format_error);
  // Other requests, even if they have as many rows.
  const temporary_file of_some("funnel_train_test_some");
  train_options some{.batch_rows = 1,
                     .requests = std::vector<std::uint32_t>{0, 1},
                     .checkpoint = {.path = of_some.path}};
  ranker<float> copy = other;
  train(copy, d.past.rows, loss, some);
  some.requests = std::vector<std::uint32_t>{1, 0};
  CHECK_THROWS_AS(train(other, d.past.rows, loss, some), format_error);
  CHECK(weights_of(other) == before);
  CHECK(train(other, d.past.rows, loss, options).steps > 0);  // it had ended
  CHECK(weights_of(other) == weights_of(model));
}

TEST_CASE("training on some requests sees these alone") {
  const data d(50);
  ranker<float> model(d.features);
  std::vector<std::uint32_t> picked, seen;
  for (std::uint32_t r = 0; r < d.past.rows.requests(); r += 3) picked.push_back(r);
  std::vector<std::uint32_t> expected;
  for (const std::uint32_t r : picked)
    for (std::uint32_t i = d.past.rows.offsets()[r]; i < d.past.rows.offsets()[r + 1]; ++i)
      expected.push_back(d.past.rows.log_rows()[i]);
  const auto watched = [&](auto& context, const auto& m, const row_batch& leaf) {
    seen.insert(seen.end(), leaf.log_rows.begin(), leaf.log_rows.end());
    return loss(context, m, leaf);
  };
  std::vector<train_progress> told;
  train(model, d.past.rows, watched, {.batch_rows = 8, .requests = picked},
        {.progress = [&](const train_progress& p) { told.push_back(p); }});
  std::ranges::sort(seen);
  std::ranges::sort(expected);
  CHECK(seen == expected);
  CHECK(told.back().done == 1);
  CHECK(
      refuses([&] { train(model, d.past.rows, loss, {.requests = std::vector<std::uint32_t>{}}); },
              "funnel::train", "rows is 0"));
}

TEST_CASE("what training refuses") {
  const data d(50);
  ranker<float> model(d.features);
  const auto refused = [&](train_options options, std::string_view words) {
    return refuses([&] { train(model, d.past.rows, loss, options); }, "funnel::train", words);
  };
  CHECK(refused({.batch_rows = 0}, "batch_rows is 0"));
  CHECK(refused({.warmup = 1}, "warmup is 1"));
  CHECK(refused({.last_fraction = -1}, "last_fraction is -1"));
  CHECK(refused({.leaf_rows = 0}, "leaf_rows is 0"));
  CHECK(refused({.max_leaves = 65}, "max_leaves is 65"));
  CHECK(refuses([&] { train(model, encoded_log(), loss); }, "funnel::train", "rows is 0"));
  ranker<float> zeros = model;
  for_each_parameter(zeros, [](std::string_view, auto& p) {
    for (auto& x : p.value.flat()) x = 0;
  });
  CHECK(refuses([&] { train(zeros, d.past.rows, loss); }, "funnel::train",
                "all weights of model are 0"));
  const auto explode = [](auto& context, const auto& m, const row_batch& leaf) {
    return affine(context, loss(context, m, leaf), std::numeric_limits<float>::infinity());
  };
  CHECK_THROWS_AS(train(model, d.past.rows, explode), std::runtime_error);
}

TEST_CASE("another optimizer, and a model of doubles") {
  const data d(50);
  ranker<float> model(d.features);
  sgd<float> optimizer({.learning_rate = .1});
  const auto result = train(model, optimizer, d.past.rows, loss, {.epochs = 3});
  CHECK(result.losses[2] < result.losses[0]);
  CHECK(optimizer.options.learning_rate == .1);
}

TEST_CASE("what a loss sees: its leaf, and sums of the whole batch") {
  // 200 requests of three rows; one row in five has no label of "rating".
  column_table log;
  constexpr std::size_t n = 600;
  const auto click = [](std::size_t i) { return i % 4 == 0 ? 1 : 0; };
  log.add("user_id", n, [](std::size_t i) { return i / 3 % 11; });
  log.add("item_id", n, [](std::size_t i) { return i % 17; });
  log.add("time", n, [](std::size_t i) { return i / 3; });
  log.add("page", n, [](std::size_t i) { return i / 3; });
  log.add("click", n, click);
  log.add("rating", n, [](std::size_t i) {
    return i % 5 == 0 ? std::optional<double>() : std::optional<double>(i % 2);
  });
  schema features({.request = "page",
                   .of_user = {category{"user_id"}},
                   .of_item = {category{"item_id"}},
                   .labels = {"click", "rating"}});
  const fitted past = fit_schema(features, log);

  struct seen {
    std::size_t rows, step_rows, missing;
    std::array<double, 2> sums, step_sums;
  };
  const auto leaves_of = [&](bool whole_batch, std::size_t batch_rows = 600) {
    std::vector<seen> leaves;
    ranker<float> model(features);
    const auto watch = [&](auto& context, const auto& m, const row_batch& leaf) {
      seen now{leaf.rows(), leaf.step_rows, 0, {}, {leaf.label_sums[0], leaf.label_sums[1]}};
      for (std::size_t i = 0; i < leaf.rows(); ++i) {
        const std::size_t row = leaf.log_rows[i];
        REQUIRE(leaf.label(0)[i] == static_cast<float>(click(row)));
        REQUIRE(leaf.present(0)[i] == 1);
        REQUIRE(leaf.present(1)[i] == (row % 5 == 0 ? 0.f : 1.f));
        REQUIRE(leaf.label(1)[i] == (row % 5 != 0 && row % 2 == 1 ? 1.f : 0.f));
        now.missing += leaf.present(1)[i] == 0 ? 1 : 0;
        for (std::size_t k = 0; k < 2; ++k) now.sums[k] += static_cast<double>(leaf.label(k)[i]);
      }
      leaves.push_back(now);
      const auto z = m(context, leaf);
      return bce_with_logits(context, z[0], leaf.label(0));
    };
    train(model, past.rows, watch, {.batch_rows = batch_rows, .whole_batch = whole_batch});
    return leaves;
  };

  const std::vector<seen> cut = leaves_of(false), whole = leaves_of(true);
  REQUIRE(whole.size() == 1);
  CHECK(cut.size() == 3);  // of about 256 rows
  CHECK(leaves_of(false, 256).size() == 2 + 2 + 1);
  CHECK(whole[0].rows == n);
  CHECK(whole[0].missing == n / 5);
  CHECK(whole[0].sums == whole[0].step_sums);
  seen sum{};
  for (const seen& leaf : cut) {
    CHECK(leaf.rows % 3 == 0);  // no request is cut
    CHECK(leaf.step_rows == n);
    CHECK(leaf.step_sums == whole[0].sums);
    sum.rows += leaf.rows, sum.missing += leaf.missing;
    for (std::size_t k = 0; k < 2; ++k) sum.sums[k] += leaf.sums[k];
  }
  CHECK(sum.rows == n);
  CHECK(sum.missing == n / 5);
  CHECK(sum.sums == whole[0].sums);
}

TEST_CASE("a head on some of the rows divides by them, or by all rows of the batch") {
  const data d(200);
  const std::size_t rows = d.past.rows.rows();
  const double clicks = [&] {
    double sum = 0;
    for (const float y : d.past.rows.label(0)) sum += static_cast<double>(y);
    return sum;
  }();
  const auto first_loss = [&](bool whole_batch, double of_clicks, bool by_clicks) {
    ranker<float> model(d.features);
    double first = 0;
    const auto likes = [&](auto& context, const auto& m, const row_batch& leaf) {
      const auto z = m(context, leaf);
      return bce_with_logits(
          context, z[1], leaf.label(1),
          {.weights = leaf.label(0), .total_weight = by_clicks ? leaf.label_sums[0] : 0});
    };
    train(model, d.past.rows, likes, {.batch_rows = rows, .whole_batch = whole_batch},
          {.progress = [&](const train_progress& p) { first = p.loss; }});
    return first * of_clicks;
  };
  const double mean = first_loss(true, 1, true);
  const double bound = tolerance::reduction<float>(rows, mean);
  CHECK(mean > 0);
  CHECK(tolerance::within(first_loss(false, 1, true), mean, bound));
  const double by_rows = static_cast<double>(rows) / clicks;
  CHECK(by_rows > 1);
  CHECK(tolerance::within(first_loss(false, by_rows, false), mean, by_rows * bound));
}
