// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>
#include <funnel/core/error.hpp>
#include <funnel/core/state.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <limits>
#include <span>
#include <string_view>

namespace funnel {

/// Beta prior of a rate: what is assumed before any impression, as if there had been a + b
/// impressions with a successes.
struct beta_prior {
  /// a and b are 0 or more; a + b > 0.
  double a = 1;
  double b = 1;

  double mean() const { return a / (a + b); }
  /// Strength of the prior, in impressions.
  double strength() const { return a + b; }

  /// See `HasState`. Throws a format_error if a and b that were loaded are no prior.
  void visit_state(auto&& visit) {
    visit("a", a), visit("b", b);
    if (!is_loading(visit)) return;
    detail::check_loaded([&] {
      detail::check_not_negative("beta_prior", "a", a);
      detail::check_not_negative("beta_prior", "b", b);
      detail::check_that("beta_prior", "a + b", a + b, a + b > 0, "a number above 0");
    });
  }
};

/// Returns the prior with the given mean in [0, 1] and strength (in impressions) above 0.
///
/// Errors      std::invalid_argument outside those ranges.
inline beta_prior beta_prior_of(double mean, double strength) {
  detail::check_unit_interval("beta_prior_of", "mean", mean);
  detail::check_positive("beta_prior_of", "strength", strength);
  return {mean * strength, (1 - mean) * strength};
}

/// Smoothed rate: the expected rate given `count` successes in `impressions` and a beta prior.
///
///     r = (c + a) / (n + a + b),   c = min(count, n)
///
/// The count is limited to n because a late event may arrive without its impression.
///
/// Units       counts may be fractional (decayed or weighted).
/// Errors      std::invalid_argument if a count, a or b is negative or not finite, or impressions,
///             a and b are all 0.
/// Source      X. Wang et al., 2011; docs/formulas.md#smoothed-rate.
inline double smoothed_rate(double count, double impressions, const beta_prior& prior) {
  detail::check_not_negative("smoothed_rate", "count", count);
  detail::check_not_negative("smoothed_rate", "impressions", impressions);
  detail::check_not_negative("smoothed_rate", "prior.a", prior.a);
  detail::check_not_negative("smoothed_rate", "prior.b", prior.b);
  const double c = std::min(count, impressions), n = impressions + prior.a + prior.b;
  if (n == 0)
    detail::fail("funnel::smoothed_rate: impressions is 0 and prior {0, 0}, expected one above 0");
  // A quarter of each, if their sum overflows.
  if (std::isinf(n)) return (c / 4 + prior.a / 4) / (impressions / 4 + prior.a / 4 + prior.b / 4);
  return (c + prior.a) / n;
}

/// Lower bound of the Wilson score interval of a rate: the rate is at least this high, with the
/// confidence given by z. For selecting items, not as a feature.
///
///     [p + z^2/2n - z sqrt(p (1 - p)/n + z^2/4n^2)] / (1 + z^2/n),   p = min(count, n)/n
///
/// Units       z in standard errors: with 1.96, the true rate is below the bound in 2.5 % of the
///             cases. Returns 0 without impressions.
/// Errors      std::invalid_argument if a number is negative or not finite.
/// Numerics    computed in a form without subtraction: the result is never above p, and 0 if p
///             is 0.
/// Source      Wilson, JASA 1927; docs/formulas.md#wilson-lower-bound.
inline double wilson_lower_bound(double count, double impressions, double z = 1.96) {
  detail::check_not_negative("wilson_lower_bound", "count", count);
  detail::check_not_negative("wilson_lower_bound", "impressions", impressions);
  detail::check_not_negative("wilson_lower_bound", "z", z);
  const double c = std::min(count, impressions);
  if (c == 0) return 0;
  // The product of both ends of the interval is (c^2/n) / (n + z^2); divide it by the upper end.
  const double p = c / impressions, q = (impressions - c) / impressions;
  const double above = z / 2 + std::hypot(std::sqrt(c * q), z / 2);
  return p / (1 + z / c * above);
}

namespace detail {

inline void check_counts(std::string_view function, std::span<const double> counts,
                         std::span<const double> impressions) {
  check_size(function, "counts", counts.size(), impressions.size(), "impressions");
  check_not_negative(function, "counts", counts);
  check_not_negative(function, "impressions", impressions);
  if (std::ranges::none_of(impressions, [](double n) { return n > 0; }))
    fail("funnel::", function, ": impressions has no value above 0, expected one or more");
}

/// digamma(x + k) - digamma(x) and trigamma(x) - trigamma(x + k) for x > 0, k >= 0; both are 0 or
/// more.
///
/// Uses the recurrence up to 16, then the asymptotic series, whose omitted terms are below rounding
/// error there. Differences are taken term by term: the difference of the functions would lose all
/// digits if k is small compared with x.
///
/// Source      Abramowitz and Stegun, 1964, 6.3.18 and 6.4.12.
struct polygamma_difference {
  double first = 0, second = 0;

  polygamma_difference(double x, double k) {
    if (k == 0) return;
    for (; x < 16; ++x) add(x, k, 1, 1);
    first += std::log1p(k / x);
    add(x, k, .5, 0);
    const double inverse = 1 / (x + k);
    second += k / (x + k) / x * (1 + .5 * (1 / x + inverse));
    first += first_tail(1 / x) - first_tail(inverse);
    second += second_tail(1 / x) - second_tail(inverse);
  }

 private:
  /// Adds f (1/x - 1/(x + k)) to first, and s (1/x^2 - 1/(x + k)^2) to second.
  void add(double x, double k, double f, double s) {
    const double difference = k / (x + k) / x;
    first += f * difference;
    second += s * difference * (1 / x + 1 / (x + k));
  }
  static double first_tail(double r) {
    const double y = r * r;
    return y * series(y, {1. / 12, 1. / 120, 1. / 252, 1. / 240, 1. / 132, 691. / 32760});
  }
  static double second_tail(double r) {
    const double y = r * r;
    return y * r * series(y, {1. / 6, 1. / 30, 1. / 42, 1. / 30, 5. / 66, 691. / 2730});
  }
  /// c0 - c1 y + c2 y^2 - ...
  static double series(double y, const std::array<double, 6>& c) {
    return c[0] - y * (c[1] - y * (c[2] - y * (c[3] - y * (c[4] - y * c[5]))));
  }
};

}  // namespace detail

/// Fits a beta prior to the rates of many keys by the method of moments (mean and variance).
///
///     r_i = c_i / n_i over n_i > 0,  m = mean r_i,  v = variance r_i,  h = mean 1/n_i
///     sigma^2 = (v - m (1 - m) h) / (1 - h)        v without the sampling noise of the counts
///     s = m (1 - m) / sigma^2 - 1,  a = m s,  b = (1 - m) s
///
/// The strength s is `fallback_strength` if the counts do not show that rates differ (sigma^2 <= 0,
/// h >= 1, fewer than two keys), or if s <= 0.
///
/// Shapes      counts, impressions [n], one value per key. Counts above their impressions are
///             limited to them.
/// Errors      std::invalid_argument if the sizes differ, a count is negative or not finite, there
///             are no impressions at all, or fallback_strength is not finite and above 0.
/// Source      docs/formulas.md#beta-prior; the noise term is exact.
inline beta_prior fit_beta_moments(std::span<const double> counts,
                                   std::span<const double> impressions,
                                   double fallback_strength = 100) {
  detail::check_counts("fit_beta_moments", counts, impressions);
  detail::check_positive("fit_beta_moments", "fallback_strength", fallback_strength);
  double keys = 0, rates = 0, inverses = 0;
  for (std::size_t i = 0; i < counts.size(); ++i) {
    if (impressions[i] == 0) continue;
    ++keys;
    rates += std::min(counts[i] / impressions[i], 1.0);
    inverses += 1 / impressions[i];
  }
  const double m = rates / keys;
  const double h = inverses / keys;
  double squares = 0;
  for (std::size_t i = 0; i < counts.size(); ++i) {
    if (impressions[i] == 0) continue;
    const double off = std::min(counts[i] / impressions[i], 1.0) - m;
    squares += off * off;
  }
  if (keys > 1 && h < 1) {
    const double sigma2 = (squares / (keys - 1) - m * (1 - m) * h) / (1 - h);
    const double s = m * (1 - m) / sigma2 - 1;
    if (sigma2 > 0 && s > 0 && std::isfinite(s)) return beta_prior_of(m, s);
  }
  return beta_prior_of(m, fallback_strength);
}

/// The result of `fit_beta_likelihood`.
struct beta_fit {
  beta_prior prior;
  std::size_t iterations = 0;
  /// Whether the prior maximizes the likelihood. False if the iterations ran out, or if the
  /// likelihood has no maximum: rates that do not differ drive the strength to infinity (the fit
  /// stops at 1e6), and keys that always or never succeeded drive it to 0 (the fit stops at 1e-6).
  bool converged = false;
};

/// Fits a beta prior to the counts of many keys by maximum likelihood.
///
///     ln L = sum ln B(c + a, n - c + b) - ln B(a, b),   B is the beta function
///
/// Starts from the prior of `fit_beta_moments` and takes Newton steps in (ln a, ln b). A step
/// changes a and b by a factor of e at most. The fit stops when neither changes by more than 1e-10
/// of its value, or when the derivatives are 0 up to rounding. If the curvature is upward, it is
/// turned downward. If the counts contain no information about the strength, as with one impression
/// per key, the strength remains that of `fit_beta_moments`.
///
/// If `converged` is false, the prior can be used, but check it first: a strength of 1e6 replaces
/// every rate by the mean, and a strength of 1e-6 leaves every observed rate as it is.
///
/// Shapes      as `fit_beta_moments`.
/// Errors      as `fit_beta_moments`.
/// Cost        O(n) per iteration, usually about 10 iterations.
/// Source      docs/formulas.md#beta-prior. The maximum is that of Minka's fixed-point iteration
///             (2000), which took 2,000 to 30,000 iterations on 400 keys, and was off by up to a
///             factor of three after 1,000.
inline beta_fit fit_beta_likelihood(std::span<const double> counts,
                                    std::span<const double> impressions,
                                    std::size_t iterations = 100) {
  using difference = detail::polygamma_difference;
  constexpr double weakest = 1e-6, strongest = 1e6, smallest_part = 1e-100;
  detail::check_counts("fit_beta_likelihood", counts, impressions);
  beta_fit fit{fit_beta_moments(counts, impressions)};
  auto& [a, b] = fit.prior;
  while (fit.iterations < iterations && !fit.converged && a + b < strongest && a + b > weakest &&
         std::min(a, b) > smallest_part) {
    double da = 0, db = 0, daa = 0, dbb = 0, dab = 0;  // derivatives of ln L
    double size_a = 0, size_b = 0;                     // sizes of the terms of da and db
    for (std::size_t i = 0; i < counts.size(); ++i) {
      const double n = impressions[i], c = std::min(counts[i], n);
      const difference successes(a, c), failures(b, n - c), trials(a + b, n);
      da += successes.first - trials.first;
      db += failures.first - trials.first;
      size_a += successes.first + trials.first;
      size_b += failures.first + trials.first;
      daa -= successes.second;
      dbb -= failures.second;
      dab += trials.second;
    }
    constexpr double rounding = 4 * std::numeric_limits<double>::epsilon();
    const bool flat = std::abs(da) <= rounding * size_a && std::abs(db) <= rounding * size_b;
    const double gu = a * da, gv = b * db;
    const double huv = a * b * dab;
    double huu = a * a * (daa + dab) + gu, hvv = b * b * (dbb + dab) + gv;
    const double largest = (huu + hvv) / 2 + std::hypot((huu - hvv) / 2, huv);  // eigenvalue
    const double size = std::abs(huu + hvv);
    const double shift = largest < -1e-9 * size ? 0 : 2 * std::abs(largest) + 1e-6 * size;
    huu -= shift;
    hvv -= shift;
    const double determinant = huu * hvv - huv * huv;
    const double u = (huv * gv - hvv * gu) / determinant;
    const double v = (huv * gu - huu * gv) / determinant;
    ++fit.iterations;
    fit.converged = flat || (std::abs(u) <= 1e-10 && std::abs(v) <= 1e-10);
    if (flat || !std::isfinite(u) || !std::isfinite(v)) break;
    a *= std::exp(std::clamp(u, -1.0, 1.0));
    b *= std::exp(std::clamp(v, -1.0, 1.0));
  }
  return fit;
}

}  // namespace funnel
