// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/build.hpp>

#include <cstddef>
#include <cstdint>

namespace funnel {

/// What the simulated feed is like.
struct simulator_options {
  /// How many there are of each, 1 to 10^8; videos >= slots.
  std::size_t users = 2000;
  std::size_t videos = 3000;
  std::size_t authors = 400;
  std::size_t categories = 20;
  /// Days of the log, 1 to 3650, and days before it that make up the users' histories, 0 to 3650.
  std::size_t days = 11;
  std::size_t history_days = 7;
  /// First day of the log, yyyymmdd, of the years 100 to 9899.
  std::int32_t first_date = 20220425;
  /// Mean over users of the videos a user is shown in a day, in (0, 10^6].
  double impressions_per_user_day = 6;
  /// Videos on a page, in [1, 100].
  std::size_t slots = 8;
  /// Share of slots that get a video at random, in [0, 1].
  double exploration = 0.1;
  /// b in the click's logit term -b*ln(position), in [0, 100].
  double position_bias = 0.4;
  /// Share of the videos that are uploaded while the log runs, in [0, 1].
  double new_videos = 0.2;
  /// Length of the content vectors, 1 to 10^6.
  std::size_t content_size = 16;
  std::uint64_t seed = 1;
};

/// Where and when a page is shown.
struct feed_context {
  /// 0..23.
  std::size_t hour = 21;
  /// Tab of the app, below `simulator::tabs` (4).
  std::size_t tab = 0;
};

}  // namespace funnel
