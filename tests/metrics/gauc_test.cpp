// SPDX-License-Identifier: MIT
#include <funnel/metrics/auc.hpp>
#include <funnel/metrics/gauc.hpp>

#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/tolerance.hpp"

#include <funnel/core/random.hpp>

#include <cmath>
#include <limits>
#include <vector>

namespace {

using ids = std::vector<funnel::user_id>;
using floats = std::vector<float>;

}  // namespace

TEST_CASE("gauc: worked by hand, users of one class count nowhere") {
  // User 7: 1 of 1 pairs; user 3: 1 of 2 pairs; user 5 has no negative.
  const ids users{7, 3, 3, 7, 5, 3};
  const floats scores{.9f, .5f, .4f, .1f, .8f, .6f};
  const floats labels{1, 1, 0, 0, 1, 0};
  const auto result = funnel::gauc(users, scores, labels);
  CHECK(result.value == (2 * 1. + 3 * .5) / 5);
  CHECK(result.users_counted == 2);
  CHECK(result.users_skipped == 1);
}

TEST_CASE("gauc: no user with both classes gives NaN") {
  const auto none = funnel::gauc({}, floats{}, floats{});
  CHECK(std::isnan(none.value));
  CHECK(none.users_counted == 0);
  CHECK(none.users_skipped == 0);
  const auto skipped = funnel::gauc(ids{1, 2}, floats{.1f, .2f}, floats{0, 1});
  CHECK(std::isnan(skipped.value));
  CHECK(skipped.users_skipped == 2);
}

TEST_CASE("gauc: equals the weighted mean of auc user by user") {
  funnel::random_generator bits(2);
  for (std::size_t n : {1u, 2u, 10u, 100u, 400u}) {
    const std::size_t user_count = 1 + n / 8;
    ids users(n);
    std::vector<double> scores(n), labels(n);
    for (std::size_t i = 0; i < n; ++i) {
      users[i] = static_cast<funnel::user_id>(funnel::uniform_below(bits, user_count));
      scores[i] = static_cast<double>(funnel::uniform_below(bits, 6));
      if (funnel::bernoulli(bits, .1)) scores[i] = std::numeric_limits<double>::quiet_NaN();
      labels[i] = funnel::bernoulli(bits, .2) ? 1 : 0;
    }
    double sum = 0, weight = 0;
    std::size_t counted = 0, present = 0;
    for (funnel::user_id u = 0; u < user_count; ++u) {
      std::vector<double> own_scores, own_labels;
      for (std::size_t i = 0; i < n; ++i)
        if (users[i] == u) {
          own_scores.push_back(scores[i]);
          own_labels.push_back(labels[i]);
        }
      if (own_scores.empty()) continue;
      ++present;
      const double value = funnel::auc(own_scores, own_labels);
      if (std::isnan(value)) continue;
      ++counted;
      sum += value * static_cast<double>(own_scores.size());
      weight += static_cast<double>(own_scores.size());
    }
    const auto result = funnel::gauc(users, scores, labels);
    CHECK(result.users_counted == counted);
    CHECK(result.users_skipped == present - counted);
    CHECK(tolerance::within(result.value, sum / weight, tolerance::reduction<double>(n, 1)));

    // A shift of each user's scores changes auc, but not gauc.
    for (std::size_t i = 0; i < n; ++i) scores[i] += 100. * users[i];
    CHECK(tolerance::within(funnel::gauc(users, scores, labels).value, result.value, 0));
  }
}

TEST_CASE("gauc: refuses what it cannot read") {
  CHECK(refuses(
      [] {
        funnel::gauc(ids{1}, floats{1, 2}, floats{1, 0});
      },
      "funnel::gauc", "users has 1"));
  CHECK(refuses(
      [] {
        funnel::gauc(ids{1, 1}, floats{1, 2}, floats{1});
      },
      "funnel::gauc", "labels has 1"));
  CHECK(refuses([] { funnel::gauc(ids{1}, floats{1}, floats{2}); }, "funnel::gauc",
                "labels[0] is 2"));
}
