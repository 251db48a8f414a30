// SPDX-License-Identifier: MIT
#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/saved_state.hpp"
#include "support/tolerance.hpp"

#include <funnel/core/random.hpp>
#include <funnel/features/rate_counters.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <vector>

using funnel::rate_counters;
using funnel::rate_features;

namespace {

struct rows {
  funnel::matrix<std::uint64_t> keys;
  std::vector<std::int32_t> days;
  funnel::matrix<float> amounts;
};

rows draw(std::size_t n, std::size_t families, std::size_t actions, std::uint64_t seed) {
  funnel::random_generator bits(seed);
  rows r{{n, families}, std::vector<std::int32_t>(n), {n, actions}};
  for (std::size_t i = 0; i < n; ++i) {
    r.days[i] = 20220425 + static_cast<std::int32_t>(funnel::uniform_below(bits, 5));
    for (std::uint64_t& key : r.keys.row(i)) key = funnel::uniform_below(bits, 7);
    for (float& amount : r.amounts.row(i)) amount = funnel::bernoulli(bits, .3) ? 1.f : 0.f;
    r.amounts(i, 0) = static_cast<float>(funnel::uniform_below(bits, 100));  // seconds, say
  }
  return r;
}

/// What row i should get from the rows that `counts(j)` admits.
template <class Counts>
std::vector<double> naive(const rows& r, std::size_t i, double strength, Counts&& counts) {
  std::vector<double> out;
  const std::size_t actions = r.amounts.cols();
  for (std::size_t f = 0; f < r.keys.cols(); ++f) {
    double n = 0, all = 0;
    std::vector<double> sums(actions), totals(actions);
    for (std::size_t j = 0; j < r.days.size(); ++j) {
      if (!counts(j)) continue;
      const bool same = r.keys(j, f) == r.keys(i, f);
      ++all;
      n += same;
      for (std::size_t a = 0; a < actions; ++a) {
        totals[a] += double{r.amounts(j, a)};
        sums[a] += same ? double{r.amounts(j, a)} : 0;
      }
    }
    out.push_back(n);
    for (std::size_t a = 0; a < actions; ++a) {
      const double mean = all > 0 ? totals[a] / all : 0;
      out.push_back((sums[a] + strength * mean) / (n + strength));
    }
  }
  return out;
}

void check_row(std::span<const float> got, const std::vector<double>& expected) {
  REQUIRE(got.size() == expected.size());
  for (std::size_t k = 0; k < got.size(); ++k)
    CHECK(
        tolerance::within(double{got[k]}, expected[k], tolerance::elementwise<float>(expected[k])));
}

}  // namespace

TEST_CASE("rate_counters: worked by hand") {
  rate_counters counters(2, {.prior_strength = 4});
  CHECK(counters.rate(1, 0) == 0);
  CHECK(counters.mean_rate(0) == 0);
  const float none[] = {0, 0}, click[] = {1, 0}, both[] = {1, 30};
  counters.add(1, click);
  counters.add(1, none);
  counters.add(2, both);
  counters.add(3, none);
  CHECK(counters.impressions(1) == 2);
  CHECK(counters.impressions(9) == 0);
  CHECK(counters.amount(2, 1) == 30);
  CHECK(counters.mean_rate(0) == .5);
  CHECK(counters.mean_rate(1) == 7.5);
  CHECK(counters.rate(1, 0) == (1 + 4 * .5) / (2 + 4));
  CHECK(counters.rate(2, 1) == (30 + 4 * 7.5) / (1 + 4));
  CHECK(counters.rate(9, 1) == 7.5);
  float out[3];
  counters.write(1, out);
  CHECK(std::ranges::equal(out, std::vector<float>{2, .5f, 5}));
  counters.decay(.5);
  CHECK(counters.impressions(1) == 1);
  CHECK(counters.mean_rate(1) == 7.5);
  CHECK(counters.rate(1, 0) == (.5 + 4 * .5) / (1 + 4));
  counters.add(2, both);  // the old days' four impressions weigh as two
  CHECK(counters.mean_rate(0) == 2. / 3);
}

TEST_CASE("rate_counters without a prior answers with the mean where a key is new") {
  rate_counters counters(1, {.prior_strength = 0, .default_rate = .25});
  CHECK(counters.rate(1, 0) == .25);
  CHECK(counters.mean_rate(0) == .25);
  const float yes[] = {1}, no[] = {0};
  counters.add(1, yes);
  counters.add(2, no);
  CHECK(counters.rate(1, 0) == 1);
  CHECK(counters.rate(2, 0) == 0);
  CHECK(counters.rate(3, 0) == .5);
}

TEST_CASE("rate_features writes by strictly earlier days, whatever the order of rows") {
  const rows r = draw(400, 3, 2, 1);
  rate_features features(3, 2);
  REQUIRE(features.width() == 9);
  funnel::matrix<float> out(400, 9, -1.f);
  features.write_by_day(r.keys, r.days, r.amounts, out);
  for (std::size_t i = 0; i < 400; ++i)
    check_row(out.row(i), naive(r, i, 20, [&](std::size_t j) { return r.days[j] < r.days[i]; }));

  // And has counted all rows at the end.
  features.write(r.keys, out);
  for (std::size_t i = 0; i < 400; ++i)
    check_row(out.row(i), naive(r, i, 20, [](auto) { return true; }));
  CHECK(features.family(1).impressions(3) > 0);
}

TEST_CASE("rate_features goes on from what it has counted") {
  const rows r = draw(300, 2, 1, 2);
  rate_features at_once(2, 1), in_parts(2, 1);
  funnel::matrix<float> a(300, 4), b(300, 4);
  at_once.write_by_day(r.keys, r.days, r.amounts, a);
  std::vector<std::size_t> order[2];
  for (std::size_t i = 0; i < 300; ++i) order[r.days[i] >= 20220427].push_back(i);
  for (const auto& part : order) {
    rows some{{part.size(), 2}, std::vector<std::int32_t>(part.size()), {part.size(), 1}};
    for (std::size_t k = 0; k < part.size(); ++k) {
      std::ranges::copy(r.keys.row(part[k]), some.keys.row(k).begin());
      std::ranges::copy(r.amounts.row(part[k]), some.amounts.row(k).begin());
      some.days[k] = r.days[part[k]];
    }
    funnel::matrix<float> out(part.size(), 4);
    in_parts.write_by_day(some.keys, some.days, some.amounts, out);
    for (std::size_t k = 0; k < part.size(); ++k)
      CHECK(std::ranges::equal(out.row(k), a.row(part[k])));
  }
  at_once.write(r.keys, a);
  in_parts.write(r.keys, b);
  CHECK(std::ranges::equal(a.flat(), b.flat()));
}

TEST_CASE("rate_features: a row's own day does not show in its features") {
  rows r = draw(200, 2, 1, 3);
  funnel::matrix<float> before(200, 4), after(200, 4);
  rate_features(2, 1).write_by_day(r.keys, r.days, r.amounts, before);
  const std::int32_t last = *std::ranges::max_element(r.days);
  for (std::size_t i = 0; i < 200; ++i)
    if (r.days[i] == last) r.amounts(i, 0) += 5;
  rate_features(2, 1).write_by_day(r.keys, r.days, r.amounts, after);
  CHECK(std::ranges::equal(before.flat(), after.flat()));
}

TEST_CASE("rate_features reads views with gaps, no rows, and fades") {
  const rows r = draw(50, 4, 2, 4);
  rate_features narrow(2, 1), empty(2, 1);
  narrow.add(r.keys.view().middle_cols(1, 2), r.amounts.view().middle_cols(1, 1));
  double count = 0, clicks = 0;
  for (std::size_t i = 0; i < 50; ++i)
    if (r.keys(i, 2) == 3) ++count, clicks += double{r.amounts(i, 1)};
  CHECK(narrow.family(1).impressions(3) == count);
  CHECK(narrow.family(1).amount(3, 0) == clicks);
  narrow.decay(.25);
  CHECK(narrow.family(1).impressions(3) == count / 4);
  funnel::matrix<float> nothing(0, 4);
  empty.write_by_day(funnel::matrix<std::uint64_t>(0, 2), {}, funnel::matrix<float>(0, 1), nothing);
  CHECK(empty.family(0).mean_rate(0) == 0);
  rate_features no_actions(1, 0);
  funnel::matrix<float> counts(50, 1);
  no_actions.write_by_day(r.keys.view().middle_cols(0, 1), r.days,
                          r.amounts.view().middle_cols(0, 0), counts);
  CHECK(no_actions.family(0).impressions(r.keys(0, 0)) > 0);
}

TEST_CASE("rate_counters refuses what does not fit, and counts nothing then") {
  const float infinite[] = {std::numeric_limits<float>::infinity()}, one[] = {1}, two[] = {1, 2};
  rate_counters counters(1);
  CHECK(refuses([&] { counters.add(1, infinite); }, "funnel::rate_counters",
                "amounts[0] is inf, expected a finite number"));
  CHECK(refuses([&] { counters.add(1, two); }, "funnel::rate_counters",
                "amounts has 2 values, expected 1 as in actions"));
  CHECK(counters.impressions(1) == 0);
  counters.add(1, one);
  CHECK(refuses([&] { static_cast<void>(counters.rate(1, 1)); }, "funnel::rate_counters",
                "action is 1, expected below 1"));
  CHECK(refuses([&] { counters.decay(1.5); }, "funnel::rate_counters", "keep is 1.5"));
  float slots[3];
  CHECK(refuses([&] { counters.write(1, slots); }, "funnel::rate_counters",
                "out has 3 values, expected 2"));
  CHECK(refuses([] { rate_counters(1, {.prior_strength = -1}); }, "funnel::rate_counters",
                "prior_strength is -1"));
  CHECK(
      refuses([] { rate_counters(1, {.default_rate = std::numeric_limits<double>::quiet_NaN()}); },
              "funnel::rate_counters", "default_rate is"));

  rows r = draw(10, 2, 1, 5);
  rate_features features(2, 1);
  funnel::matrix<float> out(10, 4), narrow(10, 3), short_of_rows(9, 4);
  const auto refused = [&](auto&& call, const char* words) {
    CHECK(refuses(call, "funnel::rate_features", words));
    CHECK(features.family(0).mean_rate(0) == 0);
  };
  refused([&] { features.write(funnel::matrix<std::uint64_t>(10, 3), out); },
          "keys has 3 columns, expected 2 as in families");
  refused([&] { features.write_by_day(r.keys, r.days, r.amounts, narrow); },
          "out is [10, 3], expected [10, 4]");
  refused([&] { features.write_by_day(r.keys, r.days, r.amounts, short_of_rows); },
          "out is [9, 4]");
  refused([&] { features.write_by_day(r.keys, std::span(r.days).first(9), r.amounts, out); },
          "days has 9 values, expected 10 as in a column of keys");
  refused([&] { features.add(r.keys, funnel::matrix<float>(10, 2)); },
          "amounts is [10, 2], expected [10, 1]");
  refused([&] { features.add(r.keys, funnel::matrix<float>(9, 1)); }, "amounts is [9, 1]");
  refused([&] { static_cast<void>(features.family(2)); }, "family is 2, expected below 2");
  r.amounts(7, 0) = std::numeric_limits<float>::quiet_NaN();
  refused([&] { features.write_by_day(r.keys, r.days, r.amounts, out); },
          "amounts[7, 0] is nan, expected a finite number");
}

TEST_CASE("rate_counters: sizes that wrap are refused") {
  constexpr std::size_t most = std::numeric_limits<std::size_t>::max();
  CHECK(refuses([] { rate_counters counters(most); }, "funnel::rate_counters", "actions is"));
  CHECK(refuses([] { rate_counters counters(std::size_t{PTRDIFF_MAX} / sizeof(double)); },
                "funnel::rate_counters", "actions is"));
  CHECK(refuses([] { rate_features features(most, 1); }, "funnel::rate_features", "families is"));
  CHECK(refuses([] { rate_features features(1, most); }, "funnel::rate_counters", "actions is"));
}

TEST_CASE("rate_counters: a strong prior and large amounts give finite rates") {
  rate_counters counters(1, {.prior_strength = 1e300});
  counters.add(1, std::vector<float>{1e30f});
  const double amount = double{1e30f};
  CHECK(tolerance::within(counters.rate(1, 0), amount, tolerance::elementwise<double>(amount)));
}

TEST_CASE("rate_counters: without keys and actions when moved from") {
  rate_counters counters(2);
  counters.add(5, std::vector<float>{1, 2});
  const rate_counters taken = std::move(counters);
  CHECK(taken.amount(5, 1) == 2);
  CHECK(counters.actions() == 0);  // NOLINT(bugprone-use-after-move): what this is about
  CHECK(counters.impressions(5) == 0);
  counters.add(7, {});
  CHECK(counters.impressions(7) == 1);
  CHECK(counters.impressions(5) == 0);
  counters = taken;
  CHECK(counters.amount(5, 1) == 2);
}

namespace {

/// Counts some rows: with a spare row of the sums, or without one.
rate_counters counted(bool spare) {
  rate_counters counters(2, {.prior_strength = 3, .default_rate = .5});
  counters.add(7, std::vector<float>{1, 2});
  counters.add(9, std::vector<float>{0, 5});
  if (spare) counters.add(7, std::vector<float>{1, 0});
  return counters;
}

}  // namespace

TEST_CASE("rate_counters: a loaded one goes on counting") {
  for (const bool spare : {false, true}) {
    rate_counters original = counted(spare);
    const saved_state file(original);
    rate_counters loaded(2);
    loaded.add(1, std::vector<float>{1, 1});
    file.load(loaded);
    CHECK(saved_state(loaded) == file);
    for (int step = 0; step < 2; ++step) {
      for (const std::uint64_t key : {7u, 9u, 1u, 4u}) {
        CHECK(loaded.impressions(key) == original.impressions(key));
        for (std::size_t action : {0u, 1u})
          CHECK(loaded.rate(key, action) == original.rate(key, action));
      }
      for (rate_counters* counters : {&loaded, &original})
        for (const std::uint64_t key : {4u, 7u}) counters->add(key, std::vector<float>{1, 3});
    }
  }
}

TEST_CASE("rate_counters: a state that does not fit is refused") {
  const saved_state file(counted(true));  // 2 keys: sums have 3 rows, and a spare one
  const std::vector<double> sums = [&] {
    const std::vector<std::byte>& bytes = file.fields.at("sums");
    std::vector<double> values(bytes.size() / sizeof(double));
    std::memcpy(values.data(), bytes.data(), bytes.size());
    return values;
  }();
  REQUIRE(sums.size() == 12);
  const auto refused = [&](const char* field, const auto& values, const char* words) {
    return refuses_state(rate_counters(2), file.with(field, values), words);
  };
  const auto cut = [&](std::size_t n) { return std::vector<double>(sums.data(), sums.data() + n); };
  CHECK_FALSE(refused("sums", cut(9), ""));
  for (const std::size_t n : {0u, 6u, 8u, 11u}) CHECK(refused("sums", cut(n), "sums has"));
  CHECK(refused("totals", cut(2), "totals has 2 values, expected 3 as in 1 + actions"));
  CHECK(refused("keys.ids", std::vector<std::uint64_t>{7, 7}, "ids[1] is 7 again"));
  CHECK(refused("keys.ids", std::vector<std::uint64_t>{7},
                "sums has 12 values, expected 2 rows of 3"));
  CHECK(refused("keys.ids", std::vector<std::uint64_t>{7, 8, 9, 5}, "sums has"));
  for (const std::size_t unknown : {0u, 2u, 9u, 11u}) {
    std::vector<double> values = sums;
    values[unknown] = 1;
    CHECK(refused("sums", values, "counts of unknown keys"));
  }
  CHECK(refused("prior_strength", std::vector{-1.}, "prior_strength is -1"));
  CHECK(refused("default_rate", std::vector{std::nan("")}, "default_rate is nan"));
  CHECK(refuses_state(rate_counters(3), file, "totals has 3 values, expected 4"));
  CHECK(refuses_state(rate_counters(0), file, "totals has 3 values, expected 1"));
}

TEST_CASE("rate_features: a loaded one writes the same features") {
  rate_features original(2, 1), loaded(2, 1, {.prior_strength = 1});
  funnel::matrix<std::uint64_t> keys(3, 2);
  for (std::size_t i = 0; i < 3; ++i) keys(i, 0) = i % 2, keys(i, 1) = 5 * i;
  original.add(keys, funnel::matrix<float>(3, 1, .5f));
  const saved_state file(original);
  file.load(loaded);
  CHECK(saved_state(loaded) == file);
  funnel::matrix<float> expected(3, 4), got(3, 4);
  original.write(keys, expected);
  loaded.write(keys, got);
  CHECK(std::ranges::equal(got.flat(), expected.flat()));
  CHECK(refuses_state(rate_features(2, 2), file, "totals has 2 values, expected 3"));
}
