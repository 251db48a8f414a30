// SPDX-License-Identifier: MIT
#include <funnel/calibration/duration_quantiles.hpp>

#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/saved_state.hpp"
#include "support/tolerance.hpp"

#include <funnel/core/random.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numeric>
#include <vector>

namespace {

using doubles = std::vector<double>;
constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();
constexpr double infinity = std::numeric_limits<double>::infinity();

// Twelve plays, not sorted by length.
const doubles lengths{8, 5, 8, 12, 15, 60, 20, 25, 30, 45, 90, 120};
const doubles times{8, 0, 3, 0, 15, 0, 7, 0, 25, 10, 33, 61};

}  // namespace

TEST_CASE("duration_quantiles: golden values by numpy") {
  // In numpy: groups of four by length, tables numpy.quantile(times, [0, 1/4, 1/2, 3/4, 1]); a label
  // is the mean level of the entries equal to the time, otherwise numpy.interp(time, table, levels);
  // a time is numpy.interp(label, levels, table).
  const auto d2q = funnel::fit_duration_quantiles(lengths, times, {.groups = 3, .levels = 4});
  REQUIRE(d2q.groups() == 3);
  CHECK(std::ranges::equal(d2q.bounds(), doubles{15, 45}));
  const doubles tables[] = {{0, 0, 1.5, 4.25, 8}, {0, 5.25, 11, 17.5, 25}, {0, 7.5, 21.5, 40, 61}};
  const double inside[] = {8, 20, 90};
  for (std::size_t g = 0; g < 3; ++g)
    for (std::size_t j = 0; j <= 4; ++j)
      CHECK(d2q.time(static_cast<double>(j) / 4, inside[g]) == tables[g][j]);
  struct golden {
    double length, time, label;
  };
  for (const auto& [length, time, label] :
       {golden{5, 3, 0.63636363636363635}, golden{8, 1, 0.41666666666666663}, golden{12, 100, 1},
        golden{14.9, 0, .125}, golden{15, 7, 0.32608695652173914},
        golden{44, 20, 0.83333333333333337}, golden{45, 12.5, 0.33928571428571427},
        golden{500, 61, 1}, golden{90, 40, .75}}) {
    CHECK(tolerance::within(d2q.quantile(time, length), label,
                            tolerance::elementwise<double>(label)));
    if (time <= d2q.time(1, length))
      CHECK(
          tolerance::within(d2q.time(label, length), time, tolerance::iterative<double>(4, time)));
  }
  CHECK(tolerance::within(d2q.time(.9, 1000), 52.6, tolerance::elementwise<double>(52.6)));
  doubles labels(12);
  d2q.labels(times, lengths, labels);
  for (std::size_t i = 0; i < 12; ++i) CHECK(labels[i] == d2q.quantile(times[i], lengths[i]));
}

TEST_CASE("duration_quantiles: the order of the plays does not matter") {
  funnel::random_generator bits(3);
  std::vector<std::size_t> order(12);
  std::iota(order.begin(), order.end(), std::size_t{0});
  const saved_state expected(funnel::fit_duration_quantiles(lengths, times, {.groups = 3}));
  for (int round = 0; round < 5; ++round) {
    for (std::size_t i = 12; i > 1; --i)
      std::swap(order[i - 1], order[funnel::uniform_below(bits, i)]);
    doubles x, t;
    for (const std::size_t i : order) x.push_back(lengths[i]), t.push_back(times[i]);
    CHECK(saved_state(funnel::fit_duration_quantiles(x, t, {.groups = 3})) == expected);
  }
}

TEST_CASE("duration_quantiles: labels are fair to every length, seconds are not") {
  // Longer videos are watched longer, and zeros are common.
  funnel::random_generator bits(1);
  const std::size_t n = 20'000;
  std::vector<float> x(n), t(n), labels(n);
  for (std::size_t i = 0; i < n; ++i) {
    x[i] = static_cast<float>(5 + 60 * funnel::standard_exponential(bits));
    t[i] = funnel::bernoulli(bits, .3)
               ? 0.f
               : static_cast<float>(.4 * double{x[i]} * funnel::standard_exponential(bits));
  }
  const auto d2q = funnel::fit_duration_quantiles(x, t);
  CHECK(d2q.groups() == 20);
  d2q.labels(t, x, labels);
  for (std::size_t g = 0; g < 20; ++g) {
    double sum = 0, count = 0;
    for (std::size_t i = 0; i < n; ++i)
      if (d2q.group(x[i]) == g) {
        CHECK((labels[i] >= 0 && labels[i] <= 1));
        sum += double{labels[i]};
        ++count;
      }
    CHECK(count == 1000);
    CHECK(tolerance::within(sum / count, .5, tolerance::promised(.02, .5)));
  }
}

TEST_CASE("duration_quantiles: plays of one length share a group; more groups than lengths") {
  const doubles x{9, 9, 5, 9, 5, 9}, t{1, 2, 3, 4, 5, 6};
  for (const std::size_t groups : {std::size_t{2}, std::size_t{6},
                                   std::numeric_limits<std::size_t>::max(), std::size_t{1} << 63}) {
    const auto d2q = funnel::fit_duration_quantiles(x, t, {.groups = groups});
    CHECK(std::ranges::equal(d2q.bounds(), doubles{9}));
    CHECK(d2q.time(1, 5) == 5);
    CHECK(d2q.time(0, 9) == 1);
  }
  const auto one = funnel::fit_duration_quantiles(doubles{3}, doubles{2});
  CHECK(one.groups() == 1);
  CHECK(one.quantile(2, 100) == .5);
  CHECK(one.time(.3, 1) == 2);
  CHECK(std::isnan(one.quantile(not_a_number, 1)));
  CHECK(std::isnan(one.quantile(1, not_a_number)));
  CHECK(std::isnan(one.time(not_a_number, 1)));
  CHECK(std::isnan(one.time(.5, not_a_number)));
  const auto integers = funnel::fit_duration_quantiles(std::vector<std::uint32_t>{9, 5},
                                                       std::vector<std::uint8_t>{1, 2});
  CHECK(integers.time(1, 5) == 2);
}

TEST_CASE("duration_quantiles: refuses what it cannot read") {
  const auto fit = [](doubles x, doubles t, funnel::duration_quantiles_options options = {}) {
    return [=] { funnel::fit_duration_quantiles(x, t, options); };
  };
  constexpr const char* name = "funnel::fit_duration_quantiles";
  CHECK(refuses(fit({}, {}), name, "lengths is empty"));
  CHECK(refuses(fit({1}, {}), name, "times has 0"));
  for (const double bad : {0., -1., not_a_number, infinity})
    CHECK(refuses(fit({bad}, {1}), name, "lengths[0] is"));
  for (const double bad : {-1., not_a_number, infinity})
    CHECK(refuses(fit({1}, {bad}), name, "times[0] is"));
  CHECK(refuses(fit({1}, {1}, {.groups = 0}), name, "groups is 0"));
  CHECK(refuses(fit({1}, {1}, {.levels = 0}), "funnel::quantile_tables", "levels is 0"));

  const auto d2q = funnel::fit_duration_quantiles(doubles{1, 2}, doubles{1, 2});
  doubles out(1, 7);
  const auto labels = [&](doubles t, doubles x) {
    return [&d2q, &out, t, x] { d2q.labels(t, x, out); };
  };
  CHECK(refuses(labels({1}, {}), "funnel::duration_quantiles::labels", "lengths has 0"));
  CHECK(refuses(labels({1, 2}, {1, 2}), "funnel::duration_quantiles::labels", "output has 1"));
  CHECK(refuses(labels({-1}, {1}), "funnel::duration_quantiles::labels", "times[0] is -1"));
  CHECK(refuses(labels({1}, {not_a_number}), "funnel::duration_quantiles::labels", "lengths[0]"));
  CHECK(out[0] == 7);

  funnel::quantile_tables<double> tables(2);
  const auto restored = [&](doubles bounds) {
    return [&tables, bounds] { funnel::duration_quantiles<double>(bounds, tables); };
  };
  CHECK(refuses(restored({1}), "funnel::duration_quantiles",
                "table 0 is empty, expected a fitted table"));
  CHECK(refuses(restored({}), "funnel::duration_quantiles", "tables is 2, expected 1"));
  CHECK(refuses([] { funnel::duration_quantiles<double>({}, {}); }, "funnel::duration_quantiles",
                "tables is empty"));
}

TEST_CASE("duration_quantiles: its state is loaded whole, or refused") {
  const auto d2q = funnel::fit_duration_quantiles(lengths, times, {.groups = 3, .levels = 2});
  const saved_state file(d2q);
  funnel::duration_quantiles<double> loaded;
  CHECK(loaded.groups() == 0);
  CHECK(std::isnan(loaded.quantile(1, 1)));
  CHECK(std::isnan(loaded.time(1, 1)));
  file.load(loaded);
  CHECK(saved_state(loaded) == file);
  for (const double length : {1., 15., 44., 200.}) {
    CHECK(loaded.quantile(4, length) == d2q.quantile(4, length));
    CHECK(loaded.time(.3, length) == d2q.time(.3, length));
  }
  const auto refused = [&](const char* field, const doubles& values, const char* words) {
    return refuses_state(loaded, file.with(field, values), words);
  };
  CHECK(refused("bounds", {15}, "tables is 3, expected 2"));
  CHECK(refused("bounds", {15, 15}, "bounds[1] is 15, expected more than 15"));
  CHECK(refused("bounds", {15, not_a_number}, "bounds[1] is nan"));
  CHECK(refused("tables.values", doubles(9, not_a_number),
                "table 0 is empty, expected a fitted table"));
}
