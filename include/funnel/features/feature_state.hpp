// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>
#include <funnel/core/error.hpp>
#include <funnel/core/state.hpp>
#include <funnel/features/columns.hpp>
#include <funnel/features/detail/entity_table.hpp>
#include <funnel/features/detail/event_counters.hpp>
#include <funnel/features/detail/event_queue.hpp>
#include <funnel/features/detail/item_histories.hpp>
#include <funnel/features/detail/side_reader.hpp>
#include <funnel/features/schema.hpp>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace funnel {

/// Feature state: what the features of a schema know of the past. The tables of users and items, the
/// counters, and the histories. `fit_schema` returns the state at the end of the log; a server goes
/// on from there.
///
/// - `tell_users` and `tell_items` set the values of users and items. They hold at once.
/// - `tell` adds events: rows of the log, with what the user did. They are counted when their delay
///   is over (`schema_options::delay`), by `advance`.
/// - `request_encoder` reads the state. It is const then: one thread updates a copy while others
///   read the one before.
///
/// A row at time t sees the events whose time plus the delay is before t, if `advance(t)` was called
/// and no later time. Events may be told late and in any order: they count from then on.
///
/// Errors      every function: std::invalid_argument if the schema has another fingerprint than the
///             one that the state was made for, or a column is missing or of a wrong kind. Nothing
///             has changed then. If memory runs out (std::bad_alloc), the rows or events before are
///             told, and no part of the others.
class feature_state {
 public:
  feature_state() = default;
  explicit feature_state(const schema& features) : feature_state(before_fit(features)) {
    features.check_fitted("feature_state");
    belong_to(features);
  }

  /// The latest time that was passed to `advance`; the smallest number before the first call.
  std::int64_t time() const { return time_; }
  std::size_t users() const { return users_.rows() - 1; }
  std::size_t items() const { return items_.rows() - 1; }
  /// The name and the fingerprint of the schema.
  const std::string& label() const { return label_; }

  /// Sets the values of users: one row per user, with the id and the columns of `of_user`.
  void tell_users(const schema& features, const columns& table) {
    tell_table(features, table, detail::user_side, "the user table");
  }
  /// Sets the values of items: one row per item, with the id and the columns of `of_item`.
  void tell_items(const schema& features, const columns& table) {
    tell_table(features, table, detail::item_side, "the item table");
  }
  /// Adds events: rows of a log, with the ids of users and items, the time, the actions, and the
  /// columns of the context and the cross side. Columns of users and items are not read, see
  /// `tell_users` and `tell_items`.
  void tell(const schema& features, const columns& events) {
    check(features, "feature_state::tell");
    change();
    tell_events(features, events);
  }

  /// Counts the events whose delay is over at a time.
  void advance(const schema& features, std::int64_t time) {
    check(features, "feature_state::advance");
    if (pending_.has_next(time)) change();
    count_until(features, time);
  }

  /// Errors      std::invalid_argument if the schema has another fingerprint.
  void check(const schema& features, std::string_view function) const {
    if (fingerprint_ != features.fingerprint() || fingerprint_ == 0)
      detail::fail("funnel::", function, ": the schema is \"", features.label(), "\", expected \"",
                   label_, "\", for which the state was made");
  }

  void visit_state(auto&& visit) {
    visit("fingerprint", fingerprint_);
    visit("label", label_);
    visit("time", time_);
    visit("users", users_);
    visit("items", items_);
    visit("counters", counters_);
    visit("histories", histories_);
    visit("pending", pending_);
    if (!is_loading(visit)) return;
    change();
    users_.refuse_unknown_items(plan_.of[detail::user_side], items_.rows());
    histories_.refuse_unknown_items(items_.rows());
    pending_.for_each([&](const detail::pending_event& event) {
      counters_.refuse_unknown_places(event.places);
      if (event.user >= users_.rows() || event.item >= items_.rows())
        throw format_error("the events of a feature state are damaged: a user or item is unknown");
    });
  }

  // For the library's own functions.

  /// A number for what the state knows: copies share it, and every change gives another one.
  std::uint64_t revision() const { return revision_; }
  const detail::entity_table& table(std::size_t side) const {
    return side == detail::user_side ? users_ : items_;
  }
  detail::entity_table& table(std::size_t side) {
    return side == detail::user_side ? users_ : items_;
  }
  const detail::event_counters& counters() const { return counters_; }
  detail::event_counters& counters() { return counters_; }
  const detail::item_histories& histories() const { return histories_; }
  detail::item_histories& histories() { return histories_; }

  /// The row of a user or an item; an unknown one is added, with no values but its id.
  std::uint32_t entity(const schema& features, std::size_t side, std::uint64_t id) {
    detail::entity_table& entities = table(side);
    const std::uint32_t row = entities.find(id);
    if (entities.version(row) != 0 || id == missing_key) return row;
    detail::side_record record(features.plan().of[side]);
    detail::read_id(features, side, id, record);
    return set(features, side, id, record, detail::no_time + 1);
  }
  /// Sets the values of a user or an item from a time on, and returns its row.
  std::uint32_t set(const schema& features, std::size_t side, std::uint64_t id,
                    const detail::side_record& record, std::int64_t time) {
    detail::entity_table& entities = table(side);
    const std::uint32_t row = entities.add(id);
    if (side == detail::item_side) counters_.reserve_item(features.plan(), record.keys);
    if (entities.set(row, record, time) && side == detail::item_side)
      counters_.count_item(features.plan(), entities.keys(entities.version(row)));
    return row;
  }
  /// Adds the events of a log.
  void tell_events(const schema& features, const columns& events) {
    const detail::action_columns read(features, events);
    for (std::size_t i = 0; i < events.rows(); ++i) read.check(i);
    const detail::feature_plan& plan = features.plan();
    detail::side_record context(plan.of[detail::context_side]), cross(plan.of[detail::cross_side]);
    std::vector<float> amounts(plan.actions.size());
    const auto no_item = [](std::uint64_t) { return std::uint32_t{0}; };
    std::vector<std::uint64_t> places(plan.places());
    for (std::size_t i = 0; i < events.rows(); ++i) {
      const std::int64_t time = read.time(i);
      detail::read_side(features, detail::context_side, read.context(i), time, no_item, context);
      detail::read_side(features, detail::cross_side, read.cross(i), time, no_item, cross);
      for (std::size_t a = 0; a < amounts.size(); ++a) amounts[a] = read.amount(a, i);
      const std::uint32_t user = entity(features, detail::user_side, read.user(i));
      const std::uint32_t item = entity(features, detail::item_side, read.item(i));
      const detail::row_keys keys{users_.keys(users_.version(user)),
                                  items_.keys(items_.version(item)), context.keys, cross.keys};
      for (std::size_t side = 0; side < detail::sides; ++side)
        counters_.add_places(plan, side, keys, places);
      tell(features, {time, user, item, places, amounts});
    }
  }
  /// Adds an event, of rows of the tables.
  void tell(const schema& features, const detail::pending_event& event) {
    pending_.add(detail::visible_at(features.options(), event.time), event);
  }
  void count_until(const schema& features, std::int64_t time) {
    pending_.reserve();
    time_ = std::max(time_, time);
    for (; pending_.has_next(time); pending_.pop()) {
      const detail::pending_event event = pending_.front();
      histories_.add(features, event);  // first: it alone may run out of memory
      counters_.count(features, event.places, event.amounts, event.time);
    }
  }
  /// Keeps what rows of a log refer to, or forgets it.
  void keep_past(bool keep) {
    users_.keeps_versions = items_.keeps_versions = histories_.keeps_all = keep;
    if (keep) return;
    users_ = users_.without_versions();
    items_ = items_.without_versions();
    histories_.forget_old();
  }
  /// The state of a schema that is not fitted yet, and the end of fitting.
  static feature_state before_fit(const schema& features) {
    feature_state state;
    state.plan_ = features.plan();
    state.users_ = detail::entity_table(features.plan().of[detail::user_side]);
    state.items_ = detail::entity_table(features.plan().of[detail::item_side]);
    state.counters_ = detail::event_counters(features.plan());
    state.histories_ = detail::item_histories(features.plan());
    state.pending_ = detail::event_queue(features.plan());
    return state;
  }
  void belong_to(const schema& features) {
    fingerprint_ = features.fingerprint();
    label_ = features.label();
    change();
  }

 private:
  void change() {
    static std::atomic<std::uint64_t> last{0};
    revision_ = ++last;
  }
  void tell_table(const schema& features, const columns& table, std::size_t side,
                  std::string_view what) {
    check(features, "feature_state");
    change();
    const auto read = detail::columns_of_side(features, side, table, what);
    const std::string& id_column =
        side == detail::user_side ? features.options().user : features.options().item;
    const column& ids = table[id_column];
    for (std::size_t i = 0; i < table.rows(); ++i)
      if (ids.key(ids.begin(i)) == missing_key)
        detail::fail("funnel::feature_state: row ", i, " of ", what, " has no \"", id_column,
                     "\", expected an id");
    detail::side_record record(features.plan().of[side]);
    const auto item_row = [&](std::uint64_t id) { return entity(features, detail::item_side, id); };
    for (std::size_t i = 0; i < table.rows(); ++i) {
      detail::read_side(features, side, detail::row_cells{read, i}, detail::no_time, item_row,
                        record);
      set(features, side, ids.key(ids.begin(i)), record, detail::no_time + 1);
    }
  }

  std::uint64_t fingerprint_ = 0;
  std::uint64_t revision_ = 0;
  std::string label_ = "none";
  std::int64_t time_ = std::numeric_limits<std::int64_t>::min();
  detail::feature_plan plan_;
  detail::entity_table users_;
  detail::entity_table items_;
  detail::event_counters counters_;
  detail::item_histories histories_;
  detail::event_queue pending_;
};

}  // namespace funnel
