// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>
#include <funnel/core/detail/element_of.hpp>
#include <funnel/core/error.hpp>
#include <funnel/features/hashing.hpp>

#include <algorithm>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <tuple>
#include <utility>
#include <vector>

namespace funnel {

/// Split of a log into three parts, each as positions of rows in increasing order. Each row is in
/// exactly one part.
struct row_split {
  std::vector<std::uint32_t> training;
  std::vector<std::uint32_t> validation;
  std::vector<std::uint32_t> test;

  friend bool operator==(const row_split&, const row_split&) = default;
};

/// Wanted sizes of the parts, as fractions of all rows or users; the rest is for training.
struct split_fractions {
  /// Each in [0, 1], together at most 1.
  double validation = 0.1;
  double test = 0.1;
};

/// Times at which the parts of a split begin.
struct split_times {
  /// First time of the validation part; without it that part is empty.
  std::optional<std::int64_t> validation_from = {};
  /// First time of the test part, not before `validation_from`; without it that part is empty.
  std::optional<std::int64_t> test_from = {};

  friend bool operator==(const split_times&, const split_times&) = default;
};

/// Options of `leave_last_out`.
struct leave_last_options {
  /// Number of each user's last rows that go to the test part, and of the rows before them that go
  /// to the validation part.
  std::size_t test = 1;
  std::size_t validation = 1;
  /// Least number of rows that stay for training: all rows of a user with too few for that stay.
  std::size_t training = 1;
};

namespace detail {

template <class Values>
concept Integers = std::integral<element_of<const Values>>;

inline void check_fractions(std::string_view function, const split_fractions& fractions) {
  check_unit_interval(function, "validation", fractions.validation);
  check_unit_interval(function, "test", fractions.test);
  check_that(function, "validation + test", fractions.validation + fractions.test,
             fractions.validation + fractions.test <= 1, "at most 1");
}

/// Splits n rows by what `part_of(i)` says: 0 training, 1 validation, 2 test.
template <class PartOf>
row_split split_rows(std::size_t n, const PartOf& part_of) {
  row_split parts;
  for (std::size_t i = 0; i < n; ++i) {
    const int part = part_of(i);
    (part == 0   ? parts.training
     : part == 1 ? parts.validation
                 : parts.test)
        .push_back(static_cast<std::uint32_t>(i));
  }
  return parts;
}

}  // namespace detail

/// Splits rows by time, for given times at which the parts begin.
///
/// A row at time t is in the test part if t >= test_from, otherwise in the validation part if t >=
/// validation_from, otherwise in the training part. So rows with equal times are in the same part.
/// A model is to be judged on rows that are later than all it has learned from: in a random split
/// it has seen the future.
///
/// Shapes      times [n], integers in any order.
/// Errors      std::invalid_argument if test_from < validation_from, or there are 2^32 rows or
///             more.
/// Cost        O(n).
template <detail::Integers Times>
row_split split_by_time(const Times& times, const split_times& from) {
  const auto time = detail::as_span(times);
  detail::check_size_of_32_bits("split_by_time", "times", time.size());
  if (from.validation_from && from.test_from && *from.test_from < *from.validation_from)
    detail::fail("funnel::split_by_time: test_from is ", *from.test_from, ", expected ",
                 *from.validation_from, ", which is validation_from, or later");
  return detail::split_rows(time.size(), [&](std::size_t i) {
    if (from.test_from && std::cmp_greater_equal(time[i], *from.test_from)) return 2;
    return from.validation_from && std::cmp_greater_equal(time[i], *from.validation_from) ? 1 : 0;
  });
}

/// The times at which the parts begin if the last rows by time are the test part, and those before
/// them the validation part.
///
/// Of rows with equal times none is in another part than the others. So a part may be smaller or
/// larger than its fraction, or empty: the boundary is the closest one, and of two equally close
/// ones the later.
///
/// Shapes      times [n], integers in any order.
/// Errors      std::invalid_argument if a fraction is outside [0, 1] or their sum is above 1, or
///             there are 2^32 rows or more, or a time is above 2^63 - 1.
/// Cost        O(n log n), 8 bytes of temporary memory per row.
template <detail::Integers Times>
split_times times_of_fractions(const Times& times, const split_fractions& fractions = {}) {
  constexpr std::string_view name = "times_of_fractions";
  const auto time = detail::as_span(times);
  detail::check_fractions(name, fractions);
  detail::check_size_of_32_bits(name, "times", time.size());
  detail::check_each(name, "times", time, "a number below 2^63",
                     [](auto t) { return std::in_range<std::int64_t>(t); });
  std::vector<std::int64_t> sorted(time.begin(), time.end());
  std::ranges::sort(sorted);
  const auto boundary = [&](double size) -> std::optional<std::int64_t> {
    const auto last = static_cast<std::size_t>(std::llround(size));  // rows after the boundary
    if (last == 0) return std::nullopt;
    const std::size_t wanted = sorted.size() - std::min(last, sorted.size());
    const auto [first, end] = std::equal_range(sorted.begin(), sorted.end(), sorted[wanted]);
    const auto before = static_cast<std::size_t>(first - sorted.begin());
    const auto after = static_cast<std::size_t>(end - sorted.begin());
    if (wanted - before < after - wanted) return sorted[before];
    if (after == sorted.size()) return std::nullopt;
    return sorted[after];
  };
  const auto n = static_cast<double>(sorted.size());
  split_times from;
  from.test_from = boundary(n * fractions.test);
  from.validation_from = boundary(n * (fractions.test + fractions.validation));
  return from;
}

/// Splits rows by time into parts of about the given fractions of the rows, the last rows for the
/// test part: `split_by_time(times, times_of_fractions(times, fractions))`.
template <detail::Integers Times>
row_split split_by_time(const Times& times, const split_fractions& fractions) {
  return split_by_time(times, times_of_fractions(times, fractions));
}

/// Splits rows by user: all rows of a user are in the same part, which a hash of the user and the
/// seed chooses.
///
/// So a user stays in a part when rows or users are added, whatever their order, and on every
/// machine; with a larger `test` fraction, the test part keeps its users. Also splits by any other
/// key, such as the request of an impression.
///
/// Shapes      users [n], integer ids or hashes; of text, `category_key` makes one.
/// Units       fractions are of the users, not of the rows.
/// Errors      std::invalid_argument if a fraction is outside [0, 1] or their sum is above 1, or
///             there are 2^32 rows or more.
/// Cost        O(n).
template <detail::Integers Users>
row_split split_by_user(const Users& users, const split_fractions& fractions = {},
                        std::uint64_t seed = 0) {
  const auto user = detail::as_span(users);
  detail::check_fractions("split_by_user", fractions);
  detail::check_size_of_32_bits("split_by_user", "users", user.size());
  // Without the constant, seed 0 would keep the same users as other hashes of the library.
  const std::uint64_t salt = mix_key(seed ^ 0x73706c6974ULL);
  return detail::split_rows(user.size(), [&](std::size_t i) {
    const std::uint64_t hash = mix_key(mix_key(static_cast<std::uint64_t>(user[i])) ^ salt);
    const double place = static_cast<double>(hash >> 11) * 0x1p-53;  // in [0, 1)
    return place < fractions.test ? 2 : place < fractions.test + fractions.validation ? 1 : 0;
  });
}

/// Splits rows by time within each user: the user's last rows are for the test part, those before
/// them for the validation part, and the others for training ("leave one out" of sequence models).
///
/// The training part has rows that are later than test rows of other users. So what a model learns
/// about items then is from the future; `split_by_time` avoids that.
///
/// Shapes      users [n], times [n].
/// Order       of a user's rows with equal times, the one at the larger position is later.
/// Errors      std::invalid_argument if the sizes differ or there are 2^32 rows or more.
/// Cost        O(n log n), 8 bytes of temporary memory per row.
template <detail::Integers Users, detail::Integers Times>
row_split leave_last_out(const Users& users, const Times& times,
                         const leave_last_options& options = {}) {
  const auto user = detail::as_span(users);
  const auto time = detail::as_span(times);
  detail::check_size("leave_last_out", "times", time.size(), user.size(), "users");
  detail::check_size_of_32_bits("leave_last_out", "users", user.size());
  std::vector<std::uint32_t> order(user.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = static_cast<std::uint32_t>(i);
  std::ranges::sort(order, [&](std::uint32_t a, std::uint32_t b) {
    return std::tuple(user[a], time[a], a) < std::tuple(user[b], time[b], b);
  });
  std::vector<std::uint8_t> part(user.size());
  for (std::size_t begin = 0, end = 0; begin < order.size(); begin = end) {
    while (end < order.size() && user[order[end]] == user[order[begin]]) ++end;
    std::size_t rest = end - begin;
    const auto take = [&](std::size_t count, std::uint8_t to) {
      for (; count > 0; --count) part[order[begin + --rest]] = to;
    };
    // Compared one by one: the sum of the options may not fit.
    if (rest < options.test || rest - options.test < options.validation ||
        rest - options.test - options.validation < options.training)
      continue;
    take(options.test, 2);
    take(options.validation, 1);
  }
  return detail::split_rows(part.size(), [&](std::size_t i) { return int{part[i]}; });
}

}  // namespace funnel
