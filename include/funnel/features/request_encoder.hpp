// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>
#include <funnel/core/error.hpp>
#include <funnel/features/columns.hpp>
#include <funnel/features/detail/counter_columns.hpp>
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

/// Values of a cross column for the items of a request, such as {"position", positions};
/// `cross_values("position")` if they are missing for all of them.
struct cross_values {
  std::string_view column;
  funnel::column values = {};
  bool missing = false;

  cross_values(std::string_view name, const funnel::column& of_items)
      : column(name), values(of_items) {}
  explicit cross_values(std::string_view name) : column(name), missing(true) {}
};

/// Options of `request_encoder`.
struct request_encoder_options {
  /// Most bytes for numbers of counters, which are kept while the state does not change: most
  /// candidates of a request have items, tags or authors of earlier ones. A row of a counter takes 4
  /// bytes, and 4 for each of its numbers.
  std::size_t counter_bytes = std::size_t{4} << 20;
};

/// Encodes requests for serving: one user and n items at a time, with what the state knows. The
/// result equals the rows that `fit_schema` or `encode_log` makes of a log, to the bit, if the state
/// is that of the same time.
///
/// One thread uses an encoder; any number of encoders may read one schema and one state, which must
/// live as long. The state may change between two requests.
///
/// A user or an item that the state does not know has no values but its id. After some requests an
/// encoder allocates no memory.
class request_encoder {
 public:
  /// Errors      std::invalid_argument if the state was made for another schema.
  request_encoder(const schema& features, const feature_state& state,
                  const request_encoder_options& options = {})
      : features_(&features), state_(&state), counters_(features, options.counter_bytes) {
    forget_other_states();
    for (std::size_t side = 0; side < detail::sides; ++side) {
      records_.emplace_back(features.plan().of[side]);
      limits_[side] = detail::number_limits(features, side);
    }
  }

  /// Goes on with another state of the schema or of a copy of it, such as those of a new version in a
  /// `model_slot`. Keeps its memory.
  ///
  /// Errors      std::invalid_argument if the schema has another fingerprint than the one before, or
  ///             the state was made for another one: nothing has changed then; make an encoder.
  void follow(const schema& features, const feature_state& state) {
    if (features.fingerprint() != features_->fingerprint())
      detail::fail("funnel::request_encoder::follow: the schema is \"", features.label(),
                   "\", expected \"", features_->label(), "\", that of the encoder");
    state.check(features, "request_encoder::follow");
    features_ = &features;
    state_ = &state;
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
    return (*this)(user, items, time, std::span(context.begin(), context.size()),
                   std::span(cross.begin(), cross.size()));
  }
  /// The same with spans.
  template <class User, class Items>
  const row_batch& operator()(const User& user, const Items& items, std::int64_t time,
                              std::span<const context_value> context,
                              std::span<const cross_values> cross = {}) {
    detail::check_not_empty("request_encoder", "items", std::size(items));
    return encode(key_of(user), items, time, context, cross);
  }

  /// Encodes a user without items, for the user's side of a model, such as a user tower: one request
  /// of no rows.
  ///
  /// Errors      as for a request.
  template <class User>
  const row_batch& user(const User& user, std::int64_t time,
                        std::initializer_list<context_value> context = {}) {
    return this->user(user, time, std::span(context.begin(), context.size()));
  }
  template <class User>
  const row_batch& user(const User& user, std::int64_t time,
                        std::span<const context_value> context) {
    return encode(key_of(user), std::span<const std::int64_t>(), time, context, {});
  }

 private:
  /// Forgets what is kept of another state.
  void forget_other_states() {
    if (revision_ == state_->revision() && revision_ != 0) return;
    state_->check(*features_, "request_encoder");
    counters_.start(state_->counters());
    revision_ = state_->revision();
  }
  static std::uint64_t key_of(std::string_view id) { return category_key(id); }
  static std::uint64_t key_of(std::integral auto id) {
    return category_key(static_cast<std::int64_t>(id));
  }

  template <class Items>
  const row_batch& encode(std::uint64_t user, const Items& items, std::int64_t time,
                          std::span<const context_value> context,
                          std::span<const cross_values> cross) {
    const std::size_t n = std::size(items);
    detail::check_size_of_32_bits("request_encoder", "items", n);
    forget_other_states();
    read_context(context, time);
    if (n > 0) find_cross(cross, n);
    detail::clear_batch(features_->plan(), batch_);
    for (std::size_t side = 0; side < detail::sides; ++side)
      make_rows(side, detail::is_by_request(side) ? 1 : n);
    const std::uint32_t user_row = state_->table(detail::user_side).find(user);
    set_entity(detail::user_side, 0, user, user_row, time);
    set_record(detail::context_side, 0, time);
    add_histories(user_row, time);
    read_items(items, time);
    for (std::size_t i = 0; i < n; ++i) {
      read_cross(i, time);
      set_record(detail::cross_side, i, time);
    }
    for (std::size_t side = 0; side < detail::sides; ++side)
      counters_.write(*features_, side, state_->counters(), keys_, time, limits_[side],
                      batch_.side(side));
    batch_.offsets.push_back(static_cast<std::uint32_t>(n));
    batch_.step_rows = n;
    return batch_;
  }

  auto item_row() const {
    return [this](std::uint64_t id) { return state_->table(detail::item_side).find(id); };
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
    const std::vector<std::string>& columns = features_->plan().of[side].columns;
    found.assign(columns.size(), nullptr);
    for (const Named& value : named) {
      const auto place = std::ranges::find(columns, value.column);
      if (place == columns.end())
        detail::fail("funnel::request_encoder: \"", value.column,
                     "\" is given, expected columns of ", detail::side_names[side],
                     " of the schema \"", features_->options().name, "\"");
      found[static_cast<std::size_t>(place - columns.begin())] = &value;
    }
    for (std::size_t c = 0; c < columns.size(); ++c)
      if (found[c] == nullptr)
        detail::fail("funnel::request_encoder: \"", columns[c], "\" of ", detail::side_names[side],
                     " is missing, expected a value");
  }
  void read_context(std::span<const context_value> context, std::int64_t time) {
    find(detail::context_side, context, context_);
    detail::read_side(*features_, detail::context_side, context_cells{context_}, time, item_row(),
                      records_[detail::context_side]);
  }
  void find_cross(std::span<const cross_values> cross, std::size_t n) {
    find(detail::cross_side, cross, cross_);
    cross_columns_.clear();
    for (const cross_values* values : cross_) {
      if (!values->missing && values->values.rows() != n)
        detail::fail("funnel::request_encoder: \"", values->column, "\" has ",
                     values->values.rows(), " rows, expected ", n, ", one per item");
      cross_columns_.push_back(values->missing ? nullptr : &values->values);
    }
  }
  void read_cross(std::size_t i, std::int64_t time) {
    detail::read_side(*features_, detail::cross_side, detail::row_cells{cross_columns_, i}, time,
                      item_row(), records_[detail::cross_side]);
  }

  void make_rows(std::size_t side, std::size_t n) {
    const detail::side_plan& plan = features_->plan().of[side];
    side_values& to = batch_.side(side);
    to.rows = n;
    for (std::vector<std::uint32_t>& column : to.categories) column.resize(n);
    to.numbers.resize(n * plan.width);
    keys_[side].resize(n * plan.keys.size());
  }
  template <class Items>
  void read_items(const Items& items, std::int64_t time) {
    const detail::entity_table& table = state_->table(detail::item_side);
    ids_.clear();
    for (const auto& item : items) {
      ids_.push_back(key_of(item));
      table.prefetch(ids_.back());
    }
    for (std::size_t i = 0; i < ids_.size(); ++i)
      set_entity(detail::item_side, i, ids_[i], table.find(ids_[i]), time);
  }
  /// Sets the values of a user or an item, but for those that are counted.
  void set_entity(std::size_t side, std::size_t i, std::uint64_t id, std::uint32_t row,
                  std::int64_t time) {
    const detail::entity_table& table = state_->table(side);
    const std::uint32_t version = table.version(row);
    if (version == 0) {  // only the id is known
      detail::read_id(*features_, side, id, records_[side]);
      return set_record(side, i, time);
    }
    set_row(side, i, time, table.keys(version), table.numbers(row), table.times(row),
            table.codes(version), table.vectors(version));
    side_values& to = batch_.side(side);
    for (std::size_t l = 0; l < to.lists.size(); ++l)
      detail::add_list(to.lists[l], table.list(l, version));
  }
  /// The same for a record: the context, or the cross side of an item.
  void set_record(std::size_t side, std::size_t i, std::int64_t time) {
    const detail::side_record& record = records_[side];
    set_row(side, i, time, record.keys, record.numbers, record.times, record.codes, record.vectors);
    side_values& to = batch_.side(side);
    for (std::size_t l = 0; l < to.lists.size(); ++l)
      detail::add_list(to.lists[l], record.lists[l]);
  }
  void set_row(std::size_t side, std::size_t i, std::int64_t time,
               std::span<const std::uint64_t> keys, std::span<const float> simple,
               std::span<const std::int64_t> times, std::span<const std::uint32_t> codes,
               std::span<const float> vectors) {
    const detail::side_plan& plan = features_->plan().of[side];
    side_values& to = batch_.side(side);
    std::copy(keys.begin(), keys.end(), keys_[side].data() + i * keys.size());
    codes_.assign(codes.begin(), codes.end());
    const std::span<float> numbers(to.numbers.data() + i * plan.width, plan.width);
    detail::write_simple(*features_, side, time, simple, times, numbers, codes_);
    detail::scale_numbers(numbers.first(plan.simple_width), features_->values().means[side],
                          features_->values().factors[side], limits_[side]);
    std::ranges::copy(vectors, numbers.begin() + static_cast<std::ptrdiff_t>(plan.scaled_width));
    for (std::size_t c = 0; c < codes_.size(); ++c) to.categories[c][i] = codes_[c];
  }
  void add_histories(std::uint32_t user, std::int64_t time) {
    for (std::size_t h = 0; h < features_->plan().histories.size(); ++h) {
      const detail::history_plan& plan = features_->plan().histories[h];
      std::span<const std::uint32_t> events;
      if (plan.collected != detail::no_index) {
        events = state_->histories().items(plan.collected, user);
      } else if (plan.side == detail::user_side) {
        events = state_->table(detail::user_side)
                     .list(plan.list, state_->table(detail::user_side).version(user));
      } else {
        events = records_[detail::context_side].lists[plan.list];
      }
      events = events.last(std::min(plan.last, events.size()));
      detail::add_history(plan, state_->table(detail::item_side), events, time,
                          batch_.histories[h]);
    }
  }

  const schema* features_;
  const feature_state* state_;
  std::vector<detail::side_record> records_;  // of each side
  std::array<std::vector<float>, detail::sides> limits_;
  std::vector<const context_value*> context_;
  std::vector<const cross_values*> cross_;
  std::vector<const column*> cross_columns_;
  detail::counter_columns counters_;
  std::uint64_t revision_ = 0;  // of the state that counters_ follows
  detail::request_keys keys_;
  std::vector<std::uint64_t> ids_;  // keys of the items
  std::vector<std::uint32_t> codes_;
  row_batch batch_;
};

}  // namespace funnel
