// SPDX-License-Identifier: MIT
#include "support/catch.hpp"
#include "support/errors.hpp"

#include <funnel/core/random.hpp>
#include <funnel/features/bucketize.hpp>

#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

using funnel::bucket_of;
using funnel::quantile_boundaries;

namespace {

constexpr float nan_value = std::numeric_limits<float>::quiet_NaN();
constexpr float infinity = std::numeric_limits<float>::infinity();
using floats = std::vector<float>;

floats boundaries_of(const floats& values, std::size_t buckets) {
  return quantile_boundaries(values, buckets);
}

}  // namespace

TEST_CASE("bucket_of: worked by hand") {
  const floats boundaries = {3, 10, 60};
  const auto of = [&](float x) { return bucket_of(x, boundaries); };
  CHECK(of(-infinity) == 1);
  CHECK(of(2.9f) == 1);
  CHECK(of(3) == 2);
  CHECK(of(59) == 3);
  CHECK(of(60) == 4);
  CHECK(of(infinity) == 4);
  CHECK(of(nan_value) == 0);
  CHECK(bucket_of(5.f, floats{}) == 1);
}

TEST_CASE("quantile_boundaries: worked by hand") {
  CHECK(boundaries_of({4, 1, 3, 2}, 2) == floats{3});
  CHECK(boundaries_of({1, 2, 3, 4, 5, 6, 7, 8, 9, 10}, 3) == floats{5, 8});
  CHECK(boundaries_of({1, 1, 1, 1, 1, 7, 8, 9}, 4) == floats{7, 8});  // 1 fills two buckets
  CHECK(boundaries_of({nan_value, 2, nan_value, 1}, 2) == floats{2});
  CHECK(boundaries_of({5, 5, 5}, 10).empty());
  CHECK(boundaries_of({5}, 10).empty());
  CHECK(boundaries_of({}, 10).empty());
  CHECK(boundaries_of({nan_value}, 10).empty());
  CHECK(boundaries_of({2, 1}, 1).empty());
  CHECK(boundaries_of({2, 1, 3}, 50) == floats{2, 3});
}

TEST_CASE("quantile_boundaries: a value that fills several buckets gets one of its own") {
  CHECK(boundaries_of({0, 0, 0, 0, 0, 0, 1, 1, 1, 1}, 2) == floats{1});
  CHECK(boundaries_of({0, 0, 0, 0, 1, 1, 1, 1, 1, 1}, 2) == floats{1});
  CHECK(boundaries_of({0, 1, 1, 1, 1, 1, 1, 2, 3, 4}, 5) == floats{1, 2, 3});
  CHECK(boundaries_of({-infinity, -infinity, 3, infinity}, 2) == floats{3});
  CHECK(boundaries_of({0, -0.f, 0, 5}, 2) == floats{5});
  floats rare(1000, 0);  // what a count of a rare action is like
  rare[3] = 1;
  rare[500] = 2;
  CHECK(boundaries_of(rare, 10) == floats{1});
}

TEST_CASE("quantile_boundaries: any number of buckets costs no more than the values") {
  const std::size_t most = std::numeric_limits<std::size_t>::max();
  CHECK(boundaries_of({7, 3}, most) == floats{7});
  CHECK(boundaries_of({2, 2, 9, 4, 9}, most) == floats{4, 9});
  CHECK(boundaries_of({}, most).empty());
}

TEST_CASE("quantile_boundaries make buckets of about equal frequency, none empty") {
  funnel::random_generator bits(8);
  for (const std::size_t n : {10u, 100u, 1003u}) {
    for (const std::size_t buckets : {2u, 7u, 10u}) {
      std::vector<double> values(n);
      for (double& value : values) value = funnel::standard_normal(bits);
      const auto boundaries = quantile_boundaries(values, buckets);
      CHECK(boundaries.size() == buckets - 1);
      std::vector<std::uint32_t> ids(n);
      funnel::bucketize(values, boundaries, ids);
      std::vector<std::size_t> counts(buckets + 1);
      for (std::size_t i = 0; i < n; ++i) {
        ++counts[ids[i]];
        std::uint32_t expected = 1;
        for (const double b : boundaries) expected += b <= values[i];
        CHECK(ids[i] == expected);
      }
      CHECK(counts[0] == 0);
      for (std::size_t b = 1; b <= buckets; ++b)
        CHECK((counts[b] == n / buckets || counts[b] == n / buckets + 1));
    }
    // Values that repeat: fewer buckets, but none empty.
    std::vector<float> rough(n);
    for (float& value : rough)
      value = std::floor(4 * static_cast<float>(funnel::standard_normal(bits)));
    const auto boundaries = boundaries_of(rough, 10);
    std::vector<std::size_t> counts(boundaries.size() + 2);
    for (const float value : rough) ++counts[bucket_of(value, boundaries)];
    for (std::size_t b = 1; b < counts.size(); ++b) CHECK(counts[b] > 0);
  }
}

TEST_CASE("bucketize refuses what does not fit") {
  const floats values = {1, 2}, descending = {2, 2}, missing = {nan_value};
  std::vector<std::uint32_t> two(2), three(3);
  const auto run = [&](const floats& boundaries, std::vector<std::uint32_t>& ids) {
    funnel::bucketize(values, boundaries, ids);
  };
  CHECK(refuses([&] { run({1}, three); }, "funnel::bucketize",
                "buckets has 3 values, expected 2 as in values"));
  CHECK(refuses([&] { run(descending, two); }, "funnel::bucketize", "boundaries[1] is 2"));
  CHECK(refuses([&] { run(missing, two); }, "funnel::bucketize", "boundaries[0] is"));
  CHECK(refuses([&] { boundaries_of(values, 0); }, "funnel::quantile_boundaries", "buckets is 0"));
}

TEST_CASE("bucketize: values and boundaries of any number types") {
  const std::vector<int> ages{20, 31, 17, 64, 45, 31};
  const std::vector<int> boundaries = quantile_boundaries(ages, 3);
  CHECK(boundaries == std::vector{31, 45});
  std::vector<std::uint32_t> buckets(6), again(6);
  funnel::bucketize(ages, boundaries, buckets);
  CHECK(buckets == std::vector<std::uint32_t>{1, 2, 1, 3, 3, 2});
  funnel::bucketize(ages, std::array{31.f, 45.f}, again);
  CHECK(again == buckets);
  CHECK(bucket_of(30.9f, boundaries) == 1);  // not rounded to the type of the boundaries
  CHECK(bucket_of(31u, std::array{30.5, 31.5}) == 2);
  CHECK(bucket_of(std::uint8_t{200}, std::vector<std::int64_t>{-1, 200}) == 3);
  CHECK(bucket_of(nan_value, boundaries) == 0);
}
