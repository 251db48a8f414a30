// SPDX-License-Identifier: MIT
#include <funnel/calibration/head_calibration.hpp>

#include <funnel/core/random.hpp>
#include <funnel/features/column_table.hpp>
#include <funnel/io/model_file.hpp>
#include <funnel/io/model_writer.hpp>
#include <funnel/metrics/calibration_error.hpp>

#include "calibration/samples.hpp"
#include "support/allocation.hpp"
#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/saved_state.hpp"
#include "support/tolerance.hpp"

#include <array>
#include <cmath>
#include <filesystem>
#include <limits>
#include <vector>

using funnel::head_calibration;
using funnel::head_fit;
using funnel::head_fit_status;
using funnel::head_kind;
using funnel::matrix;
using ids = std::vector<std::uint32_t>;

namespace {

constexpr double missing = std::numeric_limits<double>::quiet_NaN();
constexpr funnel::calibrated_head amount{.kind = head_kind::amount};

/// Segments 1 and 2 by country; 3, 4 below 1 and 5, 6 below 2 by tab.
funnel::segments two_by_two() {
  funnel::column_table log;
  log.add("country", std::vector<int>{1, 1, 2, 2});
  log.add("tab", std::vector<int>{3, 4, 3, 4});
  return {log, {"country", "tab"}, {.min_rows = 1}};
}

/// Rows of one segment; `sample::labels` are drawn with probability sigma(a z + b).
struct segmented {
  doubles logits, labels;
  ids segments;

  void add(std::uint32_t segment, std::size_t n, double a, double b, std::uint64_t seed) {
    const sample rows = draw(n, a, b, seed, 1);
    logits.insert(logits.end(), rows.logits.begin(), rows.logits.end());
    labels.insert(labels.end(), rows.labels.begin(), rows.labels.end());
    segments.insert(segments.end(), n, segment);
  }
  head_fit fit(head_calibration& c, const funnel::head_fit_options& options = {}) const {
    return c.fit(0, logits, labels, segments, options);
  }
  /// The rows in a segment and below it.
  sample of(const funnel::segments& tree, std::uint32_t segment) const {
    sample rows;
    for (std::size_t i = 0; i < logits.size(); ++i) {
      std::uint32_t s = segments[i];
      while (s != 0 && s != segment) s = tree.parent(s);
      if (s != segment) continue;
      rows.logits.push_back(logits[i]);
      rows.labels.push_back(labels[i]);
    }
    return rows;
  }
};

bool same_line(const funnel::platt_scaling& x, const funnel::platt_scaling& y) {
  return x.a == y.a && x.b == y.b;
}

/// The loss that a segment's fit minimizes, written out: of the labels, and w times that of the
/// parent's probabilities.
struct penalized_loss {
  sample rows;
  doubles parent;
  double w = 0;

  penalized_loss(const sample& own, const funnel::platt_scaling& above, double strength)
      : rows(own) {
    double information = 0;
    for (const double z : rows.logits) {
      const double p = sigmoid(above.logit(z));
      parent.push_back(p);
      information += p * (1 - p);
    }
    w = strength / information;
  }
  double operator()(double a, double b) const {
    double labels = 0, prior = 0;
    for (std::size_t i = 0; i < rows.logits.size(); ++i) {
      const double z = a * rows.logits[i] + b, loss_of_0 = std::log1p(std::exp(z));
      labels += loss_of_0 - rows.labels[i] * z;
      prior += loss_of_0 - parent[i] * z;
    }
    return labels + w * prior;
  }
};

/// The x in [low, high] with the least f(x), of one minimum.
template <class F>
double golden_section(double low, double high, F f) {
  const double part = (std::sqrt(5.) - 1) / 2;
  for (int step = 0; step < 40; ++step) {  // .618^40 = 4e-9
    const double x = high - part * (high - low), y = low + part * (high - low);
    const bool left = f(x) < f(y);
    (left ? high : low) = left ? y : x;
  }
  return (low + high) / 2;
}

/// Golden section finds a minimum to about the square root of the rounding of f.
const double found_by_search = tolerance::promised(1e-6, 1);

}  // namespace

TEST_CASE("head_calibration: without segments, as fit_platt and fit_bias to the bit") {
  const auto day = draw(2000, .7, -.4, 1), last_day = draw(1000, .7, -.9, 2);
  head_calibration bias({{}}), slope({{}});
  const head_fit result = bias.fit(0, day.logits, day.labels);
  CHECK(result.status == head_fit_status::fitted);
  CHECK(result.rows == 2000);
  double positives = 0;
  for (const double y : day.labels) positives += y;
  CHECK(result.label_sum == positives);
  CHECK(same_line(bias.scaling(0), funnel::fit_bias(day.logits, day.labels)));
  const auto platt = funnel::fit_platt(day.logits, day.labels);
  CHECK(slope.fit(0, day.logits, day.labels, {}, {.slope = true}).status ==
        head_fit_status::fitted);
  CHECK(same_line(slope.scaling(0), platt));
  for (const float z : {-40.f, -1.f, 0.f, .3f, 25.f})
    CHECK(slope.calibrate(0, z) == platt.probability(z));

  // In serving: the correction of dropped negatives, then the slope of one day, then the bias of
  // another.
  head_calibration served({{.kept_negatives = .25}});
  CHECK(served.scaling(0).b == std::log(.25));
  CHECK(served.calibrate(0, 0.) == funnel::downsampling_correction<double>(.25).probability(.5));
  served.fit(0, day.logits, day.labels, {}, {.slope = true});
  doubles corrected, sloped;
  for (const double z : day.logits) corrected.push_back(z + std::log(.25));
  const auto first = funnel::fit_platt(corrected, day.labels);
  for (const double z : last_day.logits)
    sloped.push_back(first.a * z + (first.a * std::log(.25) + first.b));
  CHECK(served.scaling(0).a == first.a);
  const double shift = first.a * std::log(.25) + first.b;
  CHECK(tolerance::within(served.scaling(0).b, shift, tolerance::elementwise<double>(shift)));
  served.fit(0, last_day.logits, last_day.labels);
  const auto second = funnel::fit_bias(sloped, last_day.labels);
  CHECK(served.scaling(0).a == first.a);
  CHECK(tolerance::within(served.scaling(0).b, shift + second.b, tolerance::promised(1e-7, 1)));
}

TEST_CASE("head_calibration: an amount gets the factor at which the sums are equal") {
  head_calibration c({{}, amount});
  CHECK(c.kind(0) == head_kind::probability);
  CHECK(c.kind(1) == head_kind::amount);
  CHECK(c.calibrate(1, 30.f) == 30.f);
  const head_fit result =
      c.fit(1, doubles{1, 2, 9, 5}, std::vector<float>{2, 1, std::nanf(""), 1}, {}, {});
  CHECK(result.status == head_fit_status::fitted);
  CHECK(result.rows == 3);
  CHECK(result.label_sum == 4);
  CHECK(c.calibrate(1, 30.f) == 15.f);
  CHECK(c.calibrate(1, 0.f) == 0.f);
  c.fit(1, doubles{1, 3}, doubles{4, 8});  // anew, not on top
  CHECK(c.calibrate(1, 30.f) == 90.f);
  CHECK(same_line(c.scaling(0), {}));  // the other head
}

TEST_CASE("head_calibration: the factor of a segment, by hand") {
  head_calibration c({amount}, two_by_two());
  // All: estimates 20, labels 30. Country 1: 4 rows, estimates 12 x 1.5 = 18, labels 24.
  const doubles x{1, 2, 4, 5, 8}, y{2, 5, 8, 9, 6};
  const ids by{3, 3, 4, 4, 2};
  const head_fit result = c.fit(0, x, y, by, {.prior_strength = 2});
  CHECK(result.segments == 4);
  CHECK(c.scaling(0).a == 1.5);
  const double country = 1.5 * (24 + 2 * 4.5) / (18 + 2 * 4.5);
  CHECK(tolerance::within(c.scaling(0, 1).a, country, tolerance::elementwise<double>(country)));
  const double u = 3 * country, tab = country * (7 + 2 * u / 2) / (u + 2 * u / 2);
  CHECK(tolerance::within(c.scaling(0, 3).a, tab, tolerance::elementwise<double>(tab)));
  CHECK(c.scaling(0, 5).a == c.scaling(0, 2).a);  // no rows
  // No amount in the segment: the factor is m / (n + m) of the parent's.
  c.fit(0, doubles{1, 1, 2, 2}, doubles{4, 2, 0, 0}, ids{1, 1, 2, 2}, {.prior_strength = 2});
  CHECK(c.scaling(0, 2).a == .5);
  // Without a prior that would be 0, which has no order.
  c.fit(0, doubles{1, 1, 2, 2}, doubles{4, 2, 0, 0}, ids{1, 1, 2, 2}, {.prior_strength = 0});
  CHECK(c.scaling(0, 1).a == 3);
  CHECK(c.scaling(0, 2).a == 1);
}

TEST_CASE("head_calibration: the fit of a segment is the least of the penalized loss") {
  for (const double strength : {0., 5., 50., 500.}) {
    segmented rows;
    rows.add(1, 200, 1.4, -.5, 1);
    rows.add(2, 300, .8, -1.5, 2);
    rows.add(4, 100, .6, .7, 3);
    head_calibration bias({{.kept_negatives = .5}}, two_by_two()), slope = bias;
    rows.fit(bias, {.prior_strength = strength});
    const head_fit result =
        rows.fit(slope, {.slope = true, .slope_labels = 20, .prior_strength = strength});
    CHECK(result.segment_slopes == 3);
    for (const std::uint32_t s : {1u, 2u, 4u}) {
      const std::uint32_t above = bias.segments().parent(s);
      const sample own = rows.of(bias.segments(), s);
      const penalized_loss loss_of_bias(own, bias.scaling(0, above), strength);
      const auto of_b = [&](double b) { return loss_of_bias(1, b); };
      const auto found = bias.scaling(0, s);
      CHECK(found.a == 1);
      CHECK(tolerance::within(found.b, golden_section(-5, 5, of_b), found_by_search));
      const penalized_loss loss(own, slope.scaling(0, above), strength);
      const auto best_b = [&](double a) {
        return golden_section(-5, 5, [&](double b) { return loss(a, b); });
      };
      const auto line = slope.scaling(0, s);
      const double a = golden_section(.01, 5, [&](double t) { return loss(t, best_b(t)); });
      CHECK(tolerance::within(line.a, a, 10 * found_by_search));
      CHECK(tolerance::within(line.b, best_b(a), 10 * found_by_search));
      // Its gradient is 0 there, by central differences.
      const double h = 1e-5, scale = loss(line.a, line.b);
      const double by_a = (loss(line.a + h, line.b) - loss(line.a - h, line.b)) / (2 * h);
      const double by_b = (loss(line.a, line.b + h) - loss(line.a, line.b - h)) / (2 * h);
      CHECK(tolerance::within(by_a, 0, tolerance::finite_difference(scale)));
      CHECK(tolerance::within(by_b, 0, tolerance::finite_difference(scale)));
    }
  }
}

TEST_CASE("head_calibration: a drift of each segment is undone, on rows that were not fitted") {
  const funnel::segments tree = two_by_two();
  const doubles drift{0, 0, 0, -1.2, .9, 1.4, -.8};
  segmented fitted, later;
  for (std::uint32_t s = 3; s <= 6; ++s) {
    fitted.add(s, 20000, .8, drift[s] - 1.5, s);
    later.add(s, 20000, .8, drift[s] - 1.5, s + 10);
  }
  head_calibration global({{}}, tree), c({{}}, tree);
  global.fit(0, fitted.logits, fitted.labels, {}, {.slope = true});
  const head_fit result = fitted.fit(c, {.slope = true, .slope_labels = 500});
  CHECK(result.status == head_fit_status::fitted);
  CHECK(result.segments == 6);
  CHECK(result.segment_slopes == 6);
  CHECK(same_line(global.scaling(0), c.scaling(0)));
  CHECK(same_line(global.scaling(0), global.scaling(0, 5)));
  for (std::uint32_t s = 1; s <= 6; ++s) {
    const sample rows = later.of(tree, s);
    doubles before = rows.logits, after = rows.logits;
    global.calibrate(0, before, s);
    c.calibrate(0, after, s);
    double rate = 0;
    for (const double y : rows.labels) rate += y / static_cast<double>(rows.labels.size());
    // Two samples of the rate are compared: of the fitted rows and of these.
    const double off = tolerance::statistical(std::sqrt(2 * (1 - rate) / rate), rows.labels.size());
    INFO("segment " << s << ": PCOC " << funnel::pcoc(before, rows.labels) << ", then "
                    << funnel::pcoc(after, rows.labels) << " +- " << off);
    CHECK(tolerance::within(funnel::pcoc(after, rows.labels), 1, off));
    if (s >= 3) CHECK_FALSE(tolerance::within(funnel::pcoc(before, rows.labels), 1, 2 * off));
  }
}

TEST_CASE("head_calibration: few rows keep the parent's calibration") {
  double weaker = 1;
  for (const double m : {20., 50., 1000.}) {
    segmented rows;
    rows.add(3, 2000, 1, -1, 1);
    rows.add(5, 1000, 1, -2, 2);
    for (int i = 0; i < 3; ++i) {  // three positives in segment 4, below 1
      rows.logits.push_back(-1.5);
      rows.labels.push_back(1);
      rows.segments.push_back(4);
    }
    head_calibration c({{}, amount}, two_by_two());
    rows.fit(c, {.slope = true, .prior_strength = m});
    CHECK(c.scaling(0, 4).a == c.scaling(0, 1).a);
    const double moved = c.scaling(0, 4).b - c.scaling(0, 1).b;
    CHECK(moved > 0);
    CHECK(moved < 3 / m);
    CHECK(same_line(c.scaling(0, 6), c.scaling(0, 2)));  // no rows at all
    // Many rows do not, the less the weaker the prior.
    const double of_many = c.scaling(0, 3).b - c.scaling(0, 0).b;
    CHECK(of_many > 0);
    CHECK(of_many < weaker);
    weaker = of_many;
  }
}

TEST_CASE("head_calibration: a later fit keeps what it does not fit") {
  segmented day, last_day;
  for (std::uint32_t s = 3; s <= 6; ++s) {
    day.add(s, 5000, .3 * s, -1 + .2 * s, s);
    last_day.add(s, 5000, .3 * s, -2 + .4 * s, s + 10);
  }
  head_calibration c({{}}, two_by_two());
  day.fit(c, {.slope = true, .slope_labels = 100});
  const head_calibration before = c;
  // Fitting the same again changes nothing but rounding.
  day.fit(c, {.slope = true, .slope_labels = 100});
  const double rounding = tolerance::promised(1e-7, 1);
  for (std::uint32_t s = 0; s <= 6; ++s) {
    CHECK(tolerance::within(c.scaling(0, s).a, before.scaling(0, s).a, rounding));
    CHECK(tolerance::within(c.scaling(0, s).b, before.scaling(0, s).b, rounding));
  }
  // A bias without segments moves all; differences and slopes stay.
  c = before;
  c.fit(0, last_day.logits, last_day.labels);
  const double moved = c.scaling(0).b - before.scaling(0).b;
  CHECK(std::abs(moved) > .01);
  for (std::uint32_t s = 1; s <= 6; ++s) {
    CHECK(c.scaling(0, s).a == before.scaling(0, s).a);
    CHECK(c.scaling(0, s).b != before.scaling(0, s).b);
  }
  // A bias by segment: the slopes stay, and the mean of each segment is right.
  last_day.fit(c, {.prior_strength = 0});
  for (std::uint32_t s = 1; s <= 6; ++s) {
    CHECK(c.scaling(0, s).a == before.scaling(0, s).a);
    const sample rows = last_day.of(c.segments(), s);
    CHECK(tolerance::within(gradient(rows, c.scaling(0, s).a, c.scaling(0, s).b).first, 0,
                            tolerance::promised(1, 2 * funnel::platt_options().tolerance)));
  }
  // A segment without rows turns around the center of its own rows: there it is its parent.
  segmented elsewhere;
  elsewhere.add(5, 1000, 1, -1, 30);
  c = before;
  elsewhere.fit(c);
  CHECK(c.scaling(0, 3).a != c.scaling(0, 1).a);
  const auto here = c.scaling(0, 3), above = c.scaling(0, 1);
  const double center = (above.b - here.b) / (here.a - above.a);
  CHECK(center < -.5);  // logits are drawn around -1 with deviation 1
  CHECK(center > -1.5);
  // A slope of all, with too few labels for a slope of each.
  day.fit(c, {.slope = true, .slope_labels = 1'000'000});
  for (std::uint32_t s = 1; s <= 6; ++s) CHECK(c.scaling(0, s).a == c.scaling(0).a);
}

TEST_CASE("head_calibration: what cannot be fitted stays, and the result says so") {
  head_calibration c({{.kept_negatives = .5}, amount}, two_by_two());
  const saved_state before(c);
  const auto unchanged = [&](const head_fit& result, head_fit_status status) {
    return result.status == status && saved_state(c) == before;
  };
  const ids by{1, 2, 0};
  CHECK(unchanged(c.fit(0, doubles{}, doubles{}), head_fit_status::no_rows));
  CHECK(unchanged(c.fit(0, doubles{1}, doubles{missing}), head_fit_status::no_rows));
  for (const bool slope : {false, true})
    for (const double label : {0., 1.})
      CHECK(unchanged(
          c.fit(0, doubles{1, 2, 3}, doubles{label, missing, label}, by, {.slope = slope}),
          head_fit_status::one_class));
  CHECK(unchanged(c.fit(1, doubles{1, 2, 3}, doubles{0, 0, 0}, by), head_fit_status::one_class));
  CHECK(
      unchanged(c.fit(1, doubles{0, 0, 0}, doubles{1, 0, 0}, by), head_fit_status::not_converged));
  CHECK(unchanged(c.fit(1, doubles{1e-300, 0, 0}, doubles{1e300, 0, 0}, by),
                  head_fit_status::not_converged));

  const doubles ends{1e308, -1e308, -5e307};  // no b is fine enough for a mean between
  for (const bool slope : {false, true})
    CHECK(unchanged(c.fit(0, ends, doubles{1, 0, .3}, by, {.slope = slope}),
                    head_fit_status::not_converged));

  // A falling or an infinite slope: the bias alone, so that the order stays.
  const doubles logits{-2, -1, 1, 2}, falling{1, 0, 1, 0}, separated{0, 0, 1, 1};
  for (const doubles& labels : {falling, separated}) {
    const head_fit result = c.fit(0, logits, labels, {}, {.slope = true});
    CHECK(result.status == head_fit_status::bias_alone);
    CHECK(c.scaling(0).a == 1);
    double sum = 0;
    for (const double z : logits) sum += c.calibrate(0, z);
    CHECK(tolerance::within(sum, 2, tolerance::promised(4, funnel::platt_options().tolerance)));
  }
  // The same in a segment. Its labels are smoothed by the prior, so separated ones have a slope.
  segmented rows;
  rows.add(2, 3000, 1, 0, 1);
  rows.add(1, 300, -2, -2, 2);
  const head_fit result = rows.fit(c, {.slope = true, .slope_labels = 10});
  CHECK(result.status == head_fit_status::fitted);
  CHECK(result.segment_slopes == 1);
  CHECK(c.scaling(0, 1).a == c.scaling(0).a);
}

TEST_CASE("head_calibration: the order within a head and a segment stays") {
  funnel::random_generator bits(5);
  for (std::uint64_t seed = 1; seed <= 4; ++seed) {
    segmented rows;
    for (std::uint32_t s = 1; s <= 6; ++s)
      rows.add(s, 50 + bits() % 500, 2 * funnel::uniform01(bits) - .7, -2 + .7 * s, seed * 10 + s);
    head_calibration c({{.kept_negatives = .1}, amount}, two_by_two());
    rows.fit(c, {.slope = true, .slope_labels = 5, .prior_strength = 1});
    c.fit(1, doubles{1, 2, 3}, doubles{9, 1, 3}, ids{1, 2, 5}, {.prior_strength = 1});
    for (std::uint32_t s = 0; s <= 6; ++s) {
      CHECK(c.scaling(0, s).a > 0);
      CHECK(c.scaling(1, s).a > 0);
      float z = -9;
      for (int i = 0; i < 20000; ++i) {  // neighbors, and steps
        const float next = i % 2 == 0 ? std::nextafter(z, 100.f) : z + .002f;
        if (c.calibrate(0, z, s) > c.calibrate(0, next, s)) FAIL_CHECK("falls at " << z);
        if (i % 2 == 1 && std::abs(z) < 3 && c.scaling(0, s).a > .1 &&
            !(c.calibrate(0, double{z}, s) < c.calibrate(0, double{next}, s)))
          FAIL_CHECK("equal at " << z);
        if (z > 0 && !(c.calibrate(1, z, s) <= c.calibrate(1, next, s)))
          FAIL_CHECK("amounts fall at " << z);
        z = next;
      }
    }
  }
}

TEST_CASE("head_calibration: one value, spans and matrices give the same, without allocation") {
  segmented rows;
  for (std::uint32_t s = 1; s <= 6; ++s) rows.add(s, 500, 1, -2 + .3 * s, s);
  head_calibration c({{}, amount, {.kept_negatives = .3}}, two_by_two());
  rows.fit(c, {.slope = true, .slope_labels = 50});
  c.fit(1, doubles{1, 2}, doubles{2, 7}, ids{1, 4});
  const matrix<float> estimates = [] {
    matrix<float> values(7, 3);
    for (std::size_t i = 0; i < values.size(); ++i) values.flat()[i] = static_cast<float>(i) * .25f;
    return values;
  }();
  const ids by{0, 1, 2, 3, 4, 5, 6};
  matrix<float> each = estimates, request = estimates, wide(7, 5);
  for (std::size_t i = 0; i < 7; ++i)
    for (std::size_t h = 0; h < 3; ++h) wide(i, h + 1) = estimates(i, h);
  std::array<float, 7> column;
  for (std::size_t i = 0; i < 7; ++i) column[i] = estimates(i, 2);
  CHECK(allocations_of([&] {
          c.calibrate(each, by);
          c.calibrate(request, 4);
          c.calibrate(wide.view().middle_cols(1, 3), 4);
          c.calibrate(2, column, 4);
          c.calibrate(2, std::span(column).first(0));
        }) == 0);
  for (std::size_t i = 0; i < 7; ++i) {
    CHECK(wide(i, 0) == 0);
    CHECK(wide(i, 4) == 0);
    CHECK(column[i] == request(i, 2));
    for (std::size_t h = 0; h < 3; ++h) {
      CHECK(each(i, h) == c.calibrate(h, estimates(i, h), by[i]));
      CHECK(request(i, h) == c.calibrate(h, estimates(i, h), 4));
      CHECK(wide(i, h + 1) == request(i, h));
    }
  }
  CHECK(std::isnan(c.calibrate(0, std::nanf(""))));
  CHECK(std::isnan(c.calibrate(1, std::nanf(""))));
  const double most = std::numeric_limits<double>::infinity();
  CHECK(c.calibrate(0, most) == 1);
  CHECK(c.calibrate(0, -most) == 0);
}

TEST_CASE("head_calibration: all heads at once, as one after another") {
  const std::size_t n = 300;
  matrix<float> x(n, 3), y(n, 3);
  ids by;
  funnel::random_generator bits(1);
  for (std::size_t i = 0; i < n; ++i) {
    by.push_back(static_cast<std::uint32_t>(bits() % 7));
    for (std::size_t h = 0; h < 3; ++h) {
      x(i, h) = static_cast<float>(funnel::uniform01(bits));
      y(i, h) = h == 2 ? 0 : static_cast<float>(funnel::bernoulli(bits, .4));
    }
    if (i % 5 == 0) y(i, 1) = std::nanf("");
  }
  const funnel::head_fit_options options{.slope = true, .slope_labels = 10, .prior_strength = 3};
  head_calibration one({{}, amount, {}}, two_by_two()), all = one;
  const std::vector<head_fit> results = all.fit(x, y, by, options);
  REQUIRE(results.size() == 3);
  CHECK(results[1].rows == 240);
  CHECK(results[2].status == head_fit_status::one_class);
  for (std::size_t h = 0; h < 3; ++h) {
    std::vector<float> own_x, own_y;
    for (std::size_t i = 0; i < n; ++i) own_x.push_back(x(i, h)), own_y.push_back(y(i, h));
    const head_fit result = one.fit(h, own_x, own_y, by, options);
    CHECK(result.status == results[h].status);
    CHECK(result.label_sum == results[h].label_sum);
  }
  CHECK(saved_state(one) == saved_state(all));
  CHECK_FALSE(saved_state(all) == saved_state(head_calibration({{}, amount, {}}, two_by_two())));
  for (std::size_t i = 0; i < n; ++i) x(i, 1) = 0;  // no factor makes this an amount
  CHECK(all.fit(x, y, by, options)[1].status == head_fit_status::not_converged);
  for (std::uint32_t s = 0; s <= 6; ++s) CHECK(same_line(all.scaling(1, s), one.scaling(1, s)));
  y(7, 2) = 2;
  head_calibration untouched({{}, amount, {}}, two_by_two());
  const saved_state before(untouched);
  CHECK(refuses([&] { untouched.fit(x, y, by); }, "funnel::head_calibration::fit",
                "labels[7] of head 2 is 2, expected a number in [0, 1] or NaN"));
  CHECK(saved_state(untouched) == before);
}

TEST_CASE("head_calibration: a file holds all of it") {
  segmented rows;
  for (std::uint32_t s = 1; s <= 6; ++s) rows.add(s, 500, .2 + .2 * s, -2 + .3 * s, s);
  head_calibration c({{.kept_negatives = .7}, amount}, two_by_two());
  rows.fit(c, {.slope = true, .slope_labels = 50});
  c.fit(1, doubles{1, 2}, doubles{2, 7}, ids{1, 4});
  const std::string path = std::filesystem::temp_directory_path() / "funnel_head_calibration_test";
  {
    funnel::model_writer file;
    file.state("calibration", c);
    file.write(path);
  }
  head_calibration loaded;
  CHECK(loaded.heads() == 0);
  funnel::model_file(path).load_state("calibration", loaded);
  std::filesystem::remove(path);
  CHECK(saved_state(loaded) == saved_state(c));
  CHECK(loaded.kind(1) == head_kind::amount);
  CHECK(loaded.segments().find(2, 4) == 6);
  for (std::uint32_t s = 0; s <= 6; ++s)
    for (const float z : {-3.f, .1f, 2.f})
      for (std::size_t h = 0; h < 2; ++h) CHECK(loaded.calibrate(h, z, s) == c.calibrate(h, z, s));
  // And it is fitted further as the original.
  rows.fit(c), rows.fit(loaded);
  CHECK(saved_state(loaded) == saved_state(c));
}

TEST_CASE("head_calibration: the lines of a state, by hand") {
  const head_calibration c({{}}, two_by_two());
  saved_state state = saved_state(c).with("heads.0.slopes", doubles{2, 1, 1.5, .5, 1, 1, 2});
  state = state.with("heads.0.centers", doubles{0, 9, -1, 4, 9, 9, -2});
  state = state.with("heads.0.biases", doubles{-1, .25, .5, -.5, 1, 0, 2});
  head_calibration golden;
  state.load(golden);
  const auto is = [&](std::uint32_t s, double a, double b) {
    return golden.scaling(0, s).a == a && golden.scaling(0, s).b == b;
  };
  CHECK(is(0, 2, -1));
  CHECK(is(1, 2, -.75));  // 2 z - 1 + .25
  CHECK(is(2, 3, .5));    // at z = -1 as 2 z - 1, and steeper; then + .5
  CHECK(is(3, 1, 2.75));  // at z = 4 as 2 z - .75, and half as steep; then - .5
  CHECK(is(4, 2, .25));
  CHECK(is(5, 3, .5));
  CHECK(is(6, 6, 8.5));  // at z = -2 as 3 z + .5, and twice as steep; then + 2
  CHECK(golden.calibrate(0, .5) == .5);
  CHECK(golden.calibrate(0, .25, 1) == 1 / (1 + std::exp(.25)));
  CHECK(saved_state(golden) == state);
}

TEST_CASE("head_calibration: refuses a state that is none") {
  const head_calibration c({{}, amount}, two_by_two());
  const saved_state right(c);
  const auto refused = [&](const saved_state& wrong, std::string_view words) {
    return refuses_state(head_calibration(), wrong, words);
  };
  CHECK(refused(right.with("kinds", std::vector<std::uint8_t>{0, 2}), "a kind is 2, expected 0"));
  CHECK(refused(right.with("heads.1.slopes", doubles{1}), "a head has 1 value, expected 7"));
  CHECK(refused(right.with("heads.0.biases", doubles{0, 0, 0, missing, 0, 0, 0}), "[3] is nan"));
  CHECK(refused(right.with("heads.0.slopes", doubles{1, 1, 1, 0, 1, 1, 1}), "slopes[3] is 0"));
  CHECK(refused(right.with("heads.0.slopes", doubles{1e300, 1e300, 1, 1, 1, 1, 1}),
                "slopes of head 0 multiply to 0 or infinity"));
  CHECK(refused(right.with("segments.keys", std::vector<std::uint64_t>{1}), "keys has 1 value"));
}

TEST_CASE("head_calibration: refuses wrong arguments, and nothing is changed") {
  head_calibration c({{}, amount}, two_by_two());
  const saved_state before(c);
  const doubles two{1, 1}, labels{1, 0};
  const auto refused = [&](auto&& call, std::string_view words) {
    return refuses(call, "funnel::head_calibration", words) && saved_state(c) == before;
  };
  CHECK(refused([&] { c.fit(2, two, labels); }, "::fit: head is 2, expected below 2"));
  CHECK(refused([&] { c.fit(0, two, doubles{1}); }, "::fit: labels has 1 value, expected 2"));
  CHECK(refused([&] { c.fit(0, two, labels, ids{1}); }, "::fit: segments has 1 value, expected 2"));
  CHECK(refused([&] { c.fit(0, two, labels, ids{1, 7}); }, "segments[1] is 7, expected below 7"));
  CHECK(
      refused([&] { c.fit(0, two, labels, {}, {.prior_strength = -1}); }, "prior_strength is -1"));
  CHECK(refused([&] { c.fit(0, two, doubles{0, 1.5}); }, "labels[1] of head 0 is 1.5, expected a"));
  CHECK(refused([&] { c.fit(1, two, doubles{0, -1}); }, "labels[1] of head 1 is -1, expected a"));
  CHECK(refused([&] { c.fit(0, doubles{0, missing}, labels); }, "estimates[1] of head 0 is nan"));
  CHECK(refused([&] { c.fit(1, doubles{-2, 1}, labels); }, "estimates[0] of head 1 is -2"));
  matrix<float> values(3, 2), narrow(3, 1);
  CHECK(refused([&] { c.fit(narrow, values); }, "::fit: estimates has 1 column, expected 2"));
  CHECK(refused([&] { c.fit(values, narrow); }, "::fit: labels is [3, 1], expected [3, 2]"));
  CHECK(refused([&] { c.calibrate(2, 0.); }, "::calibrate: head is 2"));
  CHECK(refused([&] { c.calibrate(0, 0., 7); }, "::calibrate: segment is 7, expected below 7"));
  CHECK(refused([&] { c.calibrate(narrow); }, "estimates has 1 column, expected 2 as in heads"));
  CHECK(refused([&] { c.calibrate(values, 7); }, "::calibrate: segment is 7"));
  CHECK(refused([&] { c.calibrate(values, ids{0, 0, 9}); }, "segments[2] is 9, expected below 7"));
  CHECK(refused([&] { c.calibrate(values, ids{0}); }, "segments has 1 value, expected 3"));
  CHECK(values(0, 0) == 0);
  CHECK(refused([&] { c.scaling(0, 7); }, "::scaling: segment is 7"));
  CHECK(refused([&] { c.kind(2); }, "::kind: head is 2"));
  CHECK(refused(
      [&] {
        head_calibration({{}, {.kept_negatives = 0}});
      },
      "kept_negatives of head 1 is 0, expected a number in (0, 1]"));
  CHECK(refused(
      [&] {
        head_calibration({{head_kind::amount, .5}});
      },
      "kept_negatives of head 0 is 0.5, expected 1"));
  // Rows without a label are not looked at.
  CHECK(c.fit(0, doubles{0, missing, 1, 0}, doubles{1, missing, 0, 1}).rows == 3);
}
