// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/error.hpp>
#include <funnel/core/state.hpp>
#include <funnel/features/detail/event_queue.hpp>
#include <funnel/features/detail/feature_plan.hpp>
#include <funnel/features/schema.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace funnel::detail {

/// The items that each user acted on, in the order of time: one list per collected history and user.
class item_histories {
 public:
  item_histories() = default;
  explicit item_histories(const feature_plan& plan) {
    for (const history_plan& h : plan.histories)
      if (h.collected != no_index) lists_.push_back({.last = h.last});
  }

  /// Whether lists keep all of their items, not only the last ones: for a replay, whose rows refer to
  /// parts of them.
  bool keeps_all = false;

  /// Adds an event to the histories whose action it has; to none if memory runs out.
  void add(const schema& features, const pending_event& event) {
    const auto for_each_list = [&](const auto& visit) {
      for (const history_plan& h : features.plan().histories)
        if (h.collected != no_index && (h.action == no_index || event.amounts[h.action] > 0))
          visit(lists_[h.collected]);
    };
    for_each_list([&](collected& all) {
      if (all.of_user.size() <= event.user) all.of_user.resize(event.user + 1);
      user_list& list = all.of_user[event.user];
      const std::size_t size = list.items.size() + 1;
      if (list.items.capacity() < size) list.items.reserve(2 * size);
      if (list.times.capacity() < size) list.times.reserve(2 * size);
    });
    for_each_list([&](collected& all) {
      user_list& list = all.of_user[event.user];
      std::size_t at = list.times.size();  // before the events that are later
      while (at > 0 && list.times[at - 1] > event.time) --at;
      list.times.insert(list.times.begin() + static_cast<std::ptrdiff_t>(at), event.time);
      list.items.insert(list.items.begin() + static_cast<std::ptrdiff_t>(at), event.item);
      if (!keeps_all && list.items.size() >= 2 * all.last) forget(list, all.last);
    });
  }

  /// The last items of a user, oldest first.
  std::span<const std::uint32_t> items(std::size_t history, std::uint32_t user) const {
    const collected& all = lists_[history];
    if (user >= all.of_user.size()) return {};
    const std::vector<std::uint32_t>& items = all.of_user[user].items;
    return std::span(items).last(std::min(all.last, items.size()));
  }
  /// All items of a user that are kept.
  std::span<const std::uint32_t> all_items(std::size_t history, std::uint32_t user) const {
    const collected& all = lists_[history];
    return user < all.of_user.size() ? std::span<const std::uint32_t>(all.of_user[user].items)
                                     : std::span<const std::uint32_t>();
  }

  /// Forgets all but the last items of each list.
  void forget_old() {
    keeps_all = false;
    for (collected& all : lists_)
      for (user_list& list : all.of_user) forget(list, all.last);
  }

  /// Errors      format_error if a list has an item that is not below `items`.
  void refuse_unknown_items(std::size_t items) const {
    for (const collected& all : lists_)
      for (const user_list& list : all.of_user)
        for (const std::uint32_t item : list.items)
          if (item >= items)
            throw format_error("the histories of a feature state are damaged: an item is unknown");
  }

  void visit_state(auto&& visit) {
    for (collected& all : lists_) {
      std::vector<std::uint32_t> sizes, items;
      std::vector<std::int64_t> times;
      if (!is_loading(visit)) {
        for (const user_list& list : all.of_user) {
          sizes.push_back(static_cast<std::uint32_t>(list.items.size()));
          items.insert(items.end(), list.items.begin(), list.items.end());
          times.insert(times.end(), list.times.begin(), list.times.end());
        }
      }
      const std::string path = std::to_string(&all - lists_.data());
      visit(path + ".sizes", sizes);
      visit(path + ".items", items);
      visit(path + ".times", times);
      if (is_loading(visit)) all.load(sizes, items, times);
    }
  }

 private:
  struct user_list {
    std::vector<std::uint32_t> items;
    std::vector<std::int64_t> times;
  };
  struct collected {
    std::size_t last = 0;
    std::vector<user_list> of_user = {};

    void load(std::span<const std::uint32_t> sizes, std::span<const std::uint32_t> items,
              std::span<const std::int64_t> times) {
      std::uint64_t count = 0;
      for (const std::uint32_t size : sizes) count += size;
      if (count != items.size() || count != times.size())
        throw format_error("the histories of a feature state are damaged: sizes do not fit");
      of_user.assign(sizes.size(), {});
      std::size_t begin = 0;
      for (std::size_t u = 0; u < sizes.size(); begin += sizes[u++]) {
        const auto part = items.subspan(begin, sizes[u]);
        const auto when = times.subspan(begin, sizes[u]);
        of_user[u] = {{part.begin(), part.end()}, {when.begin(), when.end()}};
      }
    }
  };

  static void forget(user_list& list, std::size_t last) {
    if (list.items.size() <= last) return;
    const auto old = static_cast<std::ptrdiff_t>(list.items.size() - last);
    list.items.erase(list.items.begin(), list.items.begin() + old);
    list.times.erase(list.times.begin(), list.times.begin() + old);
  }

  std::vector<collected> lists_;
};

}  // namespace funnel::detail
