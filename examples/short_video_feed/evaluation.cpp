// SPDX-License-Identifier: MIT
#include "evaluation.hpp"

#include <funnel/metrics/auc.hpp>
#include <funnel/metrics/calibration_error.hpp>
#include <funnel/metrics/diversity.hpp>
#include <funnel/metrics/gauc.hpp>
#include <funnel/metrics/logloss.hpp>
#include <funnel/metrics/mean_absolute_error.hpp>
#include <funnel/metrics/xauc.hpp>

#include <algorithm>
#include <cstdio>
#include <numeric>

namespace feed {
namespace {

constexpr std::array<const char*, watch> task_names{"is_click", "long_view", "is_like"};

std::vector<float> column(const funnel::matrix<float>& values, std::size_t j) {
  std::vector<float> copied(values.rows());
  for (std::size_t i = 0; i < copied.size(); ++i) copied[i] = values(i, j);
  return copied;
}

double mean(std::span<const double> values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

double percentile(std::vector<double> values, double share) {
  std::ranges::sort(values);
  return values[static_cast<std::size_t>(share * static_cast<double>(values.size() - 1))];
}

}  // namespace

void measure_ranking(report& numbers, const features& known, const rows& test,
                     const funnel::matrix<float>& estimates) {
  const std::size_t n = test.size();
  std::vector<funnel::user_id> users(n);
  std::ranges::transform(test.shown, users.begin(), &funnel::impression::user);
  std::vector<float> labels(n), rates(n);
  for (std::size_t t = 0; t < watch; ++t) {
    const std::vector<float> p = column(estimates, t);
    for (std::size_t i = 0; i < n; ++i) {
      const funnel::impression& e = test.shown[i];
      labels[i] = test.labels(i, t);
      rates[i] = static_cast<float>(std::log(known.user_rate(e.user, t)) +
                                    std::log(known.item_rate(e.item, t)));
    }
    const std::span<const float> ps(p), ys(labels);
    const std::string name = std::string("rank.") + task_names[t] + '.';
    numbers.set(name + "auc", funnel::auc(ps, ys));
    numbers.set(name + "gauc", funnel::gauc(users, ps, ys).value);
    numbers.set(name + "logloss", funnel::logloss(ps, ys));
    numbers.set(name + "pcoc", funnel::pcoc(ps, ys));
    numbers.set(name + "ece", funnel::expected_calibration_error(ps, ys));
    numbers.set(name + "baseline_auc", funnel::auc(std::span<const float>(rates), ys));
  }
  const std::vector<float> seconds = column(estimates, watch);
  for (std::size_t i = 0; i < n; ++i) {
    labels[i] = std::min(test.shown[i].play_s, longest_watch);
    rates[i] = static_cast<float>(known.item_seconds(test.shown[i].item));
  }
  const std::span<const float> ts(labels), ps(seconds), base(rates);
  numbers.set("rank.watch.xauc", funnel::xauc(ps, ts));
  numbers.set("rank.watch.mae", funnel::mean_absolute_error(ps, ts));
  numbers.set("rank.watch.pcoc", funnel::pcoc(ps, ts));
  numbers.set("rank.watch.baseline_xauc", funnel::xauc(base, ts));
  numbers.set("rank.watch.baseline_mae", funnel::mean_absolute_error(base, ts));
}

void measure_truth(report& numbers, const funnel::simulator& simulator, const rows& test,
                   const funnel::matrix<float>& estimates) {
  struct row {
    float estimate;
    double truth;
  };
  std::vector<row> clicks;
  double seconds = 0, true_seconds = 0;
  for (std::size_t i = 0; i < test.size(); ++i) {
    const funnel::feed_truth truth = simulator.truth(test.shown[i]);
    clicks.push_back({estimates(i, click), truth.click});
    seconds += static_cast<double>(estimates(i, watch));
    true_seconds += truth.watch_s();
  }
  std::ranges::sort(clicks, {}, &row::estimate);
  const auto ratio = [&](std::size_t begin, std::size_t end) {
    double estimated = 0, truth = 0;
    for (std::size_t i = begin; i < end; ++i) {
      estimated += static_cast<double>(clicks[i].estimate);
      truth += clicks[i].truth;
    }
    return estimated / truth;
  };
  double worst = 1;
  for (std::size_t d = 0; d < 10; ++d) {
    const double r = ratio(d * clicks.size() / 10, (d + 1) * clicks.size() / 10);
    if (std::abs(r - 1) > std::abs(worst - 1)) worst = r;
  }
  numbers.set("truth.click_ratio", ratio(0, clicks.size()));
  numbers.set("truth.click_ratio_worst_decile", worst);
  numbers.set("truth.watch_ratio", seconds / true_seconds);
}

std::vector<std::vector<funnel::item_id>> seen_videos(const funnel::interaction_log& log,
                                                      std::int32_t until) {
  std::vector<std::vector<funnel::item_id>> seen(log.users.size());
  for (funnel::user_id user = 0; user < seen.size(); ++user)
    seen[user] = log.histories[user].watched;
  for (const funnel::impression& e : log.impressions) {
    if (e.date <= until) seen[e.user].push_back(e.item);
  }
  for (auto& items : seen) std::ranges::sort(items);
  return seen;
}

funnel::matrix<float> content_vectors(const funnel::interaction_log& log, const features& known) {
  const std::size_t tags = log.categories.size();
  const std::size_t lengths = features::duration_buckets;
  const std::size_t content = log.content.cols();
  const float of_tags = std::sqrt(content > 0 ? .5f : .8f);
  const float of_length = std::sqrt(.2f);
  const float of_content = std::sqrt(.3f);
  funnel::matrix<float> vectors(log.videos.size(), tags + lengths + content);
  for (funnel::item_id item = 0; item < log.videos.size(); ++item) {
    const funnel::video& v = log.videos[item];
    for (const funnel::category_id tag : v.tags) {
      vectors(item, tag) = of_tags / std::sqrt(static_cast<float>(v.tags.size()));
    }
    vectors(item, tags + known.duration_bucket(item)) = of_length;
    for (std::size_t j = 0; j < content; ++j)
      vectors(item, tags + lengths + j) = of_content * log.content(item, j);
  }
  return vectors;
}

void measure_requests(report& numbers, const models& shared,
                      const funnel::frozen<feed_preranker, funnel::default_arch>& undistilled,
                      const rows& test, std::uint64_t seed) {
  constexpr std::size_t requests = 400;
  constexpr std::size_t warm_up = 50;
  constexpr std::size_t top = 100;
  const funnel_sizes sizes{.retrieved = std::min<std::size_t>(2000, shared.index.size())};
  server serving(shared, sizes);
  funnel::random_generator bits(seed);
  std::array<std::vector<double>, stages> times;
  std::vector<double> totals, recall, plain_recall, ild_before, ild_after, categories_before,
      categories_after, kept;
  std::vector<funnel::item_id> first;
  std::vector<funnel::category_id> categories;
  for (std::size_t r = 0; r < warm_up + requests; ++r) {
    const funnel::impression& e = test.shown[funnel::uniform_below(bits, test.size())];
    serving.serve(e.user, {e.tab, e.hour});
    if (r < warm_up) continue;
    double total = 0;
    for (std::size_t s = 0; s < stages; ++s) {
      times[s].push_back(serving.milliseconds()[s]);
      total += serving.milliseconds()[s];
    }
    totals.push_back(total);

    // Compare the page with the ten best by the formula.
    const auto describe = [&](std::span<const funnel::item_id> page, std::vector<double>& ild,
                              std::vector<double>& count) {
      funnel::matrix<float> vectors(page.size(), shared.content.cols());
      categories.clear();
      for (std::size_t i = 0; i < page.size(); ++i) {
        std::ranges::copy(shared.content.row(page[i]), vectors.row(i).begin());
        categories.push_back(shared.source.tags[page[i]]);
      }
      ild.push_back(funnel::intra_list_diversity(funnel::matrix_view<const float>(vectors)));
      count.push_back(static_cast<double>(funnel::category_coverage(categories)));
    };
    first.clear();
    double before = 0, after = 0;
    for (std::size_t i = 0; i < serving.page().size(); ++i) {
      const std::uint32_t best = serving.best()[i];
      first.push_back(serving.retrieved()[serving.preranked()[best]]);
      before += static_cast<double>(serving.fused()[best]);
      after += static_cast<double>(serving.fused()[serving.best()[serving.page_positions()[i]]]);
    }
    describe(first, ild_before, categories_before);
    describe(serving.page(), ild_after, categories_after);
    kept.push_back(after / before);

    // How many of the ranker's best of all candidates the pre-ranker keeps.
    const std::vector<float> everything = serving.rank_everything();
    std::vector<funnel::item_id> best(std::min(top, everything.size()));
    funnel::top_k(everything, best);
    const std::vector<std::uint32_t> plain = serving.kept_by(undistilled);
    recall.push_back(funnel::recall_at_k(serving.preranked(), best, {.k = sizes.preranked}));
    plain_recall.push_back(funnel::recall_at_k(plain, best, {.k = sizes.preranked}));
  }
  numbers.set("prerank.recall_of_rank_top", mean(recall));
  numbers.set("prerank.recall_without_distillation", mean(plain_recall));
  numbers.set("prerank.cache_hit_rate",
              static_cast<double>(serving.cache().hits()) /
                  static_cast<double>(serving.cache().hits() + serving.cache().misses()));
  numbers.set("rerank.ild_before", mean(ild_before));
  numbers.set("rerank.ild_after", mean(ild_after));
  numbers.set("rerank.categories_before", mean(categories_before));
  numbers.set("rerank.categories_after", mean(categories_after));
  numbers.set("rerank.score_kept", mean(kept));
  numbers.set("count.videos", static_cast<double>(shared.index.size()));
  numbers.set("count.retrieved", static_cast<double>(sizes.retrieved));
  numbers.set("count.preranked", static_cast<double>(std::min(sizes.preranked, sizes.retrieved)));
  numbers.set("count.page", static_cast<double>(sizes.page));
  numbers.set("time.request_ms_p50", percentile(totals, .5));
  numbers.set("time.request_ms_p99", percentile(totals, .99));
  for (std::size_t s = 0; s < stages; ++s) {
    numbers.set(std::string("time.") + stage_names[s] + "_ms", percentile(times[s], .5));
  }
}

void print(const report& numbers, const char* source) {
  const auto n = [&](const char* name) { return numbers[name]; };
  std::printf("short_video_feed on %s: %.0f users, %.0f videos; %.0f rows to learn from, %.0f to "
              "report on\n\n",
              source, n("data.users"), n("data.videos"), n("data.train_rows"), n("data.test_rows"));
  std::printf("a request        candidates  ms (median)\n");
  std::printf("  retrieve  %7.0f -> %5.0f   %6.2f   two towers, exact search\n", n("count.videos"),
              n("count.retrieved"), n("time.retrieve_ms"));
  std::printf("  features  %7.0f -> %5.0f   %6.2f\n", n("count.retrieved"), n("count.retrieved"),
              n("time.features_ms"));
  std::printf("  pre-rank  %7.0f -> %5.0f   %6.2f   three towers, %.0f %% of item vectors cached\n",
              n("count.retrieved"), n("count.preranked"), n("time.prerank_ms"),
              100 * n("prerank.cache_hit_rate"));
  std::printf("  rank      %7.0f -> %5.0f   %6.2f   MMoE: click, long view, like, watch time\n",
              n("count.preranked"), n("count.preranked"), n("time.rank_ms"));
  std::printf("  fuse      %7.0f -> %5.0f   %6.2f   product of powers\n", n("count.preranked"),
              100.0, n("time.fuse_ms"));
  std::printf("  re-rank   %7.0f -> %5.0f   %6.2f   DPP in a sliding window\n", 100.0,
              n("count.page"), n("time.rerank_ms"));
  std::printf("  all                          %6.2f   99 %%: %.2f\n\n", n("time.request_ms_p50"),
              n("time.request_ms_p99"));

  std::printf("quality                          baseline\n");
  std::printf("  retrieve  recall@100    %.4f   %.4f  most clicked videos\n",
              n("retrieval.recall_at_100"), n("retrieval.popular_recall_at_100"));
  std::printf("            recall@500    %.4f   %.4f\n", n("retrieval.recall_at_500"),
              n("retrieval.popular_recall_at_500"));
  std::printf("  pre-rank  recall of the ranker's top 100\n");
  std::printf("                          %.4f   %.4f  without distillation\n",
              n("prerank.recall_of_rank_top"), n("prerank.recall_without_distillation"));
  std::printf("  rank      AUC           GAUC     logloss  PCOC    ECE      AUC of the product of "
              "smoothed rates\n");
  for (const char* task : task_names) {
    const auto of = [&](const char* metric) {
      return numbers[std::string("rank.") + task + '.' + metric];
    };
    std::printf("    %-9s   %.4f   %.4f   %.4f   %.3f   %.4f   %.4f\n", task, of("auc"), of("gauc"),
                of("logloss"), of("pcoc"), of("ece"), of("baseline_auc"));
  }
  std::printf("    watch time  XAUC %.4f   MAE %.2f s   PCOC %.3f            XAUC %.4f, MAE %.2f s "
              "of the video's mean\n",
              n("rank.watch.xauc"), n("rank.watch.mae"), n("rank.watch.pcoc"),
              n("rank.watch.baseline_xauc"), n("rank.watch.baseline_mae"));
  std::printf("  re-rank   ILD           %.4f   %.4f  best by the formula\n", n("rerank.ild_after"),
              n("rerank.ild_before"));
  std::printf("            categories    %.2f     %.2f\n", n("rerank.categories_after"),
              n("rerank.categories_before"));
  std::printf("            score kept    %.1f %%\n", 100 * n("rerank.score_kept"));
  if (std::isfinite(n("truth.click_ratio"))) {
    std::printf(
        "  against the truth       clicks %+.1f %%, worst tenth %+.1f %%; watch time %+.1f %%\n",
        100 * (n("truth.click_ratio") - 1), 100 * (n("truth.click_ratio_worst_decile") - 1),
        100 * (n("truth.watch_ratio") - 1));
  }
  std::printf("\ntrained in %.1f s\n", n("time.train_s"));
}

}  // namespace feed
