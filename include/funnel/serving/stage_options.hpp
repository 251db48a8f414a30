// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/build.hpp>

#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <utility>
#include <vector>

namespace funnel {

/// What a cascade does with a stage when the time that is left is less than the stage's budget.
enum class when_short : std::uint8_t {
  shrink,  ///< it gets fewer candidates, in proportion to the time; a source runs as usual
  skip,    ///< it does not run
  run,     ///< it runs as usual
};

/// What a cascade does with the results of a stage that took longer than its budget.
enum class when_late : std::uint8_t {
  use,   ///< they are used
  drop,  ///< they are not used, as if the stage had not run
};

/// What a cascade does when a stage throws an exception.
enum class when_failed : std::uint8_t {
  pass,   ///< candidates go on in the order so far; what a source found before it threw is used
  raise,  ///< the request ends with the exception
};

/// Options of a stage of a `cascade`.
struct stage_options {
  /// No limit, for `takes` and `keeps`.
  static constexpr std::size_t all = std::numeric_limits<std::size_t>::max();

  /// For traces, logs and errors; unique in the cascade.
  std::string name = {};
  /// Most candidates that are sent to the stage: the first in the order so far; 1 or more.
  std::size_t takes = all;
  /// Most candidates that go on after the stage; for a source, most that it adds; 1 or more.
  std::size_t keeps = all;
  /// Names of the scores that a scorer writes for each candidate, 1 or more.
  std::vector<std::string> outputs = {"score"};
  /// The score by which a scorer orders the candidates, largest first, NaN last.
  std::size_t order_by = 0;
  /// Time that the stage is meant to take, in milliseconds; 0 for no limit of its own.
  double budget_ms = 0;
  when_short if_short = when_short::shrink;
  /// Fewest candidates that a stage is sent when it shrinks; 0: it may be skipped.
  std::size_t takes_at_least = 0;
  when_late if_late = when_late::use;
  when_failed if_failed = when_failed::pass;
  /// For a source: it runs only if fewer candidates than this were found before it, as a fall-back.
  std::size_t only_below = all;
  /// For a source of a cascade with a total: its part of the total, in proportion to those of the other
  /// sources; 0 or more, and 0 switches the source off. See `cascade::set_shares`.
  double share = 1;
};

/// How often what happened to a stage.
struct stage_counts {
  std::uint64_t runs = 0;     ///< requests in which the stage ran
  std::uint64_t skipped = 0;  ///< ... did not run, for want of time
  std::uint64_t shrunk = 0;   ///< ... was sent fewer candidates, for want of time
  std::uint64_t late = 0;     ///< ... took longer than its budget, or ended after the request's
  std::uint64_t failed = 0;   ///< ... threw an exception
  std::uint64_t empty = 0;    ///< ... ran, and no candidate went on; a source: found none
  std::uint64_t sent = 0;     ///< candidates that were sent to the stage
  std::uint64_t went_on = 0;  ///< candidates that went on; a source: that it found, after merging
  double milliseconds = 0;    ///< time of all runs

  stage_counts& operator+=(const stage_counts& other) {
    runs += other.runs;
    skipped += other.skipped;
    shrunk += other.shrunk;
    late += other.late;
    failed += other.failed;
    empty += other.empty;
    sent += other.sent;
    went_on += other.went_on;
    milliseconds += other.milliseconds;
    return *this;
  }
};

/// What a stage did in one request.
struct stage_trace {
  std::string name;
  /// For a source of a cascade with a total: its quota.
  std::size_t quota = 0;
  std::size_t sent = 0;
  std::size_t went_on = 0;
  double milliseconds = 0;
  bool ran = false;
  bool shrunk = false;
  bool late = false;
  /// What the exception said; empty if there was none.
  std::string error;
  /// Numbers that the stage noted, such as bytes that it read or the age of its statistics.
  std::vector<std::pair<std::string, double>> notes;
};

/// What the stages of a cascade did in one request.
struct cascade_trace {
  std::vector<stage_trace> stages;
  double milliseconds = 0;
};

}  // namespace funnel
