// SPDX-License-Identifier: MIT
#include <funnel/evaluation/requests.hpp>

#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/tolerance.hpp"

#include <funnel/core/random.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

namespace {

using floats = std::vector<float>;
using ids = std::vector<std::uint32_t>;

funnel::report written(const funnel::served_requests& requests, const char* prefix = "") {
  funnel::report numbers;
  requests.write(numbers, prefix);
  return numbers;
}

}  // namespace

TEST_CASE("served_requests: two requests, worked by hand") {
  funnel::served_requests requests;
  funnel::matrix<float> apart(2, 2), alike(2, 2, 1.f), one(1, 2, 1.f);
  apart(0, 0) = apart(1, 1) = 1;
  const ids two_categories{7, 3}, one_category{7, 7};
  requests.add_page("rerank.after", two_categories, apart);
  requests.add_score_kept("rerank", floats{3, 1}, floats{1, 4, 3, 2});
  requests.add_agreement("prerank", ids{4, 8, 15}, ids{15, 16, 8, 42});
  requests.add_time("ms.rank", 2);
  requests.add("cache.hits", 10);

  requests.add_page("rerank.after", one_category, alike.view());
  requests.add_score_kept("rerank", floats{4, 3}, std::vector<double>{4, 3});
  requests.add_agreement("prerank", ids{}, ids{1});
  requests.add_time("ms.rank", 4);
  requests.add("cache.hits", 5);

  const funnel::report numbers = written(requests, "serving");
  std::string names;
  for (const auto& e : numbers.entries()) names += e.name.substr(8) + ' ';
  CHECK(names == "rerank.after.ild rerank.after.categories rerank.score_kept prerank.agreement "
                 "ms.rank.p50 ms.rank.p90 ms.rank.p99 ms.rank.mean ms.rank.count cache.hits ");
  CHECK(tolerance::within(numbers["serving.rerank.after.ild"], .5,
                          tolerance::elementwise<double>(1)));
  CHECK(numbers["serving.rerank.after.categories"] == 1.5);
  CHECK(numbers["serving.rerank.score_kept"] == (4. / 7 + 1) / 2);
  CHECK(numbers["serving.prerank.agreement"] == .25);
  CHECK(numbers["serving.ms.rank.p50"] == 2);
  CHECK(numbers["serving.ms.rank.p90"] == 4);
  CHECK(numbers["serving.ms.rank.mean"] == 3);
  CHECK(numbers["serving.ms.rank.count"] == 2);
  CHECK(numbers["serving.cache.hits"] == 7.5);
}

TEST_CASE("served_requests: agreement with the best by the scores of a later stage") {
  const floats scores{.1f, .9f, std::numeric_limits<float>::quiet_NaN(), .5f, .7f};
  funnel::served_requests requests;
  requests.add_agreement("two", ids{1, 3}, scores, 2);       // best: 1, 4
  requests.add_agreement("three", ids{3, 1, 0}, scores, 3);  // best: 1, 4, 3
  requests.add_agreement("all", ids{0, 1, 2, 3}, scores, 100);
  requests.add_agreement("nobody", ids{}, floats{}, 3);
  const funnel::report numbers = written(requests);
  CHECK(numbers["two.agreement"] == .5);
  CHECK(numbers["three.agreement"] == 2. / 3);
  CHECK(numbers["all.agreement"] == .8);
  CHECK(std::isnan(numbers["nobody.agreement"]));
}

TEST_CASE("served_requests: percentiles are times that were measured, in any order") {
  funnel::random_generator bits(2);
  for (const std::size_t n : {1u, 2u, 9u, 10u, 11u, 99u, 100u, 101u, 250u, 1000u}) {
    std::vector<double> times(n);
    for (std::size_t i = 0; i < n; ++i) times[i] = static_cast<double>(i + 1);  // rank i + 1
    funnel::shuffle(bits, times);
    funnel::served_requests requests;
    for (const double t : times) requests.add_time("t", t);
    const funnel::report numbers = written(requests);
    for (const std::size_t percent : {50u, 90u, 99u}) {
      const double p = numbers["t.p" + std::to_string(percent)];
      // The smallest rank r with r / n >= percent / 100.
      CHECK(100 * static_cast<std::size_t>(p) >= percent * n);
      CHECK(100 * (static_cast<std::size_t>(p) - 1) < percent * n);
    }
    CHECK(numbers["t.mean"] == static_cast<double>(n + 1) / 2);
    CHECK(numbers["t.count"] == static_cast<double>(n));
  }
}

TEST_CASE("served_requests: what does not exist is left out of the means") {
  constexpr double none = std::numeric_limits<double>::quiet_NaN();
  funnel::served_requests requests;
  const funnel::matrix<float> one(1, 3, 1.f), two(2, 3, 1.f);
  requests.add_page("page", ids{5}, one);
  CHECK(std::isnan(written(requests)["page.ild"]));
  requests.add_page("page", ids{5, 6}, two);
  requests.add_score_kept("zero", floats{0}, floats{0, 0});
  requests.add_score_kept("empty", floats{}, floats{});
  requests.add_agreement("none", ids{1}, ids{});
  requests.add("x", none);
  requests.add("x", 3);
  const funnel::report numbers = written(requests);
  CHECK(tolerance::within(numbers["page.ild"], 0, tolerance::elementwise<double>(1)));
  CHECK(numbers["page.categories"] == 1.5);
  CHECK(std::isnan(numbers["zero.score_kept"]));
  CHECK(std::isnan(numbers["empty.score_kept"]));
  CHECK(std::isnan(numbers["none.agreement"]));
  CHECK(numbers["x"] == 3);
  CHECK(written(funnel::served_requests()).entries().empty());
}

TEST_CASE("served_requests: refuses what it cannot use, and adds nothing") {
  funnel::served_requests requests;
  const funnel::matrix<float> vectors(3, 2);
  requests.add("a.b", 1);
  requests.add_time("t", 1);
  requests.add("u.ild", 1);
  const std::string before = written(requests).json();
  const auto refused = [&](const auto& add, std::string_view words) {
    return refuses(add, "funnel::", words) && written(requests).json() == before;
  };
  constexpr double infinite = std::numeric_limits<double>::infinity();
  CHECK(refused([&] { requests.add("a.b", infinite); }, "value of a.b is inf"));
  CHECK(refused([&] { requests.add("a", 1); }, "a, expected one that is not the group of a.b"));
  CHECK(refused([&] { requests.add("a..b", 1); }, "expected parts that are not empty"));
  CHECK(refused([&] { requests.add("t.p50", 1); }, "t.p50, expected one that no other"));
  CHECK(refused([&] { requests.add_page("u", ids{1, 2, 3}, vectors); }, "u.ild, expected one"));
  CHECK(refused(
      [&] {
        requests.add_page("p", ids{1, 2}, vectors);
      },
      "vectors has 3 rows, expected 2 as in categories"));
  CHECK(refused([&] { requests.add_time("t", -1); }, "time is -1"));
  CHECK(refused([&] { requests.add_time("t", infinite); }, "time is inf"));
  CHECK(refused([&] { requests.add_time("t.p50.x", 1); }, "t.p50, which is a number"));
  CHECK(refused([&] { requests.add_score_kept("s", floats{-1}, floats{1}); },
                "page_scores[0] is -1"));
  CHECK(refused([&] { requests.add_score_kept("s", floats{1}, floats{NAN}); },
                "candidate_scores[0] is nan"));
  CHECK(refused(
      [&] {
        requests.add_score_kept("s", floats{1, 1}, floats{1});
      },
      "page_scores has 2 values, expected at most 1"));
  CHECK(refused([&] { requests.add_agreement("s", ids{1}, floats{1}, 5); },
                "a position in kept is 1, expected below 1"));
  CHECK(refused([&] { requests.add_agreement("s", ids{0}, floats{1}, 0); }, "top is 0"));
  funnel::report numbers;
  numbers.set("a", 1);
  CHECK(refuses([&] { requests.write(numbers, ""); }, "funnel::report::set", "a, which is"));
  CHECK(numbers.entries().size() == 1);
}
