// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/error.hpp>
#include <funnel/core/state.hpp>
#include <funnel/features/columns.hpp>
#include <funnel/features/detail/entity_table.hpp>
#include <funnel/features/detail/feature_plan.hpp>
#include <funnel/features/detail/side_reader.hpp>
#include <funnel/features/schema.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace funnel::detail {

/// The columns of a log that the past is made of: ids, times, actions, and the keys of the context
/// and the cross side.
class action_columns {
 public:
  /// Errors      std::invalid_argument if a column is missing or of a wrong kind.
  action_columns(const schema& features, const columns& log)
      : options_(features.options()), user_(optional(log, options_.user, false)),
        item_(optional(log, options_.item, false)), time_(optional(log, options_.time, true)),
        context_(columns_of_side(features, context_side, log, "the log")),
        cross_(columns_of_side(features, cross_side, log, "the log")) {
    for (const std::string& name : features.plan().actions)
      actions_.push_back(one(log, name, true));
  }

  /// The key of the user or item of row i; missing_key if the schema has no such column.
  std::uint64_t user(std::size_t i) const { return user_ == nullptr ? missing_key : user_->key(i); }
  std::uint64_t item(std::size_t i) const { return item_ == nullptr ? missing_key : item_->key(i); }
  std::int64_t time(std::size_t i) const {
    return time_ == nullptr ? 0 : row_cells{{&time_, 1}, i}.time(0);
  }
  float amount(std::size_t action, std::size_t i) const {
    const double value = actions_[action]->number(i);
    return std::isnan(value) ? 0.f : static_cast<float>(value);  // missing: not done
  }
  row_cells context(std::size_t i) const { return {context_, i}; }
  row_cells cross(std::size_t i) const { return {cross_, i}; }

  /// Errors      std::invalid_argument if row i has no user, item or time, or an amount is infinite.
  void check(std::size_t i) const {
    const auto wrong = [&](const std::string& name, std::string_view expected) {
      fail("funnel::schema \"", options_.name, "\": row ", i, " of the log has no usable \"", name,
           "\", expected ", expected);
    };
    if (user_ != nullptr && user(i) == missing_key) wrong(options_.user, "an id");
    if (item_ != nullptr && item(i) == missing_key) wrong(options_.item, "an id");
    constexpr std::int64_t limit = std::int64_t{1} << 61;
    if (const std::int64_t t = time(i); t < -limit || t > limit)
      wrong(options_.time, "an integer time between -2^61 and 2^61");
    for (std::size_t a = 0; a < actions_.size(); ++a)
      if (!std::isfinite(amount(a, i))) wrong("an action", "a finite number");
  }

 private:
  const column* optional(const columns& log, const std::string& name, bool is_number) const {
    return name.empty() ? nullptr : one(log, name, is_number);
  }
  const column* one(const columns& log, const std::string& name, bool is_number) const {
    const column* c = log.find(name);
    if (c == nullptr) {
      std::string others;
      for (std::size_t i = 0; i < log.size(); ++i) others += (i == 0 ? "" : ", ") + log.name(i);
      fail("funnel::schema \"", options_.name, "\": column \"", name,
           "\" is missing in the log, expected it among ", others);
    }
    if (c->is_list() || (is_number && c->kind() == value_kind::text))
      fail("funnel::schema \"", options_.name, "\": column \"", name, "\" of the log ",
           c->is_list() ? "has lists" : "is text", ", expected one ",
           is_number ? "number" : "value", " per row");
    return c;
  }

  const schema_options& options_;
  const column* user_;
  const column* item_;
  const column* time_;
  std::vector<const column*> context_, cross_, actions_;
};

/// An event that is not counted yet.
struct pending_event {
  std::int64_t time;
  std::uint32_t user;  // rows of the tables
  std::uint32_t item;
  std::span<const std::uint64_t> places;  // of the counters
  std::span<const float> amounts;
};

/// Events in the order in which they become visible; those of one time in the order in which they
/// were added.
class event_queue {
 public:
  event_queue() = default;
  explicit event_queue(const feature_plan& plan)
      : places_width_(plan.places()), amounts_width_(plan.actions.size()) {}

  std::size_t size() const { return events_.size(); }

  /// Adds an event, which is visible at times from `visible` on.
  void add(std::int64_t visible, const pending_event& added) {
    if (free_.empty()) {
      const std::size_t slots = slots_ + 1;
      grow(places_, slots * places_width_);
      grow(amounts_, slots * amounts_width_);
      if (free_.capacity() < slots) free_.reserve(2 * slots);
      free_.push_back(static_cast<std::uint32_t>(slots_));
      slots_ = slots;
    }
    const std::uint32_t slot = free_.back();
    std::size_t at = events_.size();
    while (at > 0 && events_[at - 1].visible > visible) --at;  // most events come in order
    events_.insert(events_.begin() + static_cast<std::ptrdiff_t>(at),
                   {visible, added.time, added.user, added.item, slot});
    free_.pop_back();
    std::ranges::copy(added.places, places(slot).begin());
    std::ranges::copy(added.amounts, amounts(slot).begin());
  }
  /// Makes room, so that `pop` allocates no memory.
  void reserve() { free_.reserve(slots_); }
  /// Whether there is an event that is visible at a time.
  bool has_next(std::int64_t time) const {
    return !events_.empty() && events_.front().visible <= time;
  }
  /// The first event; valid until the queue changes.
  pending_event front() {
    const event& e = events_.front();
    return {e.time, e.user, e.item, places(e.slot), amounts(e.slot)};
  }
  void pop() {
    free_.push_back(events_.front().slot);
    events_.pop_front();
  }

  void visit_state(auto&& visit) {
    std::vector<std::int64_t> visible, time;
    std::vector<std::uint32_t> user, item;
    std::vector<std::uint64_t> places;
    std::vector<float> amounts;
    if (!is_loading(visit)) {
      for (const event& e : events_) {
        visible.push_back(e.visible);
        time.push_back(e.time);
        user.push_back(e.user);
        item.push_back(e.item);
        places.insert(places.end(), this->places(e.slot).begin(), this->places(e.slot).end());
        amounts.insert(amounts.end(), this->amounts(e.slot).begin(), this->amounts(e.slot).end());
      }
    }
    visit("visible", visible), visit("time", time), visit("user", user), visit("item", item);
    visit("places", places), visit("amounts", amounts);
    if (!is_loading(visit)) return;
    const std::size_t n = visible.size();
    if (time.size() != n || user.size() != n || item.size() != n ||
        places.size() != n * places_width_ || amounts.size() != n * amounts_width_)
      throw format_error("the events of a feature state are damaged: their arrays do not fit");
    event_queue loaded = *this;
    loaded.events_.clear();
    loaded.free_.clear();
    loaded.slots_ = 0;
    for (std::size_t i = 0; i < n; ++i)
      loaded.add(visible[i],
                 {time[i], user[i], item[i],
                  std::span<const std::uint64_t>(places).subspan(i * places_width_, places_width_),
                  std::span<const float>(amounts).subspan(i * amounts_width_, amounts_width_)});
    *this = std::move(loaded);
  }
  /// Calls `check(event)` for all events.
  template <class Check>
  void for_each(const Check& check) {
    for (const event& e : events_)
      check(pending_event{e.time, e.user, e.item, places(e.slot), amounts(e.slot)});
  }

 private:
  struct event {
    std::int64_t visible;
    std::int64_t time;
    std::uint32_t user, item;
    std::uint32_t slot;  // of the arrays
  };

  template <class V>
  static void grow(V& values, std::size_t size) {
    if (values.capacity() < size) values.reserve(2 * size);
    values.resize(size);
  }
  std::span<std::uint64_t> places(std::uint32_t slot) {
    return std::span(places_).subspan(slot * places_width_, places_width_);
  }
  std::span<float> amounts(std::uint32_t slot) {
    return std::span(amounts_).subspan(slot * amounts_width_, amounts_width_);
  }

  std::size_t places_width_ = 0, amounts_width_ = 0;
  std::deque<event> events_;
  std::size_t slots_ = 0;
  std::vector<std::uint32_t> free_;
  std::vector<std::uint64_t> places_;  // [slots, places]
  std::vector<float> amounts_;         // [slots, amounts]
};

}  // namespace funnel::detail
