// SPDX-License-Identifier: MIT
#include <funnel/calibration/duration_quantiles.hpp>
#include <funnel/calibration/head_calibration.hpp>
#include <funnel/calibration/quantile_scale.hpp>
#include <funnel/calibration/quantile_tables.hpp>
#include <funnel/features/column_table.hpp>
#include <funnel/features/segments.hpp>

#include "support/failing_allocator.hpp"
#include "support/matrices.hpp"

#include <cstdint>
#include <string>
#include <vector>

using failing_allocator::check_every_failure;
using funnel::head_calibration;
using funnel::matrix;

namespace {

funnel::column_table rows_of(std::size_t n) {
  funnel::column_table log;
  log.add("activity", n, [](std::size_t i) { return i % 3; });
  log.add("tab", n, [](std::size_t i) { return i % 5 == 0 ? "a page with a long name" : "home"; });
  return log;
}

std::vector<std::string> names_of(const funnel::segments& groups) {
  std::vector<std::string> names;
  for (std::uint32_t s = 0; s < groups.size(); ++s)
    names.push_back(groups.name(s) + " below " + groups.name(groups.parent(s)));
  const auto found = groups.of_rows(rows_of(30));
  for (const std::uint32_t s : found) names.push_back(groups.name(s));
  return names;
}

std::vector<double> lines_of(const head_calibration& c) {
  std::vector<double> all{static_cast<double>(c.segments().size())};
  for (std::size_t h = 0; h < c.heads(); ++h)
    for (std::uint32_t s = 0; s < c.segments().size(); ++s)
      all.insert(all.end(), {c.scaling(h, s).a, c.scaling(h, s).b});
  return all;
}

}  // namespace

TEST_CASE("out of memory: segments") {
  const funnel::column_table log = rows_of(60);
  const funnel::columns rows = log;
  const std::vector<std::string> both{"activity", "tab"}, one{"activity"};
  const funnel::segments other(rows, both, {.min_rows = 2});
  const auto make = [&] { return funnel::segments(rows, one, {.min_rows = 2}); };
  check_every_failure(
      "copy", make, [&](auto& s) { s = other; }, names_of);
  check_every_failure(
      "fit", make, [&](auto& s) { s = funnel::segments(rows, both, {.min_rows = 2}); }, names_of);
}

TEST_CASE("out of memory: head_calibration") {
  const funnel::column_table log = rows_of(60);
  const funnel::segments groups(log, {"activity", "tab"}, {.min_rows = 2});
  const std::vector<std::uint32_t> by = groups.of_rows(log);
  const matrix<float> x = random_matrix<float>(60, 2, 1, 0, 1);
  matrix<float> y(60, 2);
  for (std::size_t i = 0; i < 60; ++i)
    for (std::size_t h = 0; h < 2; ++h) y(i, h) = (i + h) % 4 < 2 ? 1.f : 0.f;
  const funnel::head_fit_options options{.slope = true, .slope_labels = 2, .prior_strength = 3};
  const auto make = [&] {
    return head_calibration({{}, {.kind = funnel::head_kind::amount}}, groups);
  };
  check_every_failure(
      "fit", make, [&](auto& c) { c.fit(x, y, by, options); }, lines_of);
  std::vector<float> own_x(60), own_y(60);
  for (std::size_t i = 0; i < 60; ++i) own_x[i] = x(i, 0), own_y[i] = y(i, 0);
  check_every_failure(
      "fit of a head", make, [&](auto& c) { c.fit(0, own_x, own_y, by, options); }, lines_of);
  head_calibration other = make();
  other.fit(x, y, by, options);
  check_every_failure(
      "copy", [] { return head_calibration({{}}); }, [&](auto& c) { c = other; }, lines_of);
  check_every_failure(
      "make", [] { return head_calibration({{}}); },
      [&](auto& c) {
        c = head_calibration({{}, {}, {}}, groups);
      },
      lines_of);
}

TEST_CASE("out of memory: quantile_tables and duration_quantiles") {
  const std::vector<float> lengths{5, 9, 20, 40}, times{0, 3, 7, 1};
  const auto values_of = [](const funnel::quantile_tables<float>& tables) {
    std::vector<float> all;
    for (std::size_t t = 0; t < tables.tables(); ++t)
      for (const float q : {0.f, .5f, 1.f}) all.push_back(tables.value(t, q));
    return all;
  };
  const auto make_tables = [&] {
    funnel::quantile_tables<float> tables(1, {.levels = 4});
    tables.fit(0, lengths);
    return tables;
  };
  funnel::quantile_tables<float> other(2, {.levels = 2});
  other.fit(0, times), other.fit(1, lengths);
  check_every_failure(
      "copy", make_tables, [&](auto& t) { t = other; }, values_of);
  check_every_failure(
      "fit", make_tables, [&](auto& t) { t.fit(0, times); }, values_of);

  const auto seen = [&](const auto& d2q) { return values_of(d2q.tables()); };
  const auto made = [&] { return funnel::fit_duration_quantiles(lengths, times, {.groups = 1}); };
  const auto three = funnel::fit_duration_quantiles(lengths, times, {.groups = 3});
  check_every_failure(
      "copy", made, [&](auto& d) { d = three; }, seen);
  check_every_failure(
      "fit", made,
      [&](auto& d) { d = funnel::fit_duration_quantiles(lengths, times, {.groups = 2}); }, seen);
}

TEST_CASE("out of memory: quantile_scale") {
  const std::vector<float> scores{5, 9, 20, 40};
  const std::vector<std::uint32_t> types{0, 1, 0, 1};
  const auto make = [&] {
    funnel::quantile_scale<float> scale(1, 2, {.levels = 2});
    scale.fit(0, scores, types);
    return scale;
  };
  const auto seen = [](const auto& scale) {
    return std::vector{scale.scale(0, 0, 9), scale.scale(0, 1, 9)};
  };
  check_every_failure(
      "fit", make,
      [](auto& s) {
        s.fit(0, std::vector{3, 1, 9}, std::vector<std::uint32_t>{0, 0, 1});
      },
      seen);
}
