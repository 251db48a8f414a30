// SPDX-License-Identifier: MIT
#include <funnel/sequence/sampling.hpp>

#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/tolerance.hpp"

#include <limits>
#include <map>
#include <numeric>
#include <vector>

using funnel::category_id;
using funnel::sequence_sampling_options;

namespace {

using positions = std::vector<std::uint32_t>;

positions sample(funnel::random_generator& bits, std::size_t n,
                 const sequence_sampling_options& options) {
  positions kept(std::min(n, options.recent + options.sampled), 77);
  REQUIRE(funnel::sample_sequence(bits, n, kept, options) == kept.size());
  return kept;
}

positions sample_balanced(funnel::random_generator& bits,
                          const std::vector<category_id>& categories,
                          const sequence_sampling_options& options) {
  positions kept(std::min(categories.size(), options.recent + options.sampled), 77);
  REQUIRE(funnel::sample_sequence_balanced(bits, categories, kept, options) == kept.size());
  return kept;
}

/// Rising positions below n, the last `recent` of them the newest of the history.
bool is_sample(const positions& kept, std::size_t n, std::size_t recent) {
  if (!std::ranges::is_sorted(kept, std::less_equal<>()) && kept.size() > 1) return false;
  if (!kept.empty() && kept.back() >= n) return false;
  for (std::size_t i = 0; i < std::min(recent, n); ++i)
    if (kept[kept.size() - 1 - i] != n - 1 - i) return false;
  return true;
}

std::vector<category_id> random_categories(funnel::random_generator& bits, std::size_t n) {
  std::vector<category_id> categories(n);
  for (category_id& category : categories)
    category = static_cast<category_id>(funnel::uniform_below(bits, 5));
  return categories;
}

}  // namespace

TEST_CASE("sample_sequence: the newest and some of the others, in order") {
  funnel::random_generator bits(1);
  for (std::size_t n = 0; n < 30; ++n)
    for (std::size_t recent = 0; recent < 12; ++recent)
      for (std::size_t sampled = 0; sampled < 12; ++sampled) {
        const sequence_sampling_options options{.recent = recent, .sampled = sampled};
        const bool right =
            is_sample(sample(bits, n, options), n, recent) &&
            is_sample(sample_balanced(bits, random_categories(bits, n), options), n, recent);
        if (!right) FAIL_CHECK("n " << n << ", recent " << recent << ", sampled " << sampled);
      }
}

TEST_CASE("sample_sequence: every set is equally likely") {
  funnel::random_generator bits(2);
  const std::size_t draws = 20000;
  std::map<positions, std::size_t> sets;
  for (std::size_t i = 0; i < draws; ++i) ++sets[sample(bits, 6, {.recent = 1, .sampled = 2})];
  CHECK(sets.size() == 10);
  for (const auto& [set, count] : sets)
    CHECK(tolerance::within(static_cast<double>(count) / draws, .1,
                            tolerance::statistical(std::sqrt(.1 * .9), draws)));
}

TEST_CASE("sample_sequence_balanced: the first draw is by category") {
  // 1, 3 and 6 items of three categories, then one that is recent and does not count.
  const std::vector<category_id> categories{4, 4, 9, 0, 4, 9, 4, 4, 9, 4, 9};
  funnel::random_generator bits(3);
  const std::size_t draws = 20000;
  for (const double balance : {0., .5, 1.}) {
    std::map<category_id, double> shares;
    for (std::size_t i = 0; i < draws; ++i)
      shares[categories[sample_balanced(
          bits, categories, {.recent = 1, .sampled = 1, .balance = balance})[0]]] += 1. / draws;
    const double total =
        std::pow(1, 1 - balance) + std::pow(3, 1 - balance) + std::pow(6, 1 - balance);
    for (const auto& [category, size] : {std::pair{0u, 1.}, {9u, 3.}, {4u, 6.}}) {
      const double share = std::pow(size, 1 - balance) / total;
      CHECK(tolerance::within(shares[category], share,
                              tolerance::statistical(std::sqrt(share * (1 - share)), draws)));
    }
  }
}

TEST_CASE("sample_sequence_balanced: a large category does not fill the sample") {
  std::vector<category_id> categories(1000, 1);
  for (std::size_t i = 0; i < 1000; i += 50) categories[i] = static_cast<category_id>(2 + i % 4);
  funnel::random_generator bits(4);
  const std::size_t draws = 500;
  std::size_t large = 0;
  for (std::size_t i = 0; i < draws; ++i)
    for (const std::uint32_t p :
         sample_balanced(bits, categories, {.recent = 0, .sampled = 9, .balance = 1}))
      large += categories[p] == 1;
  // A third of the first draw, more of the later ones as the small ones are used up; 98 % if all
  // items were alike.
  CHECK(3 * large > 9 * draws);
  CHECK(2 * large < 9 * draws);
}

TEST_CASE("sample_sequence: the same seed gives the same sample") {
  funnel::random_generator a(5), b(5);
  CHECK(sample(a, 1000, {}) == sample(b, 1000, {}));
  const std::vector<category_id> categories = random_categories(a, 1000);
  funnel::random_generator c(6), d(6);
  CHECK(sample_balanced(c, categories, {}) == sample_balanced(d, categories, {}));
}

TEST_CASE("sample_sequence: writes no further than it says") {
  funnel::random_generator bits(7);
  positions kept(8, 77);
  CHECK(funnel::sample_sequence(bits, 20, kept, {.recent = 2, .sampled = 3}) == 5);
  CHECK(std::count(kept.begin() + 5, kept.end(), 77u) == 3);
  kept.assign(8, 77);
  CHECK(funnel::sample_sequence_balanced(bits, random_categories(bits, 20), kept,
                                         {.recent = 2, .sampled = 3}) == 5);
  CHECK(std::count(kept.begin() + 5, kept.end(), 77u) == 3);
}

TEST_CASE("sample_sequence: refuses what it cannot do, and writes nothing then") {
  funnel::random_generator bits(8);
  positions kept(4, 77);
  const std::vector<category_id> categories(20);
  const sequence_sampling_options five{.recent = 2, .sampled = 3};
  CHECK(refuses([&] { funnel::sample_sequence(bits, 20, kept, five); },
                "funnel::sample_sequence: ", "positions has 4 values, expected 5 or more"));
  CHECK(
      refuses([&] { funnel::sample_sequence_balanced(bits, categories, kept, five); },
              "funnel::sample_sequence_balanced: ", "positions has 4 values, expected 5 or more"));
  CHECK(refuses(
      [&] {
        funnel::sample_sequence(bits, std::size_t{1} << 32, kept, {1, 1});
      },
      "funnel::sample_sequence: ", "expected fewer than 2^32"));
  for (const double balance : {-.1, 1.1, std::numeric_limits<double>::quiet_NaN()})
    CHECK(refuses(
        [&] {
          funnel::sample_sequence_balanced(bits, categories, kept,
                                           {.recent = 1, .sampled = 1, .balance = balance});
        },
        "funnel::sample_sequence_balanced: ", "balance"));
  CHECK(kept == positions(4, 77));
}
