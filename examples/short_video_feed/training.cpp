// SPDX-License-Identifier: MIT
#include "training.hpp"
#include "../support/progress.hpp"
#include "serving.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

namespace feed {

using examples::progress;

namespace {

/// What a pre-ranker learns: targets for the rows of the log and, from a teacher, the order of lists
/// of videos that retrieval finds.
struct lessons {
  static constexpr std::size_t length = 30;       ///< of a list
  std::array<std::vector<float>, watch> targets;  ///< by row of the log
  encoded_log lists = {};                         ///< a row after another
  std::vector<float> scores = {};                 ///< of these rows, by the teacher
};

constexpr adam_options steps{.learning_rate = 2e-3, .weight_decay = 1e-4};

ranker train_ranker(const trained_feed& feed, std::uint64_t seed, thread_pool& pool,
                    std::optional<std::vector<std::uint32_t>> requests, const char* name) {
  const encoded_log& rows = feed.past.rows;
  ranker model(feed.features);
  initialize(model, seed);
  for (std::size_t t = 0; t < watch; ++t) start_at_rate(model.towers[t], mean_label(rows, t));
  start_at_mean(model.watch_head, mean_label(rows, watch));
  start_at_mean(model.order_head, mean_label(rows, watch_order));
  const auto loss = [](auto& context, const ranker& m, const row_batch& leaf) {
    return m.loss(context, leaf);
  };
  progress bar(name);
  train(pool, model, rows, loss,
        {.epochs = 2,
         .batch_rows = 512,
         .requests = std::move(requests),
         .optimizer = steps,
         .seed = seed},
        {.progress = std::ref(bar)});
  return model;
}

/// Fits the calibration: slopes by a ranker that is trained without the last day, because rankers are
/// overconfident on new days; then biases so that the mean of the last day is right, because rates
/// drift.
head_calibration fit_calibration(const feed_log& data, const trained_feed& feed, std::uint64_t seed,
                                 thread_pool& pool) {
  head_calibration fitted({{}, {}, {}, {.kind = head_kind::amount}, {.kind = head_kind::amount}});
  const encoded_log& rows = feed.past.rows;
  const auto fit = [&](const ranker& of, bool slope) {
    auto scores = score_log(of, rows);
    for (float& z : scores[watch]) z = of.watch_head.seconds(z);
    for (float& z : scores[watch_order]) z = std::max(z, 0.f);
    for (std::size_t t = 0; t < heads; ++t) {
      std::vector<float> labels(rows.label(t).begin(), rows.label(t).end());
      for (std::size_t i = 0; i < labels.size(); ++i)  // missing before the last day: not fitted to
        if (rows.times()[i] < data.last_day) labels[i] = std::numeric_limits<float>::quiet_NaN();
      fitted.fit(t, scores[t], labels, {}, {.slope = slope});
    }
  };
  std::vector<std::uint32_t> early(rows.requests());
  std::iota(early.begin(), early.end(), 0u);
  std::erase_if(early, [&](std::uint32_t r) { return rows.times()[r] >= data.last_day; });
  if (!early.empty())
    fit(train_ranker(feed, seed, pool, early, "ranker, rehearsal without the last day"), true);
  fit(feed.models.rank, false);
  return fitted;
}

/// The ranker as the teacher: a target is the mean of the label and of its estimate, the lists are
/// videos that retrieval finds for users of the log at the end of training.
lessons make_lessons(const feed_log& data, const trained_feed& feed, std::uint64_t seed) {
  constexpr std::size_t requests = 1500, depth = 2000;
  lessons made;
  const encoded_log& log = feed.past.rows;
  const matrix<float> taught = estimates_of(feed, log);
  for (std::size_t t = 0; t < watch; ++t) {
    std::vector<float> mixed(log.rows());
    for (std::size_t i = 0; i < mixed.size(); ++i) mixed[i] = taught(i, t);
    distillation_targets(log.label(t), mixed, mixed);
    made.targets[t].resize(mixed.size());
    for (std::size_t i = 0; i < mixed.size(); ++i) made.targets[t][log.log_rows()[i]] = mixed[i];
  }
  random_generator bits(seed);
  inference_context<float> context;
  const feature_state& state = feed.past.state;
  request_encoder encode(feed.features, state);
  const two_towers& towers = feed.models.towers;
  const flat_index<> index(towers.item_vectors(
      context, encode(0, feed.videos.items, state.time(), feed_request().context(), no_slot)));
  std::vector<scored_item> found(std::min(depth, index.size()));
  std::vector<impression> rows;
  for (std::size_t r = 0; r < requests; ++r) {
    impression shown = data.training[uniform_below(bits, data.training.size())];
    const feed_request request{data.log.users[shown.user].id, shown.tab, shown.hour};
    context.reset();
    const row_batch& user = encode.user(request.user, state.time(), request.context());
    index.search(towers.user_vectors(context, user).row(0), found);
    for (std::size_t i = 0; i < lessons::length; ++i) {
      shown.item = found[uniform_below(bits, found.size())].item;
      rows.push_back(shown);
    }
  }
  made.lists = encode_log(feed.features, state, data.rows_at_end(rows)).rows;
  const matrix<float> estimates = estimates_of(feed, made.lists);
  constexpr float sharpness = 8;  // the logarithms of the scores differ by some tenths
  for (std::size_t i = 0; i < estimates.rows(); ++i)
    made.scores.push_back(sharpness * std::log(formula(estimates.row(i))));
  return made;
}

/// Trains a pre-ranker on the actions, from all that its outputs are: click, or click, long view and
/// like; and on the order of the lists by the sum of the outputs, if there are any.
template <class Model>
Model train_preranker(const trained_feed& feed, const lessons& of, std::uint64_t seed,
                      thread_pool& pool, const char* name) {
  Model model(feed.features);
  initialize(model, seed);
  std::optional<batches> lists;
  if (!of.scores.empty())
    lists.emplace(of.lists, batches_options{.rows = 64 * lessons::length, .shuffle = false});
  std::array<std::vector<float>, watch> targets;
  std::vector<std::uint32_t> offsets;
  const auto loss = [&](auto& context, const auto& m, const row_batch& rows) {
    const auto z = m(context, rows);
    std::vector<std::remove_cvref_t<decltype(z)>> losses;
    for (std::size_t t = 0; t < z.cols(); ++t) {
      targets[t].clear();
      for (const std::uint32_t row : rows.log_rows) targets[t].push_back(of.targets[t][row]);
      losses.push_back(bce_with_logits(context, slice(context, z, t, 1), targets[t]));
    }
    if (!lists) return total_loss(context, losses);
    if (!lists->next()) lists->next();
    const row_batch& listed = lists->batch();
    const std::uint32_t first = lists->requests().front();  // each row is a request
    const auto scores = std::span(of.scores).subspan(first, listed.rows());
    for (offsets = {0}; offsets.back() < listed.rows();)
      offsets.push_back(offsets.back() + lessons::length);
    losses.push_back(listwise_distillation(context, row_sum(context, m(context, listed)), scores,
                                           offsets, {.scale = teacher_scale::logit}));
    return total_loss(context, losses);
  };
  progress bar(name);
  train(pool, model, feed.past.rows, loss,
        {.epochs = 2, .batch_rows = 512, .optimizer = steps, .seed = seed, .whole_batch = true},
        {.progress = std::ref(bar)});
  return model;
}

}  // namespace

void train_towers(const feed_log& data, trained_feed& feed, std::uint64_t seed, thread_pool& pool) {
  two_towers& towers = feed.models.towers;
  initialize(towers, seed);
  adam<float> optimizer(steps);
  progress bar("two towers");
  row_batch batch;
  std::vector<float> log_q;
  const auto learn = [&](const encoded_log& rows, std::vector<std::uint32_t> found, bool in_history,
                         const train_options& options) {
    if (found.size() < 2) return;
    std::vector<float> log_share(feed.features.rows_of("item_id"));
    rows.gather(found, batch);
    for (const item_id item : batch.item.categories[0]) log_share[item] += 1;
    for (float& share : log_share) share = std::log(share / static_cast<float>(batch.rows()));
    const auto loss = [&](auto& context, const auto& model, const row_batch& leaf) {
      batch = leaf;
      if (in_history) hide_candidates(feed.features, batch);
      const std::span<const item_id> items = batch.item.categories[0];
      log_q.resize(items.size());
      std::ranges::transform(items, log_q.begin(), [&](item_id item) { return log_share[item]; });
      const auto users = model.user_vectors(context, batch);
      const auto cosines = pairwise_dot(context, users, model.item_vectors(context, batch));
      return in_batch_softmax(context, cosines,
                              {.temperature = .07f, .log_q = log_q, .items = items});
    };
    train(pool, towers, optimizer, rows, loss,
          {.epochs = options.epochs,
           .batch_rows = 512,
           .requests = found,
           .last_fraction = options.last_fraction,
           .seed = seed,
           .whole_batch = true},
          {.progress = std::ref(bar)});
  };
  std::vector<impression> watched;
  for (user_id user = 0; user < data.log.histories.size(); ++user) {
    const std::vector<item_id>& all = data.log.histories[user].long_watched;
    for (const item_id item : std::span(all).last(std::min<std::size_t>(20, all.size())))
      watched.push_back({.user = user, .item = item, .time_ms = data.first_day});
  }
  if (!watched.empty()) {
    const encoded history =
        encode_log(feed.features, feature_state(feed.features), data.rows(watched), data.tables());
    std::vector<std::uint32_t> every(history.rows.requests());
    std::iota(every.begin(), every.end(), 0u);
    learn(history.rows, every, true, {.last_fraction = 1});
  }
  std::vector<std::uint32_t> clicks;
  for (std::uint32_t i = 0; i < feed.past.rows.requests(); ++i)
    if (feed.past.rows.label(click)[i] != 0) clicks.push_back(i);
  // Few passes if users have few clicks, because towers overfit quickly, more if they have many.
  const std::size_t users = data.log.users.size();
  learn(feed.past.rows, clicks, false,
        {.epochs = std::clamp<std::size_t>(clicks.size() / (3 * users), 2, 6)});
}

void calibrate(const head_calibration& calibration, matrix_view<float> scores) {
  constexpr watch_time_options<float> watch_time{.time_scale = 10, .max_time = longest_watch};
  for (std::size_t i = 0; i < scores.rows(); ++i) {
    scores(i, watch) = predicted_watch_time(scores(i, watch), watch_time);
    scores(i, watch_order) = std::max(scores(i, watch_order), 0.f);
  }
  calibration.calibrate(scores);
}

matrix<float> estimates_of(const trained_feed& feed, const encoded_log& rows) {
  const auto outputs = score_log(feed.models.rank, rows);
  matrix<float> estimates(rows.rows(), heads);
  for (std::size_t t = 0; t < heads; ++t)
    for (std::size_t i = 0; i < rows.rows(); ++i) estimates(i, t) = outputs[t][i];
  calibrate(feed.calibration, estimates);
  return estimates;
}

trained_feed train_feed(const feed_log& data, std::uint64_t seed, thread_pool& pool) {
  trained_feed feed{.features = schema(feed_features(data.log, data.utc_offset))};
  feed.past = fit_schema(feed.features, data.rows(data.training), data.tables());
  feed.past.state.advance(feed.features, data.end_of_training);
  feed.videos = catalog(data);
  feed.models.rank = train_ranker(feed, seed, pool, {}, "ranker");
  feed.models.towers = two_towers(feed.features);
  feed.calibration = fit_calibration(data, feed, seed, pool);
  train_towers(data, feed, seed, pool);
  const lessons taught = make_lessons(data, feed, seed);
  feed.models.three_towers =
      train_preranker<three_tower_preranker>(feed, taught, seed, pool, "pre-ranker, three towers");
  feed.models.multi_vector =
      train_preranker<multi_vector_preranker>(feed, taught, seed, pool, "pre-ranker, two towers");
  return feed;
}

three_tower_preranker train_undistilled(const trained_feed& feed, std::uint64_t seed,
                                        thread_pool& pool) {
  lessons labels;
  labels.targets[click].resize(feed.past.rows.rows());
  for (std::size_t i = 0; i < feed.past.rows.rows(); ++i)
    labels.targets[click][feed.past.rows.log_rows()[i]] = feed.past.rows.label(click)[i];
  return train_preranker<three_tower_preranker>(feed, labels, seed, pool,
                                                "pre-ranker without distillation");
}

void save_feed(const std::string& path, const trained_feed& feed) {
  save_model(path, feed.models, feed.features, feed.past, [&](model_writer& file) {
    file.state("calibration", feed.calibration).state("catalog", feed.videos);
  });
}

trained_feed load_feed(const std::string& path) {
  const saved_model file(path);
  trained_feed feed{.features = file.features(), .models = feed_models(file.features())};
  feed.past.state = file.state();
  file.load(feed.models);
  file.file().load_state("calibration", feed.calibration);
  file.file().load_state("catalog", feed.videos);
  return feed;
}

}  // namespace feed
