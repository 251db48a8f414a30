// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>
#include <funnel/core/ids.hpp>
#include <funnel/index/scored_item.hpp>
#include <funnel/retrieval/author_items.hpp>
#include <funnel/retrieval/detail/best_in_place.hpp>
#include <funnel/retrieval/detail/decay.hpp>
#include <funnel/retrieval/detail/score_sums.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string_view>

namespace funnel {

/// Options of `author_expander`.
struct author_expander_options {
  /// Most items of an author, 1 or more. m.
  std::size_t items_of_author = 10;
  /// Age at which an item counts half, in the unit of the times, 1 or more; 0: the age does not count.
  /// The default is 30 days in milliseconds. h.
  double half_life = 30 * 86'400'000.;
  /// Each further item of an author counts so much of the one before, (0, 1]: 1 does not hold back
  /// authors with many new items. r.
  double next_item = .5;
};

/// Retrieval from authors (U2A2I): the newest items of authors that a user follows or likes.
///
///     score(i) = weight(author of i) 2^(-(now - published) / h) r^(newer items of the author)
///
/// Of each author at most the newest m items are found; what `admits` leaves out does not count as an
/// item of the author. With r < 1 the items of an author who publishes much lose to those of others.
///
/// One thread uses an expander; each serving thread has its own. The items must live as long and must
/// not change during a search. After the first requests it allocates no memory, but for more authors
/// than ever before.
///
/// Cost        4 bytes per author; a search reads the newest items of the authors until it has m of
///             each, or they are too old to be among the best.
/// Source      docs/formulas.md#newest-items-of-authors.
class author_expander {
 public:
  /// Errors      std::invalid_argument if an option is out of range.
  explicit author_expander(const author_items& items, const author_expander_options& options = {})
      : items_(&items), options_(options) {
    constexpr std::string_view name = "author_expander";
    detail::check_at_least_one(name, "items_of_author", options.items_of_author);
    detail::check_half_life(name, options.half_life);
    detail::check_that(name, "next_item", options.next_item,
                       options.next_item > 0 && options.next_item <= 1, "a number in (0, 1]");
  }

  /// Finds the best items of authors with weights, best first, and returns their number: fewer than
  /// out.size() if the authors have no more. Items that `admits` returns false for are left out, and
  /// those that are published after `now`. Authors without items lead nowhere; the weights of an
  /// author who is there twice are added.
  ///
  /// Shapes      authors [n]: ids and weights above 0, such as those that `author_affinity` finds;
  ///             out [most].
  /// Errors      std::invalid_argument if a weight is not a finite number above 0; `out` is unchanged
  ///             then.
  template <class Admits>
  std::size_t search(std::span<const scored_item> authors, std::int64_t now,
                     std::span<scored_item> out, const Admits& admits) {
    for (const scored_item& author : authors)
      detail::check_positive("author_expander::search", "a weight", author.score);
    sums_.clear();
    sums_.grow(items_->authors());
    for (const scored_item& author : authors)
      if (author.item < items_->authors()) sums_.add(author.item, author.score);
    return newest(now, out, admits);
  }
  /// The same with weights of 1, such as for the authors that a user follows.
  template <class Admits>
  std::size_t search(std::span<const author_id> authors, std::int64_t now,
                     std::span<scored_item> out, const Admits& admits) {
    sums_.clear();
    sums_.grow(items_->authors());
    for (const author_id author : authors)
      if (author < items_->authors()) sums_.add_largest(author, 1);
    return newest(now, out, admits);
  }

 private:
  template <class Admits>
  std::size_t newest(std::int64_t now, std::span<scored_item> out, const Admits& admits) {
    detail::best_in_place best(out);
    for (const author_id author : sums_.touched()) {
      const std::span<const published_item> items = items_->items(author);
      double weight = std::min(double{sums_[author]}, double{std::numeric_limits<float>::max()});
      std::size_t left = options_.items_of_author;
      for (std::size_t i = items.size(); i-- > 0 && left > 0;) {
        const published_item& at = items[i];
        if (at.time > now) continue;
        const double age = detail::half_lives(at.time, now, options_.half_life);
        const scored_item found{at.item, static_cast<float>(weight * std::exp2(-age))};
        if (!best.takes({0, found.score})) break;  // nor are the older ones
        if (!admits(at.item)) continue;
        best.add(found);
        weight *= options_.next_item;
        --left;
      }
    }
    return best.sort();
  }

  const author_items* items_;
  author_expander_options options_;
  detail::score_sums sums_;  // the weights of the authors
};

}  // namespace funnel
