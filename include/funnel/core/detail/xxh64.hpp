// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace funnel::detail {

/// XXH64: a checksum of 64 bits that is computed at the speed of memory. It finds damage, not
/// forgery.
///
/// Cost        four independent sums of 8 bytes each per step.
/// Source      Collet, "xxHash fast digest algorithm", section XXH64;
///             https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md
class xxh64 {
 public:
  explicit xxh64(std::uint64_t seed = 0)
      : sums_{seed + prime_1 + prime_2, seed + prime_2, seed, seed - prime_1}, seed_(seed) {}

  void update(std::span<const std::byte> bytes) {
    total_ += bytes.size();
    if (kept_ > 0) {
      const std::size_t taken = bytes.size() < stripe - kept_ ? bytes.size() : stripe - kept_;
      keep(bytes.first(taken));
      bytes = bytes.subspan(taken);
      if (kept_ < stripe) return;
      add_stripes(rest_.data(), 1);
      kept_ = 0;
    }
    const std::size_t whole = bytes.size() / stripe;
    add_stripes(bytes.data(), whole);
    keep(bytes.subspan(whole * stripe));
  }

  /// The checksum of all bytes so far.
  std::uint64_t value() const {
    std::uint64_t hash = seed_ + prime_5;
    if (total_ >= stripe) {
      hash = std::rotl(sums_[0], 1) + std::rotl(sums_[1], 7) + std::rotl(sums_[2], 12) +
             std::rotl(sums_[3], 18);
      for (const std::uint64_t sum : sums_) hash = (hash ^ add(0, sum)) * prime_1 + prime_4;
    }
    hash += total_;
    std::size_t i = 0;
    for (; i + 8 <= kept_; i += 8)
      hash =
          std::rotl(hash ^ add(0, read<std::uint64_t>(rest_.data() + i)), 27) * prime_1 + prime_4;
    if (i + 4 <= kept_) {
      hash = std::rotl(hash ^ (read<std::uint32_t>(rest_.data() + i) * prime_1), 23) * prime_2 +
             prime_3;
      i += 4;
    }
    for (; i < kept_; ++i)
      hash = std::rotl(hash ^ (std::to_integer<std::uint64_t>(rest_[i]) * prime_5), 11) * prime_1;
    hash = (hash ^ (hash >> 33)) * prime_2;
    hash = (hash ^ (hash >> 29)) * prime_3;
    return hash ^ (hash >> 32);
  }

 private:
  static constexpr std::size_t stripe = 32;
  static constexpr std::uint64_t prime_1 = 0x9e3779b185ebca87;
  static constexpr std::uint64_t prime_2 = 0xc2b2ae3d27d4eb4f;
  static constexpr std::uint64_t prime_3 = 0x165667b19e3779f9;
  static constexpr std::uint64_t prime_4 = 0x85ebca77c2b2ae63;
  static constexpr std::uint64_t prime_5 = 0x27d4eb2f165667c5;

  template <class T>
  static std::uint64_t read(const std::byte* p) {
    T value;
    std::memcpy(&value, p, sizeof value);
    return value;
  }
  static std::uint64_t add(std::uint64_t sum, std::uint64_t value) {
    return std::rotl(sum + value * prime_2, 31) * prime_1;
  }
  void add_stripes(const std::byte* p, std::size_t count) {
    std::array<std::uint64_t, 4> sums = sums_;  // a local: the compiler keeps it in registers
    for (; count > 0; --count, p += stripe)
      for (std::size_t i = 0; i < 4; ++i) sums[i] = add(sums[i], read<std::uint64_t>(p + 8 * i));
    sums_ = sums;
  }
  void keep(std::span<const std::byte> bytes) {
    if (!bytes.empty()) std::memcpy(rest_.data() + kept_, bytes.data(), bytes.size());
    kept_ += bytes.size();
  }

  std::array<std::uint64_t, 4> sums_;
  std::array<std::byte, stripe> rest_{};  // bytes that do not fill a stripe yet
  std::size_t kept_ = 0;
  std::uint64_t total_ = 0;
  std::uint64_t seed_;
};

inline std::uint64_t xxh64_of(std::span<const std::byte> bytes) {
  xxh64 sum;
  sum.update(bytes);
  return sum.value();
}

}  // namespace funnel::detail
