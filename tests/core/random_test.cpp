// SPDX-License-Identifier: MIT
#include <funnel/core/random.hpp>

#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/saved_state.hpp"
#include "support/tolerance.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <numeric>
#include <vector>

namespace {

constexpr std::size_t draws = 100000;

/// The mean of `draws` draws is the expected one, and the mean of their squares.
template <class Draw>
void check_moments(Draw draw, double mean, double variance, double square_deviation) {
  double sum = 0, squares = 0;
  for (std::size_t i = 0; i < draws; ++i) {
    const double x = draw();
    sum += x;
    squares += (x - mean) * (x - mean);
  }
  const double n = static_cast<double>(draws);
  CHECK(tolerance::within(sum / n, mean, tolerance::statistical(std::sqrt(variance), draws)));
  CHECK(tolerance::within(squares / n, variance, tolerance::statistical(square_deviation, draws)));
}

/// Gives the values of a list, then starts over.
struct listed_bits {
  std::vector<std::uint64_t> values;
  std::size_t next = 0;
  std::uint64_t operator()() { return values[next++ % values.size()]; }
};

}  // namespace

TEST_CASE("random_generator: xoshiro256++ from splitmix64, as its authors' code computes it") {
  // splitmix64 of seed 0 starts e220a8397b1dcdaf, 6e789e6aa1b965f4, 06c45d188009454f,
  // f88bb8a8724c81ec; the first output is rotl(s0 + s3, 23) + s0.
  const std::uint64_t s0 = 0xe220a8397b1dcdafULL, s1 = 0x6e789e6aa1b965f4ULL;
  const std::uint64_t s2 = 0x06c45d188009454fULL, s3 = 0xf88bb8a8724c81ecULL;
  funnel::random_generator bits(0);
  CHECK(bits() == std::rotl(s0 + s3, 23) + s0);
  // One step by hand: s2 ^= s0, s3 ^= s1, s1 ^= s2, s0 ^= s3, s2 ^= s1 << 17, s3 = rotl(s3, 45).
  const std::uint64_t t0 = s0 ^ s3 ^ s1, t3 = std::rotl(s3 ^ s1, 45);
  CHECK(bits() == std::rotl(t0 + t3, 23) + t0);
  static_cast<void>(s2);
}

TEST_CASE("random_generator: one seed one sequence, copies go on alike") {
  funnel::random_generator a(7), b(7), c(8);
  CHECK(a() == b());
  CHECK(a() != c());
  funnel::random_generator copy = a;
  CHECK(copy() == a());
  CHECK(funnel::random_generator::min() == 0);
  CHECK(funnel::random_generator::max() == ~std::uint64_t{0});
}

TEST_CASE("uniform01: from 0 to just below 1") {
  listed_bits ends{{0, ~std::uint64_t{0}}};
  CHECK(funnel::uniform01(ends) == 0);
  CHECK(funnel::uniform01(ends) == 1 - 0x1p-53);
  funnel::random_generator bits(1);
  check_moments([&] { return funnel::uniform01(bits); }, .5, 1. / 12, std::sqrt(1. / 180));
}

TEST_CASE("uniform_below: every value equally often, the surplus of 2^64 redrawn") {
  funnel::random_generator bits(2);
  for (std::size_t n : {1u, 2u, 3u, 7u, 64u}) {
    std::vector<std::size_t> counts(n);
    for (std::size_t i = 0; i < draws; ++i) ++counts[funnel::uniform_below(bits, n)];
    const double share = 1 / static_cast<double>(n);
    for (std::size_t count : counts)
      CHECK(tolerance::within(static_cast<double>(count) / draws, share,
                              tolerance::statistical(std::sqrt(share * (1 - share)), draws)));
  }
  // 2^64 mod 3 is 1: the draw 0 is one too many.
  listed_bits surplus{{0, 5}};
  CHECK(funnel::uniform_below(surplus, 3) == 2);
  CHECK(surplus.next == 2);
}

TEST_CASE("random: means and variances of the distributions") {
  funnel::random_generator bits(3);
  check_moments([&] { return funnel::bernoulli(bits, .3) ? 1. : 0.; }, .3, .21, .084);
  check_moments([&] { return funnel::standard_normal(bits); }, 0, 1, std::sqrt(2.));
  check_moments([&] { return funnel::standard_exponential(bits); }, 1, 1, std::sqrt(8.));
  for (double shape : {.3, 1., 4.5})  // the fourth central moment is 3 shape^2 + 6 shape
    check_moments([&] { return funnel::standard_gamma(bits, shape); }, shape, shape,
                  std::sqrt(2 * shape * shape + 6 * shape));
  CHECK_FALSE(funnel::bernoulli(bits, 0));
  CHECK(funnel::bernoulli(bits, 1));
}

TEST_CASE("random: distributions are finite at the ends of the generator's range") {
  listed_bits zeros{{0}}, ones{{~std::uint64_t{0}}};
  for (listed_bits* bits : {&zeros, &ones}) {
    CHECK(std::isfinite(funnel::standard_normal(*bits)));
    CHECK(std::isfinite(funnel::standard_exponential(*bits)));
    CHECK(funnel::standard_exponential(*bits) >= 0);
  }
}

TEST_CASE("random_generator: loaded, it goes on where the saved one was") {
  funnel::random_generator bits(11);
  for (int i = 0; i < 100; ++i) bits();
  const saved_state file(bits);
  CHECK(file.fields.size() == 4);
  funnel::random_generator loaded(3);
  file.load(loaded);
  for (int i = 0; i < 100; ++i) CHECK(loaded() == bits());
  saved_state zeros = file;
  for (auto& [path, bytes] : zeros.fields) std::ranges::fill(bytes, std::byte{0});
  CHECK(refuses([&] { zeros.load(loaded); }, "funnel::random_generator", "words are all 0"));
  CHECK(loaded() != loaded());
}

TEST_CASE("shuffle: a permutation, every one equally often") {
  funnel::random_generator bits(4);
  std::vector<std::size_t> counts(6);
  for (std::size_t i = 0; i < draws; ++i) {
    std::vector<int> order{0, 1, 2};
    funnel::shuffle(bits, order);
    std::size_t which = 0;
    std::vector<int> reference{0, 1, 2};
    while (reference != order && which < 6) {
      std::next_permutation(reference.begin(), reference.end());
      ++which;
    }
    REQUIRE(which < 6);
    ++counts[which];
  }
  for (std::size_t count : counts)
    CHECK(tolerance::within(static_cast<double>(count) / draws, 1. / 6,
                            tolerance::statistical(std::sqrt(5. / 36), draws)));
  std::vector<int> none;
  funnel::shuffle(bits, none);
  std::vector<int> many(1000);
  std::iota(many.begin(), many.end(), 0);
  const std::vector<int> sorted = many;
  funnel::shuffle(bits, many);
  CHECK(many != sorted);
  CHECK(std::is_permutation(many.begin(), many.end(), sorted.begin()));
}
