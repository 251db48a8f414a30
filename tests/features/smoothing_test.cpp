// SPDX-License-Identifier: MIT
#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/saved_state.hpp"
#include "support/tolerance.hpp"

#include <funnel/core/random.hpp>
#include <funnel/features/smoothing.hpp>

#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

using funnel::beta_prior;
using funnel::smoothed_rate;
using funnel::wilson_lower_bound;

namespace {

struct observed {
  std::vector<double> counts, impressions;
};

/// Keys whose rates come from a Beta.
observed draw(std::size_t keys, const beta_prior& prior, std::size_t most, std::uint64_t seed) {
  funnel::random_generator bits(seed);
  observed result;
  for (std::size_t i = 0; i < keys; ++i) {
    const double x = funnel::standard_gamma(bits, prior.a),
                 y = funnel::standard_gamma(bits, prior.b);
    const std::size_t n = 1 + funnel::uniform_below(bits, most);
    double count = 0;
    for (std::size_t k = 0; k < n; ++k) count += funnel::bernoulli(bits, x / (x + y));
    result.counts.push_back(count);
    result.impressions.push_back(static_cast<double>(n));
  }
  return result;
}

/// Log-likelihood of the counts under a beta-binomial, up to a constant.
double likelihood(const observed& o, double a, double b) {
  double sum = 0;
  for (std::size_t i = 0; i < o.counts.size(); ++i)
    sum += std::lgamma(o.counts[i] + a) - std::lgamma(a) +
           std::lgamma(o.impressions[i] - o.counts[i] + b) - std::lgamma(b) -
           std::lgamma(o.impressions[i] + a + b) + std::lgamma(a + b);
  return sum;
}

const double nan_value = std::numeric_limits<double>::quiet_NaN();

}  // namespace

TEST_CASE("smoothed_rate: golden values") {
  CHECK(tolerance::within(smoothed_rate(1, 2, {2, 98}), .0294118, tolerance::printed(7)));
  CHECK(smoothed_rate(0, 0, {2, 98}) == .02);
  CHECK(smoothed_rate(5, 3, {2, 98}) == smoothed_rate(3, 3, {2, 98}));
  CHECK(smoothed_rate(3, 4, {0, 0}) == .75);
}

TEST_CASE(
    "smoothed_rate lies between the prior and the raw rate, nearer to it with more impressions") {
  const beta_prior prior = funnel::beta_prior_of(.1, 20);
  CHECK(prior.mean() == .1);
  CHECK(prior.strength() == 20);
  double before = .1;
  for (double n = 10; n < 1e6; n *= 3) {
    const double rate = smoothed_rate(.4 * n, n, prior);
    CHECK((rate > before && rate < .4));
    before = rate;
  }
}

TEST_CASE("wilson_lower_bound: golden values") {
  CHECK(tolerance::within(wilson_lower_bound(3, 3), .438494, tolerance::printed(6)));
  CHECK(tolerance::within(wilson_lower_bound(95, 100), .888248, tolerance::printed(6)));
  CHECK(wilson_lower_bound(0, 10) == 0);
  CHECK(wilson_lower_bound(0, 0) == 0);
  CHECK(wilson_lower_bound(4, 3) == wilson_lower_bound(3, 3));
  CHECK(wilson_lower_bound(7, 10, 0) == .7);
}

TEST_CASE("wilson_lower_bound grows with the rate and with the impressions, below the raw rate") {
  for (double n = 10; n <= 10000; n *= 10)
    for (double tenths = 0; tenths < 10; ++tenths) {
      const double c = tenths * n / 10;
      CHECK(wilson_lower_bound(c, n) <= c / n);
      CHECK(wilson_lower_bound(c, n) >= 0);
      CHECK(wilson_lower_bound(c + n / 10, n) > wilson_lower_bound(c, n));
      if (c > 0) CHECK(wilson_lower_bound(10 * c, 10 * n) > wilson_lower_bound(c, n));
    }
}

TEST_CASE("fit_beta_moments: worked by hand") {
  // Rates .2 and .6 of 10 each: m = .4, v = .08, h = .1, sigma^2 = (.08 - .024)/.9.
  const std::vector<double> counts = {2, 6, 0}, impressions = {10, 10, 0};
  const beta_prior prior = funnel::fit_beta_moments(counts, impressions);
  const double s = .24 / (.056 / .9) - 1;
  CHECK(tolerance::within(prior.a, .4 * s, tolerance::iterative<double>(8, s)));
  CHECK(tolerance::within(prior.b, .6 * s, tolerance::iterative<double>(8, s)));
}

TEST_CASE("fit_beta_moments finds the prior that rates came from") {
  const beta_prior truth{3, 17};
  const observed o = draw(20000, truth, 60, 1);
  const beta_prior found = funnel::fit_beta_moments(o.counts, o.impressions);
  // Of s the estimate's deviation is about s sqrt(2/keys) times what the counts' noise adds, 3.
  CHECK(tolerance::within(found.mean(), .15, tolerance::statistical(.13, 20000)));
  CHECK(tolerance::within(found.strength(), 20,
                          tolerance::statistical(20 * 3 * std::sqrt(2.), 20000)));
}

TEST_CASE("fit_beta_moments falls back where rates do not differ") {
  const auto strength = [](std::vector<double> counts, std::vector<double> impressions) {
    return funnel::fit_beta_moments(counts, impressions).strength();
  };
  CHECK(strength({3}, {10}) == 100);
  CHECK(strength({3, 3, 3}, {10, 10, 10}) == 100);
  CHECK(strength({0, 1, 1}, {1, 1, 1}) == 100);
  CHECK(strength({0, 0}, {5, 9}) == 100);
  CHECK(strength({0, 50}, {50, 50}) == 100);  // nothing but 0 and 1
  const std::vector<double> counts = {9, 12}, impressions = {3, 3};
  CHECK(funnel::fit_beta_moments(counts, impressions).mean() == 1);
}

TEST_CASE("fit_beta_likelihood finds the maximum of the likelihood") {
  // Few impressions a key are the hard case: the moments start far off.
  for (const std::size_t most : {5u, 50u, 500u})
    for (const beta_prior truth : {beta_prior{2, 30}, beta_prior{.5, 50}, beta_prior{30, 100}}) {
      const observed o = draw(400, truth, most, 3);
      const funnel::beta_fit fit = funnel::fit_beta_likelihood(o.counts, o.impressions);
      CHECK(fit.converged);
      CHECK(fit.iterations < 20);
      const double a = fit.prior.a, b = fit.prior.b, best = likelihood(o, a, b);
      for (const double scale : {.9, .99, 1.01, 1.1}) {
        CHECK(likelihood(o, scale * a, b) < best);
        CHECK(likelihood(o, a, scale * b) < best);
        CHECK(likelihood(o, scale * a, scale * b) < best);
      }
    }
}

TEST_CASE("fit_beta_likelihood ends where the fixed point does not move") {
  const observed o = draw(200, {3, 17}, 30, 4);
  const auto [prior, iterations, converged] = funnel::fit_beta_likelihood(o.counts, o.impressions);
  const auto psi = [](double x) { return funnel::detail::polygamma_difference(1, x - 1).first; };
  double successes = 0, failures = 0, trials = 0;
  for (std::size_t i = 0; i < o.counts.size(); ++i) {
    successes += psi(o.counts[i] + prior.a) - psi(prior.a);
    failures += psi(o.impressions[i] - o.counts[i] + prior.b) - psi(prior.b);
    trials += psi(o.impressions[i] + prior.a + prior.b) - psi(prior.a + prior.b);
  }
  const double bound = tolerance::iterative<double>(200 * 100, 1);
  CHECK(tolerance::within(successes / trials, 1, bound));
  CHECK(tolerance::within(failures / trials, 1, bound));
}

TEST_CASE("fit_beta_moments, fit_beta_likelihood: counts above their impressions are cut") {
  const std::vector<double> late = {9, 1, 0, 2}, cut = {5, 1, 0, 2}, impressions = {5, 8, 7, 4};
  CHECK(funnel::fit_beta_moments(late, impressions).a ==
        funnel::fit_beta_moments(cut, impressions).a);
  CHECK(funnel::fit_beta_likelihood(late, impressions).prior.a ==
        funnel::fit_beta_likelihood(cut, impressions).prior.a);
}

TEST_CASE("fit_beta_likelihood says where it found no maximum") {
  const observed o = draw(400, {2, 30}, 50, 3);
  CHECK_FALSE(funnel::fit_beta_likelihood(o.counts, o.impressions, 2).converged);
  CHECK(funnel::fit_beta_likelihood(o.counts, o.impressions, 2).iterations == 2);
  CHECK(funnel::fit_beta_likelihood(o.counts, o.impressions, 0).iterations == 0);
  const std::vector<double> none = {0, 0}, impressions = {5, 9};
  CHECK_FALSE(funnel::fit_beta_likelihood(none, impressions).converged);
  // Equal rates: the stronger the prior, the better.
  const std::vector<double> equal(20, 30), hundreds(20, 100);
  const funnel::beta_fit fit = funnel::fit_beta_likelihood(equal, hundreds);
  CHECK_FALSE(fit.converged);
  CHECK(fit.prior.strength() >= 1e6);
  CHECK(tolerance::within(fit.prior.mean(), .3, tolerance::promised(.001, .3)));
  // One impression a key says nothing of the strength; the mean is still right.
  const std::vector<double> flags = {1, 0, 0, 1, 0}, ones(5, 1);
  CHECK(tolerance::within(funnel::fit_beta_likelihood(flags, ones).prior.mean(), .4,
                          tolerance::promised(.001, .4)));
}

TEST_CASE("fit_beta_likelihood converges where the likelihood is nearly flat") {
  // One failure among 154: the digits of digamma run out before the steps are short.
  const std::vector<double> counts = {45, 16, 33, 22, 37}, impressions = {45, 17, 33, 22, 37};
  const funnel::beta_fit fit = funnel::fit_beta_likelihood(counts, impressions);
  CHECK(fit.converged);
  CHECK(tolerance::within(fit.prior.a, 424.2781, tolerance::printed(4)));  // by scipy, 50 digits
  CHECK(tolerance::within(fit.prior.b, 2.87948, tolerance::printed(5)));
}

TEST_CASE("fit_beta_likelihood gives up where the strength goes to 0") {
  // Each key succeeded always or never: the weaker the prior, the better.
  const std::vector<double> counts = {1, 0, 0}, impressions = {1, 1, 2};
  const funnel::beta_fit fit = funnel::fit_beta_likelihood(counts, impressions);
  CHECK_FALSE(fit.converged);
  CHECK(fit.iterations < 30);
  CHECK(fit.prior.strength() <= 1e-6);
  CHECK(fit.prior.strength() > 1e-7);
  CHECK(funnel::smoothed_rate(1, 1, fit.prior) > .999);
}

TEST_CASE("fit_beta_moments, fit_beta_likelihood: numbers whatever the counts") {
  const double most = std::numeric_limits<double>::max(), least = 5e-324;
  const std::vector<observed> cases = {{{most, 0}, {most, most}},
                                       {{least, 0}, {least, least}},
                                       {{least, 3}, {most, 5}},
                                       {{1e-300, 1, 2}, {1, 3, 2}},
                                       {{.1, .2, .3}, {.1, .2, .3}},
                                       {{0, 5, 1e9}, {1e300, 10, 2e9}},
                                       {{1, 1, 1, 1}, {1e9, 1e9, 1e9, 1e9 - 1}}};
  for (const auto& [counts, impressions] : cases) {
    const beta_prior moments = funnel::fit_beta_moments(counts, impressions);
    const funnel::beta_fit fit = funnel::fit_beta_likelihood(counts, impressions);
    for (const beta_prior& prior : {moments, fit.prior}) {
      CHECK((prior.a >= 0 && prior.b >= 0));
      CHECK((prior.strength() > 0 && std::isfinite(prior.strength())));
    }
  }
}

TEST_CASE("wilson_lower_bound, smoothed_rate: at the ends of the number line") {
  const double most = std::numeric_limits<double>::max(), least = 5e-324;
  CHECK(wilson_lower_bound(0, 1.6e-288, 0) == 0);
  CHECK(wilson_lower_bound(least, least, 0) == 1);
  CHECK(wilson_lower_bound(1, 2, most) == 0);
  CHECK(wilson_lower_bound(most, most) == 1);
  CHECK(wilson_lower_bound(most / 2, most, 1e10) == .5);
  CHECK(wilson_lower_bound(1e-200, 1e-200, 0) == 1);
  // (c/n) / (1 + z^2/c), both far out: no square of z is taken alone.
  CHECK(tolerance::within(wilson_lower_bound(1e300, 1e300, 1e160), 1e-20,
                          tolerance::elementwise<double>(1e-20, 8)));
  CHECK(tolerance::within(smoothed_rate(most, most, {most, most}), 2. / 3,
                          tolerance::elementwise<double>(1)));
  CHECK(smoothed_rate(0, most, {0, most}) == 0);
  CHECK(smoothed_rate(least, least, {0, 0}) == 1);
}

TEST_CASE("polygamma_difference: known values, sums of steps, and far apart") {
  using funnel::detail::polygamma_difference;
  const auto near = [](const polygamma_difference& found, double first, double second) {
    CHECK(tolerance::within(found.first, first, tolerance::iterative<double>(2, first)));
    CHECK(tolerance::within(found.second, second, tolerance::iterative<double>(2, second)));
  };
  near({1, 4}, 1 + 1. / 2 + 1. / 3 + 1. / 4, 1 + 1. / 4 + 1. / 9 + 1. / 16);
  near({.5, .5}, 2 * std::log(2.), 3.2898681336964528729);  // pi^2 / 2 - pi^2 / 6
  for (double x = .001; x < 1e7; x *= 1.7) near({x, 1}, 1 / x, 1 / (x * x));
  // What differences of the functions have no digits for: psi(1e6 + 1e-3) - psi(1e6), by series.
  near({1e6, 1e-3}, 1.000000499500166167e-9, 1.000000999000498501e-15);
  near({3, 0}, 0, 0);
}

TEST_CASE("smoothing refuses what is no count") {
  const auto check = [](auto&& call, const char* function) {
    CHECK(refuses(call, function, "expected "));
  };
  check([] { smoothed_rate(-1, 2, {1, 1}); }, "funnel::smoothed_rate");
  check([] { smoothed_rate(1, nan_value, {1, 1}); }, "funnel::smoothed_rate");
  check([] { smoothed_rate(0, 0, {0, 0}); }, "funnel::smoothed_rate");
  check([] { smoothed_rate(1, 2, {-1, 3}); }, "funnel::smoothed_rate");
  check([] { wilson_lower_bound(-1, 2); }, "funnel::wilson_lower_bound");
  check([] { wilson_lower_bound(1, 2, nan_value); }, "funnel::wilson_lower_bound");
  const double infinity = std::numeric_limits<double>::infinity();
  for (const double bad : {infinity, -infinity, nan_value, -1.}) {
    check([&] { smoothed_rate(bad, 2, {1, 1}); }, "funnel::smoothed_rate: count is ");
    check([&] { smoothed_rate(1, bad, {1, 1}); }, "funnel::smoothed_rate: impressions is ");
    check([&] { smoothed_rate(1, 2, {bad, 1}); }, "funnel::smoothed_rate: prior.a is ");
    check([&] { smoothed_rate(1, 2, {1, bad}); }, "funnel::smoothed_rate: prior.b is ");
    check([&] { wilson_lower_bound(bad, 2); }, "funnel::wilson_lower_bound: count is ");
    check([&] { wilson_lower_bound(1, bad); }, "funnel::wilson_lower_bound: impressions is ");
    const std::vector<double> wrong = {1, bad}, right = {3, 4};
    check([&] { funnel::fit_beta_moments(wrong, right); },
          "funnel::fit_beta_moments: counts[1] is ");
    check([&] { funnel::fit_beta_moments(right, wrong); },
          "funnel::fit_beta_moments: impressions[1] is ");
    check([&] { funnel::fit_beta_likelihood(wrong, right); },
          "funnel::fit_beta_likelihood: counts[1] is ");
    CHECK(refuses([&] { funnel::fit_beta_moments(right, right, bad); }, "funnel::fit_beta_moments",
                  "fallback_strength is "));
  }
  check([] { funnel::beta_prior_of(1.5, 2); }, "funnel::beta_prior_of");
  check([] { funnel::beta_prior_of(.5, 0); }, "funnel::beta_prior_of");
  const std::vector<double> one = {1}, two = {1, 2}, negative = {-1}, zero = {0};
  CHECK(refuses([&] { funnel::fit_beta_moments(one, two); }, "funnel::fit_beta_moments",
                "counts has 1 value, expected 2 as in impressions"));
  CHECK(refuses([&] { funnel::fit_beta_likelihood(negative, one); }, "funnel::fit_beta_",
                "counts[0] is -1, expected a finite number of 0 or more"));
  CHECK(refuses([&] { funnel::fit_beta_moments(zero, zero); }, "funnel::fit_beta_moments",
                "impressions has no value above 0"));
}

TEST_CASE("beta_prior: its state is loaded, or refused") {
  const saved_state file{funnel::beta_prior{.a = 2, .b = 30}};
  funnel::beta_prior loaded;
  file.load(loaded);
  CHECK(loaded.a == 2);
  CHECK(loaded.b == 30);
  const double nan = std::numeric_limits<double>::quiet_NaN();
  CHECK(refuses_state(loaded, file.with("a", std::vector{-1.}), "beta_prior: a is -1"));
  CHECK(refuses_state(loaded, file.with("b", std::vector{nan}), "beta_prior: b is nan"));
  const saved_state nothing = file.with("a", std::vector{0.}).with("b", std::vector{0.});
  CHECK(refuses_state(loaded, nothing, "beta_prior: a + b is 0"));
}
