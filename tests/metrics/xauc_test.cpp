// SPDX-License-Identifier: MIT
#include <funnel/metrics/auc.hpp>
#include <funnel/metrics/xauc.hpp>

#include "support/catch.hpp"
#include "support/errors.hpp"

#include <funnel/core/random.hpp>

#include <cmath>
#include <limits>
#include <vector>

namespace {

using doubles = std::vector<double>;

constexpr double nan_score = std::numeric_limits<double>::quiet_NaN();

double all_pairs_xauc(const doubles& p, const doubles& t) {
  double doubled_wins = 0, pairs = 0;
  const auto value = [&](std::size_t i) { return std::isnan(p[i]) ? -1e300 : p[i]; };
  for (std::size_t i = 0; i < p.size(); ++i)
    for (std::size_t j = 0; j < p.size(); ++j) {
      if (!(t[i] > t[j])) continue;
      ++pairs;
      doubled_wins += value(i) > value(j) ? 2 : value(i) == value(j) ? 1 : 0;
    }
  return doubled_wins / (2 * pairs);
}

}  // namespace

TEST_CASE("xauc: worked by hand") {
  // Targets 1 < 2 < 3, predictions order (1, 3) and (2, 3) right and (1, 2) wrong.
  CHECK(funnel::xauc(doubles{.5, .2, .9}, doubles{1, 2, 3}) == 2. / 3);
  CHECK(funnel::xauc(doubles{.5, .5, .9}, doubles{1, 2, 3}) == 2.5 / 3);
  // Equal targets are no pair.
  CHECK(funnel::xauc(doubles{.1, .2, .9}, doubles{5, 5, 7}) == 1);
}

TEST_CASE("xauc: equals a count of all pairs") {
  funnel::random_generator bits(9);
  for (std::size_t n = 2; n < 70; ++n) {
    doubles p(n), t(n), binary(n);
    for (std::size_t i = 0; i < n; ++i) {
      p[i] = static_cast<double>(funnel::uniform_below(bits, n));
      if (funnel::bernoulli(bits, .05)) p[i] = nan_score;
      t[i] = static_cast<double>(funnel::uniform_below(bits, 9));
      binary[i] = t[i] > 4 ? 1 : 0;
    }
    t[0] = -1;
    const double expected = all_pairs_xauc(p, t);
    CHECK(funnel::xauc(p, t) == expected);
    const std::vector<float> fp(p.begin(), p.end()), ft(t.begin(), t.end());
    CHECK(funnel::xauc(fp, ft) == expected);

    binary[0] = 0;
    binary[1] = 1;
    CHECK(funnel::xauc(p, binary) == funnel::auc(p, binary));
  }
}

TEST_CASE("xauc: a constant has one half, the target itself 1, its negative 0") {
  const doubles t{3, 1, 2, 2, 8};
  CHECK(funnel::xauc(doubles(5, .3), t) == .5);
  CHECK(funnel::xauc(t, t) == 1);
  CHECK(funnel::xauc(doubles{-3, -1, -2, -2, -8}, t) == 0);
}

TEST_CASE("xauc: what has no value, and what is refused") {
  CHECK(std::isnan(funnel::xauc(doubles{}, doubles{})));
  CHECK(std::isnan(funnel::xauc(doubles{1}, doubles{1})));
  CHECK(std::isnan(funnel::xauc(doubles{1, 2}, doubles{4, 4})));
  CHECK(refuses([] { funnel::xauc(doubles{1, 2}, doubles{1}); }, "funnel::xauc", "targets has 1"));
  CHECK(refuses(
      [] {
        funnel::xauc(doubles{1, 2}, doubles{1, nan_score});
      },
      "funnel::xauc", "targets[1] is"));
}
