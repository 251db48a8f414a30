// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>
#include <funnel/core/error.hpp>
#include <funnel/core/ids.hpp>
#include <funnel/core/state.hpp>
#include <funnel/index/scored_item.hpp>
#include <funnel/retrieval/detail/best_in_place.hpp>
#include <funnel/retrieval/detail/decay.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace funnel {

/// Options of `author_affinity`.
struct author_affinity_options {
  /// Time in which an event loses half of its weight, in the unit of the times, 1 or more; 0: never.
  /// The default is 14 days in milliseconds. h.
  double half_life = 14 * 86'400'000.;
  /// Authors with a lower decayed sum of actions are not found, 0 or more.
  double min_actions = 0;
  /// Authors that are kept of a user, 1 or more. The one with the least actions makes room.
  std::size_t authors_of_user = 500;
};

/// How much users like authors whom they may not follow, from what they do with their items.
///
///     affinity(u, a) = sum_e w_e 2^(-(now - t_e) / h) / sqrt(1 + sum_x 2^(-(now - t_x) / h))
///
/// for the actions e of user u with items of author a, with weights w such as click 1, like 2, share
/// 3, and the exposures x of such items to the user. Events count as soon as they are added, in any
/// order; only in that the least author of a full list makes room does the order matter.
///
/// Const functions may run on any number of threads, but not while another one changes the object.
///
/// Units       times in any unit, from the server's clock: an event of a clock that is ahead counts
///             more than 1 until its time comes.
/// Errors      std::invalid_argument if an option or a weight is out of range; std::bad_alloc. Nothing
///             is changed then.
/// Cost        24 bytes per user and author, 24 per user id; `add` moves part of the user's list,
///             `search` reads it.
/// Source      docs/formulas.md#affinity-to-authors.
class author_affinity {
 public:
  explicit author_affinity(const author_affinity_options& options = {})
      : clock_(name, options.half_life), options_(options) {
    check_options();
  }
  author_affinity(const author_affinity&) = default;
  author_affinity(author_affinity&&) noexcept = default;
  author_affinity& operator=(const author_affinity& other) {
    *this = author_affinity(other);
    return *this;
  }
  author_affinity& operator=(author_affinity&&) noexcept = default;

  /// An item of the author was shown to the user.
  void add_exposure(user_id user, author_id author, std::int64_t time) {
    sums& s = find_or_add(user, author);
    s.exposures = detail::add_decayed(s.exposures, clock_.event(time, 1));
  }
  /// The user did something with an item of the author, of a weight above 0.
  void add_action(user_id user, author_id author, std::int64_t time, float weight) {
    detail::check_positive("author_affinity::add_action", "weight", weight);
    sums& s = find_or_add(user, author);
    s.actions = detail::add_decayed(s.actions, clock_.event(time, weight));
  }

  /// The affinity at a time; 0 without actions.
  double affinity(user_id user, author_id author, std::int64_t now) const {
    for (const sums& s : of_user(user))
      if (s.author == author) return affinity(s, clock_.age(now));
    return 0;
  }

  /// Finds the authors that a user likes most at a time, best first, and returns their number. Authors
  /// that `admits` returns false for are left out, such as those that the user follows.
  ///
  /// Shapes      out [most]; `item` of what is found is the author.
  template <class Admits>
  std::size_t search(user_id user, std::int64_t now, std::span<scored_item> out,
                     const Admits& admits) const {
    detail::best_in_place best(out);
    const double age = clock_.age(now);
    for (const sums& s : of_user(user)) {
      if (detail::decayed_value(s.actions, age) < options_.min_actions) continue;
      const scored_item found{s.author, detail::decayed_score(affinity(s, age))};
      if (found.score > 0 && best.takes(found) && admits(s.author)) best.add(found);
    }
    return best.sort();
  }

  /// See `HasState`: the sums and the options. Throws a format_error if what was loaded is not that;
  /// the object is unchanged then.
  void visit_state(auto&& visit) {
    if (!is_loading(visit)) return visit_fields(visit);
    author_affinity loaded;
    loaded.visit_fields(visit);
    *this = std::move(loaded);
  }

 private:
  struct sums {
    author_id author = 0;
    double actions = detail::no_events, exposures = detail::no_events;
  };

  static constexpr std::string_view name = "author_affinity";

  void check_options() const {
    detail::check_not_negative(name, "min_actions", options_.min_actions);
    detail::check_at_least_one(name, "authors_of_user", options_.authors_of_user);
  }

  static double affinity(const sums& s, double age) {
    return detail::decayed_value(s.actions, age) /
           std::sqrt(1 + detail::decayed_value(s.exposures, age));
  }

  std::span<const sums> of_user(user_id user) const {
    if (user >= users_.size()) return {};
    return users_[user];
  }

  sums& find_or_add(user_id user, author_id author) {
    if (user >= users_.size()) users_.resize(user + std::size_t{1});
    std::vector<sums>& list = users_[user];
    auto place = std::ranges::lower_bound(list, author, {}, &sums::author);
    if (place != list.end() && place->author == author) return *place;
    if (list.size() == options_.authors_of_user) {
      const auto least = std::ranges::min_element(list, [](const sums& a, const sums& b) {
        return a.actions != b.actions ? a.actions < b.actions : a.exposures < b.exposures;
      });
      list.erase(least);
      place = std::ranges::lower_bound(list, author, {}, &sums::author);
    }
    return *list.insert(place, sums{.author = author});
  }

  void visit_fields(auto&& visit) {
    std::vector<std::uint64_t> ends;  // by user
    std::vector<author_id> authors;
    std::vector<double> actions, exposures;
    for (const std::vector<sums>& list : users_) {
      for (const sums& s : list) {
        authors.push_back(s.author);
        actions.push_back(s.actions);
        exposures.push_back(s.exposures);
      }
      ends.push_back(authors.size());
    }
    visit("clock", clock_);
    visit("min_actions", options_.min_actions);
    std::uint64_t most = options_.authors_of_user;
    visit("authors_of_user", most);
    visit("ends", ends), visit("authors", authors);
    visit("actions", actions), visit("exposures", exposures);
    if (!is_loading(visit)) return;
    options_.authors_of_user = most;
    detail::check_loaded([&] { check_options(); });
    bool fits = actions.size() == authors.size() && exposures.size() == authors.size() &&
                (ends.empty() ? 0 : ends.back()) == authors.size();
    users_.resize(ends.size());
    for (std::size_t u = 0; fits && u < ends.size(); ++u) {
      const std::uint64_t begin = u == 0 ? 0 : ends[u - 1];
      fits = begin <= ends[u] && ends[u] <= authors.size() && ends[u] - begin <= most;
      for (std::uint64_t i = begin; fits && i < ends[u]; ++i) {
        fits = (i == begin || authors[i - 1] < authors[i]) && detail::is_decayed(actions[i]) &&
               detail::is_decayed(exposures[i]);
        users_[u].push_back({authors[i], actions[i], exposures[i]});
      }
    }
    if (!fits) throw format_error("an author_affinity is damaged: its arrays do not fit together");
  }

  detail::decay_clock clock_;
  author_affinity_options options_;
  std::vector<std::vector<sums>> users_;  // by user, then by author
};

}  // namespace funnel
