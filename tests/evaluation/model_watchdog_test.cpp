// SPDX-License-Identifier: MIT
#include <funnel/core/thread_pool.hpp>
#include <funnel/evaluation/model_watchdog.hpp>
#include <funnel/metrics/auc.hpp>

#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/saved_state.hpp"
#include "support/tolerance.hpp"

#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

using funnel::model_watchdog;
using funnel::watch_advice;

namespace {

constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();
constexpr std::int64_t lowest_day = std::numeric_limits<std::int64_t>::min();

/// Rows of both models.
struct rows {
  std::vector<std::uint32_t> segments;
  std::vector<funnel::user_id> users;
  std::vector<double> special, main, labels;

  void add(std::uint32_t segment, funnel::user_id user, double of_special, double of_main,
           double label) {
    segments.push_back(segment), users.push_back(user);
    special.push_back(of_special), main.push_back(of_main), labels.push_back(label);
  }
  template <class... Executor>
  void tell(model_watchdog& watchdog, std::int64_t day, Executor&... executor) const {
    watchdog.add_day(executor..., day, segments, users, special, main, labels);
  }
};

/// Rows whose AUC is exactly so many thousandths, also in every resample: the positive of each of five
/// users ranks above so many of the user's 1,000 negatives.
rows exact_day(int special, int main) {
  rows day;
  for (funnel::user_id user = 0; user < 5; ++user) {
    day.add(0, user, special - .5, main - .5, 1);
    for (int i = 0; i < 1000; ++i) day.add(0, user, i, i, 0);
  }
  return day;
}

/// Rows by chance, where one model knows more of the truth.
rows random_day(std::uint64_t seed, std::uint32_t segments, double of_special, double of_main) {
  funnel::random_generator bits(seed);
  rows day;
  for (funnel::user_id user = 0; user < 60; ++user)
    for (int i = 0; i < 8; ++i) {
      const double truth = funnel::standard_normal(bits);
      day.add(user % segments, user, of_special * truth + funnel::standard_normal(bits),
              of_main * truth + funnel::standard_normal(bits),
              funnel::bernoulli(bits, truth > 0 ? .8 : .2));
    }
  return day;
}

}  // namespace

TEST_CASE("model_watchdog: the story of a special model that is forgotten") {
  // The special model starts .2 % ahead. The main one improves by .5 %, and switching back to it
  // brings .5 - .2 = .3 %.
  model_watchdog watchdog(1, {.days = 3, .bootstrap = {.resamples = 200}});
  CHECK(watchdog.advice(0) == watch_advice::wait);
  CHECK(std::isnan(watchdog.lead(0)));
  for (std::int64_t day = 1; day <= 3; ++day) {
    CHECK(watchdog.advice(0) == watch_advice::wait);
    exact_day(702, 700).tell(watchdog, day);
  }
  CHECK(tolerance::within(watchdog.lead(0), .002, tolerance::iterative<double>(3, 1)));
  CHECK(watchdog.advice(0) == watch_advice::keep);
  exact_day(702, 705).tell(watchdog, 4);
  exact_day(702, 705).tell(watchdog, 5);
  CHECK(watchdog.advice(0) == watch_advice::retire_no_lead);  // by the mean, (2 - 3 - 3) / 3
  CHECK(tolerance::within(watchdog.lead(0), -.004 / 3, tolerance::iterative<double>(3, 1)));
  exact_day(702, 705).tell(watchdog, 6);
  CHECK(watchdog.advice(0) == watch_advice::retire_main_better);
  CHECK(tolerance::within(-watchdog.lead(0), .005 - .002, tolerance::iterative<double>(3, 1)));
  REQUIRE(watchdog.days(0).size() == 6);
  CHECK(watchdog.days(0)[3].day == 4);

  funnel::report numbers;
  watchdog.write(numbers);
  CHECK(numbers["all.days"] == 6);
  CHECK(numbers["all.lead"] == watchdog.lead(0));
  CHECK(numbers["all.high"] == watchdog.days(0)[5].lead.high);
  CHECK(numbers["all.low"] == watchdog.days(0)[5].lead.low);
  CHECK(numbers["all.retire"] == 1);
}

TEST_CASE("model_watchdog: each day and segment is a paired bootstrap of its rows") {
  const funnel::bootstrap_options bootstrap{.resamples = 300, .seed = 5};
  model_watchdog watchdog(3, {.days = 1, .bootstrap = bootstrap});
  const rows day = random_day(1, 2, 1, 2);  // segment 2 has no rows
  day.tell(watchdog, 8);
  for (std::uint32_t s = 0; s < 2; ++s) {
    rows part;
    for (std::size_t i = 0; i < day.users.size(); ++i)
      if (day.segments[i] == s)
        part.add(s, day.users[i], day.special[i], day.main[i], day.labels[i]);
    const auto expected = funnel::paired_bootstrap(part.users, part.special, part.main, part.labels,
                                                   funnel::auc_metric(), bootstrap);
    REQUIRE(watchdog.days(s).size() == 1);
    const auto& found = watchdog.days(s)[0].lead;
    CHECK(found.value ==
          funnel::auc(part.special, part.labels) - funnel::auc(part.main, part.labels));
    CHECK(found.low == expected.low);
    CHECK(found.high == expected.high);
    CHECK(found.users == 30);
  }
  CHECK(watchdog.days(2).empty());
  CHECK(watchdog.advice(2) == watch_advice::wait);

  for (const std::size_t threads : {1u, 2u, 4u}) {
    funnel::thread_pool pool(threads);
    model_watchdog other(3, {.days = 1, .bootstrap = bootstrap});
    day.tell(other, 8, pool);
    CHECK(saved_state(other) == saved_state(watchdog));
  }
}

TEST_CASE("model_watchdog: what it takes to retire a model") {
  const auto of = [](std::initializer_list<int> leads, double least = .0005) {
    model_watchdog watchdog(1, {.days = 2, .least_lead = least, .bootstrap = {.resamples = 200}});
    std::int64_t day = 0;
    for (const int lead : leads) exact_day(700 + lead, 700).tell(watchdog, ++day);
    return watchdog.advice(0);
  };
  CHECK(of({-5}) == watch_advice::wait);
  CHECK(of({-5, -1}) == watch_advice::retire_main_better);
  CHECK(of({5, -1}) == watch_advice::keep);  // one bad day
  CHECK(of({5, -6}) == watch_advice::retire_no_lead);
  CHECK(of({0, 0}) == watch_advice::retire_no_lead);
  CHECK(of({0, 0}, 0) == watch_advice::keep);  // equal models, and upkeep costs nothing
  CHECK(of({2, 2}, .003) == watch_advice::retire_no_lead);
  CHECK(of({-5, -5, 2, 2}) == watch_advice::keep);  // the last two days count

  // Two equal models: the interval holds 0, and no day counts against the special one.
  model_watchdog equal(1, {.days = 2, .least_lead = 0, .bootstrap = {.resamples = 200}});
  random_day(3, 1, 1, 1.1).tell(equal, 1);
  random_day(4, 1, 1, 1.1).tell(equal, 2);
  CHECK(equal.days(0)[0].lead.high > 0);
  CHECK(equal.advice(0) != watch_advice::retire_main_better);
}

TEST_CASE("model_watchdog: days without an AUC are left out") {
  model_watchdog watchdog(1, {.days = 2, .bootstrap = {.resamples = 200}});
  exact_day(700, 705).tell(watchdog, 1);
  rows positives, missing, none;
  for (funnel::user_id user = 0; user < 5; ++user)
    positives.add(0, user, .1, .2, 1), missing.add(0, user, .1, .2, not_a_number);
  positives.tell(watchdog, 2);
  missing.tell(watchdog, 3);
  none.tell(watchdog, 4);
  CHECK(watchdog.days(0).size() == 1);
  exact_day(700, 705).tell(watchdog, 5);
  CHECK(watchdog.advice(0) == watch_advice::retire_main_better);
}

TEST_CASE("model_watchdog: saved and loaded it goes on") {
  model_watchdog watchdog(2, {.days = 2, .bootstrap = {.resamples = 200}});
  random_day(1, 2, 1, 2).tell(watchdog, 3);
  random_day(2, 1, 1, 2).tell(watchdog, 5);  // segment 0 alone
  const saved_state saved(watchdog);
  model_watchdog loaded(1, {.days = 2, .bootstrap = {.resamples = 200}});
  saved.load(loaded);
  CHECK(saved_state(loaded) == saved);
  CHECK(loaded.segments() == 2);
  random_day(3, 2, 1, 2).tell(watchdog, 6);
  random_day(3, 2, 1, 2).tell(loaded, 6);
  CHECK(saved_state(loaded) == saved_state(watchdog));
  CHECK(loaded.advice(0) == watchdog.advice(0));

  using numbers = std::vector<double>;
  using days = std::vector<std::int64_t>;
  CHECK(refuses_state(loaded, saved.with("count", std::vector<std::uint64_t>{0}), "count is 0"));
  CHECK(
      refuses_state(loaded, saved.with("count", std::vector<std::uint64_t>{1}), "a segment is 1"));
  CHECK(refuses_state(loaded, saved.with("count", std::vector{~std::uint64_t{0}}), "count"));
  CHECK(refuses_state(loaded, saved.with("last_day", days{4}), "days[1] is 5"));
  CHECK(refuses_state(loaded, saved.with("days", days{5, 3, 3}), "days[1] is 3, expected after 5"));
  CHECK(refuses_state(loaded, saved.with("days", days{3, 5}), "2 values, expected 3"));
  CHECK(refuses_state(loaded, saved.with("leads", numbers{0, 2, 0}), "leads[1] is 2"));
  CHECK(refuses_state(loaded, saved.with("leads", numbers{0, not_a_number, 0}), "leads[1] is nan"));
  CHECK(refuses_state(loaded, saved.with("lows", numbers{0, 0, .9}), "expected differences"));
  CHECK(refuses_state(loaded, saved.with("highs", numbers{not_a_number, 0, .9}), "leads[0]"));

  model_watchdog copy(1);
  copy = watchdog;
  CHECK(saved_state(copy) == saved_state(watchdog));
}

TEST_CASE("model_watchdog: what is refused changes nothing") {
  constexpr std::string_view name = "funnel::model_watchdog";
  CHECK(refuses([] { model_watchdog(0); }, name, "segments is 0"));
  CHECK(refuses([] { model_watchdog(SIZE_MAX); }, name, "segments is 18446744073709551615"));
  CHECK(refuses([] { model_watchdog(1, {.days = 0}); }, name, "days is 0"));
  CHECK(refuses([] { model_watchdog(1, {.least_lead = -.1}); }, name, "least_lead is -0.1"));
  CHECK(
      refuses([] { model_watchdog(1, {.least_lead = not_a_number}); }, name, "least_lead is nan"));
  CHECK(
      refuses([] { model_watchdog(1, {.bootstrap = {.resamples = 9}}); }, name, "resamples is 9"));

  model_watchdog watchdog(2, {.days = SIZE_MAX, .bootstrap = {.resamples = 200}});
  exact_day(702, 700).tell(watchdog, 4);
  CHECK(watchdog.advice(0) == watch_advice::wait);
  const saved_state before(watchdog);
  const auto tell = [&](rows day, std::int64_t number) { day.tell(watchdog, number); };
  rows day = exact_day(702, 700);
  CHECK(refuses([&] { tell(day, 4); }, name, "day is 4, expected after 4"));
  CHECK(refuses([&] { tell(day, lowest_day); }, name, "day is"));
  day.segments[3] = 2;
  CHECK(refuses([&] { tell(day, 5); }, name, "segments[3] is 2, expected below 2"));
  day = exact_day(702, 700);
  day.labels[5] = .5;
  CHECK(refuses([&] { tell(day, 5); }, name, "labels[5] is 0.5"));
  for (auto* column : {&day.main, &day.labels}) {
    day = exact_day(702, 700);
    column->pop_back();
    CHECK(refuses([&] { tell(day, 5); }, name, "5004 values, expected 5005 as in special"));
  }
  day = exact_day(702, 700);
  day.users.pop_back();
  CHECK(refuses([&] { tell(day, 5); }, name, "users has 5004"));
  day.segments.pop_back();
  CHECK(refuses([&] { tell(day, 5); }, name, "segments has 5004"));
  CHECK(saved_state(watchdog) == before);
  CHECK(refuses([&] { watchdog.days(2); }, name, "segment is 2"));
  CHECK(refuses([&] { watchdog.lead(2); }, name, "segment is 2"));
  CHECK(refuses([&] { watchdog.advice(2); }, name, "segment is 2"));

  funnel::report numbers;
  const std::vector<std::string> names{"new", "returning"}, wrong{"new", "new.days"};
  CHECK(refuses([&] { watchdog.write(numbers); }, name, "names has 0 values, expected 2"));
  CHECK_THROWS_AS(watchdog.write(numbers, wrong), std::invalid_argument);
  CHECK(numbers.entries().empty());
  watchdog.write(numbers, names);
  CHECK(numbers["new.days"] == 1);
  CHECK(numbers["returning.days"] == 0);
  CHECK(numbers["returning.retire"] == 0);
  CHECK(std::isnan(numbers["returning.lead"]));
}
