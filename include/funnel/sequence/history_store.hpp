// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>
#include <funnel/core/detail/mixed_bits.hpp>
#include <funnel/core/detail/sizes.hpp>
#include <funnel/core/error.hpp>
#include <funnel/core/ids.hpp>
#include <funnel/core/state.hpp>
#include <funnel/sequence/detail/event_log.hpp>
#include <funnel/sequence/history_event.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <span>
#include <unordered_map>
#include <utility>
#include <vector>

namespace funnel {

/// Options of `history_store`.
struct history_store_options {
  /// Most events of one user, 1 to 2^32 - 1. A further event replaces the oldest one.
  std::size_t events_per_user = 1'000'000;
  /// Most events of all users together, `events_per_user` or more. If there would be more, the users
  /// whose last event was appended the longest ago are forgotten.
  std::size_t events = std::size_t{1} << 30;
  /// The category that means "no category": `of_category` finds nothing for it.
  category_id missing_category = 0;
  /// The cluster that means "no cluster"; the default is `no_cluster` of `cosine_kmeans`.
  cluster_id missing_cluster = std::numeric_limits<cluster_id>::max();
};

class history_store;

/// The history of one user in a `history_store`. Positions count from the oldest event, 0, to the newest
/// one, size() - 1. Valid until the store changes.
class stored_history {
 public:
  static constexpr std::int64_t end_of_time = detail::event_log::end_of_time;

  std::size_t size() const { return log_ == nullptr ? 0 : log_->size(); }
  bool empty() const { return size() == 0; }
  /// The event at a position below size().
  history_event operator[](std::size_t position) const {
    detail::check_below("stored_history", "position", position, size());
    return log_->at(position).event;
  }
  /// The number of events before a time; the events are at positions 0 to that number - 1.
  ///
  /// Cost        O(log n).
  std::size_t count_before(std::int64_t time) const {
    return log_ == nullptr ? 0 : log_->count_before(time);
  }
  /// Writes the positions of the newest events of a category, newest first, and returns their number.
  /// Events at the time `before` or later are skipped; by default none is.
  ///
  /// Shapes      positions [K]; the first `count` are written and count <= K is returned.
  /// Cost        O(K) and the events of the category that are skipped.
  std::size_t of_category(category_id category, std::span<std::uint32_t> positions,
                          std::int64_t before = end_of_time) const;
  /// The same for a cluster.
  std::size_t of_cluster(cluster_id cluster, std::span<std::uint32_t> positions,
                         std::int64_t before = end_of_time) const;
  /// The same for the events of the category or the cluster, each once.
  std::size_t of_either(category_id category, cluster_id cluster,
                        std::span<std::uint32_t> positions,
                        std::int64_t before = end_of_time) const;

 private:
  friend history_store;
  stored_history(const history_store& store, user_id user, const detail::event_log* log)
      : store_(&store), user_(user), log_(log) {}

  const history_store* store_;
  user_id user_;
  const detail::event_log* log_;  // null if the user is unknown
};

/// Histories of users, up to a million events each and more, that grow event by event and are indexed by
/// (user, category) and (user, cluster): what SIM searches for each candidate.
///
/// One thread changes a store; meanwhile no other thread may read it. Any number of threads may read.
///
/// Errors      std::invalid_argument if an option is out of range; std::bad_alloc, after which the store
///             is as before.
/// Cost        `append` is O(1), and O(log users) to keep the order of users. Memory per event: 32
///             bytes, 64 while a user's history grows; about 40 for each category and each cluster of a
///             user, and about 200 per user. So 10^6 events of a user with 1000 categories take 32 MB.
/// Source      Pi et al., CIKM 2020, section 3.2 (user behavior tree); docs/formulas.md#history-store.
class history_store {
 public:
  explicit history_store(const history_store_options& options = {}) : options_(options) {
    constexpr std::size_t most = std::numeric_limits<std::uint32_t>::max();
    detail::check_that("history_store", "events_per_user", options.events_per_user,
                       options.events_per_user >= 1 && options.events_per_user <= most, "1 to ",
                       most);
    detail::check_that("history_store", "events", options.events,
                       options.events >= options.events_per_user, options.events_per_user,
                       " or more, as events_per_user");
  }
  history_store(const history_store&) = default;
  history_store(history_store&&) noexcept = default;
  history_store& operator=(const history_store& other) {
    *this = history_store(other);
    return *this;
  }
  history_store& operator=(history_store&&) noexcept = default;

  const history_store_options& options() const { return options_; }
  /// The number of users with events.
  std::size_t users() const { return logs_.size(); }
  /// The number of events of all users.
  std::size_t events() const { return events_; }

  /// Appends an event to a user's history.
  ///
  /// Errors      std::invalid_argument if the event is older than the user's newest one; nothing is
  ///             appended then.
  void append(user_id user, const history_event& event) {
    const auto known = logs_.find(user);
    if (known != logs_.end()) {
      const log& mine = known->second;
      const std::int64_t newest = mine.at(mine.size() - 1).event.time;
      if (event.time < newest)
        detail::fail("funnel::history_store::append: time is ", event.time, ", expected ", newest,
                     " or later, the time of the newest event of user ", user);
    }
    log& mine = known != logs_.end() ? known->second : add_user(user);
    try {
      reserve_entry(mine);
      reserve_heads(user, event);
    } catch (...) {
      if (mine.size() == 0) forget(user, mine);
      throw;
    }
    // Nothing fails from here on.
    push(user, mine, event);
    auto moved = order_.extract(mine.last_append);
    mine.last_append = moved.key() = next_append_++;
    order_.insert(order_.end(), std::move(moved));
    while (events_ > options_.events) remove(order_.begin()->second);
  }

  /// The history of a user; empty if the user is unknown.
  stored_history operator[](user_id user) const {
    const auto known = logs_.find(user);
    return {*this, user, known == logs_.end() ? nullptr : &known->second};
  }

  /// Forgets a user. Returns false if the user is unknown.
  bool remove(user_id user) noexcept {
    const auto known = logs_.find(user);
    if (known == logs_.end()) return false;
    log& mine = known->second;
    for (const log::entry& e : mine.ring) {
      categories_.erase(key(user, e.event.category));
      clusters_.erase(key(user, e.event.cluster));
    }
    events_ = events_ - mine.size();
    forget(user, mine);
    return true;
  }

  /// See `HasState`. The options are part of the state.
  void visit_state(auto&& visit) {
    history_store_options options = options_;
    std::vector<std::uint32_t> users, items, categories, clusters, actions;
    std::vector<std::uint64_t> sizes;
    std::vector<std::int64_t> times;
    if (!is_loading(visit)) {
      for (const auto& [number, user] : order_) {
        const log& mine = logs_.at(user);
        users.push_back(user);
        sizes.push_back(mine.size());
        for (std::size_t i = 0; i < mine.size(); ++i) {
          const history_event& e = mine.at(i).event;
          items.push_back(e.item);
          categories.push_back(e.category);
          clusters.push_back(e.cluster);
          actions.push_back(e.action);
          times.push_back(e.time);
        }
      }
    }
    auto events_per_user = std::uint64_t{options.events_per_user};
    auto events = std::uint64_t{options.events};
    visit("events_per_user", events_per_user);
    visit("events", events);
    visit("missing_category", options.missing_category);
    visit("missing_cluster", options.missing_cluster);
    visit("users", users);
    visit("sizes", sizes);
    visit("items", items);
    visit("categories", categories);
    visit("clusters", clusters);
    visit("actions", actions);
    visit("times", times);
    if (!is_loading(visit)) return;

    options.events_per_user = events_per_user;
    options.events = events;
    const std::size_t n = items.size();
    if (sizes.size() != users.size() || categories.size() != n || clusters.size() != n ||
        actions.size() != n || times.size() != n || n > options.events)
      throw format_error("histories are damaged: their arrays do not fit together");
    detail::check_loaded([&] {
      history_store loaded(options);
      std::size_t at = 0;
      for (std::size_t u = 0; u < users.size(); ++u) {
        if (sizes[u] == 0 || sizes[u] > options.events_per_user || sizes[u] > n - at ||
            !loaded[users[u]].empty())
          throw format_error(detail::join_text("histories are damaged: those of user ", users[u],
                                               " do not fit the arrays"));
        for (const std::size_t end = at + sizes[u]; at < end; ++at)
          loaded.append(users[u],
                        {items[at], categories[at], clusters[at], actions[at], times[at]});
      }
      if (at != n) throw format_error("histories are damaged: events belong to no user");
      *this = std::move(loaded);
    });
  }

 private:
  friend stored_history;
  using log = detail::event_log;

  struct mixed_hash {
    std::size_t operator()(std::uint64_t x) const noexcept { return detail::mixed_bits(x); }
  };
  /// For each user and id, the number of the newest event, counted from 1 by `log::appended`; 0 for an
  /// event that is about to be appended.
  using heads = std::unordered_map<std::uint64_t, std::uint64_t, mixed_hash>;

  static std::uint64_t key(user_id user, std::uint32_t id) {
    return std::uint64_t{user} << 32 | id;
  }

  /// The number of a user's newest event with an id; 0 if there is none.
  static std::uint64_t newest_in(const heads& newest, user_id user, std::uint32_t id) {
    const auto head = newest.find(key(user, id));
    return head == newest.end() ? 0 : head->second;
  }
  log::chain category_chain(user_id user, category_id category) const {
    const bool missing = category == options_.missing_category;
    return {missing ? 0 : newest_in(categories_, user, category), &log::entry::category_step};
  }
  log::chain cluster_chain(user_id user, cluster_id cluster) const {
    const bool missing = cluster == options_.missing_cluster;
    return {missing ? 0 : newest_in(clusters_, user, cluster), &log::entry::cluster_step};
  }

  log& add_user(user_id user) {
    const auto added = logs_.try_emplace(user).first;
    try {
      order_.emplace(next_append_, user);
    } catch (...) {
      logs_.erase(added);
      throw;
    }
    added->second.last_append = next_append_++;
    return added->second;
  }
  void forget(user_id user, const log& mine) noexcept {
    order_.erase(mine.last_append);
    logs_.erase(user);
  }

  void reserve_entry(log& mine) const {
    if (mine.size() < mine.ring.capacity() || mine.size() >= options_.events_per_user) return;
    const std::size_t doubled = std::max<std::size_t>(4, 2 * mine.size());
    mine.ring.reserve(std::min(doubled, options_.events_per_user));
  }
  void reserve_heads(user_id user, const history_event& event) {
    const auto [place, added] = categories_.try_emplace(key(user, event.category), 0);
    try {
      clusters_.try_emplace(key(user, event.cluster), 0);
    } catch (...) {
      if (added) categories_.erase(place);
      throw;
    }
  }

  void push(user_id user, log& mine, const history_event& event) noexcept {
    const std::uint64_t number = ++mine.appended;
    const auto step_from = [&](heads& newest, std::uint32_t id) {
      std::uint64_t& head = newest.find(key(user, id))->second;
      const std::uint64_t before = std::exchange(head, number);
      const std::uint64_t step = number - before;
      constexpr std::uint64_t most = std::numeric_limits<std::uint32_t>::max();
      return before == 0 || step > most ? std::uint32_t{0} : static_cast<std::uint32_t>(step);
    };
    const log::entry added{event, step_from(categories_, event.category),
                           step_from(clusters_, event.cluster)};
    if (mine.size() < options_.events_per_user) {
      mine.ring.push_back(added);
      events_ = events_ + 1;
      return;
    }
    const std::uint64_t oldest = number - mine.size();
    const history_event& leaving = mine.ring[mine.begin].event;
    const auto drop = [&](heads& newest, std::uint32_t id) {
      const auto head = newest.find(key(user, id));
      if (head->second == oldest) newest.erase(head);
    };
    drop(categories_, leaving.category);
    drop(clusters_, leaving.cluster);
    mine.ring[mine.begin] = added;
    if (++mine.begin == mine.ring.size()) mine.begin = 0;
  }

  history_store_options options_;
  detail::owned_size events_;
  std::uint64_t next_append_ = 0;
  std::unordered_map<user_id, log> logs_;
  std::map<std::uint64_t, user_id> order_;  // by last append
  heads categories_;
  heads clusters_;
};

inline std::size_t stored_history::of_category(category_id category,
                                               std::span<std::uint32_t> positions,
                                               std::int64_t before) const {
  if (empty()) return 0;
  return log_->follow(std::array{store_->category_chain(user_, category)}, before, positions);
}
inline std::size_t stored_history::of_cluster(cluster_id cluster,
                                              std::span<std::uint32_t> positions,
                                              std::int64_t before) const {
  if (empty()) return 0;
  return log_->follow(std::array{store_->cluster_chain(user_, cluster)}, before, positions);
}
inline std::size_t stored_history::of_either(category_id category, cluster_id cluster,
                                             std::span<std::uint32_t> positions,
                                             std::int64_t before) const {
  if (empty()) return 0;
  return log_->follow(
      std::array{store_->category_chain(user_, category), store_->cluster_chain(user_, cluster)},
      before, positions);
}

}  // namespace funnel
