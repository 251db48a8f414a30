// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>
#include <funnel/core/error.hpp>
#include <funnel/core/executor.hpp>
#include <funnel/core/ids.hpp>
#include <funnel/core/sparse_matrix.hpp>
#include <funnel/core/state.hpp>
#include <funnel/features/vocabulary.hpp>
#include <funnel/index/neighbor_table.hpp>
#include <funnel/index/scored_item.hpp>
#include <funnel/retrieval/detail/best_neighbors.hpp>
#include <funnel/retrieval/detail/forward_decay.hpp>
#include <funnel/retrieval/detail/latest_entries.hpp>
#include <funnel/retrieval/detail/pair_lists.hpp>
#include <funnel/retrieval/detail/swing_changes.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

namespace funnel {

/// What an event of `online_swing` changes.
enum class swing_updates : std::uint8_t {
  exact,  ///< all that the definition says
  /// Only the pairs of the event's item: what an overlap that grows takes from other pairs, and what
  /// events that leave take with them, is left out.
  additions,
};

/// Options of `online_swing`.
struct online_swing_options {
  /// Added to the number of common items of two users, 0 or more. alpha.
  double alpha = 1;
  /// The weight of a user with n items is (n + user_alpha)^-user_beta, and that of a pair the product.
  /// 0 for equal weights: with others an exact event costs many times as much.
  double user_alpha = 0, user_beta = 0;
  /// Whether the item itself is not one of the common items: alpha + overlap - 1.
  bool without_item = false;
  swing_updates updates = swing_updates::exact;
  /// Most neighbors of an item in `table()`, 1 or more. k.
  std::size_t neighbors = 100;
  /// Only the latest items of a user and the latest users of an item count, 1 or more: the cost of an
  /// event grows with their product.
  std::size_t most_items_of_user = 100;
  std::size_t most_users_of_item = 100;
  /// Most pairs of an item that are kept, 1 or more. When an item has more, those with the lowest
  /// similarities leave its list until half of them are left. With 100 items of a user, 1400 pairs
  /// are what 2048 slots have room for.
  std::size_t most_pairs_of_item = 1400;
  /// The time after which an event counts half as much as a new one, in the unit of the times, 1 or
  /// more; 0: events never lose weight. Only with `additions`.
  double half_life = 0;
};

/// Swing of a stream: each event changes the similarities of its item at once.
///
///     sim(i, j) = sum over pairs {u, v} of users of both, u != v, of
///                 w_u w_v / (alpha + |J_u n J_v|)             J_u: the items of user u
///
/// An event is kept while it is among the latest of its user and of its item. J_u and the users of an
/// item are those of the events that are kept: when an event leaves, everything is as if it had never
/// been. While no cap is reached, the similarities are those of `swing` of all events, in whatever
/// order these come. Values do not count, nor do events of a user and an item that are kept already,
/// except that they are late again; of equal times the lower item, or user, leaves first.
///
/// With `additions`, an event of user u and item i only adds w_u w_v / (alpha + |J_u n J_v|) to the
/// pair of i and each item that u has in common with another user v of i, with the weights and items
/// of this moment. Similarities are too large then, the more the larger overlaps become, and nothing
/// leaves them. They may have a half-life; a term of the exact ones has not one time that would say
/// how old it is.
///
/// A pair that left an item's list because of `most_pairs_of_item` is counted from 0 when other users
/// bring it back; the similarity is too low from then on.
///
/// One thread changes an object; meanwhile no other thread may read it.
///
/// Order       neighbors by similarity; of equal ones the lower item first.
/// Errors      std::invalid_argument if an option is out of range; std::bad_alloc, after which an
///             object has no event that it had not before.
/// Cost        an event reads the items of the users of its item, and changes two sums for each pair
///             of the user's items that one of these users has too; up to three times that when
///             events leave. With user weights and `exact` it reads the items of the users of all items
///             of the user. `neighbors` reads all pairs of the item. Memory: 43 to 85 bytes per pair of
///             items, 24 per event that is kept, about 150 per item and per user, and 8 times the
///             square of the longest list of items.
/// Numerics    sums in double, with one rounding for each change of a pair.
/// Source      Yang et al., 2020, arXiv:2010.05525; docs/formulas.md#online-swing.
class online_swing {
 public:
  explicit online_swing(const online_swing_options& options = {})
      : options_(options), decay_("online_swing", options.half_life),
        pairs_(options.most_pairs_of_item, std::numeric_limits<std::size_t>::max()) {
    constexpr std::string_view name = "online_swing";
    detail::check_not_negative(name, "alpha", options.alpha);
    detail::check_not_negative(name, "user_alpha", options.user_alpha);
    detail::check_not_negative(name, "user_beta", options.user_beta);
    // Two users of an item have it in common.
    detail::check_that(name, "alpha", options.alpha, options.alpha > 0 || !options.without_item,
                       "above 0 with without_item");
    if (options.updates > swing_updates::additions)
      detail::fail("funnel::online_swing: updates is ", static_cast<int>(options.updates),
                   ", expected below 2");
    detail::check_that(name, "half_life", options.half_life,
                       options.half_life == 0 || options.updates == swing_updates::additions,
                       "0 without additions");
    detail::check_at_least_one(name, "neighbors", options.neighbors);
    detail::check_at_least_one(name, "most_items_of_user", options.most_items_of_user);
    detail::check_at_least_one(name, "most_users_of_item", options.most_users_of_item);
    detail::check_at_least_one(name, "most_pairs_of_item", options.most_pairs_of_item);
  }
  online_swing(const online_swing&) = default;
  online_swing(online_swing&&) noexcept = default;
  online_swing& operator=(const online_swing& other) {
    *this = online_swing(other);
    return *this;
  }
  online_swing& operator=(online_swing&&) noexcept = default;

  const online_swing_options& options() const { return options_; }

  /// Counts an event: row is the user, column the item; both may be new. Returns false if it changes
  /// no similarity: the user has the item already, or the event is older than all of a user or an item
  /// that has as many as may be.
  ///
  /// Errors      std::invalid_argument if the value is not a finite number above 0, as in a
  ///             `sparse_matrix`; nothing is counted then.
  bool add(const sparse_entry& event) {
    detail::check_positive("online_swing::add", "value", event.value);
    const std::size_t user = user_of(event.row);
    detail::latest_entries& items = users_[user];
    const std::uint32_t known = item_ids_.find(event.column);
    const std::size_t item = known != 0 ? known - 1 : holders_.size();
    const std::size_t place = known != 0 ? items.find(item) : items.size();
    if (place < items.size()) {
      items.times[place] = std::max(items.times[place], event.time);
      std::int64_t& time = holders_[item].times[holders_[item].find(user)];
      time = std::max(time, event.time);
      return false;
    }
    const bool items_full = items.size() >= options_.most_items_of_user;
    const bool users_full = known != 0 && holders_[item].size() >= options_.most_users_of_item;
    std::size_t old_item = 0, old_user = 0;
    if (items_full) {
      const std::size_t oldest = items.oldest(item_ids_.ids());
      if (items.is_older(event.time, event.column, oldest, item_ids_.ids())) return false;
      old_item = items.rows[oldest];
    }
    if (users_full) {
      const detail::latest_entries& users = holders_[item];
      const std::size_t oldest = users.oldest(user_ids_.ids());
      if (users.is_older(event.time, event.row, oldest, user_ids_.ids())) return false;
      old_user = users.rows[oldest];
    }
    reserve(user, item, event.column, users_full ? users_[old_user].size() : 0);
    // Nothing fails from here on.
    if (items_full) remove(user, old_item);
    if (users_full) remove(old_user, item);
    const double factor = decay_.advance(event.time);
    if (factor != 1) pairs_.scale(factor);
    change(user, item, 1, decay_.weight(event.time));
    items.push(item, event.time);
    holders_[item].push(user, event.time);
    users_[user].weight = weight_of(items.size());
    return true;
  }

  /// Writes the most similar items, best first, and returns their number: fewer than out.size() if the
  /// item has no more.
  std::size_t neighbors(item_id item, std::span<scored_item> out) const {
    return neighbors(item, out, [](item_id) { return true; });
  }
  /// The same with only the items that `admits` returns true for.
  template <class Admits>
  std::size_t neighbors(item_id item, std::span<scored_item> out, const Admits& admits) const {
    return detail::best_neighbors(out, [&](const auto& add) {
      for_each_neighbor(item, [&](const scored_item& s) {
        if (admits(s.item)) add(s);
      });
    });
  }
  /// The lists of all items as they are now, of `neighbors` items at most. `items` is the number of
  /// lists, items from there on are left out; 0: one more than the largest item.
  template <Executor E>
  neighbor_table table(E& executor, std::size_t items = 0) const {
    return detail::table_of_neighbors(
        executor, item_ids_.ids(), items, options_.neighbors,
        [&](item_id item, const auto& add) { for_each_neighbor(item, add); });
  }
  /// The same on the caller's thread.
  neighbor_table table(std::size_t items = 0) const {
    serial_executor executor;
    return table(executor, items);
  }

  /// sim(i, j), as in the list of item i. With a half-life, as at the time of the latest event.
  double similarity(item_id i, item_id j) const {
    const std::uint32_t row = item_ids_.find(i), other = item_ids_.find(j);
    if (row == 0 || other == 0) return 0;
    return pairs_.find(row - 1, other - 1).sum / decay_.newest_weight();
  }
  /// The number of pairs in all lists: a pair of items is in two of them.
  std::size_t pairs() const { return pairs_.pairs(); }

  /// See `HasState`. The options are part of the state.
  void visit_state(auto&& visit) {
    online_swing loading;
    online_swing& state = is_loading(visit) ? loading : *this;
    state.visit_fields(visit);
    if (is_loading(visit)) *this = std::move(loading);
  }

 private:
  std::size_t user_of(user_id id) {
    const std::uint32_t known = user_ids_.find(id);
    if (known != 0) return known - 1;
    detail::reserve_one_more(users_);
    user_ids_.add(id);
    users_.emplace_back();
    return users_.size() - 1;
  }

  double weight_of(std::size_t items) const noexcept {
    if (items == 0) return 0;
    if (options_.user_beta == 0) return 1;
    return std::pow(static_cast<double>(items) + options_.user_alpha, -options_.user_beta);
  }

  /// Makes room for all that an event changes, and adds the item if it is new. `other_items` is the
  /// number of items of the user who leaves.
  void reserve(std::size_t user, std::size_t item, item_id id, std::size_t other_items) {
    detail::latest_entries& items = users_[user];
    for (const std::uint32_t other : items.rows) pairs_.prefetch(other);
    items.reserve_one();
    changes_.reserve(std::max(items.size(), other_items), users_.size(), holders_.size() + 1,
                     options_.updates == swing_updates::exact);
    const bool is_new = item == holders_.size();
    if (is_new) {
      detail::reserve_one_more(holders_);
      pairs_.add_row();
      holders_.emplace_back();
    }
    try {
      holders_[item].reserve_one();
      pairs_.reserve(item, items.size());
      for (const std::uint32_t other : items.rows) pairs_.reserve(other, 1);
      if (is_new) item_ids_.add(id);
    } catch (...) {
      if (is_new) {
        holders_.pop_back();
        pairs_.remove_last_row();
      }
      throw;
    }
  }

  /// Takes out an event that was kept.
  void remove(std::size_t user, std::size_t item) noexcept {
    detail::latest_entries &items = users_[user], &users = holders_[item];
    items.remove(items.find(item));
    users.remove(users.find(user));
    if (options_.updates == swing_updates::exact) change(user, item, -1, 1);
    users_[user].weight = weight_of(items.size());
  }

  /// Changes the pairs by what it means that a user has an item: adds it or, with sign -1, takes it
  /// away. The lists have neither the item nor the user, before and after.
  void change(std::size_t user, std::size_t item, int sign, double grown) noexcept {
    const std::size_t n = users_[user].size();
    const detail::swing_changes::terms terms{
        .alpha = options_.alpha - (options_.without_item ? 1 : 0),
        .without = weight_of(n),
        .with = weight_of(n + 1),
        .all_pairs = options_.updates == swing_updates::exact,
        .all_users = options_.updates == swing_updates::exact && options_.user_beta > 0};
    changes_.collect(users_, holders_, user, item, terms);
    changes_.apply(pairs_, users_[user].rows, item, sign, sign * grown);
    for (const std::uint32_t row : users_[user].rows) prune(row);
    prune(item);
  }

  void prune(std::size_t item) noexcept {
    if (!pairs_.is_full(item)) return;
    pairs_.prune(
        item, [](const auto& p) { return p.sum; }, [](const auto& all) { return all.size(); });
  }

  template <class Visit>
  void for_each_neighbor(item_id item, const Visit& visit) const {
    const std::uint32_t row = item_ids_.find(item);
    if (row == 0) return;
    const double scale = 1 / decay_.newest_weight();
    pairs_.for_each(row - 1, [&](const detail::pair_lists::pair& p) {
      const auto score = static_cast<float>(p.sum * scale);
      if (score > 0) visit(scored_item{static_cast<item_id>(item_ids_.ids()[p.other]), score});
    });
  }

  void visit_fields(auto&& visit) {
    online_swing_options& o = options_;
    std::uint64_t sizes[] = {o.neighbors, o.most_items_of_user, o.most_users_of_item,
                             o.most_pairs_of_item};
    visit("alpha", o.alpha), visit("user_alpha", o.user_alpha), visit("user_beta", o.user_beta);
    visit("without_item", o.without_item), visit("updates", o.updates);
    visit("half_life", o.half_life), visit("neighbors", sizes[0]);
    visit("most_items_of_user", sizes[1]), visit("most_users_of_item", sizes[2]);
    visit("most_pairs_of_item", sizes[3]);
    if (is_loading(visit)) {
      o.neighbors = sizes[0];
      o.most_items_of_user = sizes[1];
      o.most_users_of_item = sizes[2];
      o.most_pairs_of_item = sizes[3];
      detail::check_loaded([&] { *this = online_swing(online_swing_options(o)); });
    }
    visit("decay", decay_), visit("user_ids", user_ids_), visit("item_ids", item_ids_);
    visit("pairs", pairs_);
    if (is_loading(visit)) {
      users_.resize(user_ids_.rows() - 1);
      holders_.resize(item_ids_.rows() - 1);
    }
    const auto counts = detail::visit_sizes(visit, "items_of_users", users_);
    detail::visit_lists(visit, "items", counts, users_, &detail::swing_user::rows);
    detail::visit_lists(visit, "times", counts, users_, &detail::swing_user::times);
    const auto counts_of_items = detail::visit_sizes(visit, "users_of_items", holders_);
    detail::visit_lists(visit, "users", counts_of_items, holders_, &detail::latest_entries::rows);
    if (is_loading(visit)) check_loaded();
  }
  void check_loaded() {
    detail::check_loaded_ids(user_ids_.ids());
    detail::check_loaded_ids(item_ids_.ids());
    bool fits = pairs_.size() == holders_.size();
    std::size_t events = 0;
    for (detail::swing_user& user : users_) {
      detail::check_loaded_entries(user, holders_.size(), options_.most_items_of_user);
      user.weight = weight_of(user.size());
      events += user.size();
    }
    for (std::size_t item = 0; fits && item < holders_.size(); ++item) {
      detail::latest_entries& users = holders_[item];
      detail::check_loaded_entries(users, users_.size(), options_.most_users_of_item);
      for (const std::uint32_t u : users.rows) {
        const detail::swing_user& user = users_[u];
        const std::size_t place = user.find(item);
        fits = fits && place < user.size();
        if (fits) users.times.push_back(user.times[place]);
      }
      events -= users.size();
    }
    if (!fits || events != 0)
      throw format_error("an online_swing is damaged: its arrays do not fit together");
  }

  online_swing_options options_;
  detail::forward_decay decay_;
  detail::pair_lists pairs_;
  vocabulary user_ids_, item_ids_;  // of the rows of users_ and holders_, counted from 1
  std::vector<detail::swing_user> users_;
  std::vector<detail::latest_entries> holders_;  // by item: its users
  detail::swing_changes changes_;
};

}  // namespace funnel
