// SPDX-License-Identifier: MIT
#include "support/catch.hpp"

#include <funnel/core/random.hpp>
#include <funnel/data/detail/decimal.hpp>

#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <string>
#include <type_traits>
#include <vector>

namespace {

template <class T>
using bits_of = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;

template <class T>
T read(const std::string& text) {
  funnel::detail::decimal number;
  REQUIRE(funnel::detail::parse_decimal(text, number));
  const T value = funnel::detail::nearest<T>(number);
  // Long division needs no second look; whatever is quicker must agree with it.
  const T magnitude = funnel::detail::nearest_by_division<T>(number);
  CHECK(std::bit_cast<bits_of<T>>(value) ==
        std::bit_cast<bits_of<T>>(number.negative ? -magnitude : magnitude));
  return value;
}

bool is_decimal(const std::string& text) {
  funnel::detail::decimal number;
  return funnel::detail::parse_decimal(text, number);
}

/// All digits of a binary number, so that text and number are equal.
template <class T>
std::string exactly(T value) {
  std::array<char, 1600> text;
  std::snprintf(text.data(), text.size(), "%.1100f", static_cast<double>(value));
  return text.data();
}

/// Decimal text a hair above (+1) or below (-1) one that ends in many zeros or digits.
std::string nudged(std::string exact, int direction) {
  if (direction > 0) return exact + std::string(40, '0') + "1";
  std::size_t i = exact.size();
  while (exact[i - 1] == '0' || exact[i - 1] == '.') {
    if (exact[i - 1] == '0') exact[i - 1] = '9';
    --i;
  }
  --exact[i - 1];
  return exact + std::string(40, '9');
}

/// All digits of the number midway between two.
template <class T>
std::string midway(T low, T high) {
  std::string sum = exactly(low), other = exactly(high);
  sum.insert(0, other.size() - sum.size(), '0');
  int carry = 0;
  for (std::size_t i = sum.size(); i-- > 0;) {
    if (sum[i] == '.') continue;
    const int digits = (sum[i] - '0') + (other[i] - '0') + carry;
    sum[i] = static_cast<char>('0' + digits % 10);
    carry = digits / 10;
  }
  if (carry != 0) sum.insert(0, 1, '1');
  int rest = 0;
  for (char& digit : sum) {
    if (digit == '.') continue;
    const int twice = 10 * rest + (digit - '0');
    digit = static_cast<char>('0' + twice / 2);
    rest = twice % 2;
  }
  return sum;
}

template <class T>
void check_between(T value) {  // value > 0, and its neighbor above
  const T above = std::nextafter(value, std::numeric_limits<T>::infinity());
  CHECK(read<T>(exactly(value)) == value);
  CHECK(read<T>("-" + exactly(value)) == -value);
  CHECK(read<T>(nudged(exactly(value), 1)) == value);
  CHECK(read<T>(nudged(exactly(value), -1)) == value);
  const std::string midpoint = midway(value, above);
  const bool even = std::bit_cast<bits_of<T>>(value) % 2 == 0;
  CHECK(read<T>(midpoint) == (even ? value : above));
  CHECK(read<T>(nudged(midpoint, 1)) == above);
  CHECK(read<T>(nudged(midpoint, -1)) == value);
}

}  // namespace

TEST_CASE("decimal reads a number's text and nothing else") {
  for (const char* text : {"0", "-0", "7", "007", ".5", "5.", "-.5", "1e5", "1E+5", "1.5e-05",
                           "0e999999999999999999999", "00.00"})
    CHECK(is_decimal(text));
  for (const char* text : {"",     "-",        ".",    "-.",  "+1",    " 1",  "1 ",   "1e",  "1e+",
                           "e5",   ".e5",      "1e5.", "1,5", "1.2.3", "--1", "0x10", "1p3", "inf",
                           "-inf", "infinity", "nan",  "1_0", "1'0",   "١",   "1f"})
    CHECK_FALSE(is_decimal(text));
  CHECK_FALSE(is_decimal(std::string("1\0", 2)));
}

TEST_CASE("decimal gives the nearest float and double") {
  CHECK(read<double>("0.1") == 0.1);
  CHECK(read<float>("0.1") == 0.1f);
  CHECK(read<double>("61802") == 61802);
  CHECK(read<double>("1e22") == 1e22);
  CHECK(read<double>("1e23") == 1e23);  // a tie's hair below: the power is not exact
  CHECK(read<double>("-12.5e-1") == -1.25);
  CHECK(read<double>("123456789012345678901234567890") == 123456789012345678901234567890.0);
  CHECK(read<double>("9007199254740993") == 9007199254740992);       // 2^53 + 1, a tie
  CHECK(read<double>("9007199254740993.0001") == 9007199254740994);  // past it
  CHECK(read<float>("16777217") == 16777216);                        // 2^24 + 1, a tie
  CHECK(read<float>("16777217.0000000000000000000001") == 16777218);
  CHECK(read<float>("16777219") == 16777220);
  // Rounded to double first, it lands on a midpoint of floats, and then goes down.
  CHECK(read<float>("1.00000005960464477540") == 0x1.000002p0f);
  CHECK(read<float>("1.00000005960464477539") == 1);
  // The same with digits so few that double holds them, and their power of ten.
  CHECK(read<float>("537959980898118e12") == 0x1.bcfd76p+88f);
  CHECK(read<float>("230123611592501e17") == 0x1.2274f2p+104f);
  CHECK(read<float>("612097519117333e12") == 0x1.fa50b2p+88f);
  CHECK(std::signbit(read<double>("-0")));
  CHECK(std::signbit(read<float>("-0.0e7")));
  CHECK_FALSE(std::signbit(read<float>("0")));
}

TEST_CASE("decimal rounds to 0, subnormal and largest numbers") {
  const std::string zeros(5000, '0');
  CHECK(read<float>("1e-46") == 0);
  CHECK(std::signbit(read<float>("-1e-46")));
  CHECK(read<float>("1e-45") == std::numeric_limits<float>::denorm_min());
  CHECK(read<float>("1e-40") == 1e-40f);
  CHECK(read<float>("7.006492321624085e-46") == 0);  // half the smallest, a little less
  CHECK(read<float>("7.006492321624086e-46") == std::numeric_limits<float>::denorm_min());
  CHECK(read<float>(exactly(0x1p-150)) == 0);  // half the smallest: to even
  CHECK(read<float>(nudged(exactly(0x1p-150), 1)) == std::numeric_limits<float>::denorm_min());
  CHECK(read<double>("4e-324") == std::numeric_limits<double>::denorm_min());
  CHECK(read<double>("2e-324") == 0);
  CHECK(read<double>("2.2250738585072011e-308") == 0x0.fffffffffffffp-1022);
  CHECK(read<double>("2.2250738585072012e-308") == std::numeric_limits<double>::min());
  CHECK(read<double>("1e-999999999999999999999999") == 0);
  CHECK(read<double>("0." + zeros + "7e5001") == 7);
  CHECK(read<double>("7" + zeros + "e-5000") == 7);
  CHECK(read<double>("0e99999") == 0);
  constexpr float largest = std::numeric_limits<float>::max();
  CHECK(read<float>("3.4028234663852886e38") == largest);
  CHECK(read<float>("3.4028235677973367e38") == std::numeric_limits<float>::infinity());
  CHECK(read<float>("3.4028235677973366e38") == largest);
  CHECK(read<float>("1e39") == std::numeric_limits<float>::infinity());
  CHECK(read<double>("1.7976931348623157e308") == std::numeric_limits<double>::max());
  CHECK(read<double>("1.7976931348623158e308") == std::numeric_limits<double>::max());
  CHECK(read<double>("1.7976931348623159e308") == std::numeric_limits<double>::infinity());
  CHECK(read<double>("-1e99999999999999999999") == -std::numeric_limits<double>::infinity());
}

TEST_CASE("decimal rounds right at and beside every kind of midpoint") {
  funnel::random_generator bits(1);
  for (int i = 0; i < 100; ++i) {
    check_between(std::bit_cast<float>(static_cast<std::uint32_t>(bits() % 0x7f7fffff + 1)));
    check_between(std::bit_cast<double>(bits() % 0x7fefffffffffffff + 1));
  }
  for (const float value :
       {std::numeric_limits<float>::denorm_min(), 0x1.fffffcp-127f,
        std::numeric_limits<float>::min(), 1.0f, 0x1.fffffep0f, 0x1.fffffep24f, 0x1.fffffcp127f})
    check_between(value);
  // These midpoints have the most digits there are: 767 and 768.
  for (const double value :
       {std::numeric_limits<double>::denorm_min(), 0x1.ffffffffffffep-1022, 0x0.fffffffffffffp-1022,
        0x1.fffffffffffffp-1022, 1.0, 0x1.fffffffffffffp52, 0x1.ffffffffffffep1023})
    check_between(value);
}

TEST_CASE("decimal reads back what 17 digits print, and what the library reads") {
  funnel::random_generator bits(2);
  for (int i = 0; i < 2000; ++i) {
    const auto value = std::bit_cast<double>(bits());
    if (!std::isfinite(value)) continue;
    std::array<char, 64> text;
    for (const int digits : {1, 5, 9, 15, 16, 17}) {
      std::snprintf(text.data(), text.size(), "%.*e", digits - 1, value);
      const double again = read<double>(text.data());
      CHECK(again == std::strtod(text.data(), nullptr));
      CHECK(read<float>(text.data()) == std::strtof(text.data(), nullptr));
      if (digits == 17) CHECK(again == value);
    }
  }
}
