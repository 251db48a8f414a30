// SPDX-License-Identifier: MIT
#include <funnel/evaluation/bootstrap.hpp>

#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/threads.hpp"
#include "support/tolerance.hpp"

#include <funnel/core/math.hpp>
#include <funnel/core/thread_pool.hpp>
#include <funnel/metrics/logloss.hpp>

#include <cmath>
#include <cstdint>
#include <limits>
#include <numeric>
#include <vector>

namespace {

using doubles = std::vector<double>;
using floats = std::vector<float>;
using ids = std::vector<funnel::user_id>;

struct slow_auc {
  double operator()(std::span<const double> scores, std::span<const double> labels) const {
    return funnel::auc(scores, labels);
  }
};
struct slow_gauc {
  double operator()(std::span<const funnel::user_id> users, std::span<const double> scores,
                    std::span<const double> labels) const {
    return funnel::gauc(users, scores, labels).value;
  }
};
struct of_text {
  double operator()(const char*) const { return 0; }
};
static_assert(funnel::BootstrapMetric<funnel::auc_metric>);
static_assert(funnel::BootstrapMetric<funnel::gauc_metric>);
static_assert(funnel::BootstrapMetric<slow_auc>);
static_assert(funnel::BootstrapMetric<slow_gauc>);
static_assert(!funnel::BootstrapMetric<of_text>);
static_assert(!funnel::BootstrapMetric<double>);

bool equal(const funnel::bootstrap_interval& a, const funnel::bootstrap_interval& b) {
  return a.value == b.value && a.low == b.low && a.high == b.high &&
         a.share_above == b.share_above && a.users == b.users && a.undefined == b.undefined;
}

struct experiment {
  ids users;
  doubles a, b, labels;
};

/// Rows whose users differ in how often they click. Both scores are the user's rate with an error
/// that all rows of the user share: neither is better.
experiment equal_models(std::size_t users, std::size_t rows, std::uint64_t seed) {
  funnel::random_generator bits(seed);
  experiment e;
  for (std::size_t u = 0; u < users; ++u) {
    const double taste = 4 * funnel::standard_normal(bits);
    const double in_a = taste + 3 * funnel::standard_normal(bits);
    const double in_b = taste + 3 * funnel::standard_normal(bits);
    for (std::size_t i = 0; i < rows; ++i) {
      const double of_row = .1 * funnel::standard_normal(bits);
      e.users.push_back(static_cast<funnel::user_id>(u));
      e.a.push_back(in_a + of_row);
      e.b.push_back(in_b + of_row);
      e.labels.push_back(funnel::bernoulli(bits, funnel::sigmoid(taste + of_row)) ? 1 : 0);
    }
  }
  return e;
}

/// Rows with ties, NaN, users of one row and of one class.
experiment rough_rows(std::size_t n, std::uint64_t seed) {
  funnel::random_generator bits(seed);
  experiment e;
  for (std::size_t i = 0; i < n; ++i) {
    const bool one_class = funnel::bernoulli(bits, .3);
    const auto user = funnel::uniform_below(bits, 1 + n / 6);
    e.users.push_back(static_cast<funnel::user_id>(one_class ? 1000000 + 7 * user : user));
    e.labels.push_back(!one_class && funnel::bernoulli(bits, .4) ? 1 : 0);
    for (doubles* scores : {&e.a, &e.b})
      scores->push_back(funnel::bernoulli(bits, .05)
                            ? std::nan("")
                            : static_cast<double>(funnel::uniform_below(bits, 9)) +
                                  e.labels.back());
  }
  return e;
}

/// The value of `statistic` on each of the n^n ways to draw n users in order, all equally likely.
template <class Statistic>
doubles of_all_draws(std::size_t n, const Statistic& statistic) {
  doubles values;
  std::vector<std::size_t> drawn(n);
  for (;;) {
    values.push_back(statistic(drawn));
    std::size_t place = 0;
    while (place < n && ++drawn[place] == n) drawn[place++] = 0;
    if (place == n) return values;
  }
}

/// Whether an interval of `resamples` draws is that of the exact distribution, as far as the number
/// of draws tells.
bool is_interval_of(const funnel::bootstrap_interval& interval, doubles exact,
                    const funnel::bootstrap_options& options) {
  std::size_t undefined = 0;
  for (const double v : exact) undefined += std::isnan(v) ? 1 : 0;
  const double all = static_cast<double>(exact.size());
  std::erase_if(exact, [](double v) { return std::isnan(v); });
  const auto share = [&](auto accepts) {
    return static_cast<double>(std::count_if(exact.begin(), exact.end(), accepts)) /
           static_cast<double>(exact.size());
  };
  const auto near = [&](double seen, double expected) {
    return tolerance::within(
        seen, expected,
        tolerance::statistical(std::sqrt(expected * (1 - expected)), options.resamples));
  };
  const double tail = (1 - options.level) / 2;
  const double slack = tolerance::statistical(std::sqrt(tail * (1 - tail)), options.resamples);
  // Values that differ by rounding are one value.
  const double eps = tolerance::elementwise<double>(1, 8);
  const auto low = interval.low, high = interval.high;
  return near(static_cast<double>(interval.undefined) / static_cast<double>(options.resamples),
              static_cast<double>(undefined) / all) &&
         near(interval.share_above, share([&](double v) { return v > eps; })) &&
         share([&](double v) { return v < low - eps; }) <= tail + slack &&
         share([&](double v) { return v <= low + eps; }) >= tail - slack &&
         share([&](double v) { return v > high + eps; }) <= tail + slack &&
         share([&](double v) { return v >= high - eps; }) >= tail - slack;
}

}  // namespace

TEST_CASE("bootstrap: worked by brute force, all draws of four users") {
  const ids users{9, 4, 9, 2, 2, 4, 7, 9};
  const doubles a{.9, .8, .2, .6, .5, .1, .4, .3}, b{.1, .7, .9, .2, .8, .6, .4, .5};
  const doubles labels{1, 1, 0, 0, 1, 0, 0, 0};
  const ids names{2, 4, 7, 9};
  // AUC and GAUC from their definitions, pair by pair.
  const auto drawn_metric = [&](const doubles& scores, bool by_user) {
    return [&, by_user](const std::vector<std::size_t>& drawn) {
      double wins = 0, pairs = 0, sum = 0, weights = 0;
      for (const std::size_t x : drawn) {
        double own_wins = 0, own_pairs = 0, own_rows = 0;
        for (std::size_t i = 0; i < users.size(); ++i) {
          if (users[i] != names[x]) continue;
          ++own_rows;
          for (const std::size_t y : drawn)
            for (std::size_t j = 0; j < users.size(); ++j) {
              if (users[j] != names[y] || labels[i] != 1 || labels[j] != 0) continue;
              ++pairs;
              wins += scores[i] > scores[j] ? 1 : scores[i] == scores[j] ? .5 : 0;
            }
          for (std::size_t j = 0; j < users.size(); ++j) {
            if (users[j] != names[x] || labels[i] != 1 || labels[j] != 0) continue;
            ++own_pairs;
            own_wins += scores[i] > scores[j] ? 1 : scores[i] == scores[j] ? .5 : 0;
          }
        }
        if (own_pairs == 0) continue;
        sum += own_rows * own_wins / own_pairs;
        weights += own_rows;
      }
      return by_user ? sum / weights : wins / pairs;
    };
  };
  const funnel::bootstrap_options options{.resamples = 3999, .level = .8};
  for (const bool by_user : {false, true}) {
    const auto of_a = drawn_metric(a, by_user), of_b = drawn_metric(b, by_user);
    const doubles exact = of_all_draws(4, of_a);
    const doubles differences =
        of_all_draws(4, [&](const auto& drawn) { return of_a(drawn) - of_b(drawn); });
    REQUIRE(exact.size() == 256);
    const auto one = by_user ? funnel::bootstrap(users, a, labels, funnel::gauc_metric(), options)
                             : funnel::bootstrap(users, a, labels, funnel::auc_metric(), options);
    const auto gain =
        by_user ? funnel::paired_bootstrap(users, a, b, labels, funnel::gauc_metric(), options)
                : funnel::paired_bootstrap(users, a, b, labels, funnel::auc_metric(), options);
    CHECK(is_interval_of(one, exact, options));
    CHECK(is_interval_of(gain, differences, options));
    CHECK(one.users == 4);
    CHECK(one.undefined > 0);  // user 7 four times has no positive
    const std::vector<std::size_t> everyone{0, 1, 2, 3};
    CHECK(tolerance::within(one.value, of_a(everyone), tolerance::elementwise<double>(1)));
    CHECK(tolerance::within(gain.value, of_a(everyone) - of_b(everyone),
                            tolerance::elementwise<double>(1)));
  }
}

TEST_CASE("bootstrap: one pass per resample gives what copies of the rows give") {
  for (const std::size_t n : {1u, 2u, 7u, 50u, 200u})
    for (const std::uint64_t seed : {1u, 2u}) {
      const experiment e = rough_rows(n, seed);
      const funnel::bootstrap_options options{.resamples = 250, .seed = seed};
      const auto fast = funnel::bootstrap(e.users, e.a, e.labels, funnel::auc_metric(), options);
      const auto slow = funnel::bootstrap(e.users, e.a, e.labels, slow_auc(), options);
      const auto gain =
          funnel::paired_bootstrap(e.users, e.a, e.b, e.labels, funnel::auc_metric(), options);
      const auto slow_gain =
          funnel::paired_bootstrap(e.users, e.a, e.b, e.labels, slow_auc(), options);
      if (n > 7) {
        CHECK(equal(fast, slow));  // every bit
        CHECK(equal(gain, slow_gain));
        CHECK(fast.value == funnel::auc(e.a, e.labels));
        CHECK(fast.low < fast.high);
      } else {
        CHECK(fast.undefined == slow.undefined);
      }
      const auto by_user =
          funnel::paired_bootstrap(e.users, e.a, e.b, e.labels, funnel::gauc_metric(), options);
      const auto slow_by_user =
          funnel::paired_bootstrap(e.users, e.a, e.b, e.labels, slow_gauc(), options);
      const auto near = [&](double x, double y) {
        return tolerance::within(x, y, tolerance::reduction<double>(4 * n, 1));
      };
      CHECK(near(by_user.value, slow_by_user.value));
      CHECK(near(by_user.low, slow_by_user.low));
      CHECK(near(by_user.high, slow_by_user.high));
      CHECK(by_user.undefined == slow_by_user.undefined);
    }
}

TEST_CASE("bootstrap: a metric of one's own, with or without users") {
  const experiment e = equal_models(40, 5, 3);
  doubles p(e.a.size());
  for (std::size_t i = 0; i < p.size(); ++i) p[i] = funnel::sigmoid(e.a[i]);
  const auto loss = [](const auto& scores, const auto& labels) {
    return funnel::logloss(scores, labels);
  };
  const auto interval = funnel::bootstrap(e.users, p, e.labels, loss);
  CHECK(interval.value == funnel::logloss(p, e.labels));
  CHECK(interval.low < interval.value);
  CHECK(interval.value < interval.high);
  CHECK(interval.share_above == 1);
  // A user who is drawn twice is two users: there are always 40, of 5 rows each.
  const auto users_per_draw = [](std::span<const funnel::user_id> users, auto, auto) {
    ids known(users.begin(), users.end());
    std::sort(known.begin(), known.end());
    for (std::size_t i = 0; i < known.size(); ++i)
      if (known[i] != i / 5) return -1.;
    return static_cast<double>(known.size());
  };
  const auto counted = funnel::bootstrap(e.users, p, e.labels, users_per_draw);
  CHECK(counted.low == 200);
  CHECK(counted.high == 200);
}

TEST_CASE("bootstrap: the same on any number of threads and for any order of the rows") {
  const experiment e = rough_rows(300, 8);
  const funnel::bootstrap_options options{.resamples = 333, .seed = 5};
  const auto expected =
      funnel::paired_bootstrap(e.users, e.a, e.b, e.labels, funnel::auc_metric(), options);
  const auto expected_by_user =
      funnel::bootstrap(e.users, e.a, e.labels, funnel::gauc_metric(), options);
  const auto expected_slow = funnel::bootstrap(e.users, e.a, e.labels, slow_auc(), options);
  funnel::thread_pool pool(2);
  thread_executor threads{.threads = 3};
  CHECK(equal(expected, funnel::paired_bootstrap(pool, e.users, e.a, e.b, e.labels,
                                                 funnel::auc_metric(), options)));
  CHECK(equal(expected, funnel::paired_bootstrap(threads, e.users, e.a, e.b, e.labels,
                                                 funnel::auc_metric(), options)));
  CHECK(equal(expected_slow,
              funnel::bootstrap(threads, e.users, e.a, e.labels, slow_auc(), options)));

  std::vector<std::size_t> order(e.users.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  funnel::random_generator bits(1);
  funnel::shuffle(bits, order);
  experiment mixed;
  for (const std::size_t i : order) {
    mixed.users.push_back(e.users[i]);
    mixed.a.push_back(e.a[i]);
    mixed.b.push_back(e.b[i]);
    mixed.labels.push_back(e.labels[i]);
  }
  CHECK(equal(expected, funnel::paired_bootstrap(mixed.users, mixed.a, mixed.b, mixed.labels,
                                                 funnel::auc_metric(), options)));
  CHECK(equal(expected_by_user, funnel::bootstrap(mixed.users, mixed.a, mixed.labels,
                                                  funnel::gauc_metric(), options)));
}

TEST_CASE(
    "bootstrap: of 400 experiments without a difference, as many intervals hold 0 as they say") {
  constexpr std::size_t experiments = 400;
  std::size_t hold_99 = 0, hold_80 = 0, of_rows_hold_99 = 0;
  for (std::size_t i = 0; i < experiments; ++i) {
    const experiment e = equal_models(40, 8, 1000 + i);
    const auto holds = [&](const ids& users, double level, std::size_t resamples) {
      const auto interval =
          funnel::paired_bootstrap(users, e.a, e.b, e.labels, funnel::auc_metric(),
                                   {.resamples = resamples, .level = level, .seed = i});
      return interval.low <= 0 && 0 <= interval.high;
    };
    hold_99 += holds(e.users, .99, 199) ? 1 : 0;
    hold_80 += holds(e.users, .8, 99) ? 1 : 0;
    ids rows(e.users.size());  // as if each row were a user of its own
    std::iota(rows.begin(), rows.end(), 0u);
    of_rows_hold_99 += holds(rows, .99, 199) ? 1 : 0;
  }
  const auto near = [&](std::size_t count, double level) {
    const double share = static_cast<double>(count) / experiments;
    return tolerance::within(share, level,
                             tolerance::statistical(std::sqrt(level * (1 - level)), experiments));
  };
  CAPTURE(hold_99, hold_80, of_rows_hold_99);
  CHECK(near(hold_99, .99));
  CHECK(near(hold_80, .8));
  CHECK(!near(of_rows_hold_99, .99));  // too narrow
}

TEST_CASE("bootstrap: pairs show a difference that two intervals hide") {
  experiment e = equal_models(300, 6, 77);
  funnel::random_generator bits(7);
  for (std::size_t i = 0; i < e.a.size(); ++i) e.b[i] = e.a[i] + 2 * funnel::standard_normal(bits);
  const auto gain = funnel::paired_bootstrap(e.users, e.a, e.b, e.labels, funnel::auc_metric());
  const auto a = funnel::bootstrap(e.users, e.a, e.labels, funnel::auc_metric());
  const auto b = funnel::bootstrap(e.users, e.b, e.labels, funnel::auc_metric());
  CHECK(gain.low > 0);
  CHECK(gain.share_above == 1);
  CHECK(a.low < b.high);  // they overlap
  CHECK(gain.value == a.value - b.value);
  const auto loss = funnel::paired_bootstrap(e.users, e.b, e.a, e.labels, funnel::auc_metric());
  CHECK(loss.value == -gain.value);
  CHECK(loss.low == -gain.high);
  CHECK(loss.share_above == 0);
  const auto none = funnel::paired_bootstrap(e.users, e.a, e.a, e.labels, funnel::auc_metric());
  CHECK(none.low == 0);
  CHECK(none.high == 0);
  CHECK(none.share_above == 0);
}

TEST_CASE("bootstrap: other seeds draw other users, and share no resamples") {
  const experiment e = equal_models(60, 4, 9);
  const auto mean = [](auto scores, auto) {
    return std::accumulate(scores.begin(), scores.end(), 0.) / static_cast<double>(scores.size());
  };
  const auto values_of = [&](std::uint64_t seed) {
    doubles values;
    funnel::bootstrap(
        e.users, e.a, e.labels,
        [&](auto scores, auto labels) { return values.push_back(mean(scores, labels)), 0.; },
        {.resamples = 199, .seed = seed});
    return values;
  };
  const doubles one = values_of(1), two = values_of(2);
  CHECK(one.size() == 200);  // and the rows themselves
  CHECK(values_of(1) == one);
  for (std::size_t i = 1; i < one.size(); ++i)
    CHECK(std::find(two.begin() + 1, two.end(), one[i]) == two.end());
}

TEST_CASE("bootstrap: rows without a label, and what does not exist") {
  constexpr float missing = std::numeric_limits<float>::quiet_NaN();
  experiment e = rough_rows(120, 4);
  const auto expected = funnel::bootstrap(e.users, e.a, e.labels, funnel::auc_metric());
  e.users.push_back(5);
  e.a.push_back(100);
  e.labels.push_back(std::nan(""));
  CHECK(equal(expected, funnel::bootstrap(e.users, e.a, e.labels, funnel::auc_metric())));
  const ids users{1, 2, 3};
  const floats scores{1, 2, 3}, ones{1, 1, 1}, none(3, missing);
  for (const floats& labels : {ones, none}) {
    const auto interval = funnel::bootstrap(users, scores, labels, funnel::auc_metric());
    CHECK(std::isnan(interval.value));
    CHECK(std::isnan(interval.low));
    CHECK(std::isnan(interval.high));
    CHECK(std::isnan(interval.share_above));
    CHECK(interval.undefined == 1000);
    CHECK(interval.users == (std::isnan(labels[0]) ? 0 : 3));
  }
  const auto never_called = [](auto, auto) -> double { throw std::logic_error("called"); };
  CHECK(std::isnan(funnel::bootstrap(users, scores, none, never_called).value));
  CHECK_THROWS_AS(funnel::bootstrap(users, scores, ones, never_called), std::logic_error);
  // Too few resamples on which it exists: no interval, but a share.
  const auto rarely = [](auto s, auto) { return s[0] == 3 ? 1. : std::nan(""); };
  const auto few = funnel::bootstrap(users, scores, ones, rarely, {.resamples = 199});
  CHECK(few.undefined > 0);
  CHECK(std::isnan(few.low));
  CHECK(few.share_above == 1);
}

TEST_CASE("bootstrap: the k-th values from both ends, k = floor((B + 1) alpha)") {
  // Each resample gives its own number, 0 to B - 1, in a random order.
  const ids users{1};
  const floats scores{1}, labels{1};
  for (const auto& [resamples, level, rank] : {std::tuple{199, .99, 1},
                                               {1000, .99, 5},
                                               {999, .95, 25},
                                               {39, .95, 1},
                                               {19, .9, 1},
                                               {20, .9, 1},
                                               {3, .5, 1},
                                               {9, .2, 4}}) {
    int calls = -1;  // the first is of the rows themselves
    const auto count = [&](auto, auto) { return static_cast<double>(calls++); };
    const auto interval =
        funnel::bootstrap(users, scores, labels, count,
                          {.resamples = static_cast<std::size_t>(resamples), .level = level});
    CHECK(interval.low == rank - 1);
    CHECK(interval.high == resamples - rank);
    CHECK(interval.share_above == (resamples - 1.) / resamples);  // all but 0
  }
}

TEST_CASE("bootstrap_interval: written to a report") {
  funnel::report numbers;
  const funnel::bootstrap_interval interval{
      .value = .02, .low = .01, .high = .03, .share_above = .999, .users = 5, .undefined = 1};
  interval.write(numbers, "rank.click.auc_gain");
  CHECK(numbers.entries().size() == 4);
  CHECK(numbers["rank.click.auc_gain.value"] == .02);
  CHECK(numbers["rank.click.auc_gain.low"] == .01);
  CHECK(numbers["rank.click.auc_gain.high"] == .03);
  CHECK(numbers["rank.click.auc_gain.share_above"] == .999);
}

TEST_CASE("bootstrap: refuses what it cannot read") {
  const ids users{1, 2};
  const floats scores{1, 2}, labels{0, 1}, three(3), odd{0, .5f};
  const funnel::auc_metric auc;
  const auto refused = [&](const ids& u, const floats& s, const floats& b, const floats& y,
                           const funnel::bootstrap_options& options, std::string_view words) {
    return refuses([&] { funnel::paired_bootstrap(u, s, b, y, auc, options); },
                   "funnel::paired_bootstrap: ", words);
  };
  CHECK(refused({}, {}, {}, {}, {}, "scores is empty"));
  CHECK(refused({1}, scores, scores, labels, {}, "users has 1 value, expected 2 as in scores"));
  CHECK(refused(users, scores, three, labels, {}, "baseline has 3 values, expected 2"));
  CHECK(refused(users, scores, scores, three, {}, "labels has 3 values, expected 2"));
  CHECK(refused(users, scores, scores, odd, {}, "labels[1] is 0.5, expected 0 or 1, or NaN"));
  for (const double level : {0., 1., -1., 99., std::nan("")})
    CHECK(refused(users, scores, scores, labels, {.level = level}, "expected a number in (0, 1)"));
  CHECK(refused(users, scores, scores, labels, {.resamples = 0}, "resamples is 0"));
  CHECK(refused(users, scores, scores, labels, {.resamples = 198},
                "resamples is 198, expected at least 199 for the level 0.99"));
  CHECK(refused(users, scores, scores, labels, {.resamples = std::size_t(-1)}, "resamples is"));
  CHECK(refuses([&] { funnel::bootstrap(users, three, labels, auc); },
                "funnel::bootstrap: ", "users has 2 values, expected 3"));
  CHECK(refuses([&] { funnel::bootstrap(users, scores, odd, funnel::gauc_metric()); },
                "funnel::bootstrap: ", "labels[1] is 0.5"));
  const auto any = [](auto, auto) { return 1.; };
  CHECK(funnel::bootstrap(users, scores, odd, any).value == 1);  // its own affair
}
