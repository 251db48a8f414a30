// SPDX-License-Identifier: MIT
#include <funnel/sequence/time_bucket.hpp>

#include "support/catch.hpp"
#include "support/errors.hpp"

#include <cstdint>
#include <limits>
#include <vector>

using funnel::time_bucket;
using funnel::time_buckets;

TEST_CASE("time_bucket: powers of two") {
  // Ages 0, 1, 2, 3, 4, 7, 8 and one day.
  CHECK(time_bucket(100, 100, 32) == 0);
  CHECK(time_bucket(100, 99, 32) == 1);
  CHECK(time_bucket(100, 98, 32) == 2);
  CHECK(time_bucket(100, 97, 32) == 2);
  CHECK(time_bucket(100, 96, 32) == 3);
  CHECK(time_bucket(100, 93, 32) == 3);
  CHECK(time_bucket(100, 92, 32) == 4);
  CHECK(time_bucket(86400, 0, 32) == 17);
  CHECK(time_bucket(86400, 0, 17) == 16);
  CHECK(time_bucket(86400, 0, 1) == 0);
  CHECK(time_bucket(100, 101, 32) == 0);  // a clock that is ahead
}

TEST_CASE("time_bucket: each bucket begins at a power of two") {
  for (std::uint32_t b = 1; b < 63; ++b) {
    const std::int64_t begin = std::int64_t{1} << (b - 1);
    CHECK(time_bucket(begin, 0, 100) == b);
    CHECK(time_bucket(2 * begin - 1, 0, 100) == b);
  }
  using limits = std::numeric_limits<std::int64_t>;
  CHECK(time_bucket(limits::max(), limits::min(), 100) == 64);
  CHECK(time_bucket(limits::min(), limits::max(), 100) == 0);
  CHECK(time_bucket(1, 0, std::numeric_limits<std::size_t>::max()) == 1);
}

TEST_CASE("time_buckets: each history has its own time") {
  const std::vector<std::int64_t> now{10, 20, 100}, times{1, 10, 90, 99};
  const std::vector<std::uint32_t> offsets{0, 2, 2, 4};
  std::vector<std::uint32_t> result(4);
  time_buckets(now, times, offsets, 8, result);
  CHECK(result == std::vector<std::uint32_t>{4, 0, 4, 1});
}

TEST_CASE("time_bucket: what is refused") {
  CHECK(refuses([] { time_bucket(1, 0, 0); }, "funnel::time_bucket", "buckets is 0"));
  const std::vector<std::int64_t> now{10}, times{1, 10};
  std::vector<std::uint32_t> result(2);
  const auto refused = [&](const std::vector<std::uint32_t>& offsets, std::size_t buckets,
                           std::size_t size, std::string_view words) {
    return refuses(
        [&] { time_buckets(now, times, offsets, buckets, std::span(result).first(size)); },
        "funnel::time_buckets", words);
  };
  CHECK(refused({0, 2}, 0, 2, "buckets is 0"));
  CHECK(refused({0, 2}, 3, 1, "result has 1 value, expected 2"));
  CHECK(refused({0, 1}, 3, 2, "offsets[1] is 1, expected 2, the number of times"));
  CHECK(refused({0, 1, 2}, 3, 2, "now has 1 value, expected 2"));
  CHECK(refused({}, 3, 2, "offsets is empty"));
}
