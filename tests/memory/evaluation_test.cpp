// SPDX-License-Identifier: MIT
#include <funnel/evaluation/bootstrap.hpp>
#include <funnel/evaluation/heads.hpp>
#include <funnel/evaluation/model_watchdog.hpp>
#include <funnel/evaluation/requests.hpp>
#include <funnel/evaluation/retrieval.hpp>

#include "support/failing_allocator.hpp"
#include "support/saved_state.hpp"

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

using failing_allocator::check_every_failure;

namespace {

const std::vector<float> scores{.75f, .5f, .25f, .5f, .9f}, labels{1, 1, 0, 0, 1};
const std::vector<funnel::user_id> users{7, 3, 7, 3, 9};
const std::vector<std::vector<funnel::item_id>> lists{{5, 2, 9}, {1, 2}};
const std::vector<std::uint32_t> two{0, 1};

auto some_numbers() {
  auto numbers = std::make_unique<funnel::report>();
  numbers->set("a name that is longer than a short string.auc", .5);
  return numbers;
}

std::string json_of(const std::unique_ptr<funnel::report>& numbers) {
  return numbers->json();
}

auto some_requests() {
  auto requests = std::make_unique<funnel::served_requests>();
  requests->add_time("milliseconds of the whole request", 3);
  requests->add("share of requests from the cache", 1);
  return requests;
}

std::string json_of(const std::unique_ptr<funnel::served_requests>& requests) {
  funnel::report numbers;
  requests->write(numbers, "");
  return numbers.json();
}

const auto observe = [](const auto& object) { return json_of(object); };

}  // namespace

TEST_CASE("out of memory: a report gets all numbers of a call or none") {
  check_every_failure(
      "report::set", some_numbers,
      [](auto& numbers) { numbers->set("another name that is longer than a short string", 1); },
      observe);
  check_every_failure(
      "report::merge", some_numbers,
      [](auto& numbers) {
        numbers->merge("a prefix that is longer than a short string", *numbers);
      },
      observe);
  for (const auto kind : {funnel::score_kind::logit, funnel::score_kind::amount})
    check_every_failure(
        "evaluate_heads", some_numbers,
        [&](auto& numbers) {
          funnel::evaluate_heads(*numbers, "rank", {{"click", kind}, {"like", kind}},
                                 std::vector{scores, scores}, std::vector{labels, labels}, users);
        },
        observe);
  check_every_failure(
      "evaluate_retrieval", some_numbers,
      [](auto& numbers) {
        funnel::evaluate_retrieval(*numbers, "r", lists, lists, {.k = {2}, .catalog = 10});
      },
      observe);
  check_every_failure(
      "served_requests::write", some_numbers,
      [](auto& numbers) { some_requests()->write(*numbers, "serving"); }, observe);
  check_every_failure(
      "paired_bootstrap", some_numbers,
      [](auto& numbers) {
        funnel::paired_bootstrap(users, scores, labels, labels, funnel::auc_metric(),
                                 {.resamples = 3, .level = .5})
            .write(*numbers, "gain");
      },
      observe);
}

TEST_CASE("out of memory: a request is added to a series whole or not at all") {
  const funnel::matrix<float> vectors(2, 3, 1.f);
  check_every_failure(
      "add to a new series", some_requests,
      [](auto& requests) { requests->add("a number with a name of some length", 2); }, observe);
  check_every_failure(
      "add_page", some_requests, [&](auto& requests) { requests->add_page("page", two, vectors); },
      observe);
  check_every_failure(
      "add_time to a new series", some_requests,
      [](auto& requests) { requests->add_time("milliseconds of a stage of a request", 2); },
      observe);
  check_every_failure(
      "add_time to one that grows",
      [] {
        auto requests = some_requests();
        for (int i = 1; i < 64; ++i) requests->add_time("milliseconds of the whole request", i);
        return requests;
      },
      [](auto& requests) { requests->add_time("milliseconds of the whole request", 2); }, observe);
  check_every_failure(
      "add_score_kept", some_requests,
      [](auto& requests) { requests->add_score_kept("rerank", scores, scores); }, observe);
  check_every_failure(
      "add_agreement", some_requests,
      [](auto& requests) { requests->add_agreement("prerank", two, scores, 3); }, observe);
}

TEST_CASE("out of memory: a watchdog gets a day of all segments or of none") {
  const auto some_days = [] {
    auto watchdog = std::make_unique<funnel::model_watchdog>(
        2, funnel::model_watchdog_options{.bootstrap = {.resamples = 3, .level = .5}});
    watchdog->add_day(1, std::vector<std::uint32_t>{0, 0, 0, 1, 1}, users, scores, labels, labels);
    return watchdog;
  };
  const auto state_of = [](const auto& watchdog) { return saved_state(*watchdog); };
  check_every_failure(
      "model_watchdog::add_day", some_days,
      [](auto& watchdog) {
        watchdog->add_day(2, std::vector<std::uint32_t>{0, 0, 0, 1, 1}, users, scores, labels,
                          labels);
      },
      state_of);
  const auto other = some_days();
  check_every_failure(
      "model_watchdog: assign", some_days, [&](auto& watchdog) { *watchdog = *other; }, state_of);
}
