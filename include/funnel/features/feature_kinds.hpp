// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>
#include <funnel/core/error.hpp>

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace funnel {

/// One name or a list of names: "click", or {"user_id", "category"}.
class name_list {
 public:
  name_list() = default;
  name_list(const char* name) : names_{name} {}
  name_list(std::string name) : names_{std::move(name)} {}
  name_list(std::initializer_list<std::string> list) : names_(list) {}
  explicit name_list(std::vector<std::string> list) : names_(std::move(list)) {}

  std::size_t size() const { return names_.size(); }
  bool empty() const { return names_.empty(); }
  const std::string& operator[](std::size_t i) const { return names_[i]; }
  auto begin() const { return names_.begin(); }
  auto end() const { return names_.end(); }

  void visit_state(auto&& visit) {
    std::uint64_t count = names_.size();
    visit("count", count);
    detail::check_size_of_32_bits("names", "count", count);
    // One by one: a count out of a damaged file must not ask for all the memory at once.
    for (std::size_t i = 0; i < count; ++i) {
      if (i == names_.size()) names_.emplace_back();
      visit("name", names_[i]);
    }
    names_.resize(count);
  }

 private:
  std::vector<std::string> names_;
};

/// How a number becomes an input of a model.
enum class number_as : std::uint8_t {
  raw,           ///< as it is
  log1p,         ///< ln(1 + x), then standardized: for counts and prices
  standardized,  ///< (x - mean) / deviation
  bucketized,    ///< the bucket of equal frequency, as a category
};

/// How a `rate` becomes an input of a model.
enum class rate_as : std::uint8_t {
  log_odds,  ///< ln(r / (1 - r)): for rates of actions, which are between 0 and 1
  value,     ///< as it is: for means of amounts, such as seconds
};

/// Feature: a category, as an embedding. The value is an integer or a text.
struct category {
  std::string column = {};
  /// Values that occur in fewer rows of the training log count as unknown.
  std::size_t min_count = 1;
  /// Above 0: the value is hashed to one of this many rows, and there is no vocabulary.
  std::uint32_t hash_rows = 0;
  /// Size of the embedding; 0 for the default of `feature_inputs`.
  std::size_t dim = 0;
  /// Column of another category, whose vocabulary and embedding table this one shares.
  std::string share = {};
  /// In training, the probability of treating a value as missing, in [0, 1).
  double drop_rate = 0;

  void visit_state(auto&& visit) {
    visit("column", column), visit("min_count", min_count), visit("hash_rows", hash_rows);
    visit("dim", dim), visit("share", share), visit("drop_rate", drop_rate);
  }
};

/// Feature: a list of categories, such as tags, as the mean of their embeddings. The column has one
/// list per row.
struct category_list {
  std::string column = {};
  std::size_t min_count = 1;    ///< as in `category`
  std::uint32_t hash_rows = 0;  ///< as in `category`
  std::size_t dim = 0;          ///< as in `category`
  std::string share = {};       ///< as in `category`

  void visit_state(auto&& visit) {
    visit("column", column), visit("min_count", min_count), visit("hash_rows", hash_rows);
    visit("dim", dim), visit("share", share);
  }
};

/// Feature: a number. Unless it is bucketized, it has a second input, which is 1 where the value is
/// missing and 0 elsewhere; always 0 if it was never missing in the training log.
struct number {
  std::string column = {};
  number_as as = number_as::standardized;
  /// Number of buckets, if it is bucketized.
  std::size_t buckets = 16;
  /// Size of the embedding of a bucket; 0 for the default of `feature_inputs`.
  std::size_t dim = 0;
  /// In training, the probability of treating a value as missing, in [0, 1). Above 0, there is
  /// always an input for missing values.
  double drop_rate = 0;

  void visit_state(auto&& visit) {
    visit("column", column), visit("as", as), visit("buckets", buckets), visit("dim", dim);
    visit("drop_rate", drop_rate);
  }
};

/// Feature: a vector, such as a content embedding; the column has a list of `size` numbers in every
/// row. It is an input as it is; a row without one gets zeros.
struct vector_of {
  std::string column = {};
  std::size_t size = 0;

  void visit_state(auto&& visit) { visit("column", column), visit("size", size); }
};

/// Feature: a place, as the embedding of its geohash cell. The columns are degrees.
struct place {
  std::string latitude = {};
  std::string longitude = {};
  /// Characters of the geohash: 5 for cells of about 4.9 km, 6 for 1.2 km x 0.6 km; see `geohash`.
  std::size_t length = 5;
  std::size_t min_count = 1;  ///< as in `category`
  std::size_t dim = 0;        ///< as in `category`

  void visit_state(auto&& visit) {
    visit("latitude", latitude), visit("longitude", longitude), visit("length", length);
    visit("min_count", min_count), visit("dim", dim);
  }
};

/// Feature: the local hour and day of the week of a time, as embeddings, and whether the day is a
/// weekend or a holiday, as numbers.
struct time_of {
  /// A column of times; empty for the time of the row.
  std::string column = {};
  bool hour = true;
  bool weekday = true;
  bool weekend = true;
  /// Dates yyyymmdd. If there is one, being a holiday is an input.
  std::vector<std::int32_t> holidays = {};
  std::size_t dim = 0;  ///< as in `category`

  void visit_state(auto&& visit) {
    visit("column", column), visit("hour", hour), visit("weekday", weekday);
    visit("weekend", weekend), visit("holidays", holidays), visit("dim", dim);
  }
};

/// Feature: the age of something at the time of the row, in hours: row time - column. For the age of
/// an item or an account, whose column is the time of its publication or registration.
struct age {
  std::string column = {};
  number_as as = number_as::log1p;
  std::size_t buckets = 16;  ///< as in `number`
  std::size_t dim = 0;       ///< as in `number`

  void visit_state(auto&& visit) {
    visit("column", column), visit("as", as), visit("buckets", buckets), visit("dim", dim);
  }
};

/// Feature: items that the user acted on. Collected from the rows of the log, like a counter, or
/// given as a column of lists of item ids. `feature_inputs` takes the mean of the embeddings;
/// attention layers read the events one by one.
struct history {
  std::string name = {};
  /// The action that adds the row's item to the history; empty for all rows.
  std::string action = {};
  /// If not empty: a column with lists of item ids, oldest first, and nothing is collected.
  std::string column = {};
  /// Maximum number of items, the newest ones.
  std::size_t last = 50;
  /// Categories of the item that are read for each event; they are features of the item side, and
  /// share its vocabularies and embeddings.
  name_list fields = {};

  void visit_state(auto&& visit) {
    visit("name", name), visit("action", action), visit("column", column), visit("last", last);
    visit("fields", fields);
  }
};

/// Feature: smoothed rates of actions, counted over earlier rows with the same key. Inputs are
/// ln(1 + n) and the rates, all standardized. Keys from both sides make a look-up cross: {"user_id",
/// "category"} is the user's rate in the category of this candidate.
struct rate {
  std::string name = {};
  /// Columns that make the key.
  name_list keys = {};
  name_list actions = {};
  /// n counts rows if this is empty, otherwise the amount of this action: "click" for the rate of
  /// likes per click.
  std::string per = {};
  /// Weight of the mean over all keys, in rows.
  double prior_strength = 20;
  rate_as as = rate_as::log_odds;
  /// Whether the inputs are relative to all keys: n as a multiple of its mean, rates as differences
  /// from the rate of all keys (of the log odds, or of the values). Sums grow with the log, and rates
  /// drift from day to day: a model meets larger sums than all that it has learned from. What is
  /// relative stays the same.
  bool relative = false;

  void visit_state(auto&& visit) {
    visit("name", name), visit("keys", keys), visit("actions", actions), visit("per", per);
    visit("prior_strength", prior_strength), visit("as", as), visit("relative", relative);
  }
};

/// Feature: sums of actions over the last periods, as ln(1 + sum), standardized: of each window the
/// number of rows, then each action.
struct window {
  std::string name = {};
  name_list keys = {};
  name_list actions = {};
  /// Lengths of the windows, in periods. The current period is not included.
  std::vector<std::uint32_t> lengths = {1, 7, 30};
  /// Length of a period in hours: 24 for days, 1 for hours.
  std::uint32_t period_hours = 24;

  void visit_state(auto&& visit) {
    visit("name", name), visit("keys", keys), visit("actions", actions);
    visit("lengths", lengths), visit("period_hours", period_hours);
  }
};

/// Feature: a stock, the sum of an action over all earlier rows with the same key: the followers of
/// an author are the "follow" actions of the key "author_id".
struct stock {
  std::string name = {};
  name_list keys = {};
  /// The action; empty to count rows.
  std::string action = {};
  /// Whether to count the items of the item table instead of rows: the posts of an author are the
  /// items of the key "author_id".
  bool of_items = false;

  void visit_state(auto&& visit) {
    visit("name", name), visit("keys", keys), visit("action", action), visit("of_items", of_items);
  }
};

/// Feature: the activity class of a key, as a category: how many of the last days had a row. With
/// bounds {1, 4, 12} the classes are 0, 1 to 3, 4 to 11, and 12 days or more.
struct activity {
  std::string name = {};
  name_list keys = {};
  std::uint32_t days = 28;
  /// The smallest number of days of each class but the first, ascending.
  std::vector<std::uint32_t> bounds = {1, 4, 12};
  std::size_t dim = 0;  ///< as in `category`

  void visit_state(auto&& visit) {
    visit("name", name), visit("keys", keys), visit("days", days), visit("bounds", bounds);
    visit("dim", dim);
  }
};

/// One feature of a schema.
using feature = std::variant<category, category_list, number, vector_of, place, time_of, age,
                             history, rate, window, stock, activity>;

/// The name of a feature: that of its column, or its own.
inline std::string_view name_of(const feature& f) {
  return std::visit(
      [](const auto& kind) -> std::string_view {
        if constexpr (requires { kind.name; })
          return kind.name;
        else if constexpr (requires { kind.latitude; })
          return kind.latitude;
        else if constexpr (requires { kind.holidays; })
          return kind.column.empty() ? std::string_view("time") : std::string_view(kind.column);
        else
          return kind.column;
      },
      f);
}

}  // namespace funnel
