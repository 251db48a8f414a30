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
#include "studied_ranker.hpp"
#include "support/arguments.hpp"
#include "write_npy.hpp"

#include <Eigen/Dense>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <map>
#include <numeric>

namespace {

using namespace quality;

/// Writes values, row after row.
void write_rows(const std::string& path, std::span<const float> values, std::size_t columns) {
  write_npy(path, matrix_view<const float>(values.data(), values.size() / columns, columns));
}

float cosine(std::span<const float> a, std::span<const float> b) {
  const auto size = static_cast<Eigen::Index>(a.size());
  const Eigen::Map<const Eigen::VectorXf> x(a.data(), size), y(b.data(), size);
  const float lengths = x.norm() * y.norm();
  return lengths > 0 ? x.dot(y) / lengths : 0;
}

/// Vectors of the columns of a matrix: its strongest right singular vectors, each times its singular
/// value, by subspace iteration.
matrix<float> svd_vectors(const sparse_matrix& of, std::size_t width) {
  using dense_matrix = Eigen::MatrixXf;
  const auto index = [](std::size_t i) { return static_cast<Eigen::Index>(i); };
  dense_matrix v(index(of.columns()), index(width)), u(index(of.rows()), index(width));
  random_generator bits(1);
  for (float& x : v.reshaped()) x = static_cast<float>(uniform01(bits)) - .5f;
  const auto multiply = [&] {
    u.setZero();
    for (std::size_t i = 0; i < of.rows(); ++i)
      for (const std::uint32_t j : of[i].columns) u.row(index(i)) += v.row(index(j));
  };
  for (int step = 0; step < 6; ++step) {
    v = Eigen::HouseholderQR<dense_matrix>(v).householderQ() *
        dense_matrix::Identity(v.rows(), v.cols());
    multiply();
    v.setZero();
    for (std::size_t i = 0; i < of.rows(); ++i)
      for (const std::uint32_t j : of[i].columns) v.row(index(j)) += u.row(index(i));
  }
  // Now v = A' A q with orthonormal q: A' A is nearly q L q', so the vectors are v R L^-1/2.
  const Eigen::SelfAdjointEigenSolver<dense_matrix> squares(v.transpose() * v);
  const Eigen::VectorXf roots =
      squares.eigenvalues().cwiseMax(1e-6f).cwiseSqrt().cwiseSqrt().cwiseInverse();
  v = v * squares.eigenvectors() * roots.asDiagonal();
  matrix<float> made(of.columns(), width);
  for (std::size_t i = 0; i < made.rows(); ++i)
    for (std::size_t d = 0; d < width; ++d) made(i, d) = v(index(i), index(d));
  return made;
}

/// Removes what tells the subject of a video: its tag, that of the videos of histories, and rates by tag.
void remove_tags(std::vector<feature>& of) {
  std::erase_if(of, [](const feature& f) {
    if (const category* one = std::get_if<category>(&f)) return one->column == "tag";
    const rate* by = std::get_if<rate>(&f);
    return by != nullptr && std::ranges::find(by->keys, "tag") != by->keys.end();
  });
  for (feature& f : of)
    if (history* list = std::get_if<history>(&f)) list->fields = "item_id";
}

/// The rows of training and test, encoded. What belongs to rows of the test is in the order of the log.
struct study {
  feed_log data;
  schema features;
  encoded past, test;
  neighbor_table similar;           ///< videos that the same users watched long before the log
  matrix<float> vectors;            ///< of the same, by SVD
  std::vector<std::string> labels;  ///< of the schema
  std::vector<user_id> users;       ///< of the rows of the test
  thread_pool pool{2};

  study(const std::string& folder, const feed_days& days, const parts& with)
      : data(read_kuairand(folder, {.until = days.test_until}), days, 8 * 3600) {
    schema_options options = feed_features(data.log, data.utc_offset);
    const std::array sides{&options.of_user, &options.of_item, &options.of_context,
                           &options.of_cross};
    for (const char* name : {"similarity", "best_similarity"}) {
      if (!with.no_similarity) options.of_cross.push_back(number{name});
      data.earlier.add(name, data.earlier.rows(), [](std::size_t) { return 0.f; });
    }
    if (with.svd) options.of_cross.push_back(number{"svd_cosine"});
    data.earlier.add("svd_cosine", data.earlier.rows(), [](std::size_t) { return 0.f; });
    labels.assign(options.labels.begin(), options.labels.end());
    if (with.rare) labels.insert(labels.end(), rare_actions.begin(), rare_actions.end());
    options.labels = name_list(labels);
    if (with.moment) options.delay = {.ticks = 60'000};
    for (auto* side : sides)
      for (feature& f : *side) {
        if (history* list = std::get_if<history>(&f)) list->last = with.last;
        if (category* one = std::get_if<category>(&f); one != nullptr && with.use_bilinear)
          one->dim = with.dim;
      }
    if (with.no_counters)
      for (auto* side : sides)
        std::erase_if(*side, [](const feature& f) { return std::holds_alternative<rate>(f); });
    if (with.no_tags)
      for (auto* side : sides) remove_tags(*side);
    features = schema(options);
    const sparse_matrix liked = watched_long();
    similar = item_cf(pool, liked, {.neighbors = 1000, .shrinkage = 10});
    vectors = svd_vectors(liked, 64);
    past = fit_schema(features, with_similarity(data.rows(data.training), data.training),
                      data.tables());
    if (!with.moment) past.state.advance(features, data.end_of_training);
    std::vector<impression> shown = data.test;
    // The dates of the log are not quite those of its times: some rows of the first day are earlier.
    for (impression& e : shown) e.time_ms = std::max(e.time_ms, past.state.time());
    const column_table later =
        with_similarity(with.moment ? data.rows(shown) : data.rows_at_end(shown), shown);
    test = encode_log(features, past.state, later);
    for (const impression& e : data.test) users.push_back(e.user);
  }

  /// A label of the test.
  std::vector<float> label(std::size_t t) const { return in_log_order(test.rows.label(t)); }
  /// Values of the rows of the test, which are encoded in the order of their times.
  std::vector<float> in_log_order(std::span<const float> values) const {
    std::vector<float> ordered(values.size());
    for (std::size_t i = 0; i < values.size(); ++i) ordered[test.rows.log_rows()[i]] = values[i];
    return ordered;
  }

  /// The videos that each user watched long before the log.
  sparse_matrix watched_long() const {
    std::vector<sparse_entry> done;
    for (user_id user = 0; user < data.log.histories.size(); ++user)
      for (const item_id item : data.log.histories[user].long_watched) done.push_back({user, item});
    return sparse_matrix(done, {.rows = data.log.users.size(), .columns = data.log.videos.size()});
  }
  /// Adds the similarity of each video to the last 50 that the user watched long before the log: by
  /// ItemCF the sum, and that of the most similar one; and the cosine to their mean, by SVD.
  column_table with_similarity(column_table rows, std::span<const impression> impressions) {
    std::vector<float> mean(vectors.cols());
    std::vector<float> sum(impressions.size()), best(impressions.size()), near(impressions.size());
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
      std::ranges::fill(mean, 0.f);
      for (const item_id item : latest)
        for (std::size_t d = 0; d < mean.size(); ++d) mean[d] += vectors(item, d);
      for (const std::size_t i : found) {
        sum[i] = of_user[impressions[i].item];
        best[i] = most[impressions[i].item];
        near[i] = cosine(vectors.row(impressions[i].item), mean);
      }
    }
    rows.add("similarity", sum.size(), [&](std::size_t i) { return sum[i]; });
    rows.add("best_similarity", best.size(), [&](std::size_t i) { return best[i]; });
    rows.add("svd_cosine", near.size(), [&](std::size_t i) { return near[i]; });
    return rows;
  }

  /// Trains a ranker and returns its outputs for the test: of the targets, then of rare actions.
  std::vector<std::vector<float>> train_and_score(const parts& with, std::uint64_t seed) {
    studied_ranker model(features, with);
    initialize(model, seed);
    model.start(past.rows);
    train(pool, model, past.rows,
          [](auto& context, const studied_ranker& m, const row_batch& leaf) {
            return m.loss(context, leaf);
          },
          {.epochs = with.epochs,
           .batch_rows = 512,
           .optimizer = {.learning_rate = with.rate, .weight_decay = with.decay},
           .seed = seed});
    std::vector<std::vector<float>> outputs = score_log(model, test.rows);
    for (std::vector<float>& column : outputs) column = in_log_order(column);
    if (!with.no_order) outputs[watch] = outputs[watch_order];
    outputs.erase(outputs.begin() + watch_order);
    return outputs;
  }
};

/// The places of the rows of a log that was encoded, each a request, in the order of the log.
std::vector<std::uint32_t> places_in_log_order(const encoded_log& log) {
  std::vector<std::uint32_t> places(log.rows());
  for (std::uint32_t i = 0; i < places.size(); ++i) places[log.log_rows()[i]] = i;
  return places;
}

/// The values of a schema's numbers and categories, a row per row: the order is user, context, item,
/// cross, in each the numbers and then the categories.
std::vector<float> flat_features(const encoded_log& log, std::size_t& width,
                                 std::vector<std::size_t>& categories) {
  std::vector<float> values;
  row_batch batch;
  for (const std::uint32_t r : places_in_log_order(log)) {
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
    for (const std::uint32_t i : places_in_log_order(log))
      for (std::size_t t = 0; t < targets; ++t) labels.push_back(log.label(t)[i]);
    write_rows(name + "labels.npy", labels, targets);
  }
  std::vector<float> places(categories.begin(), categories.end());
  write_rows(folder + "/categories.npy", places, 1);
}

using scores = std::vector<std::vector<float>>;  // [targets, then rare actions][rows]

/// AUC and GAUC of the actions, XAUC of the seconds.
void print_row(const study& s, const std::string& name, const scores& of) {
  std::printf("%-12s", name.c_str());
  for (std::size_t t = 0; t < watch; ++t) {
    const std::vector<float> done = s.label(t);
    std::printf("  %.4f %.4f", auc(of[t], done), gauc(s.users, of[t], done).value);
  }
  std::printf("  %.4f\n", xauc(of[watch], s.label(watch)));
  std::fflush(stdout);
}

/// AUC of the rare actions, with intervals over users.
void print_rare(study& s, const scores& of) {
  for (std::size_t t = targets; t < of.size(); ++t) {
    const std::vector<float> done = s.label(t + 1);  // without the second label of the watch time
    const auto interval = bootstrap(s.pool, s.users, of[t], done, auc_metric());
    std::printf("%-16s %6.0f  %.4f (%.4f to %.4f)\n", s.labels[t + 1].c_str(),
                std::accumulate(done.begin(), done.end(), 0.), interval.value, interval.low,
                interval.high);
  }
}

/// What the metrics gain over those of other scores, with intervals over users.
void print_gain(study& s, const scores& of, const scores& over) {
  const auto interval = [&](std::size_t t, const auto& metric) {
    const auto gain = paired_bootstrap(s.pool, s.users, of[t], over[t], s.label(t), metric);
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
  scores of(targets);
  for (std::size_t i = 0; i < values.size(); ++i) of[i % targets].push_back(values[i]);
  return of;
}

/// Adds scores of trees, probabilities of the actions, to the sum of several rankers, as many times.
void blend(scores& sum, std::size_t seeds, const scores& trees) {
  for (std::size_t t = 0; t < targets; ++t)
    for (std::size_t i = 0; i < trees[t].size(); ++i) {
      const float p = trees[t][i];
      sum[t][i] += static_cast<float>(seeds) * (t == watch ? p : std::log(p / (1 - p)));
    }
}

}  // namespace

int main(int argc, char** argv) try {
  examples::arguments given("ranking_quality", "the quality of a ranker on KuaiRand-Pure");
  std::string folder, exported, beside, blended, saved;
  bool validate = false;
  std::size_t seeds = 1;
  parts with;
  given.option("--data", "DIR", "folder of KuaiRand-Pure", folder);
  given.flag("--validate", "trains until 04-29 and reports on 04-30", validate);
  given.option("--export", "DIR", "writes features and labels there, and trains nothing", exported);
  given.option("--save", "FILE", "writes the averaged scores there", saved);
  given.option("--beside", "FILE", "scores to compare with, of --save or trees.py", beside);
  given.option("--blend", "FILE", "scores of trees.py, averaged with the ranker's", blended);
  given.option("--seeds", "N", "rankers, whose scores are averaged (1)", seeds);
  given.flag("--no-order", "no head for the order of watch times", with.no_order);
  given.flag("--no-history", "no attention over histories", with.no_history);
  given.flag("--no-similarity", "no similarity to the history by ItemCF", with.no_similarity);
  given.flag("--no-counters", "no rates of what happened before", with.no_counters);
  given.flag("--no-tags", "nothing that tells the subject of a video", with.no_tags);
  given.flag("--din", "DIN instead of the attention by inner products", with.din);
  given.flag("--ple", "PLE of two levels instead of MMoE", with.use_ple);
  given.flag("--senet", "SENet on the embeddings, beside them", with.use_senet);
  given.flag("--bilinear", "products of all pairs of embeddings, by one matrix", with.use_bilinear);
  given.flag("--ppnet", "towers of the actions with gates of all inputs (PPNet)", with.use_ppnet);
  given.flag("--svd", "cosine to the mean of the last 50 videos, by SVD", with.svd);
  given.flag("--moment", "features as known a minute before each row", with.moment);
  given.flag("--rare", "towers for the rare actions", with.rare);
  given.option("--last", "N", "length of the histories (20)", with.last);
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
    if (sum.empty()) sum = scores(of.size(), std::vector<float>(s.users.size()));
    for (std::size_t t = 0; t < of.size(); ++t)
      for (std::size_t i = 0; i < s.users.size(); ++i) sum[t][i] += of[t][i];
  }
  print_row(s, "averaged", sum);
  print_rare(s, sum);
  if (!blended.empty()) {
    blend(sum, seeds, read_scores(blended));
    print_row(s, "blended", sum);
  }
  if (!saved.empty()) {
    std::vector<float> rows;
    for (std::size_t i = 0; i < s.users.size(); ++i)
      for (std::size_t t = 0; t < targets; ++t) rows.push_back(sum[t][i]);
    write_rows(saved, rows, targets);
  }
  if (beside.empty()) return 0;
  const scores other = read_scores(beside);
  print_row(s, "beside", other);
  print_gain(s, sum, other);
} catch (const std::exception& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
