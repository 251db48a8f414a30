// SPDX-License-Identifier: MIT
// The quality of a ranker on KuaiRand-Pure, of variants of it, and of trees on the same features:
//
//   ranking_quality --data KuaiRand-Pure --seeds 5 --save whole.npy
//   ranking_quality --data KuaiRand-Pure --seeds 5 --no-history --beside whole.npy    a variant
//   ranking_quality --data KuaiRand-Pure --export features    for trees.py, which writes scores
//   ranking_quality --data KuaiRand-Pure --seeds 5 --beside features/trees.npy
//
// It trains until 04-30 and reports on 05-01 to 05-05; with --validate, on which options are chosen, it
// trains until 04-29 and reports on 04-30. Scores of several seeds are averaged.
#include "short_video_feed/models.hpp"
#include "support/arguments.hpp"
#include "write_npy.hpp"

#include <cstdio>
#include <filesystem>
#include <map>
#include <numeric>

namespace {

using namespace feed;

constexpr std::array<const char*, heads> target_names{"click", "long_view", "like", "seconds"};

/// Writes values, row after row.
void write_rows(const std::string& path, std::span<const float> values, std::size_t columns) {
  write_npy(path, matrix_view<const float>(values.data(), values.size() / columns, columns));
}

/// What variants of the ranker have.
struct parts {
  bool no_order = false, no_history = false, no_similarity = false, no_counters = false;
  bool din = false, use_ple = false;
  std::size_t cross = 0;  // layers
  std::size_t width = 64, hidden = 0, experts = 4, dim = 8, epochs = 2;
  double order_weight = .3, gate_dropout = .1, dropout = 0, rate = 2e-3, decay = 1e-4;

  /// Outputs of each layer of an expert.
  std::vector<std::size_t> sizes() const {
    return hidden == 0 ? std::vector{width} : std::vector{hidden, width};
  }
};

/// The ranker of short_video_feed with a second history, and a head for the order of watch times.
struct studied_ranker {
  bool history = true;
  float order_weight = 0;
  feature_inputs<float> inputs;
  std::optional<din_attention<float>> watched_din, clicked_din;
  std::optional<cross_network<float>> cross;
  std::optional<ple<float, heads>> layered;
  mmoe<float, heads> experts;
  std::vector<net> towers;
  net watch_tower;
  watch_time_head<float> watch_head;
  watch_order_head<float> order_head;

  studied_ranker() = default;
  studied_ranker(const schema& features, const parts& with)
      : history(!with.no_history),
        order_weight(with.no_order ? 0 : static_cast<float>(with.order_weight)),
        inputs(features, {.dim = with.dim}),
        experts((with.cross > 0 ? 2 : 1) * width(with), {.experts = with.experts,
                                                         .expert_sizes = with.sizes(),
                                                         .gate_dropout = with.gate_dropout,
                                                         .dropout = with.dropout}),
        towers(watch, net(with.width, {32, 1})),
        watch_tower(with.width, {32}, {.output = activation::relu}),
        watch_head(32, {.time_scale = 10, .max_time = longest_watch}),
        order_head(32, {.time_scale = 1, .max_time = longest_watch}) {
    const std::size_t in = width(with);
    if (with.din) {
      watched_din.emplace(inputs.history_width("long_watched"));
      clicked_din.emplace(inputs.history_width("clicked"));
    }
    if (with.cross > 0) cross.emplace(in, cross_network_options{.layers = with.cross, .rank = 32});
    if (with.use_ple)
      layered.emplace(in * (with.cross > 0 ? 2 : 1),
                      ple_options{.experts_per_task = 1,
                                  .shared_experts = 2,
                                  .expert_sizes = {{with.width}, {with.width}},
                                  .gate_dropout = with.gate_dropout});
  }
  std::size_t width(const parts& with) const {
    if (with.no_history) return inputs.width();
    return inputs.width() + inputs.history_width("long_watched") + inputs.history_width("clicked");
  }

  /// Logits of click, long view and like, the logarithm of seconds, and that of the order.
  template <Context C>
  std::array<value_of<C>, heads + 1> operator()(C& context, const row_batch& rows) const {
    const auto x = inputs(context, rows);
    const auto mix = [&](const auto&... parts) {
      if (layered) return (*layered)(context, concat(context, parts...));
      return experts(context, concat(context, parts...));
    };
    const auto mix_crossed = [&](const auto&... parts) {
      if (!cross) return mix(parts...);
      return mix(parts..., (*cross)(context, concat(context, parts...)));
    };
    const auto attended = [&](const char* name, const auto& din) {
      const auto past = inputs.history(context, rows, name);
      if (din) return (*din)(context, past.candidates, past.events, past.offsets);
      return target_attention(context, past.candidates, past.events, past.offsets);
    };
    const auto all = [&] {
      if (!history) return mix_crossed(x.user, x.item);
      const auto watched = attended("long_watched", watched_din);
      return mix_crossed(x.user, x.item, watched, attended("clicked", clicked_din));
    };
    const auto h = all();
    const auto z = towers[click](context, h[click]);
    const auto v = towers[long_view](context, h[long_view]);
    const auto l = towers[like](context, h[like]);
    const auto w = watch_tower(context, h[watch]);
    return {z, v, l, watch_head(context, w), order_head(context, w)};
  }
  auto loss(auto& context, const row_batch& rows) const {
    const auto z = (*this)(context, rows);
    const std::array losses{
        bce_with_logits(context, z[click], rows.label(click)),
        bce_with_logits(context, z[long_view], rows.label(long_view)),
        bce_with_logits(context, z[like], rows.label(like)),
        watch_time_loss(context, z[watch], rows.label(watch), watch_head.loss_options()),
        log_watch_time_loss(context, z[heads], rows.label(watch), order_head.loss_options())};
    return total_loss(context, losses, std::array{1.f, 1.f, 1.f, .2f, order_weight});
  }
  void visit_parameters(auto&& visit) {
    visit("inputs", inputs);
    if (watched_din) visit("watched_din", *watched_din), visit("clicked_din", *clicked_din);
    if (cross) visit("cross", *cross);
    if (layered)
      visit("layered", *layered);
    else
      visit("experts", experts);
    visit("towers", towers);
    visit("watch_tower", watch_tower), visit("watch_head", watch_head);
    visit("order_head", order_head);
  }
};

/// The rows of training and test, encoded.
struct study {
  feed_log data;
  schema features;
  encoded past, test;
  std::vector<user_id> users;  ///< of the rows of the test
  thread_pool pool{2};

  study(const std::string& folder, const feed_days& days, const parts& with)
      : data(read_kuairand(folder, {.until = days.test_until}), days, 8 * 3600) {
    schema_options options = feed_features(data.log, data.utc_offset);
    const neighbor_table similar = similar_videos();
    for (const char* name : {"similarity", "best_similarity"}) {
      if (!with.no_similarity) options.of_cross.push_back(number{name});
      data.earlier.add(name, data.earlier.rows(), [](std::size_t) { return 0.f; });
    }
    if (with.no_counters)
      for (auto* side :
           {&options.of_user, &options.of_item, &options.of_context, &options.of_cross})
        std::erase_if(*side, [](const feature& f) { return std::holds_alternative<rate>(f); });
    features = schema(options);
    past = fit_schema(features, with_similarity(data.rows(data.training), data.training, similar),
                      data.tables());
    past.state.advance(features, data.end_of_training);
    const column_table later = with_similarity(data.rows_at_end(data.test), data.test, similar);
    test = encode_log(features, past.state, later);
    users = row_users(test.rows.log_rows(), later.view()["user_id"]);
  }

  /// ItemCF on what users watched before the log.
  neighbor_table similar_videos() {
    std::vector<sparse_entry> done;
    for (user_id user = 0; user < data.log.histories.size(); ++user)
      for (const item_id item : data.log.histories[user].long_watched) done.push_back({user, item});
    const sparse_matrix liked(done,
                              {.rows = data.log.users.size(), .columns = data.log.videos.size()});
    return item_cf(pool, liked, {.neighbors = 1000, .shrinkage = 10});
  }
  /// Adds the similarity of each video to the last 50 that the user watched long before the log: the
  /// sum, and that of the most similar one.
  column_table with_similarity(column_table rows, std::span<const impression> impressions,
                               const neighbor_table& similar) {
    std::vector<float> sum(impressions.size()), best(impressions.size());
    std::vector<float> of_user(data.log.videos.size()), most(data.log.videos.size());
    std::map<user_id, std::vector<std::size_t>> by_user;
    for (std::size_t i = 0; i < impressions.size(); ++i) by_user[impressions[i].user].push_back(i);
    for (const auto& [user, found] : by_user) {
      std::ranges::fill(of_user, 0.f);
      std::ranges::fill(most, 0.f);
      const auto& watched = data.log.histories[user].long_watched;
      const auto latest = std::span(watched).last(std::min<std::size_t>(50, watched.size()));
      for (const item_id item : latest)
        for (std::size_t n = 0; n < similar.neighbors(item).size(); ++n) {
          const item_id other = similar.neighbors(item)[n];
          const float score = similar.scores(item)[n];
          of_user[other] += score;
          most[other] = std::max(most[other], score);
        }
      for (const std::size_t i : found) {
        sum[i] = of_user[impressions[i].item];
        best[i] = most[impressions[i].item];
      }
    }
    rows.add("similarity", sum.size(), [&](std::size_t i) { return sum[i]; });
    rows.add("best_similarity", best.size(), [&](std::size_t i) { return best[i]; });
    return rows;
  }

  /// Trains a ranker and returns its outputs for the test, one column per target.
  std::vector<std::vector<float>> train_and_score(const parts& with, std::uint64_t seed) {
    studied_ranker model(features, with);
    initialize(model, seed);
    for (std::size_t t = 0; t < watch; ++t)
      start_at_rate(model.towers[t], mean_label(past.rows, t));
    start_at_mean(model.watch_head, mean_label(past.rows, watch));
    train(pool, model, past.rows,
          [](auto& context, const studied_ranker& m, const row_batch& leaf) {
            return m.loss(context, leaf);
          },
          {.epochs = with.epochs,
           .batch_rows = 512,
           .optimizer = {.learning_rate = with.rate, .weight_decay = with.decay},
           .seed = seed});
    auto outputs = score_log(model, test.rows);
    std::vector<std::vector<float>> made(outputs.begin(), outputs.begin() + heads);
    if (!with.no_order) made[watch] = outputs[heads];
    return made;
  }
};

/// The values of a schema's numbers and categories, a row per row: the order is user, context, item,
/// cross, in each the numbers and then the categories.
std::vector<float> flat_features(const encoded_log& log, std::size_t& width,
                                 std::vector<std::size_t>& categories) {
  std::vector<float> values;
  row_batch batch;
  for (std::uint32_t r = 0; r < log.requests(); ++r) {
    log.gather(std::array{r}, batch);
    for (std::size_t i = 0; i < batch.rows(); ++i) {
      const std::size_t begin = values.size();
      categories.clear();
      for (const std::size_t s : {0u, 2u, 1u, 3u}) {
        const side_values& side = batch.side(s);
        const std::size_t row = s == 0 || s == 2 ? 0 : i,
                          count = side.rows == 0 ? 0 : side.numbers.size() / side.rows;
        for (std::size_t c = 0; c < count; ++c) values.push_back(side.numbers[row * count + c]);
        for (const auto& column : side.categories) {
          categories.push_back(values.size() - begin);
          values.push_back(static_cast<float>(column[row]));
        }
      }
      width = values.size() - begin;
    }
  }
  return values;
}

void export_features(study& s, const std::string& folder) {
  std::size_t width = 0;
  std::vector<std::size_t> categories;
  for (const bool training : {true, false}) {
    const encoded_log& log = training ? s.past.rows : s.test.rows;
    const std::string name = folder + (training ? "/train_" : "/test_");
    const std::vector<float> values = flat_features(log, width, categories);
    write_rows(name + "features.npy", values, width);
    std::vector<float> labels;
    for (std::size_t i = 0; i < log.rows(); ++i) {
      for (std::size_t t = 0; t < heads; ++t) labels.push_back(log.label(t)[i]);
    }
    write_rows(name + "labels.npy", labels, heads);
  }
  std::vector<float> places(categories.begin(), categories.end());
  write_rows(folder + "/categories.npy", places, 1);
}

using scores = std::vector<std::vector<float>>;  // [heads][rows]

/// AUC and GAUC of the actions, XAUC of the seconds.
void print_row(const study& s, const std::string& name, const scores& of) {
  std::printf("%-12s", name.c_str());
  for (std::size_t t = 0; t < watch; ++t)
    std::printf("  %.4f %.4f", auc(of[t], s.test.rows.label(t)),
                gauc(s.users, of[t], s.test.rows.label(t)).value);
  std::printf("  %.4f\n", xauc(of[watch], s.test.rows.label(watch)));
  std::fflush(stdout);
}

/// What the metrics gain over those of other scores, with intervals over users.
void print_gain(study& s, const scores& of, const scores& over) {
  const auto interval = [&](std::size_t t, const auto& metric) {
    const auto gain =
        paired_bootstrap(s.pool, s.users, of[t], over[t], s.test.rows.label(t), metric);
    std::printf("  %s %+.4f (%+.4f to %+.4f)", target_names[t], gain.value, gain.low, gain.high);
  };
  for (std::size_t t = 0; t < watch; ++t) interval(t, auc_metric());
  interval(watch, [](std::span<const double> values, std::span<const double> labels) {
    return xauc(values, labels);
  });
  std::puts("");
}

scores read_scores(const std::string& path) {
  const npy_file file(path);
  const auto values = file.values<float>();
  scores of(heads);
  for (std::size_t i = 0; i < values.size(); ++i) of[i % heads].push_back(values[i]);
  return of;
}

}  // namespace

int main(int argc, char** argv) try {
  examples::arguments given("ranking_quality", "the quality of a ranker on KuaiRand-Pure");
  std::string folder, exported, beside, saved;
  bool validate = false;
  std::size_t seeds = 1;
  parts with;
  given.option("--data", "DIR", "folder of KuaiRand-Pure", folder);
  given.flag("--validate", "trains until 04-29 and reports on 04-30", validate);
  given.option("--export", "DIR", "writes features and labels there, and trains nothing", exported);
  given.option("--save", "FILE", "writes the averaged scores there", saved);
  given.option("--beside", "FILE", "scores to compare with, of --save or trees.py", beside);
  given.option("--seeds", "N", "rankers, whose scores are averaged (1)", seeds);
  given.flag("--no-order", "no head for the order of watch times", with.no_order);
  given.flag("--no-history", "no attention over histories", with.no_history);
  given.flag("--no-similarity", "no similarity to the history by ItemCF", with.no_similarity);
  given.flag("--no-counters", "no rates of what happened before", with.no_counters);
  given.flag("--din", "DIN instead of the attention by inner products", with.din);
  given.flag("--ple", "PLE of two levels instead of MMoE", with.use_ple);
  given.option("--cross", "N", "layers of a cross network, of rank 32 (0)", with.cross);
  given.option("--width", "N", "outputs of an expert (64)", with.width);
  given.option("--hidden", "N", "outputs of a first layer of experts (0: none)", with.hidden);
  given.option("--experts", "N", "(4)", with.experts);
  given.option("--dim", "N", "width of embeddings (8)", with.dim);
  given.option("--epochs", "N", "(2)", with.epochs);
  given.option("--order-weight", "W", "of the loss of the order (.3)", with.order_weight);
  given.option("--gate-dropout", "P", "(.1)", with.gate_dropout);
  given.option("--dropout", "P", "of the experts (0)", with.dropout);
  given.option("--rate", "R", "learning rate (.002)", with.rate);
  given.option("--decay", "D", "weight decay (.0001)", with.decay);
  if (!given.read(argc, argv)) return 0;
  if (folder.empty()) given.refuse("--data is missing, expected the folder of KuaiRand-Pure");
  feed_days days;
  if (validate) days = {.train_until = 20220429, .test_from = 20220430, .test_until = 20220430};
  study s(folder, days, with);
  if (!exported.empty())
    return std::filesystem::create_directories(exported), export_features(s, exported), 0;

  std::printf("%-12s  %-13s  %-13s  %-13s  %s\n", "AUC, GAUC", "click", "long_view", "like",
              "XAUC");
  scores sum;
  for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
    const scores of = s.train_and_score(with, seed);
    print_row(s, "seed " + std::to_string(seed), of);
    if (sum.empty()) sum = scores(heads, std::vector<float>(s.users.size()));
    for (std::size_t t = 0; t < heads; ++t)
      for (std::size_t i = 0; i < s.users.size(); ++i) sum[t][i] += of[t][i];
  }
  print_row(s, "averaged", sum);
  if (!saved.empty()) {
    std::vector<float> rows;
    for (std::size_t i = 0; i < s.users.size(); ++i)
      for (std::size_t t = 0; t < heads; ++t) rows.push_back(sum[t][i]);
    write_rows(saved, rows, heads);
  }
  if (beside.empty()) return 0;
  const scores other = read_scores(beside);
  print_row(s, "beside", other);
  print_gain(s, sum, other);
} catch (const std::exception& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
