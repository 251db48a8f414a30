// SPDX-License-Identifier: MIT
#include <funnel/core/top_k.hpp>

#include "support/catch.hpp"
#include "support/errors.hpp"

#include <funnel/core/random.hpp>

#include <algorithm>
#include <limits>
#include <numeric>
#include <vector>

namespace {

using floats = std::vector<float>;
using positions = std::vector<std::uint32_t>;

constexpr float nan_score = std::numeric_limits<float>::quiet_NaN();
constexpr float infinity = std::numeric_limits<float>::infinity();

positions best(const floats& scores, std::size_t k) {
  positions picked(k, 99);
  funnel::top_k(scores, picked);
  return picked;
}

/// A stable sort of all positions, NaN last.
positions sorted(const floats& scores) {
  positions order(scores.size());
  std::iota(order.begin(), order.end(), 0u);
  std::stable_sort(order.begin(), order.end(), [&](std::uint32_t a, std::uint32_t b) {
    if (scores[a] != scores[a] || scores[b] != scores[b])
      return scores[a] == scores[a] && scores[b] != scores[b];
    return scores[a] > scores[b];
  });
  return order;
}

static_assert(funnel::ranks_before(2.f, 5, 1.f, 0));
static_assert(funnel::ranks_before(1.f, 0, 1.f, 1));
static_assert(!funnel::ranks_before(1.f, 1, 1.f, 1));
static_assert(funnel::ranks_before(1.f, 9, nan_score, 0));
static_assert(!funnel::ranks_before(nan_score, 0, -infinity, 9));
static_assert(funnel::ranks_before(nan_score, 0, nan_score, 1));
static_assert(!funnel::ranks_before(nan_score, 1, nan_score, 0));

}  // namespace

TEST_CASE("top_k: larger first, equal by position, NaN last") {
  const floats scores{1, nan_score, 3, 1, infinity, -infinity, 3};
  CHECK(best(scores, 7) == positions{4, 2, 6, 0, 3, 5, 1});
  CHECK(best(scores, 3) == positions{4, 2, 6});
  CHECK(best(scores, 1) == positions{4});
  CHECK(best(scores, 0).empty());
  CHECK(best({}, 0).empty());
  CHECK(best({nan_score, nan_score, 1}, 2) == positions{2, 0});
  CHECK(best({-0.f, 0.f}, 2) == positions{0, 1});
}

TEST_CASE("top_k: equals the front of a stable sort") {
  funnel::random_generator bits(1);
  for (std::size_t n = 0; n < 60; ++n) {
    floats scores(n);
    for (float& s : scores) {
      s = static_cast<float>(funnel::uniform_below(bits, 1 + n / 2));
      if (funnel::bernoulli(bits, .15)) s = nan_score;
    }
    const positions all = sorted(scores);
    for (std::size_t k = 0; k <= n; ++k)
      if (best(scores, k) != positions(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(k)))
        FAIL("n = " << n << ", k = " << k);
  }
}

TEST_CASE("top_k: a few and many of thousands, in any order") {
  funnel::random_generator bits(2);
  constexpr std::size_t n = 5000;
  const auto draw = [&](std::size_t different, double missing) {
    floats scores(n);
    for (float& s : scores) {
      s = (static_cast<float>(funnel::uniform_below(bits, different)) - 40.f) / 7.f;
      if (funnel::bernoulli(bits, missing)) s = nan_score;
    }
    return scores;
  };
  std::vector<floats> cases{draw(1, 0), draw(90, .1), draw(1000000, 0), draw(1000000, .97),
                            draw(2, 1)};
  cases.push_back(cases[2]);
  std::ranges::sort(cases.back());
  cases.push_back(cases.back());
  std::ranges::reverse(cases.back());
  cases.push_back(floats(n, -infinity));
  cases.back()[4000] = infinity;
  cases.back()[4001] = -std::numeric_limits<float>::max();
  for (std::size_t c = 0; c < cases.size(); ++c) {
    const positions all = sorted(cases[c]);
    for (const std::size_t k : std::initializer_list<std::size_t>{1, 2, 7, 78, 79, 500, 4990, n}) {
      INFO("case " << c << ", k = " << k);
      CHECK(best(cases[c], k) == positions(all.begin(), all.begin() + static_cast<long>(k)));
    }
  }
}

TEST_CASE("top_k: integers of any width, and doubles") {
  const auto check = [](auto lowest, auto highest) {
    using t = decltype(lowest);
    const std::vector<t> scores{1, lowest, highest, 0, highest, static_cast<t>(lowest + 1)};
    std::vector<std::uint32_t> picked(5);
    funnel::top_k(scores, picked);
    CHECK(picked[0] == 2);
    CHECK(picked[1] == 4);
    CHECK(picked[2] == 0);
  };
  const auto limits = [&]<class T>(T) {
    check(std::numeric_limits<T>::lowest(), std::numeric_limits<T>::max());
  };
  limits(std::int8_t{});
  limits(std::uint8_t{});
  limits(std::int32_t{});
  limits(std::uint64_t{});
  limits(std::int64_t{});
  limits(double{});
}

TEST_CASE("top_k: rising and falling scores, whole numbers and wider positions") {
  std::vector<int> rising(500);
  std::iota(rising.begin(), rising.end(), -250);
  std::vector<std::size_t> picked(3);
  funnel::top_k(rising, picked);
  CHECK(picked == std::vector<std::size_t>{499, 498, 497});
  std::reverse(rising.begin(), rising.end());
  funnel::top_k(rising, picked);
  CHECK(picked == std::vector<std::size_t>{0, 1, 2});
}

TEST_CASE("top_k: refuses more slots than scores, and writes nothing then") {
  positions picked(3, 7);
  CHECK(refuses(
      [&] {
        funnel::top_k(floats{1, 2}, picked);
      },
      "funnel::top_k", "picked has 3 values, expected at most 2, the number of scores"));
  CHECK(picked == positions{7, 7, 7});
}

TEST_CASE("top_k: refuses a position type that cannot hold every position") {
  const std::vector<float> scores(300, 1.f);
  std::vector<unsigned char> picked(2);
  CHECK(refuses([&] { funnel::top_k(scores, picked); }, "funnel::top_k",
                "picked has values of 1 bytes, expected a type that holds 299"));
}

TEST_CASE("top_k: as a stable sort on either side of each way it is done") {
  funnel::random_generator bits(5);
  const auto check = [&]<class T>(T, std::size_t different) {
    for (const std::size_t n : std::initializer_list<std::size_t>{7, 8, 9, 31, 32, 33, 65, 200, 499,
                                                                  1023, 1024, 1025, 1100}) {
      std::vector<T> scores(n);
      for (T& s : scores) {
        s = static_cast<T>(funnel::uniform_below(bits, different));
        if constexpr (std::is_signed_v<T>) s = static_cast<T>(s - static_cast<T>(different / 2));
        if constexpr (std::is_floating_point_v<T>) {
          if (s == 0 && funnel::bernoulli(bits, .5)) s = -s;
          if (funnel::bernoulli(bits, .05)) s = std::numeric_limits<T>::quiet_NaN();
          if (funnel::bernoulli(bits, .05)) s = -std::numeric_limits<T>::infinity();
          if (funnel::bernoulli(bits, .05)) s = std::numeric_limits<T>::denorm_min();
        }
      }
      positions order(n);
      std::iota(order.begin(), order.end(), 0u);
      std::ranges::sort(order, [&](std::uint32_t a, std::uint32_t b) {
        return funnel::ranks_before(scores[a], a, scores[b], b);
      });
      for (const std::size_t k : {std::size_t{1}, std::size_t{2}, n / 3, n - 1, n}) {
        positions picked(k);
        funnel::top_k(scores, picked);
        if (!std::equal(picked.begin(), picked.end(), order.begin()))
          FAIL(n << " scores of " << sizeof(T) << " bytes, " << different << " different, k " << k);
      }
    }
  };
  for (const std::size_t different : {std::size_t{1}, std::size_t{5}, std::size_t{100}}) {
    check(float{}, different);
    check(double{}, different);
    check(std::int8_t{}, different);
    check(std::uint16_t{}, different);
    check(std::int32_t{}, different);
    check(std::uint32_t{}, different);
    check(std::int64_t{}, different);
  }
}
