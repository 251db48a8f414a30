// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>
#include <funnel/core/error.hpp>
#include <funnel/features/columns.hpp>
#include <funnel/features/detail/fill_batch.hpp>
#include <funnel/features/detail/row_features.hpp>
#include <funnel/features/detail/side_reader.hpp>
#include <funnel/features/feature_state.hpp>
#include <funnel/features/hashing.hpp>
#include <funnel/features/row_batch.hpp>
#include <funnel/features/schema.hpp>

#include <algorithm>
#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace funnel {

/// A value of a context column, such as {"device", "ios"}, {"hour", 21} or {"price", 9.5};
/// `context_value("device")` for a missing one.
struct context_value {
  std::string_view column;
  value_kind kind = value_kind::number;
  double number = std::numeric_limits<double>::quiet_NaN();
  std::int64_t integer = 0;
  std::string_view text = {};

  context_value(std::string_view name, std::string_view value)
      : column(name), kind(value_kind::text), text(value) {}
  context_value(std::string_view name, const char* value)
      : context_value(name, std::string_view(value)) {}
  context_value(std::string_view name, const std::string& value)
      : context_value(name, std::string_view(value)) {}
  template <std::integral I>
  context_value(std::string_view name, I value)
      : column(name), kind(value_kind::integer), number(static_cast<double>(value)),
        integer(static_cast<std::int64_t>(value)) {}
  context_value(std::string_view name, double value) : column(name), number(value) {}
  /// A missing value.
  explicit context_value(std::string_view name) : column(name) {}
};

/// Values of a cross column for the items of a request.
struct cross_values {
  std::string_view column;
  funnel::column values;
};

/// Encodes requests for serving: one user and n items at a time, with what the state knows. The
/// result equals the rows that `fit_schema` or `encode_log` makes of a log, to the bit, if the state
/// is that of the same time.
///
/// One thread uses an encoder; any number of encoders may read one schema and one state, which must
/// live as long and not change.
///
/// A user or an item that the state does not know has no values but its id. After some requests an
/// encoder allocates no memory.
class request_encoder {
 public:
  /// Errors      std::invalid_argument if the state was made for another schema.
  request_encoder(const schema& features, const feature_state& state)
      : features_(features), state_(state) {
    state.check(features, "request_encoder");
    places_.resize(features.plan().places());
    for (std::size_t side = 0; side < detail::sides; ++side) {
      records_.emplace_back(features.plan().of[side]);
      limits_[side] = detail::number_limits(features, side);
    }
  }

  /// Encodes a request.
  ///
  /// Shapes      items [n]: integers or strings; `context` has a value for every column of the
  ///             context side; `cross` has the columns of the cross side, with n values each.
  /// Units       time: in the unit of the log's time column.
  /// Errors      std::invalid_argument if there are no items, a column is missing, unknown or of a
  ///             wrong size. Returns a batch that is valid until the next call.
  template <class User, class Items>
  const row_batch& operator()(const User& user, const Items& items, std::int64_t time,
                              std::initializer_list<context_value> context = {},
                              std::initializer_list<cross_values> cross = {}) {
    return encode(key_of(user), items, time, {context.begin(), context.size()},
                  {cross.begin(), cross.size()});
  }
  /// The same with spans.
  template <class User, class Items>
  const row_batch& operator()(const User& user, const Items& items, std::int64_t time,
                              std::span<const context_value> context,
                              std::span<const cross_values> cross = {}) {
    return encode(key_of(user), items, time, context, cross);
  }

 private:
  static std::uint64_t key_of(std::string_view id) { return category_key(id); }
  static std::uint64_t key_of(std::integral auto id) {
    return category_key(static_cast<std::int64_t>(id));
  }

  template <class Items>
  const row_batch& encode(std::uint64_t user, const Items& items, std::int64_t time,
                          std::span<const context_value> context,
                          std::span<const cross_values> cross) {
    const std::size_t n = std::size(items);
    detail::check_not_empty("request_encoder", "items", n);
    detail::check_size_of_32_bits("request_encoder", "items", n);
    read_context(context, time);
    find_cross(cross, n);
    detail::clear_batch(features_.plan(), batch_);
    detail::row_keys keys;
    keys[detail::context_side] = records_[detail::context_side].keys;
    const std::uint32_t user_row = add_entity(detail::user_side, user, time, keys);
    add_record(detail::context_side, time, keys);
    add_histories(user_row, time);
    std::size_t i = 0;
    for (const auto& item : items) {
      read_cross(i++, time);
      keys[detail::cross_side] = records_[detail::cross_side].keys;
      add_entity(detail::item_side, key_of(item), time, keys);
      add_record(detail::cross_side, time, keys);
    }
    batch_.offsets.push_back(static_cast<std::uint32_t>(n));
    batch_.step_rows = n;
    return batch_;
  }

  auto item_row() const {
    return [this](std::uint64_t id) { return state_.table(detail::item_side).find(id); };
  }

  // Cells of a request, as `read_side` reads them.
  struct context_cells {
    std::span<const context_value* const> values;

    std::size_t count(std::size_t) const { return 1; }
    double number(std::size_t c, std::size_t = 0) const {
      const context_value& v = *values[c];
      return v.kind == value_kind::text ? std::numeric_limits<double>::quiet_NaN() : v.number;
    }
    std::uint64_t key(std::size_t c, std::size_t = 0) const {
      const context_value& v = *values[c];
      if (v.kind == value_kind::text) return category_key(v.text);
      if (v.kind == value_kind::integer) return category_key(v.integer);
      return column(std::span<const double>(&v.number, 1)).key(0);
    }
    std::int64_t time(std::size_t c) const {
      const context_value& v = *values[c];
      if (v.kind == value_kind::integer) return v.integer;
      const column one(std::span<const double>(&v.number, 1));
      const column* const columns[1] = {&one};
      return v.kind == value_kind::text ? detail::no_time : detail::row_cells{columns, 0}.time(0);
    }
  };

  /// Finds the value of each column of a side among named ones.
  template <class Named>
  void find(std::size_t side, std::span<const Named> named,
            std::vector<const Named*>& found) const {
    const std::vector<std::string>& columns = features_.plan().of[side].columns;
    found.assign(columns.size(), nullptr);
    for (const Named& value : named) {
      const auto place = std::ranges::find(columns, value.column);
      if (place == columns.end())
        detail::fail("funnel::request_encoder: \"", value.column,
                     "\" is given, expected columns of ", detail::side_names[side],
                     " of the schema \"", features_.options().name, "\"");
      found[static_cast<std::size_t>(place - columns.begin())] = &value;
    }
    for (std::size_t c = 0; c < columns.size(); ++c)
      if (found[c] == nullptr)
        detail::fail("funnel::request_encoder: \"", columns[c], "\" of ", detail::side_names[side],
                     " is missing, expected a value");
  }
  void read_context(std::span<const context_value> context, std::int64_t time) {
    find(detail::context_side, context, context_);
    detail::read_side(features_, detail::context_side, context_cells{context_}, time, item_row(),
                      records_[detail::context_side]);
  }
  void find_cross(std::span<const cross_values> cross, std::size_t n) {
    find(detail::cross_side, cross, cross_);
    cross_columns_.clear();
    for (const cross_values* values : cross_) {
      if (values->values.rows() != n)
        detail::fail("funnel::request_encoder: \"", values->column, "\" has ",
                     values->values.rows(), " rows, expected ", n, ", one per item");
      cross_columns_.push_back(&values->values);
    }
  }
  void read_cross(std::size_t i, std::int64_t time) {
    detail::read_side(features_, detail::cross_side, detail::row_cells{cross_columns_, i}, time,
                      item_row(), records_[detail::cross_side]);
  }

  /// Appends a user or an item, and returns its row.
  std::uint32_t add_entity(std::size_t side, std::uint64_t id, std::int64_t time,
                           detail::row_keys& keys) {
    const detail::side_plan& plan = features_.plan().of[side];
    const detail::entity_table& table = state_.table(side);
    const std::uint32_t row = table.find(id);
    const std::uint32_t version = table.version(row);
    std::span<const std::uint32_t> codes = table.codes(version);
    std::span<const float> numbers = table.numbers(row);
    keys[side] = table.keys(version);
    if (version == 0) {  // only the id is known
      detail::read_id(features_, side, id, records_[side]);
      codes = records_[side].codes;
      numbers = records_[side].numbers;
      keys[side] = records_[side].keys;
    }
    add_row(side, keys, time, numbers, table.times(row), codes, table.vectors(version));
    side_values& to = batch_.side(side);
    for (std::size_t l = 0; l < plan.lists.size(); ++l)
      detail::add_list(to.lists[l], table.list(l, version));
    return row;
  }
  /// Appends the context, or the cross side of an item.
  void add_record(std::size_t side, std::int64_t time, const detail::row_keys& keys) {
    const detail::side_record& record = records_[side];
    add_row(side, keys, time, record.numbers, record.times, record.codes, record.vectors);
    side_values& to = batch_.side(side);
    for (std::size_t l = 0; l < record.lists.size(); ++l)
      detail::add_list(to.lists[l], record.lists[l]);
  }
  void add_row(std::size_t side, const detail::row_keys& keys, std::int64_t time,
               std::span<const float> simple, std::span<const std::int64_t> times,
               std::span<const std::uint32_t> codes, std::span<const float> vectors) {
    numbers_.resize(features_.plan().of[side].scaled_width);
    codes_.assign(codes.begin(), codes.end());
    state_.counters().find_places(features_.plan(), side, keys, places_);
    detail::write_row(features_, side, state_.counters(), places_, time, simple, times, numbers_,
                      codes_);
    detail::scale_numbers(numbers_, features_.values().means[side],
                          features_.values().factors[side], limits_[side]);
    detail::add_side_row(batch_.side(side), codes_, numbers_, vectors);
  }
  void add_histories(std::uint32_t user, std::int64_t time) {
    for (std::size_t h = 0; h < features_.plan().histories.size(); ++h) {
      const detail::history_plan& plan = features_.plan().histories[h];
      std::span<const std::uint32_t> events;
      if (plan.collected != detail::no_index) {
        events = state_.histories().items(plan.collected, user);
      } else if (plan.side == detail::user_side) {
        events = state_.table(detail::user_side)
                     .list(plan.list, state_.table(detail::user_side).version(user));
      } else {
        events = records_[detail::context_side].lists[plan.list];
      }
      events = events.last(std::min(plan.last, events.size()));
      detail::add_history(plan, state_.table(detail::item_side), events, time, batch_.histories[h]);
    }
  }

  const schema& features_;
  const feature_state& state_;
  std::vector<detail::side_record> records_;  // of each side
  std::array<std::vector<float>, detail::sides> limits_;
  std::vector<const context_value*> context_;
  std::vector<const cross_values*> cross_;
  std::vector<const column*> cross_columns_;
  std::vector<std::uint64_t> places_;  // of the counters
  std::vector<float> numbers_;
  std::vector<std::uint32_t> codes_;
  row_batch batch_;
};

}  // namespace funnel
