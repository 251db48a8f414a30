// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/element_of.hpp>
#include <funnel/core/detail/mixed_bits.hpp>
#include <funnel/core/error.hpp>
#include <funnel/core/state.hpp>

#include <array>
#include <bit>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <numbers>
#include <span>
#include <utility>

namespace funnel {

/// Concept of a random generator: each call returns 64 independent random bits.
template <class G>
concept RandomGenerator = requires(G& bits) {
  { bits() } -> std::same_as<std::uint64_t>;
};

/// Pseudorandom generator xoshiro256++, the default of this library: small, fast, and with the same
/// sequence on every platform. The seed is expanded by splitmix64.
///
/// Source      Blackman and Vigna, "Scrambled linear pseudorandom number generators", ACM TOMS
///             2021.
class random_generator {
 public:
  using result_type = std::uint64_t;

  explicit random_generator(std::uint64_t seed = 0) {
    for (std::uint64_t& word : state_) {
      seed += 0x9e3779b97f4a7c15ULL;
      word = detail::mixed_bits(seed);
    }
  }

  static constexpr result_type min() { return 0; }
  static constexpr result_type max() { return std::numeric_limits<result_type>::max(); }

  result_type operator()() {
    const std::uint64_t result = std::rotl(state_[0] + state_[3], 23) + state_[0];
    const std::uint64_t shifted = state_[1] << 17;
    state_[2] ^= state_[0];
    state_[3] ^= state_[1];
    state_[1] ^= state_[2];
    state_[0] ^= state_[3];
    state_[2] ^= shifted;
    state_[3] = std::rotl(state_[3], 45);
    return result;
  }

  /// The place in the sequence: a loaded generator goes on where the saved one was.
  /// Errors      std::invalid_argument if all loaded words are 0, which no generator has.
  void visit_state(auto&& visit) {
    visit("words", state_);
    if (is_loading(visit) && state_ == std::array<std::uint64_t, 4>{}) {
      *this = random_generator();
      detail::fail("funnel::random_generator: words are all 0, expected one that is not");
    }
  }

 private:
  std::array<std::uint64_t, 4> state_;
};

/// Uniform random number in [0, 1), a multiple of 2^-53.
double uniform01(RandomGenerator auto& bits) {
  return static_cast<double>(bits() >> 11) * 0x1p-53;
}

/// Uniform random integer in [0, n), without bias; n > 0.
std::size_t uniform_below(RandomGenerator auto& bits, std::size_t n) {
  FUNNEL_ASSERT(n > 0);
  const std::uint64_t limit = n;
  // 2^64 mod n draws are rejected: with them, some results would be more likely than others.
  const std::uint64_t rejected = (0 - limit) % limit;
  for (;;) {
    const std::uint64_t draw = bits();
    // A mask instead of a cast: compilers warn about a cast to the same type, and about a
    // conversion to 32 bits.
    if (draw >= rejected) return draw % limit & std::numeric_limits<std::size_t>::max();
  }
}

/// Bernoulli trial: true with the given probability.
bool bernoulli(RandomGenerator auto& bits, double probability) {
  return uniform01(bits) < probability;
}

/// Standard normal random number (mean 0, variance 1), by the Box-Muller transform.
double standard_normal(RandomGenerator auto& bits) {
  const double radius = std::sqrt(-2.0 * std::log1p(-uniform01(bits)));
  return radius * std::cos(2.0 * std::numbers::pi * uniform01(bits));
}

/// Exponential random number with mean 1.
double standard_exponential(RandomGenerator auto& bits) {
  return -std::log1p(-uniform01(bits));
}

/// Gamma random number with the given shape, which is above 0, and scale 1.
///
/// Source      Marsaglia and Tsang, "A simple method for generating gamma variables", ACM TOMS
///             2000.
double standard_gamma(RandomGenerator auto& bits, double shape) {
  FUNNEL_ASSERT(shape > 0);
  if (shape < 1)
    return standard_gamma(bits, shape + 1) * std::pow(1.0 - uniform01(bits), 1 / shape);
  const double d = shape - 1.0 / 3;
  const double c = 1 / std::sqrt(9 * d);
  for (;;) {
    const double x = standard_normal(bits);
    const double root = 1 + c * x;
    if (root <= 0) continue;
    const double v = root * root * root;
    if (std::log1p(-uniform01(bits)) < 0.5 * x * x + d - d * v + d * std::log(v)) return d * v;
  }
}

/// Random permutation (shuffle) of the values of a vector, array or span; every order is equally
/// likely.
template <class Values>
requires std::swappable<detail::element_of<Values>>
void shuffle(RandomGenerator auto& bits, Values&& values) {
  const std::span<detail::element_of<Values>> of(values);
  for (std::size_t i = of.size(); i > 1; --i) std::swap(of[i - 1], of[uniform_below(bits, i)]);
}

}  // namespace funnel
