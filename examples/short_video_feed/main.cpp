// SPDX-License-Identifier: MIT
// A short-video feed from end to end: reads a log, trains retrieval, pre-ranking and ranking,
// serves pages with re-ranking, and measures each stage.

#include "arguments.hpp"
#include "error.hpp"
#include "evaluation.hpp"
#include "report.hpp"
#include "server.hpp"

#include <funnel/data/kuairand.hpp>
#include <funnel/data/simulator.hpp>
#ifdef FUNNEL_HAS_TBB
#include <funnel/adapters/tbb.hpp>
#endif

#include <chrono>
#include <cstdio>
#include <exception>
#include <fstream>
#include <map>
#include <optional>

namespace {

using namespace feed;

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

funnel::simulator_options simulated(const arguments& given) {
  funnel::simulator_options options{.impressions_per_user_day = 12, .seed = given.seed};
  if (given.small) {
    options.users = 150;
    options.videos = 250;
    options.authors = 40;
  }
  return options;
}

/// Drops the days that the histories of the users cover: the features of their rows would contain
/// the clicks of these rows (leakage).
void forget_days_of_the_history(funnel::interaction_log& log) {
  std::int64_t end_of_history = 0;
  for (const funnel::user_history& history : log.histories) {
    end_of_history = std::max(end_of_history, history.last_time_ms);
  }
  std::map<std::int32_t, std::int64_t> end_of_day;
  for (const funnel::impression& e : log.impressions) {
    end_of_day[e.date] = std::max(end_of_day[e.date], e.time_ms);
  }
  std::erase_if(log.impressions,
                [&](const funnel::impression& e) { return end_of_day[e.date] <= end_of_history; });
}

/// The rows of each day of training, with features as known before that day. Also adds the days to
/// the counters.
std::vector<rows> days_of_training(features& known, const funnel::interaction_log& log,
                                   std::int32_t until,
                                   std::vector<funnel::matrix<float>>& item_tables) {
  const auto items_now = [&] {
    funnel::matrix<float>& table =
        item_tables.emplace_back(log.videos.size(), features::item_width);
    for (funnel::item_id item = 0; item < log.videos.size(); ++item)
      known.item_numbers(item, table.row(item));
  };
  items_now();  // the history before the log
  std::vector<rows> days;
  for (std::size_t begin = 0, end = 0; begin < log.impressions.size(); begin = end) {
    const std::int32_t date = log.impressions[begin].date;
    while (end < log.impressions.size() && log.impressions[end].date == date) ++end;
    if (date > until) continue;
    const std::vector<funnel::impression> day(
        log.impressions.begin() + static_cast<std::ptrdiff_t>(begin),
        log.impressions.begin() + static_cast<std::ptrdiff_t>(end));
    items_now();
    days.push_back(make_rows(known, day));
    known.count_day(day);
  }
  items_now();
  return days;
}

template <class Executor>
report run(const arguments& given, Executor& executor) {
  std::optional<funnel::simulator> simulator;
  funnel::interaction_log log;
  if (given.data.empty()) {
    simulator.emplace(simulated(given));
    log = simulator->log();
  } else {
    log = funnel::read_kuairand(given.data, {.until = given.test_until});
  }
  forget_days_of_the_history(log);
  const std::size_t repeats = funnel::remove_duplicates(log.impressions);
  std::ranges::stable_sort(log.impressions, {}, &funnel::impression::date);

  const auto start = std::chrono::steady_clock::now();
  features known(log);
  std::vector<funnel::matrix<float>> item_tables;
  std::vector<rows> days = days_of_training(known, log, given.train_until, item_tables);
  rows test = make_rows(
      known, funnel::impressions_between(log.impressions, given.test_from, given.test_until));
  if (days.empty() || test.size() == 0) {
    fail("the log has ", days.size(), " days until ", given.train_until, " and ", test.size(),
         " rows from ", given.test_from, " to ", given.test_until);
  }
  rows training = join_rows(days);
  const scaler user_scale(training.user), item_scale(training.item), cross_scale(training.cross);
  const auto scale = [&](rows& part) {
    user_scale.apply(part.user);
    item_scale.apply(part.item);
    cross_scale.apply(part.cross);
  };
  scale(training);
  scale(test);
  for (rows& day : days) scale(day);
  for (funnel::matrix<float>& table : item_tables) item_scale.apply(table);
  const catalog source(log, known);

  const ranker_options ranking{.seed = given.seed};
  const feed_ranker<float> ranker = [&] {
    terminal_progress bar("ranker");
    return train_ranker(source, training, ranking, std::ref(bar));
  }();
  const retrieval_data retrieval(log, known, days, std::move(item_tables));
  const feed_towers towers = [&] {
    terminal_progress bar("two towers");
    return train_towers(retrieval, given.seed, std::ref(bar));
  }();
  const funnel::flat_index<> index = build_index(towers, retrieval);

  const frozen_ranker teacher = funnel::freeze(ranker);
  calibration calibrate(ranking, ranker.watch_head);
  if (days.size() > 1) {
    // A ranker trained without the last day shows how well calibrated a ranker is on a future day.
    terminal_progress bar("ranker, rehearsal without the last day");
    const rows early = join_rows(std::span<const rows>(days).first(days.size() - 1));
    calibrate.fit_slope(funnel::freeze(train_ranker(source, early, ranking, std::ref(bar))), source,
                        days.back(), executor);
  }
  calibrate.fit_bias(teacher, source, days.back(), executor);
  const funnel::matrix<float> taught = estimate(teacher, calibrate, source, training, executor);
  const taught_lists lists =
      make_lists(source, retrieval, towers, index, teacher, calibrate, user_scale, item_scale,
                 cross_scale, training.shown, given.seed, executor);
  std::vector<float> clicks(training.size());
  for (std::size_t i = 0; i < clicks.size(); ++i) clicks[i] = taught(i, click);
  const preranker_options preranking{.seed = given.seed};
  const auto train_student = [&](const char* name, const taught_lists* of) {
    terminal_progress bar(name);
    return train_preranker(source, training, clicks, of, preranking, std::ref(bar));
  };
  const feed_preranker student = train_student("pre-ranker", &lists);
  const double train_seconds = seconds_since(start);
  const feed_preranker plain = train_student("pre-ranker without distillation", nullptr);

  report numbers;
  numbers.set("data.users", static_cast<double>(log.users.size()));
  numbers.set("data.videos", static_cast<double>(log.videos.size()));
  numbers.set("data.train_rows", static_cast<double>(training.size()));
  numbers.set("data.test_rows", static_cast<double>(test.size()));
  numbers.set("data.repeats_removed", static_cast<double>(repeats));
  const funnel::matrix<float> estimates = estimate(teacher, calibrate, source, test, executor);
  measure_ranking(numbers, known, test, estimates);
  if (simulator) measure_truth(numbers, *simulator, test, estimates);
  const std::vector<std::vector<funnel::item_id>> seen = seen_videos(log, given.train_until);
  measure_retrieval(numbers, retrieval, known, towers, index, seen, test, executor);
  const funnel::matrix<float> content = content_vectors(log, known);
  const models shared{.source = source,
                      .retrieval = retrieval,
                      .towers = funnel::freeze(towers),
                      .index = index,
                      .preranker = funnel::freeze(student),
                      .ranker = teacher,
                      .calibrate = calibrate,
                      .user_scale = user_scale,
                      .cross_scale = cross_scale,
                      .item_numbers = retrieval.items.back(),
                      .content = content,
                      .seen = seen};
  measure_requests(numbers, shared, funnel::freeze(plain), test, given.seed);
  numbers.set("time.train_s", train_seconds);
  print(numbers, given.data.empty() ? "the simulator" : "KuaiRand-Pure");
  return numbers;
}

}  // namespace

int main(int argc, char** argv) try {
  const std::optional<arguments> given = read_arguments(argc, argv);
  if (!given) return 0;
  report numbers;
  if (given->threads == 1) {
    funnel::serial_executor executor;
    numbers = run(*given, executor);
  } else {
#ifdef FUNNEL_HAS_TBB
    funnel::tbb_executor executor(given->threads);
    numbers = run(*given, executor);
#else
    fail("--threads needs oneTBB, which this build did not find");
#endif
  }
  if (!given->json.empty()) {
    std::ofstream file(given->json);
    file << numbers.json();
    if (!file.flush()) fail("cannot write ", given->json);
  }
  return 0;
} catch (const std::exception& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
