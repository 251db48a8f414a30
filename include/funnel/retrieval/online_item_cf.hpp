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

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

namespace funnel {

/// Options of `online_item_cf`.
struct online_item_cf_options {
  /// Most neighbors of an item in `table()`, 1 or more. k.
  std::size_t neighbors = 100;
  /// Pairs of items with fewer common users are not similar, 1 or more.
  std::size_t min_users = 1;
  /// Only the latest items of a user count, 1 or more: the cost of an event grows with them.
  std::size_t most_items_of_user = 100;
  /// Most pairs of an item that are kept, 1 or more. When an item has more, those with the lowest
  /// similarities leave its list until half of them are left. With 100 items of a user, 1400 pairs
  /// are what 2048 slots have room for.
  std::size_t most_pairs_of_item = 1400;
  /// The time after which an event counts half as much as a new one, in the unit of the times, 1 or
  /// more; 0: events never lose weight.
  double half_life = 0;
  /// Above 0, a pair leaves the list of an item once its similarity is, with probability
  /// 1 - prune_delta, below that of the item's k-th neighbor; below 1. delta.
  double prune_delta = 0;
};

/// Item-based collaborative filtering of a stream: each event changes the similarities of its item at
/// once.
///
///     r_ui       the largest weight of the events of user u with item i; 0 if i is none of the latest
///                items of u
///     sim(i, j)  = sum_u min(r_ui, r_uj) / sqrt(sum_u r_ui * sum_u r_uj)
///
/// With weights that are all 1 this is the cosine of `item_cf`. The cap of a user's items is part of
/// the definition: when an item leaves, everything is as if the user had never seen it. So the
/// similarities are those of the latest items of each user, in whatever order the events come; of equal
/// times the lower item leaves first. Only a weight that left with its item is forgotten.
///
/// With a half-life, the weight of an event is multiplied by 2^(time / half_life) before the largest
/// is taken. As only ratios count, this is a decay: events lose half their weight with each half-life,
/// and similarities change with events only, not because time passes. An event with a time far ahead
/// outweighs all others, so events with wrong clocks must be left out.
///
/// A pair that left an item's list because of `most_pairs_of_item` or `prune_delta` is counted from 0
/// when another user brings it back. Each list is pruned for itself, so sim(i, j) and sim(j, i) may
/// differ then.
///
/// One thread changes an object; meanwhile no other thread may read it.
///
/// Order       neighbors by similarity; of equal ones the lower item first.
/// Errors      std::invalid_argument if an option is out of range; std::bad_alloc, after which an
///             object has no event that it had not before.
/// Cost        an event changes two sums for each of the user's items, twice as many when an item
///             leaves; an event of an item that the user has already and with no larger weight
///             reads the user's items only. `neighbors` reads all pairs of the item. Memory: 43 to 85
///             bytes per pair of items while lists grow, 20 to 40 per item of a user, about 130 per item
///             and per user.
/// Numerics    sums in double: exact for weights that are whole numbers, without half_life. With it, a
///             sum keeps no digits of weights that are 50 half-lives older than weights that left, and
///             times of 2^53 and more are rounded.
/// Source      Huang et al., "TencentRec", SIGMOD 2015; docs/formulas.md#online-itemcf.
class online_item_cf {
 public:
  explicit online_item_cf(const online_item_cf_options& options = {})
      : options_(options), decay_("online_item_cf", options.half_life) {
    constexpr std::string_view name = "online_item_cf";
    detail::check_at_least_one(name, "neighbors", options.neighbors);
    detail::check_at_least_one(name, "min_users", options.min_users);
    detail::check_at_least_one(name, "most_items_of_user", options.most_items_of_user);
    detail::check_at_least_one(name, "most_pairs_of_item", options.most_pairs_of_item);
    detail::check_fraction(name, "prune_delta", options.prune_delta);
    // Whether pairs are hopeless is looked at when a list has doubled.
    constexpr std::size_t never = std::numeric_limits<std::size_t>::max();
    const bool prunes = options.prune_delta > 0 && options.neighbors < never / 2;
    pairs_ = detail::pair_lists(options.most_pairs_of_item, prunes ? 2 * options.neighbors : never);
  }
  online_item_cf(const online_item_cf&) = default;
  online_item_cf(online_item_cf&&) noexcept = default;
  online_item_cf& operator=(const online_item_cf& other) {
    *this = online_item_cf(other);
    return *this;
  }
  online_item_cf& operator=(online_item_cf&&) noexcept = default;

  const online_item_cf_options& options() const { return options_; }

  /// Counts an event: row is the user, column the item; both may be new. Returns false if it changes
  /// no similarity: its weight is not above that of an earlier event of the two, or it is older than
  /// all items of a user who has `most_items_of_user`.
  ///
  /// Errors      std::invalid_argument if the value is not a finite number above 0; nothing is counted
  ///             then.
  bool add(const sparse_entry& event) {
    detail::check_positive("online_item_cf::add", "value", event.value);
    const std::size_t user = user_of(event.row);
    history& mine = users_[user];
    const std::uint32_t known = item_ids_.find(event.column);
    const std::size_t item = known != 0 ? known - 1 : items_.size();
    const std::size_t place = known != 0 ? mine.find(item) : mine.size();
    if (place < mine.size()) return add_again(mine, place, event);
    std::size_t leaving = mine.size();  // its place, or none
    if (mine.size() >= options_.most_items_of_user) {
      leaving = mine.oldest(item_ids_.ids());
      if (mine.is_older(event.time, event.column, leaving, item_ids_.ids())) return false;
    }
    reserve(mine, item, leaving, event.column);
    // Nothing fails from here on.
    const double weight = weight_of(event);
    if (leaving < mine.size()) remove(mine, leaving);
    items_[item].sum += weight;
    ++items_[item].users;
    for (std::size_t i = 0; i < mine.size(); ++i)
      change(item, mine.rows[i], 1, std::min(weight, mine.ratings[i]));
    mine.push(item, event.time);
    mine.ratings.push_back(weight);
    if (pairs_.is_full(item)) prune(item);
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

  /// sum_u r_ui, which is the number of the item's users if all weights are 1. With a half-life, the
  /// weights are as at the time of the latest event.
  double item_count(item_id item) const {
    const std::uint32_t row = item_ids_.find(item);
    return row == 0 ? 0 : items_[row - 1].sum / decay_.newest_weight();
  }
  /// sum_u min(r_ui, r_uj), as in the list of item i.
  double pair_count(item_id i, item_id j) const {
    const std::uint32_t row = item_ids_.find(i), other = item_ids_.find(j);
    if (row == 0 || other == 0) return 0;
    return pairs_.find(row - 1, other - 1).sum / decay_.newest_weight();
  }
  /// The number of pairs in all lists: a pair of items is in two of them.
  std::size_t pairs() const { return pairs_.pairs(); }

  /// See `HasState`. The options are part of the state.
  void visit_state(auto&& visit) {
    online_item_cf loading;
    online_item_cf& state = is_loading(visit) ? loading : *this;
    state.visit_fields(visit);
    if (is_loading(visit)) *this = std::move(loading);
  }

 private:
  struct item_sum {
    double sum = 0;           // of the ratings of its users
    std::uint32_t users = 0;  // that have the item
  };
  struct history : detail::latest_entries {
    std::vector<double> ratings;
  };

  std::size_t user_of(user_id id) {
    const std::uint32_t known = user_ids_.find(id);
    if (known != 0) return known - 1;
    detail::reserve_one_more(users_);
    user_ids_.add(id);
    users_.emplace_back();
    return users_.size() - 1;
  }

  /// Makes room for all that an event of an item that the user has not changes, and asks for the memory
  /// that it reads. Adds the item if it is new.
  void reserve(history& mine, std::size_t item, std::size_t leaving, item_id id) {
    for (const std::uint32_t other : mine.rows) pairs_.prefetch(other);
    mine.reserve_one();
    detail::reserve_one_more(mine.ratings);
    const bool is_new = item == items_.size();
    if (is_new) {
      detail::reserve_one_more(items_);
      pairs_.add_row();
      items_.emplace_back();
    }
    try {
      pairs_.reserve(item, mine.size());
      for (const std::uint32_t other : mine.rows) {
        pairs_.reserve(other, 1);
        pairs_.prefetch(other, item);
        pairs_.prefetch(item, other);
        if (leaving == mine.size()) continue;
        pairs_.prefetch(other, mine.rows[leaving]);
        pairs_.prefetch(mine.rows[leaving], other);
      }
      if (is_new) item_ids_.add(id);
    } catch (...) {
      if (is_new) {
        items_.pop_back();
        pairs_.remove_last_row();
      }
      throw;
    }
  }

  double weight_of(const sparse_entry& event) noexcept {
    const double factor = decay_.advance(event.time);
    if (factor != 1) {
      for (history& h : users_)
        for (double& rating : h.ratings) rating *= factor;
      for (item_sum& i : items_) i.sum *= factor;
      pairs_.scale(factor);
    }
    return static_cast<double>(event.value) * decay_.weight(event.time);
  }

  /// An event of an item that the user has.
  bool add_again(history& mine, std::size_t place, const sparse_entry& event) noexcept {
    mine.times[place] = std::max(mine.times[place], event.time);
    const double weight = weight_of(event), before = mine.ratings[place];
    if (weight <= before) return false;
    const std::size_t item = mine.rows[place];
    mine.ratings[place] = weight;
    items_[item].sum += weight - before;
    for (std::size_t i = 0; i < mine.size(); ++i) {
      const double more = std::min(weight, mine.ratings[i]) - before;
      if (i != place && more > 0) change(item, mine.rows[i], 0, more);
    }
    return true;
  }

  /// Takes an item out of a user's.
  void remove(history& mine, std::size_t place) noexcept {
    const std::size_t item = mine.rows[place];
    const double rating = mine.ratings[place];
    mine.remove(place);
    mine.ratings[place] = mine.ratings.back();
    mine.ratings.pop_back();
    item_sum& of_item = items_[item];
    of_item.sum = --of_item.users == 0 ? 0 : std::max(0., of_item.sum - rating);
    for (std::size_t i = 0; i < mine.size(); ++i)
      change(item, mine.rows[i], -1, -std::min(rating, mine.ratings[i]));
  }

  /// Changes a pair in both lists; prunes that of `other`.
  void change(std::size_t item, std::size_t other, int users, double sum) noexcept {
    pairs_.change(item, other, users, sum);
    pairs_.change(other, item, users, sum);
    if (pairs_.is_full(other)) prune(other);
  }

  /// root: of the sum of the item in whose list the pair is.
  double similarity(double root, const detail::pair_lists::pair& p) const noexcept {
    const double other = items_[p.other].sum;
    if (!(root > 0 && other > 0)) return 0;
    return std::min(1., p.sum / root / std::sqrt(other));
  }

  /// Hoeffding's bound: with probability 1 - delta, the mean of n values in [0, 1] is less than
  /// sqrt(ln(1 / delta) / 2n) from what it tends to.
  void prune(std::size_t item) noexcept {
    using scored = detail::pair_lists::scored_pair;
    const double root = std::sqrt(items_[item].sum);
    pairs_.prune(
        item, [&](const auto& p) { return similarity(root, p); },
        [&](std::span<scored> all) {
          const std::size_t k = options_.neighbors;
          if (options_.prune_delta == 0 || all.size() <= k) return all.size();
          detail::pair_lists::select_best(all, k);
          const double least = all[k - 1].score, scale = -std::log(options_.prune_delta) / 2;
          const auto end = std::partition(
              all.begin() + static_cast<std::ptrdiff_t>(k), all.end(), [&](const scored& s) {
                return std::sqrt(scale / static_cast<double>(s.of.users)) >= least - s.score;
              });
          return static_cast<std::size_t>(end - all.begin());
        });
  }

  template <class Visit>
  void for_each_neighbor(item_id item, const Visit& visit) const {
    const std::uint32_t row = item_ids_.find(item);
    if (row == 0) return;
    const double root = std::sqrt(items_[row - 1].sum);
    pairs_.for_each(row - 1, [&](const detail::pair_lists::pair& p) {
      const auto score = static_cast<float>(similarity(root, p));
      if (score > 0 && p.users >= options_.min_users)
        visit(scored_item{static_cast<item_id>(item_ids_.ids()[p.other]), score});
    });
  }

  void visit_fields(auto&& visit) {
    online_item_cf_options& o = options_;
    std::uint64_t sizes[] = {o.neighbors, o.min_users, o.most_items_of_user, o.most_pairs_of_item};
    visit("neighbors", sizes[0]), visit("min_users", sizes[1]);
    visit("most_items_of_user", sizes[2]), visit("most_pairs_of_item", sizes[3]);
    visit("half_life", o.half_life), visit("prune_delta", o.prune_delta);
    if (is_loading(visit)) {
      o.neighbors = sizes[0];
      o.min_users = sizes[1];
      o.most_items_of_user = sizes[2];
      o.most_pairs_of_item = sizes[3];
      detail::check_loaded([&] { *this = online_item_cf(online_item_cf_options(o)); });
    }
    std::vector<double> sums;
    if (!is_loading(visit))
      for (const item_sum& i : items_) sums.push_back(i.sum);
    visit("decay", decay_), visit("user_ids", user_ids_), visit("item_ids", item_ids_);
    visit("sums", sums), visit("pairs", pairs_);
    if (is_loading(visit)) {
      users_.resize(user_ids_.rows() - 1);
      items_.resize(item_ids_.rows() - 1);
    }
    const auto counts = detail::visit_sizes(visit, "items_of_users", users_);
    detail::visit_lists(visit, "items", counts, users_, &history::rows);
    detail::visit_lists(visit, "times", counts, users_, &history::times);
    detail::visit_lists(visit, "ratings", counts, users_, &history::ratings);
    if (is_loading(visit)) check_loaded(sums);
  }
  void check_loaded(std::span<const double> sums) {
    const auto valid = [](double x) { return x >= 0 && std::isfinite(x); };
    detail::check_loaded_ids(user_ids_.ids());
    detail::check_loaded_ids(item_ids_.ids());
    for (const history& h : users_) {
      detail::check_loaded_entries(h, items_.size(), options_.most_items_of_user);
      for (const std::uint32_t row : h.rows) ++items_[row].users;
      if (!std::ranges::all_of(h.ratings, valid))
        throw format_error("an online_item_cf is damaged: a rating is below 0 or not finite");
    }
    if (sums.size() != items_.size() || pairs_.size() != items_.size() ||
        !std::ranges::all_of(sums, valid))
      throw format_error("an online_item_cf is damaged: its arrays do not fit together");
    for (std::size_t i = 0; i < sums.size(); ++i) items_[i].sum = sums[i];
  }

  online_item_cf_options options_;
  detail::forward_decay decay_;
  vocabulary user_ids_, item_ids_;  // of the rows of users_ and items_, counted from 1
  std::vector<history> users_;
  std::vector<item_sum> items_;
  detail::pair_lists pairs_;
};

}  // namespace funnel
