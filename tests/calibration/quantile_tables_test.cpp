// SPDX-License-Identifier: MIT
#include <funnel/calibration/quantile_tables.hpp>

#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/saved_state.hpp"
#include "support/tolerance.hpp"

#include <funnel/core/random.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

using funnel::quantile_tables;

namespace {

using doubles = std::vector<double>;
constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();
constexpr double infinity = std::numeric_limits<double>::infinity();

quantile_tables<double> table_of(const doubles& values, std::size_t levels) {
  quantile_tables<double> tables(1, {.levels = levels});
  tables.fit(0, values);
  return tables;
}

}  // namespace

TEST_CASE("quantile_tables: worked by hand") {
  // Quantiles 0, 10, 20, 30, 40 of five values at the levels 0, 1/4, 1/2, 3/4, 1.
  const auto five = table_of({40, 0, 20, 10, 30}, 4);
  CHECK(five.quantile(0, 20) == .5);
  CHECK(five.quantile(0, 25) == .625);
  CHECK(five.quantile(0, -1) == 0);
  CHECK(five.quantile(0, 0) == 0);
  CHECK(five.quantile(0, 40) == 1);
  CHECK(five.quantile(0, 1000) == 1);
  CHECK(five.value(0, .625) == 25);
  CHECK(five.value(0, 0) == 0);
  CHECK(five.value(0, 1) == 40);
  CHECK(five.value(0, 7) == 40);
  CHECK(five.value(0, -infinity) == 0);
  // Three of five are 0: the levels 0, 1/4 and 1/2, of mean 1/4.
  const auto zeros = table_of({0, 0, 0, 8, 16}, 4);
  CHECK(zeros.quantile(0, 0) == .25);
  CHECK(zeros.quantile(0, 4) == .625);
  CHECK(zeros.value(0, .25) == 0);
  CHECK(zeros.value(0, .5) == 0);
  CHECK(zeros.value(0, .75) == 8);
}

TEST_CASE("quantile_tables: the quantiles of numpy.quantile") {
  // numpy.quantile(x, [0, .2, .4, .6, .8, 1]), numpy 2.
  const auto found = table_of({14.15, 20.5, 11.37, 17.9, 4.13, 67.67, 0.2, 56.18, 11.51}, 5);
  const doubles expected{0.2, 8.474, 12.038, 17.15, 34.772, 67.67};
  for (std::size_t j = 0; j <= 5; ++j)
    CHECK(tolerance::within(found.value(0, static_cast<double>(j) / 5), expected[j],
                            tolerance::elementwise<double>(expected[j])));
}

TEST_CASE("quantile_tables: monotone, inverse of each other, of mean 1/2 over their own values") {
  funnel::random_generator bits(1);
  for (const std::size_t n : {std::size_t{1}, std::size_t{2}, std::size_t{7}, std::size_t{500}})
    for (const std::size_t levels : {std::size_t{1}, std::size_t{3}, std::size_t{100}}) {
      doubles values;
      for (std::size_t i = 0; i < n; ++i)
        values.push_back(std::floor(8 * funnel::standard_exponential(bits)) / 4);
      const auto tables = table_of(values, levels);
      double last = 0, last_value = -infinity;
      for (int step = 0; step <= 300; ++step) {
        const double x = step / 50.;
        const double q = tables.quantile(0, x);
        CHECK(q >= last);
        CHECK(q <= 1);
        last = q;
        if (x >= tables.value(0, 0) && x <= tables.value(0, 1))
          CHECK(tolerance::within(tables.value(0, q), x, tolerance::iterative<double>(levels, 6)));
        const double value = tables.value(0, step / 300.);
        CHECK(value >= last_value);
        last_value = value;
      }
      double sum = 0;
      for (const double value : values) sum += tables.quantile(0, value);
      if (n >= 500 && levels == 100)
        CHECK(tolerance::within(sum / static_cast<double>(n), .5, tolerance::promised(.02, .5)));
    }
}

TEST_CASE("quantile_tables: the levels of a value that many rows share, exactly") {
  // Of n values, the first `zeros` are 0: level j is 0 if j (n - 1) <= (zeros - 1) levels.
  for (std::size_t n = 2; n < 60; ++n)
    for (std::size_t zeros = 1; zeros <= n; ++zeros) {
      doubles values(n, 1e9);
      std::fill_n(values.begin(), zeros, 0.);
      std::size_t at_zero = 0;
      for (std::size_t j = 0; j <= 10; ++j) at_zero += j * (n - 1) <= (zeros - 1) * 10;
      const double expected = static_cast<double>(at_zero - 1) / 2 / 10;
      REQUIRE(table_of(values, 10).quantile(0, 0) == expected);
    }
}

TEST_CASE("quantile_tables: groups, NaN, tables that are not fitted, the ends of the numbers") {
  quantile_tables<float> tables(3, {.levels = 2});
  tables.fit(1, std::vector<std::int32_t>{1, 3, 2});
  tables.fit(2, std::vector<float>{5});
  CHECK(tables.tables() == 3);
  CHECK(tables.levels() == 2);
  CHECK_FALSE(tables.fitted(0));
  CHECK(tables.fitted(1));
  CHECK(std::isnan(tables.quantile(0, 1)));
  CHECK(std::isnan(tables.value(0, .5f)));
  CHECK(tables.quantile(1, 2) == .5f);
  CHECK(tables.quantile(2, 5) == .5f);
  CHECK(tables.quantile(2, 4) == 0);
  CHECK(tables.quantile(2, 6) == 1);
  CHECK(std::isnan(tables.quantile(1, std::nanf(""))));
  CHECK(std::isnan(tables.value(1, std::nanf(""))));
  constexpr double most = std::numeric_limits<double>::max();
  const auto wide = table_of({-most, most}, 1);
  CHECK(wide.quantile(0, 0) == .5);
  CHECK(wide.value(0, .5) == 0);
  CHECK(quantile_tables<double>().tables() == 0);
  CHECK(quantile_tables<double>(0).tables() == 0);
  tables.fit(2, std::vector<float>{7, 9});  // anew
  CHECK(tables.value(2, 0) == 7);
}

TEST_CASE("quantile_tables: what is refused") {
  quantile_tables<double> tables(2, {.levels = 2});
  tables.fit(0, doubles{1, 2});
  const saved_state before(tables);
  const auto fit = [&](std::size_t table, doubles values) {
    return [&tables, table, values] { tables.fit(table, values); };
  };
  CHECK(refuses(fit(2, {1}), "funnel::quantile_tables::fit", "table is 2, expected below 2"));
  CHECK(refuses(fit(0, {}), "funnel::quantile_tables::fit", "values is empty"));
  for (const double bad : {not_a_number, infinity})
    CHECK(refuses(fit(0, {1, bad}), "funnel::quantile_tables::fit", "values[1] is"));
  CHECK(saved_state(tables) == before);
  CHECK(refuses([&] { tables.quantile(2, 1); }, "funnel::quantile_tables::quantile", "table is 2"));
  CHECK(refuses([&] { tables.value(2, 1); }, "funnel::quantile_tables::value", "table is 2"));
  CHECK(refuses([&] { tables.fitted(2); }, "funnel::quantile_tables::fitted", "table is 2"));
  for (const std::size_t levels : {std::size_t{0}, std::size_t{65537}, std::size_t{1} << 63,
                                   std::numeric_limits<std::size_t>::max()})
    CHECK(refuses([&] { quantile_tables<double>(1, {.levels = levels}); },
                  "funnel::quantile_tables", "levels is"));
  constexpr std::size_t most = std::numeric_limits<std::size_t>::max();
  CHECK(refuses([&] { quantile_tables<double>{most}; }, "funnel::quantile_tables", "tables has"));
  quantile_tables<float> narrow(1);
  CHECK(refuses([&] { narrow.fit(0, doubles{1e300}); }, "funnel::quantile_tables::fit",
                "values[0] is inf"));
}

TEST_CASE("quantile_tables: its state is loaded whole, or refused") {
  quantile_tables<double> tables(2, {.levels = 2});
  tables.fit(1, doubles{1, 2, 3});
  const saved_state file(tables);
  quantile_tables<double> loaded;
  file.load(loaded);
  CHECK(saved_state(loaded) == file);
  CHECK(loaded.quantile(1, 2.5) == .75);
  CHECK_FALSE(loaded.fitted(0));
  const auto refused = [&](const char* field, auto values, const char* words) {
    return refuses_state(loaded, file.with(field, values), words);
  };
  CHECK(refused("levels", std::vector<std::uint32_t>{0}, "levels is 0"));
  CHECK(refused("levels", std::vector<std::uint32_t>{3}, "a multiple of 4"));
  CHECK(refused("values", doubles{1, 2, 3, 4}, "the size of values is 4"));
  CHECK(refused("values", doubles{1, 3, 2}, "values of table 0 fall"));
  CHECK(refused("values", doubles{1, not_a_number, 2}, "values[1] is nan"));
  CHECK(refused("values", doubles{1, 2, infinity}, "values[2] is inf"));
}
