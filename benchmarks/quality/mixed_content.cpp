// SPDX-License-Identifier: MIT
// Videos and image-text posts in one list, in a simulated feed where half of the items are posts:
// mixed_content [seeds].
//
// Clicks and likes do not depend on the type, so a list that favors one type is wrong. Long views exist
// for videos alone, and reading to the end for posts alone; their heads are trained on their type. A
// request ranks 100 random items. Printed for each way to score them, as mean and range of all seeds:
// the share of posts on a page of 10; how often the post is above the video in pairs of one request whose
// true values differ by less than 2 %; and the true value of the page, as a fraction of the best page's. The
// true value is P(click) + 5 P(like).
#include <funnel/calibration/quantile_scale.hpp>
#include <funnel/core/thread_pool.hpp>
#include <funnel/core/top_k.hpp>
#include <funnel/data/log_columns.hpp>
#include <funnel/data/simulator.hpp>
#include <funnel/features/feature_inputs.hpp>
#include <funnel/features/fit_schema.hpp>
#include <funnel/fusion/fill_missing.hpp>
#include <funnel/fusion/weighted_sum.hpp>
#include <funnel/loss/objective_list.hpp>
#include <funnel/nn/concat.hpp>
#include <funnel/nn/initialization.hpp>
#include <funnel/nn/mlp.hpp>
#include <funnel/training/score_log.hpp>
#include <funnel/training/train.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

namespace {

using namespace funnel;

enum objective_id : std::size_t { click, like, long_view, reading, objectives };
enum item_type : std::uint32_t { of_video, of_post, types };
constexpr bool exists[types][objectives] = {{true, true, true, false}, {true, true, false, true}};
constexpr std::size_t candidates = 100, page = 10, requests = 1000;

schema_options mixed_features() {
  schema_options all{.name = "mixed_content",
                     .labels = {"click", "like", "long_view", "read", "is_video", "is_post"},
                     .ticks_per_second = 1000};
  const auto rates = [](const char* name, const name_list& keys) {
    return rate{.name = name, .keys = keys, .actions = {"click", "like"}};
  };
  all.of_user = {category{"user_id"}, rates("user", "user_id")};
  all.of_context = {category{"hour"}, category{"tab"}};
  all.of_item = {category{"item_id"}, category{"tag"}, category{"is_post"},
                 number{"duration_s", number_as::log1p}, rates("item", "item_id")};
  all.of_cross = {rates("user_tag", {"user_id", "tag"}),
                  rates("user_type", {"user_id", "is_post"})};
  return all;
}

/// Impressions as the columns of the schema. Reading 80 % of a text is reading it.
column_table rows_of(const simulator& feed, const interaction_log& log,
                     std::span<const impression> shown) {
  column_table table = log_columns(log, shown);
  const auto add = [&](const char* name, const auto& value) {
    table.add(name, shown.size(), [&](std::size_t i) { return value(shown[i]); });
  };
  const auto is_post = [&](const impression& e) { return feed.is_image_text(e.item); };
  add("is_post", is_post);
  add("is_video", [&](const impression& e) { return !is_post(e); });
  add("tag", [&](const impression& e) { return log.videos[e.item].category; });
  add("read", [&](const impression& e) { return is_post(e) && e.play_s >= .8f * e.duration_s; });
  return table;
}

struct ranker {
  feature_inputs<float> inputs;
  mlp<float> body;
  std::vector<mlp<float>> heads;
  objective_list<float> list{{{.name = "click"},
                              {.name = "like"},
                              {.name = "long_view", .mask = 4},
                              {.name = "read", .mask = 5}}};

  explicit ranker(const schema& features)
      : inputs(features, {.dim = 8}), body(inputs.width(), {64, 32}, {.output = activation::relu}),
        heads(objectives, mlp<float>(32, {16, 1})) {}

  template <Context C>
  std::vector<value_of<C>> operator()(C& context, const row_batch& rows) const {
    const auto x = inputs(context, rows);
    const auto h = body(context, concat(context, x.user, x.item));
    std::vector<value_of<C>> z;
    for (const auto& head : heads) z.push_back(head(context, h));
    return z;
  }
  auto loss(auto& context, const row_batch& rows) const {
    const auto z = (*this)(context, rows);
    return list.loss(context, std::span(z), rows);
  }
  void visit_parameters(auto&& visit) {
    visit("inputs", inputs), visit("body", body), visit("heads", heads);
  }
};

/// What is printed, of one way to score.
struct judged {
  double posts = 0, above = 0, pairs = 0, value = 0, best = 0;

  void add(std::span<const float> scores, std::span<const float> truth,
           std::span<const std::uint32_t> type) {
    std::array<std::uint32_t, page> shown, best_shown;
    top_k(scores, shown);
    top_k(truth, best_shown);
    for (std::size_t i = 0; i < page; ++i) {
      posts += type[shown[i]] == of_post ? 1. / (page * requests) : 0;
      value += static_cast<double>(truth[shown[i]]);
      best += static_cast<double>(truth[best_shown[i]]);
    }
    for (std::size_t p = 0; p < candidates; ++p)
      for (std::size_t v = 0; v < candidates; ++v) {
        if (type[p] != of_post || type[v] != of_video) continue;
        if (std::abs(truth[p] - truth[v]) > .02f * truth[v]) continue;
        pairs += 1;
        above += scores[p] > scores[v] ? 1 : scores[p] < scores[v] ? 0 : .5;
      }
  }
};

/// All scores of the requests of a seed, by name.
std::vector<std::pair<std::string, judged>> run(std::uint64_t seed, thread_pool& pool) {
  const simulator feed({.users = 3000,
                        .videos = 1500,
                        .impressions_per_user_day = 12,
                        .image_text = .5,
                        .seed = seed});
  const interaction_log log = feed.log();
  schema features(mixed_features());
  const fitted past = fit_schema(features, rows_of(feed, log, log.impressions));
  ranker model(features);
  initialize(model, seed);
  train(pool, model, past.rows,
        [](auto& context, const ranker& m, const row_batch& rows) { return m.loss(context, rows); },
        {.epochs = 2, .batch_rows = 512, .optimizer = {.learning_rate = 2e-3}, .seed = seed});

  // The first half of the requests is the log to which the quantiles are fitted, the second is judged.
  random_generator bits(seed);
  std::vector<impression> shown;
  std::vector<float> truth;
  std::vector<std::uint32_t> type;
  for (std::size_t r = 0; r < 2 * requests; ++r) {
    impression e{.user = static_cast<user_id>(uniform_below(bits, log.users.size())),
                 .time_ms = past.state.time() + 1,
                 .hour = 20};
    e.request = r + 1;
    for (std::size_t i = 0; i < candidates; ++i) {
      e.item = static_cast<item_id>(uniform_below(bits, log.videos.size()));
      e.duration_s = log.videos[e.item].duration_s;
      shown.push_back(e);
      const feed_truth t = feed.truth(e.user, e.item, 1, {e.hour, e.tab});
      truth.push_back(static_cast<float>(t.click + 5 * t.like()));
      type.push_back(feed.is_image_text(e.item) ? of_post : of_video);
    }
  }
  const encoded test = encode_log(features, past.state, rows_of(feed, log, shown));
  const auto outputs = score_log(model, test.rows);
  matrix<float> estimates(shown.size(), objectives);
  for (std::size_t k = 0; k < objectives; ++k)
    for (std::size_t i = 0; i < shown.size(); ++i)
      estimates(test.rows.log_rows()[i], k) = sigmoid(outputs[k][i]);

  const auto fused = [&](const weighted_sum<objectives>& formula) {
    matrix<float> filled = estimates, scores(shown.size(), 1);
    fill_missing(formula, filled, [&](std::size_t i, std::size_t k) { return exists[type[i]][k]; });
    fuse(formula, filled, scores.flat());
    return scores;
  };
  const matrix<float> common = fused({.weights = {1, 5, 0, 0}}),
                      all = fused({.weights = {1, 5, 2, 2}});
  matrix<float> scaled = all;
  quantile_scale<float> scale(1, types, {.levels = 1000});
  scale.fit(0, all.flat().first(requests * candidates),
            std::span(type).first(requests * candidates));
  scale.apply(scaled.view(), type);

  std::vector<std::pair<std::string, judged>> made{{"click and like alone", {}},
                                                   {"all, fill_missing", {}},
                                                   {"all, fill_missing, quantile_scale", {}},
                                                   {"the truth", {}}};
  for (std::size_t r = requests; r < 2 * requests; ++r) {
    const auto part = [&](const auto& values) {
      return std::span(values).subspan(r * candidates, candidates);
    };
    made[0].second.add(part(common.flat()), part(truth), part(type));
    made[1].second.add(part(all.flat()), part(truth), part(type));
    made[2].second.add(part(scaled.flat()), part(truth), part(type));
    made[3].second.add(part(truth), part(truth), part(type));
  }
  return made;
}

}  // namespace

int main(int count, char** arguments) {
  const std::size_t seeds = count > 1 ? std::strtoull(arguments[1], nullptr, 10) : 5;
  thread_pool pool(2);
  std::vector<std::string> names;
  std::vector<std::array<std::vector<double>, 3>> found;
  for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
    const auto made = run(seed, pool);
    names.resize(made.size());
    found.resize(made.size());
    for (std::size_t i = 0; i < made.size(); ++i) {
      const judged& of = made[i].second;
      names[i] = made[i].first;
      found[i][0].push_back(of.posts);
      found[i][1].push_back(of.above / of.pairs);
      found[i][2].push_back(of.value / of.best);
    }
  }
  std::puts("| score | posts on a page | post above video, equal truth | true value of the page |");
  std::puts("|---|---|---|---|");
  for (std::size_t i = 0; i < names.size(); ++i) {
    std::printf("| %s ", names[i].c_str());
    for (const std::vector<double>& values : found[i]) {
      double sum = 0;
      for (const double v : values) sum += v;
      const auto [low, high] = std::ranges::minmax(values);
      std::printf("| %.3f (%.3f to %.3f) ", sum / static_cast<double>(seeds), low, high);
    }
    std::puts("|");
  }
}
