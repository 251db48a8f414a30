// SPDX-License-Identifier: MIT
#include <funnel/retrieval/bloom_filter.hpp>

#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/saved_state.hpp"
#include "support/tolerance.hpp"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

using namespace funnel;

TEST_CASE("a Bloom filter finds what was added, and the rest as rarely as it says") {
  for (const double delta : {.5, .1, .01, .001}) {
    for (const std::size_t n : {std::size_t{1}, std::size_t{300}, std::size_t{20'000}}) {
      bloom_filter seen({.capacity = n, .false_positives = delta});
      for (std::uint64_t id = 0; id < n; ++id) seen.add(3 * id);
      std::size_t missed = 0;
      for (std::uint64_t id = 0; id < n; ++id) missed += seen.contains(3 * id) ? 0 : 1;
      CHECK(missed == 0);
      constexpr std::size_t others = 200'000;
      std::size_t found = 0;
      for (std::uint64_t id = 0; id < others; ++id) found += seen.contains(3 * id + 1) ? 1 : 0;
      const double rate = static_cast<double>(found) / others;
      const double expected = seen.false_positive_rate();
      // A few ids are found with probabilities of their own few bits: the rate is that of the filter.
      if (n >= 300) {
        CHECK(tolerance::within(
            rate, expected, tolerance::statistical(std::sqrt(expected * (1 - expected)), others)));
        CHECK(expected < 1.3 * delta);
      }
      const double per_id = static_cast<double>(seen.bits()) / static_cast<double>(n);
      CHECK(per_id >= 1.44 * -std::log2(delta));
      if (n >= 300) CHECK(per_id < 1.45 * -std::log2(delta) + .3);
    }
  }
}

TEST_CASE("a Bloom filter of nothing, saved and loaded") {
  CHECK_FALSE(bloom_filter().contains(7));
  CHECK(bloom_filter().false_positive_rate() == 0);
  CHECK_FALSE(bloom_filter({.capacity = 10}).contains(7));
  bloom_filter seen({.capacity = 100, .false_positives = .001});
  for (std::uint64_t id = 0; id < 100; ++id) seen.add(~id);
  CHECK(seen.hashes() == 10);
  const saved_state file(seen);
  bloom_filter loaded;
  file.load(loaded);
  for (std::uint64_t id = 0; id < 100; ++id) CHECK(loaded.contains(~id));
  CHECK(saved_state(loaded) == file);
  saved_state(bloom_filter()).load(loaded);
  CHECK_FALSE(loaded.contains(~std::uint64_t{0}));
}

TEST_CASE("what a Bloom filter refuses") {
  const auto refused = [](const bloom_filter_options& options, const char* words) {
    return refuses([&] { bloom_filter made(options); }, "funnel::bloom_filter", words);
  };
  CHECK(refused({.capacity = 0}, "capacity is 0"));
  CHECK(refused({.false_positives = 0}, "false_positives is 0"));
  CHECK(refused({.false_positives = 1}, "false_positives is 1"));
  CHECK(refused({.false_positives = std::nan("")}, "false_positives is nan"));
  CHECK(refused({.capacity = ~std::size_t{0}}, "capacity is"));
  CHECK(refuses([] { bloom_filter().add(1); }, "funnel::bloom_filter::add", "has no bits"));
  const saved_state file(bloom_filter({.capacity = 10}));
  const char* words = "a Bloom filter has";
  CHECK(refuses_state(bloom_filter(), file.with("hashes", std::vector<std::uint32_t>{65}), words));
  CHECK(refuses_state(bloom_filter(), file.with("hashes", std::vector<std::uint32_t>{0}), words));
  CHECK(refuses_state(bloom_filter(), file.with("words", std::vector<std::uint64_t>{}), words));
}
