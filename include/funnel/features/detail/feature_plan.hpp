// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>
#include <funnel/features/schema_options.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

// What a schema computes, worked out from its options: which columns are read, and where each value goes.
namespace funnel::detail {

inline constexpr std::size_t no_index = ~std::size_t{0};

// The sides of a row. The values of the user and the context are computed once per request.
inline constexpr std::size_t user_side = 0, item_side = 1, context_side = 2, cross_side = 3,
                             sides = 4;
inline constexpr std::array<std::string_view, sides> side_names{"of_user", "of_item", "of_context",
                                                                "of_cross"};

/// Whether a side has one row per request; the others have one per row.
constexpr bool is_by_request(std::size_t side) {
  return side == user_side || side == context_side;
}

/// Rows of an embedding table: those of a vocabulary, or a fixed number.
struct table_plan {
  std::string name;
  std::size_t vocabulary = no_index;  ///< index of the vocabulary
  std::size_t bounds = no_index;      ///< index of the boundaries of buckets
  std::size_t fixed_rows = 0;         ///< the number of rows of other tables
  std::size_t dim = 0;
  std::size_t min_count = 1;
};

/// How a category is computed from a row.
enum class category_source : std::uint8_t {
  vocabulary,
  hash,
  bucket,
  place,
  hour,
  weekday,
  activity
};

/// One category of a side: an index into an embedding table.
struct category_plan {
  std::string name;
  category_source source;
  std::size_t table;
  std::size_t column = no_index;   ///< of the side; of a place, the latitude
  std::size_t column2 = no_index;  ///< of a place, the longitude
  std::size_t length = 0;          ///< of a place, the characters of the geohash
  std::size_t age = no_index;      ///< of a bucket, the age that is bucketized
  double drop_rate = 0;
};

/// One list of categories, or the items of a history that is given.
struct list_plan {
  std::string name;
  std::size_t table;  ///< no_index: items
  std::size_t column;
};

enum class number_source : std::uint8_t { column, age, weekend, holiday };

/// One number of a side, at `offset` of its numbers.
struct number_plan {
  std::string name;
  number_source source;
  std::size_t column = no_index;
  std::size_t age = no_index;
  bool log1p = false;
  bool scaled = true;
  std::size_t offset = 0;
  std::size_t missing_offset = no_index;  ///< of the input that is 1 if the value is missing
  double drop_rate = 0;
  std::vector<std::int32_t> holidays = {};
};

struct vector_plan {
  std::string name;
  std::size_t column;
  std::size_t size;
  std::size_t offset;  ///< of the side's numbers
};

/// One part of a key: a kept key of a side.
struct key_part {
  std::size_t side;
  std::size_t key;

  bool operator==(const key_part&) const = default;
};

/// A kept key of a side: the key of a column, or the bucket that a category found.
struct key_plan {
  std::string name;
  std::size_t column;
  std::size_t category = no_index;
};

enum class counter_kind : std::uint8_t { rate, window, stock };

/// Largest number of actions of a window.
inline constexpr std::size_t most_window_actions = 64;

/// Counts by key: sums of all past events, or of periods. Counters of the same key share their sums.
struct counts_plan {
  std::vector<key_part> keys = {};
  std::vector<std::size_t> actions = {};  ///< that are summed
  bool of_items = false;                  ///< items are counted, not events
  std::int64_t period_ticks = 1;          ///< of windows
  std::uint32_t periods = 1;              ///< of windows: the longest
};

/// Elements [begin, end) of an array.
struct plan_range {
  std::size_t begin = 0;
  std::size_t end = 0;
};

/// A counter, and the numbers that it writes.
struct counter_plan {
  std::string name;
  counter_kind kind;
  std::size_t counts = 0;                 ///< index among sums or windows
  std::vector<std::size_t> actions = {};  ///< positions among the counts' actions
  std::size_t per = no_index;             ///< of a rate: the same, of what is counted
  double prior_strength = 0;
  bool log_odds = false;
  bool relative = false;  ///< the count is divided by its mean over all keys
  std::vector<std::uint32_t> lengths = {};
  std::size_t offset = 0;  ///< of the side's numbers
  std::size_t width = 0;
  plan_range logarithms = {};  ///< numbers that are written before the logarithm
};

/// An activity class: the category that counts by day give.
struct activity_plan {
  std::size_t counts;  ///< index among windows
  std::vector<std::uint32_t> bounds = {};
  std::uint32_t days = 0;
  std::size_t category = 0;  ///< of the side
};

struct history_plan {
  std::string name;
  std::size_t side;
  std::size_t action = no_index;     ///< collected: the action; no_index for every row
  std::size_t collected = no_index;  ///< index among collected histories
  std::size_t list = no_index;       ///< given: the list of the side
  std::size_t last = 0;
  std::vector<std::size_t> categories = {};  ///< of the item side: those read for each event
};

/// What is computed for one side.
struct side_plan {
  std::vector<std::string> columns = {};  ///< that are read
  std::vector<category_plan> categories = {};
  std::vector<list_plan> lists = {};
  std::vector<number_plan> numbers = {};
  std::vector<vector_plan> vectors = {};
  std::vector<key_plan> keys = {};     ///< of a user and an item, key 0 is the id if they have one
  std::vector<std::size_t> ages = {};  ///< columns whose time is kept
  std::vector<counter_plan> counters = {};
  std::vector<activity_plan> activities = {};
  /// Sums and windows that need a key of this side, and none of a later one.
  plan_range sums = {}, windows = {};
  std::vector<plan_range> logarithms = {};  ///< numbers that counters write before the logarithm
  std::size_t simple_width = 0;             ///< numbers that do not come from counters
  std::size_t scaled_width = 0;             ///< numbers without the vectors
  std::size_t width = 0;                    ///< all numbers

  std::size_t column(const std::string& name) {
    const auto found = std::ranges::find(columns, name);
    if (found != columns.end()) return static_cast<std::size_t>(found - columns.begin());
    columns.push_back(name);
    return columns.size() - 1;
  }
};

/// All of it.
struct feature_plan {
  std::array<side_plan, sides> of;
  std::vector<table_plan> tables = {};
  std::vector<counts_plan> sums = {};
  std::vector<counts_plan> windows = {};
  std::vector<history_plan> histories = {};
  std::vector<std::string> actions = {};  ///< columns of the log whose amounts are counted
  std::size_t vocabularies = 0;
  std::size_t bounds = 0;
  std::size_t collected = 0;

  /// Number of counts: an event has one place for each, those of the windows after the sums.
  std::size_t places() const { return sums.size() + windows.size(); }
};

}  // namespace funnel::detail
