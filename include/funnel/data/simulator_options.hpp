// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/build.hpp>

#include <cstddef>
#include <cstdint>

namespace funnel {

/// Kinds of feeds that `simulator` knows.
enum class feed_kind {
  /// A feed of short videos; its actions are click, like, follow, comment, forward, long_view and
  /// favorite.
  short_video,
  /// A shop; its actions are click, favorite, share, cart (put into the cart) and pay.
  shop,
};

/// How the position changes the click probability in `simulator`.
enum class position_effect {
  /// A term of the logit: logit P(click) = relevance - b ln(position).
  additive,
  /// The user looks at the item with probability position^-b, and clicks on what they look at:
  /// P(click) = position^-b sigmoid(relevance).
  examination,
};

/// Options of `simulator`.
struct simulator_options {
  feed_kind kind = feed_kind::short_video;
  /// Number of users, videos (in a shop: items), authors (sellers) and categories, each 1 to 10^8;
  /// videos >= slots.
  std::size_t users = 2000;
  std::size_t videos = 3000;
  std::size_t authors = 400;
  std::size_t categories = 20;
  /// Number of days in the log, 1 to 3650, and of days before it that fill the users' histories, 0
  /// to 3650.
  std::size_t days = 11;
  std::size_t history_days = 7;
  /// First day of the log, yyyymmdd, in the years 100 to 9899.
  std::int32_t first_date = 20220425;
  /// Mean number of videos shown per user and day, in (0, 10^6].
  double impressions_per_user_day = 6;
  /// Number of videos on a page, in [1, 100].
  std::size_t slots = 8;
  /// Fraction of slots that get a random video, in [0, 1].
  double exploration = 0.1;
  /// Position bias: b in the term -b ln(position) of the click logit, or in the probability
  /// position^-b that an item is looked at; in [0, 100].
  double position_bias = 0.4;
  /// Which of the two it is.
  position_effect position_form = position_effect::additive;
  /// Fraction of the videos that are uploaded during the days of the log, in [0, 1].
  double new_videos = 0.2;
  /// Length of the content vectors, 1 to 10^6.
  std::size_t content_size = 16;
  /// Fraction of the items of a feed of videos that are image-text posts, in [0, 1]; 0 in a shop. A
  /// post is read instead of played, and there is no long view of it.
  double image_text = 0;
  std::uint64_t seed = 1;
};

/// Context of a page: where and when it is shown.
struct feed_context {
  /// Hour of the day, 0 to 23.
  std::size_t hour = 21;
  /// Tab of the app, below `simulator::tabs` (4).
  std::size_t tab = 0;
};

}  // namespace funnel
