// SPDX-License-Identifier: MIT
// A short-video feed from end to end: trains retrieval, pre-ranking and ranking on a log, serves
// pages, and measures each stage. Training and serving may be two processes: --save and --serve.
#include "../support/arguments.hpp"
#include "serving.hpp"

#include <chrono>
#include <filesystem>
#include <fstream>

namespace {

using namespace feed;

/// The quality of the ranker on the test rows, compared with smoothed rates of user and video; on the
/// simulator, with the true probabilities as well.
void measure_ranking(report& numbers, const feed_log& data, const trained_feed& feed,
                     const simulator* simulated) {
  const column_table log = data.rows_at_end(data.test);
  const encoded test = encode_log(feed.features, feed.past.state, log);
  const matrix<float> estimates = estimates_of(feed, test.rows);
  rate_counters by_user(heads), by_item(heads);
  for (std::size_t i = 0; i < feed.past.rows.rows(); ++i) {
    std::array<float, heads> done;
    for (std::size_t t = 0; t < heads; ++t) done[t] = feed.past.rows.label(t)[i];
    const impression& e = data.training[feed.past.rows.log_rows()[i]];
    by_user.add(e.user, done);
    by_item.add(e.item, done);
  }
  matrix<double> rates(test.rows.rows(), heads);
  std::vector<double> truth, estimated;
  double seconds = 0;
  for (std::size_t i = 0; i < rates.rows(); ++i) {
    const impression& e = data.test[test.rows.log_rows()[i]];
    for (std::size_t t = 0; t < heads; ++t)
      rates(i, t) = by_item.rate(e.item, t) * (t >= watch ? 1 : by_user.rate(e.user, t));
    if (simulated == nullptr) continue;
    truth.push_back(simulated->truth(e).click);
    estimated.push_back(static_cast<double>(estimates(i, click)));
    seconds += static_cast<double>(estimates(i, watch)) - simulated->truth(e).watch_s();
  }
  std::vector<model_head> judged;
  for (std::size_t t = 0; t < heads; ++t)
    judged.push_back({feed.features.options().labels[t],
                      t >= watch ? score_kind::amount : score_kind::probability,
                      number_column(rates, t)});
  const auto users = row_users(test.rows.log_rows(), log.view()["user_id"]);
  evaluate_heads(numbers, "rank", judged, estimates, test.rows, users);
  if (simulated == nullptr) return;
  const calibration_error_options tenths{.bins = 10, .binning = binning::equal_mass};
  numbers.set("truth.click_ratio", pcoc(estimated, truth));
  numbers.set("truth.click_error", expected_calibration_error(estimated, truth, tenths));
  numbers.set("truth.seconds_error", seconds / static_cast<double>(rates.rows()));
}

/// Recall of the test clicks by the towers, and by the most clicked videos, both without videos that
/// the user has seen.
void measure_retrieval(report& numbers, const feed_log& data,
                       const model_slot<served_feed>& models) {
  const std::size_t users = data.log.users.size(), videos = data.log.videos.size();
  std::vector<std::vector<item_id>> clicked(users), found(users), popular(users);
  const std::size_t action = data.log.action("click");
  for (const impression& e : data.test)
    if (e.did(action)) clicked[e.user].push_back(e.item);
  std::vector<float> clicks(videos);
  for (const impression& e : data.training) clicks[e.item] += e.did(action) ? 1.f : 0.f;
  std::vector<item_id> most(videos);
  top_k(clicks, most);
  feed_server towers(models);
  for (user_id user = 0; user < users; ++user) {
    if (clicked[user].empty()) continue;
    const std::uint64_t id = data.log.users[user].id;
    for (const scored_item& s : towers.find({.user = id}, 500)) found[user].push_back(s.item);
    const auto unseen = models.get()->videos.unseen_by(id);
    for (std::size_t i = 0; i < videos && popular[user].size() < 500; ++i)
      if (unseen(most[i])) popular[user].push_back(most[i]);
  }
  const retrieval_options at{.k = {100, 500}, .catalog = videos};
  evaluate_retrieval(numbers, "retrieval.towers", found, clicked, at);
  evaluate_retrieval(numbers, "retrieval.popular", popular, clicked, at);
}

/// Requests like those of the test days: each stage, the page, and the pre-rankers side by side.
void measure_requests(report& numbers, const feed_log& data, const model_slot<served_feed>& models,
                      const three_tower_preranker& undistilled, std::size_t retrieved,
                      std::uint64_t seed, const std::string& prefix) {
  constexpr std::size_t requests = 400, warm_up = 50, top = 100;
  const feed_sizes sizes{.retrieved = retrieved};
  feed_server serve(models, sizes), compare(models, sizes, &undistilled);
  served_requests served;
  const std::size_t channels = serve.stages().candidates().sources().size();
  std::vector<double> found(channels), alone(channels), shown(channels);
  random_generator bits(seed);
  for (std::size_t r = 0; r < warm_up + requests; ++r) {
    const impression& e = data.test[uniform_below(bits, data.test.size())];
    const feed_request request{data.log.users[e.user].id, e.tab, e.hour};
    serve(request);
    compare(request);
    if (r < warm_up) continue;
    const cascade<feed_request>& stages = serve.stages();
    served.add_time("time.request", stages.milliseconds());
    served.add_time("time.features", serve.features_ms());
    for (std::size_t s = 0; s < stages.stages(); ++s)
      served.add_time("time." + stages.options_of(s).name, stages.milliseconds(s));

    // What the ranker would have picked of all candidates, and what each pre-ranker passes on.
    const candidates& all = compare.stages().candidates();
    const auto scores_of = [](const candidates& of, const std::string& stage) {
      const auto scores = of.scores(of.stage(stage));
      return std::vector<float>(scores.data(), scores.data() + scores.rows());
    };
    const std::vector<float> by_ranker = scores_of(all, "fuse");
    for (const std::string name : {"prerank", "prerank_multi_vector", "prerank_undistilled"}) {
      std::vector<std::uint32_t> kept(std::min(sizes.preranked, all.size()));
      top_k(scores_of(all, name), kept);
      served.add_agreement(name, kept, by_ranker, top);
      served.add_time(name + ".ms", compare.stages().milliseconds(compare.stages().stage_of(name)));
    }

    // The page, and the best of what was ranked.
    std::vector<float> fused = scores_of(stages.candidates(), "fuse"), page_scores;
    for (float& score : fused) score = std::isnan(score) ? 0 : score;  // not ranked
    const std::span<const std::uint32_t> page = stages.candidates().kept();
    for (std::uint32_t slot = 0; slot < stages.candidates().size(); ++slot)
      for (std::size_t c = 0; c < channels; ++c) {
        const std::uint64_t sources = stages.candidates().source_bits(slot);
        if ((sources >> c & 1) == 0) continue;
        found[c] += 1. / requests;
        alone[c] += sources == std::uint64_t{1} << c ? 1. / requests : 0;
        shown[c] += std::ranges::find(page, slot) != page.end() ? 1. / requests : 0;
      }
    for (const std::uint32_t slot : page) page_scores.push_back(fused[slot]);
    std::vector<std::uint32_t> best(page.size());
    top_k(fused, best);
    served.add_score_kept("rerank", page_scores, fused);
    const auto add_page = [&](const char* name, std::span<const std::uint32_t> slots) {
      const catalog& videos = models.get()->videos;
      std::vector<std::uint32_t> positions;
      std::vector<category_id> tags;
      for (const std::uint32_t slot : slots) {
        positions.push_back(serve.positions()[slot]);
        tags.push_back(videos.tags[positions.back()]);
      }
      matrix<float> vectors(slots.size(), videos.width());
      videos.vectors(positions, vectors);
      served.add_page(name, tags, vectors);
    };
    add_page("rerank.before", best);
    add_page("rerank.after", page);
  }
  served.write(numbers, prefix);
  for (std::size_t c = 0; c < channels; ++c) {
    const std::string name = prefix + ".channel." + serve.stages().candidates().sources()[c];
    numbers.set(name + ".found", found[c]);
    numbers.set(name + ".found_alone", alone[c]);
    numbers.set(name + ".on_page", shown[c]);
  }
}

/// Serves the requests of a file, and prints their pages.
void print_pages(const model_slot<served_feed>& models, const std::string& path) {
  const column_table requests = read_csv(path);
  const auto values = [&](const char* name) { return requests.view()[name].integers(); };
  feed_server serve(models);
  for (std::size_t i = 0; i < requests.rows(); ++i) {
    const std::int64_t user = values("user_id")[i];
    std::printf("%lld:", static_cast<long long>(user));
    for (const std::int64_t id :
         serve({static_cast<std::uint64_t>(user), values("tab")[i], values("hour")[i]}))
      std::printf(" %lld", static_cast<long long>(id));
    std::puts("");
  }
}

}  // namespace

int main(int argc, char** argv) try {
  examples::arguments given("short_video_feed",
                            "trains a short-video feed and reports how good each stage of it is");
  std::string folder, json, save, serve;
  feed_days days;
  std::uint64_t seed = 1;
  std::size_t threads = 1;
  bool small = false;
  given.option("--data", "DIR", "folder of KuaiRand-Pure (default: the simulator)", folder);
  given.option("--train-until", "yyyymmdd", "last day of training (20220430)", days.train_until);
  given.option("--test-from", "yyyymmdd", "first day of the test (20220501)", days.test_from);
  given.option("--test-until", "yyyymmdd", "last day of the test (20220505)", days.test_until);
  given.option("--seed", "N", "of the models and the simulator (1)", seed);
  given.option("--threads", "N", "for training (1)", threads);
  given.option("--json", "FILE", "writes the numbers there, too", json);
  given.option("--save", "DIR", "writes what a server needs there, and prints some pages", save);
  given.option("--serve", "DIR", "prints the pages of the requests in DIR/requests.csv", serve);
  given.flag("--small", "a small simulated feed, for a quick look", small);
  if (!given.read(argc, argv)) return 0;

  model_slot<served_feed> models;
  const auto publish = [&](trained_feed feed) {
    models.publish(std::make_shared<const served_feed>(std::move(feed)));
  };
  const auto write = [&](const std::string& path, const std::string& text) {
    if (!(std::ofstream(path) << text).flush()) given.refuse("cannot write " + path);
  };
  if (!serve.empty()) {
    publish(load_feed(serve + "/feed.safetensors"));
    print_pages(models, serve + "/requests.csv");
    return 0;
  }
  std::optional<simulator> simulated;
  if (folder.empty()) {
    simulator_options options{.impressions_per_user_day = 12, .seed = seed};
    if (small) options.users = 150, options.videos = 250, options.authors = 40;
    simulated.emplace(options);
  }
  const feed_log data(simulated ? simulated->log()
                                : read_kuairand(folder, {.until = days.test_until}),
                      days, simulated ? 0 : 8 * 3600);
  thread_pool pool(threads);
  const auto begin = std::chrono::steady_clock::now();
  trained_feed feed = train_feed(data, seed, pool);
  const auto time = std::chrono::steady_clock::now() - begin;
  if (!save.empty()) {
    std::filesystem::create_directories(save);
    save_feed(save + "/feed.safetensors", feed);
    std::string requests = "user_id,tab,hour\n";
    for (const impression& e :
         std::span(data.test).first(std::min<std::size_t>(20, data.test.size())))
      requests += std::to_string(data.log.users[e.user].id) + ',' + std::to_string(e.tab) + ',' +
                  std::to_string(e.hour) + '\n';
    write(save + "/requests.csv", requests);
    publish(std::move(feed));
    print_pages(models, save + "/requests.csv");
    return 0;
  }
  report numbers;
  const auto count = [&](const char* name, std::size_t n) {
    numbers.set(name, static_cast<double>(n));
  };
  count("data.users", data.log.users.size());
  count("data.videos", data.log.videos.size());
  count("data.train_rows", data.training.size());
  count("data.test_rows", data.test.size());
  count("data.repeats_removed", data.repeats_removed);
  numbers.set("time.train_s", std::chrono::duration<double>(time).count());
  measure_ranking(numbers, data, feed, simulated ? &*simulated : nullptr);
  const three_tower_preranker undistilled = train_undistilled(feed, seed, pool);
  publish(std::move(feed));
  measure_retrieval(numbers, data, models);
  const std::size_t videos = data.log.videos.size();
  measure_requests(numbers, data, models, undistilled, std::min<std::size_t>(2000, videos), seed,
                   "requests");
  if (videos > 5000)
    measure_requests(numbers, data, models, undistilled, 5000, seed, "requests_of_5000");
  std::printf("short_video_feed on %s; docs/short_video_feed.md explains the numbers\n\n%s",
              simulated ? "a simulated log" : folder.c_str(), numbers.text().c_str());
  if (!json.empty()) write(json, numbers.json());
  return 0;
} catch (const std::exception& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
