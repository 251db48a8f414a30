// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>
#include <funnel/core/error.hpp>
#include <funnel/core/ids.hpp>
#include <funnel/core/state.hpp>
#include <funnel/features/hashing.hpp>
#include <funnel/features/vocabulary.hpp>
#include <funnel/index/scored_item.hpp>
#include <funnel/retrieval/detail/best_in_place.hpp>
#include <funnel/retrieval/detail/decay.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

namespace funnel {

/// Options of `popular_items`.
struct popular_items_options {
  /// Time in which an event loses half of its weight, in the unit of the times, 1 or more; 0: never.
  /// The default is 1 day in milliseconds. h.
  double half_life = 86'400'000.;
  /// Weight of the next level in events, 0 or more: segments with fewer events are mostly like the
  /// level above. s.
  double smoothing = 1000;
  /// Items that have fewer decayed events than this in each segment of a search are not found, 0 or
  /// more.
  double min_count = 0;
  /// Items in the list of a segment, 1 or more: no more are found of it.
  std::size_t items_of_segment = 1000;
};

/// A segment of a search and its level. Searches name the finest level first, such as the user's
/// cell, then the city, then all.
struct popular_segment {
  std::uint64_t key = 0;
  std::uint32_t level = 0;  ///< segments of one level are counted together

  friend bool operator==(const popular_segment&, const popular_segment&) = default;
};

/// Popular items by segment: what is clicked most of late, overall, in a place or by a kind of users.
/// For users of whom nothing else is known.
///
///     c_l(i) = sum over events e of item i in the segments of level l of w_e 2^(-(now - t_e) / h)
///     score(i) = p_0(i),   p_l(i) = (c_l(i) + s p_(l+1)(i)) / (C_l + s),   C_l = sum_i c_l(i)
///     p = c / C at the last level
///
/// A score is a share of events. A level with few events hardly changes the order of the next one. A
/// segment is any number, such as one of `segments`, or `geo_segment`. An event counts as soon as it
/// is added, in the segments for which it is added.
///
/// Candidates are the best items of the list of each segment, as many as asked for; all are scored
/// from all segments of the search.
///
/// Const functions may run on any number of threads, but not while another one changes the object.
///
/// Units       times in any unit, from the server's clock: an event of a clock that is ahead counts
///             more than 1 until its time comes.
/// Errors      std::invalid_argument if an argument is out of range; std::bad_alloc. Nothing is
///             changed then.
/// Cost        `add` finds two keys and moves part of a list; a search of n items in k segments
///             scores at most n k items with k look-ups each. At most 100 bytes per segment and item
///             that has events: see `forget`.
/// Source      docs/formulas.md#popular-items.
class popular_items {
 public:
  /// Most segments of a search.
  static constexpr std::size_t most_segments = 32;

  explicit popular_items(const popular_items_options& options = {})
      : clock_(name, options.half_life), options_(options) {
    check_options();
  }
  popular_items(const popular_items&) = default;
  popular_items(popular_items&&) noexcept = default;
  popular_items& operator=(const popular_items& other) {
    *this = popular_items(other);
    return *this;
  }
  popular_items& operator=(popular_items&&) noexcept = default;

  /// Counts an event of a weight above 0, such as a click, in a segment.
  void add(std::uint64_t segment, item_id item, std::int64_t time, float weight = 1) {
    detail::check_positive("popular_items::add", "weight", weight);
    const std::uint32_t row = segment_row(segment);
    segment_sums& of = segments_[row - 1];
    if (of.best.size() == of.best.capacity() && of.best.size() < options_.items_of_segment)
      of.best.reserve(2 * of.best.size() + 1);
    const std::uint32_t pair = pair_row(row, item);
    const double event = clock_.event(time, weight);
    of.total = detail::add_decayed(of.total, event);
    const double before = sums_[pair - 1];
    sums_[pair - 1] = detail::add_decayed(before, event);
    move_up(of.best, {before, item}, {sums_[pair - 1], item});
  }

  /// The decayed number of events of an item in a segment.
  double count(std::uint64_t segment, item_id item, std::int64_t now) const {
    return detail::decayed_value(sum(keys_.find(segment), item), clock_.age(now));
  }

  /// Finds the best items for segments, best first, and returns their number: fewer than out.size() if
  /// the lists of the segments have no more. Items that `admits` returns false for are left out.
  /// Unknown segments have no events.
  ///
  /// Shapes      segments [k], k <= 32, with levels in rising order; out [most].
  /// Errors      std::invalid_argument if there are more segments or their levels fall; `out` is
  ///             unchanged then.
  template <class Admits>
  std::size_t search(std::span<const popular_segment> segments, std::int64_t now,
                     std::span<scored_item> out, const Admits& admits) const {
    detail::check_that(search_name, "the number of segments", segments.size(),
                       segments.size() <= most_segments, "at most ", most_segments);
    for (std::size_t k = 1; k < segments.size(); ++k)
      if (segments[k].level < segments[k - 1].level)
        detail::fail("funnel::", search_name, ": segments[", k, "] has level ", segments[k].level,
                     ", expected ", segments[k - 1].level, " or more, as the one before");
    const double age = clock_.age(now);
    std::array<searched, most_segments> of;
    weigh(segments, age, of);
    detail::best_in_place best(out);
    for (std::size_t k = 0; k < segments.size(); ++k) {
      if (of[k].row == 0) continue;
      std::size_t left = out.size();
      for (const list_item& candidate : segments_[of[k].row - 1].best) {
        if (left == 0) break;
        of[k].last = candidate;
        double score = 0, largest = detail::no_events;
        bool known = false;  // read in the list of an earlier segment
        for (std::size_t j = 0; j < segments.size(); ++j) {
          const double x = sum(of[j].row, candidate.item);
          if (x == detail::no_events) continue;
          score += of[j].weight * std::exp2(x - of[j].total);
          largest = std::max(largest, x);
          known = known || (j < k && !before(of[j].last, {x, candidate.item}));
        }
        if (detail::decayed_value(largest, age) < options_.min_count || !admits(candidate.item))
          continue;
        if (!known) best.add({candidate.item, static_cast<float>(score)});
        --left;
      }
    }
    return best.sort();
  }
  /// The same for a single segment.
  template <class Admits>
  std::size_t search(std::uint64_t segment, std::int64_t now, std::span<scored_item> out,
                     const Admits& admits) const {
    const popular_segment only{segment};
    return search(std::span(&only, 1), now, out, admits);
  }

  /// Forgets items with fewer decayed events than `least`, above 0, and segments that have no others,
  /// to free their memory; for instance once a day. Their events still count for the totals of the
  /// segments that stay.
  void forget(std::int64_t now, double least) {
    detail::check_positive("popular_items::forget", "least", least);
    const double age = clock_.age(now);
    popular_items kept(options_);
    kept.clock_ = clock_;
    for (std::uint32_t pair = 1; pair < pairs_.rows(); ++pair) {
      const double x = sums_[pair - 1];
      if (detail::decayed_value(x, age) < least) continue;
      const auto [segment, item] = segment_and_item(pair);
      const std::uint32_t row = kept.segment_row(keys_.id(segment));
      kept.segments_[row - 1].total = segments_[segment - 1].total;
      kept.sums_[kept.pair_row(row, item) - 1] = x;
    }
    kept.make_lists();
    *this = std::move(kept);
  }

  /// See `HasState`: the sums and the options. Throws a format_error if what was loaded is not that;
  /// the object is unchanged then.
  void visit_state(auto&& visit) {
    if (!is_loading(visit)) return visit_fields(visit);
    popular_items loaded;
    loaded.visit_fields(visit);
    *this = std::move(loaded);
  }

 private:
  static constexpr std::string_view name = "popular_items", search_name = "popular_items::search";

  struct list_item {
    double sum = 0;
    item_id item = 0;
  };
  struct segment_sums {
    double total = detail::no_events;
    std::vector<list_item> best = {};  // in order; those with the largest sums
  };
  /// A segment during a search.
  struct searched {
    std::uint32_t row = 0;  ///< 0: unknown
    double total = 0;       ///< of all segments of its level
    double weight = 0;      ///< of the level in the score
    /// What was read last of its list; before that, what comes before everything.
    list_item last{std::numeric_limits<double>::infinity(), 0};
  };

  static bool before(const list_item& a, const list_item& b) {
    return a.sum != b.sum ? a.sum > b.sum : a.item < b.item;
  }

  void check_options() const {
    detail::check_not_negative(name, "smoothing", options_.smoothing);
    detail::check_not_negative(name, "min_count", options_.min_count);
    detail::check_at_least_one(name, "items_of_segment", options_.items_of_segment);
  }

  std::pair<std::uint32_t, item_id> segment_and_item(std::uint32_t pair) const {
    const std::uint64_t key = pairs_.id(pair);
    return {static_cast<std::uint32_t>(key >> 32), static_cast<item_id>(key & 0xffffffffu)};
  }
  double sum(std::uint32_t segment, item_id item) const {
    if (segment == 0) return detail::no_events;
    const std::uint32_t pair = pairs_.find(pair_key(segment, item));
    return pair == 0 ? detail::no_events : sums_[pair - 1];
  }

  // Memory for a new row is allocated before it exists: no row is ever without its values.
  std::uint32_t segment_row(std::uint64_t key) {
    if (segments_.size() < keys_.rows()) segments_.resize(keys_.rows());
    return keys_.add(key);
  }
  std::uint32_t pair_row(std::uint32_t segment, item_id item) {
    if (sums_.size() < pairs_.rows()) sums_.resize(pairs_.rows(), detail::no_events);
    return pairs_.add(pair_key(segment, item));
  }

  /// Keeps a list the best of its segment after the sum of an item has grown. The list has room.
  void move_up(std::vector<list_item>& best, const list_item& old, const list_item& grown) const {
    auto place = std::lower_bound(best.begin(), best.end(), old, before);
    if (place == best.end() || place->item != grown.item) {
      if (best.size() < options_.items_of_segment)
        best.push_back(grown);
      else if (!before(grown, best.back()))
        return;
      place = best.end() - 1;
    }
    const auto to = std::upper_bound(best.begin(), place, grown, before);
    std::move_backward(to, place, place + 1);
    *to = grown;
  }
  /// Makes all lists from the sums.
  void make_lists() {
    for (std::uint32_t pair = 1; pair < pairs_.rows(); ++pair) {
      const auto [segment, item] = segment_and_item(pair);
      segments_[segment - 1].best.push_back({sums_[pair - 1], item});
    }
    for (segment_sums& of : segments_) {
      std::sort(of.best.begin(), of.best.end(), before);
      of.best.resize(std::min(of.best.size(), options_.items_of_segment));
    }
  }

  /// The rows of segments, and the weights of their levels: a share of a level's events counts
  /// C / (C + s) of what the finer levels leave, and all of it at the last level.
  void weigh(std::span<const popular_segment> segments, double age, std::span<searched> of) const {
    double left = 1;
    for (std::size_t begin = 0, end = 0; begin < segments.size(); begin = end) {
      double total = detail::no_events;
      for (; end < segments.size() && segments[end].level == segments[begin].level; ++end) {
        of[end].row = keys_.find(segments[end].key);
        if (of[end].row != 0) total = detail::add_decayed(total, segments_[of[end].row - 1].total);
      }
      if (total == detail::no_events) continue;
      const double events = detail::decayed_value(total, age), s = options_.smoothing;
      const double own = end == segments.size() || s == 0 ? 1 : events / (events + s);
      for (std::size_t k = begin; k < end; ++k) {
        of[k].total = total;
        of[k].weight = left * own;
      }
      left *= 1 - own;
    }
  }

  void visit_fields(auto&& visit) {
    visit("clock", clock_);
    visit("smoothing", options_.smoothing), visit("min_count", options_.min_count);
    std::uint64_t most = options_.items_of_segment;
    visit("items_of_segment", most);
    std::vector<double> totals, sums;
    for (std::size_t row = 1; row < keys_.rows(); ++row) totals.push_back(segments_[row - 1].total);
    for (std::size_t row = 1; row < pairs_.rows(); ++row) sums.push_back(sums_[row - 1]);
    visit("segments", keys_), visit("totals", totals);
    visit("pairs", pairs_), visit("sums", sums);
    if (!is_loading(visit)) return;
    options_.items_of_segment = most;
    detail::check_loaded([&] { check_options(); });
    bool fits = totals.size() == keys_.rows() - 1 && sums.size() == pairs_.rows() - 1;
    for (const double total : totals) fits = fits && detail::is_decayed(total);
    for (std::uint32_t pair = 1; fits && pair < pairs_.rows(); ++pair) {
      const std::uint32_t segment = segment_and_item(pair).first;
      fits = segment > 0 && segment < keys_.rows() && sums[pair - 1] > detail::no_events &&
             sums[pair - 1] <= totals[segment - 1] + 1;  // rounding is far below 1
    }
    if (!fits) throw format_error("popular_items are damaged: their arrays do not fit together");
    sums_ = std::move(sums);
    segments_.resize(totals.size());
    for (std::size_t i = 0; i < totals.size(); ++i) segments_[i].total = totals[i];
    make_lists();
  }

  detail::decay_clock clock_;
  popular_items_options options_;
  vocabulary keys_, pairs_;             // of segments; of segments and items
  std::vector<segment_sums> segments_;  // by row of keys_ - 1; may have a spare one
  std::vector<double> sums_;            // by row of pairs_ - 1; may have a spare one
};

}  // namespace funnel
