// SPDX-License-Identifier: MIT
// The log of the feed, the features that all models read, and what a page knows of its videos.
#pragma once

#include <funnel/funnel.hpp>

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

namespace feed {

using namespace funnel;

/// The heads of the ranker, in the order of the schema's labels. Those before `watch` are actions;
/// `watch` estimates seconds, and `watch_order` their logarithm, by which videos are ordered.
enum head { click, long_view, like, watch, watch_order, heads };

/// The slot of a candidate is not known before the page is made.
inline const std::array no_slot{cross_values("position")};

/// Upper limit of watch times, in seconds.
inline constexpr float longest_watch = 600;

/// The features of all models of the feed.
schema_options feed_features(const interaction_log& log, std::int64_t utc_offset);

/// Last day of training, and first and last day of the test, yyyymmdd.
struct feed_days {
  std::int32_t train_until = 20220430;
  std::int32_t test_from = 20220501;
  std::int32_t test_until = 20220505;
};

/// A log, ready for training and test, without repeated rows. The days that the histories of the users
/// cover are left out: the features of their rows would contain the clicks of these rows (leakage).
struct feed_log {
  interaction_log log;
  std::int64_t utc_offset;  ///< local time minus UTC in seconds
  std::size_t repeats_removed;
  std::vector<impression> training, test;
  std::int64_t first_day, last_day, end_of_training;  ///< midnights: before these days, and after
  column_table users, items;
  column_table earlier;  ///< events before the log, from the histories

  feed_log(interaction_log source, const feed_days& days, std::int64_t local);

  /// Impressions as the columns of the schema.
  column_table rows(std::span<const impression> impressions) const;
  /// The same with features as known at the end of training, whatever their own time is.
  column_table rows_at_end(std::vector<impression> impressions) const;
  side_tables tables() const { return {.users = users, .items = items, .earlier = earlier}; }
};

/// The mean of a label over all rows, as far inside its range as a head can start.
double mean_label(const encoded_log& rows, std::size_t k);

/// What a server has to know of the videos and the users, apart from features.
struct catalog {
  std::vector<std::uint64_t> items;  ///< ids, by position
  std::vector<std::uint32_t> tags;   ///< the first tag of each
  std::vector<float> similarity;     ///< [items, width]: vectors for the similarity on a page
  vocabulary users;
  sparse_matrix seen;   ///< [users, videos]: what was seen before the test
  sparse_matrix liked;  ///< of these what was clicked, watched long or liked, which weighs 2
  neighbor_table similar;
  std::vector<item_id> popular;  ///< positions, most clicked first

  catalog() = default;
  explicit catalog(const feed_log& data);

  std::size_t width() const { return similarity.size() / items.size(); }
  /// Writes the vectors of some videos, [positions, width].
  void vectors(std::span<const std::uint32_t> positions, matrix_view<float> to) const {
    for (std::size_t i = 0; i < positions.size(); ++i)
      std::copy_n(similarity.data() + positions[i] * width(), width(), to.row(i).begin());
  }
  /// Tells of a position whether the user has not seen the video.
  auto unseen_by(std::uint64_t user) const {
    return [columns = of(seen, user).columns](item_id i) {
      return !std::ranges::binary_search(columns, i);
    };
  }
  sparse_row of(const sparse_matrix& matrix, std::uint64_t user) const {
    const std::uint32_t row = users.find(user);
    return row == 0 ? sparse_row() : matrix[row - 1];
  }
  void visit_state(auto&& visit) {
    visit("items", items), visit("tags", tags), visit("similarity", similarity);
    visit("users", users), visit("seen", seen);
    visit("liked", liked), visit("similar", similar), visit("popular", popular);
  }
};

}  // namespace feed
