// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/data/interaction_log.hpp>
#include <funnel/features/rate_counters.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace feed {

/// Upper limit of watch times, in seconds.
inline constexpr float longest_watch = 600;

/// The tasks, in the order used by all arrays over tasks. Those before `watch` are labels: actions
/// that an impression has or does not have.
enum task { click, long_view, like, watch, tasks };

/// Place (tab of the app) and time of a request.
struct moment {
  std::uint16_t tab = 0;
  std::uint8_t hour = 21;
};

/// Numeric features of a user at the time of a request (one row per request), of a video, and of
/// the pair. They are computed from past days, the history before the log, and the tables; never
/// from the statistics of the whole month, which contain the future (leakage).
class features {
 public:
  static constexpr std::size_t actions = 4;  // click, long view, like, ln(1 + seconds watched)
  static constexpr std::size_t item_width = 3 * 3 + 3 * (1 + actions) + 3;
  static constexpr std::size_t cross_width = 4 + 4 * (1 + actions);
  static constexpr std::uint32_t duration_buckets = 16;

  explicit features(const funnel::interaction_log& log);

  /// Adds a past day to the counters; call it in the order of days.
  void count_day(std::span<const funnel::impression> day);

  /// Writes 1 for each label that an impression has, and 0 for the others.
  void write_labels(const funnel::impression& shown, std::span<float> out) const;

  std::size_t user_width() const { return user_width_; }
  void user_numbers(funnel::user_id user, moment when, std::span<float> out) const;
  void item_numbers(funnel::item_id item, std::span<float> out) const;
  void cross_numbers(funnel::user_id user, funnel::item_id item, moment when,
                     std::span<float> out) const;

  std::uint32_t duration_bucket(funnel::item_id item) const { return buckets_[item]; }

  /// Smoothed rates of an action, for the baselines.
  double user_rate(funnel::user_id user, std::size_t action) const {
    return log_[of_user].rate(user, action);
  }
  double item_rate(funnel::item_id item, std::size_t action) const {
    return log_[of_item].rate(item, action);
  }
  double item_clicks(funnel::item_id item) const { return log_[of_item].amount(item, 0); }
  double item_seconds(funnel::item_id item) const { return seconds_.rate(item, 0); }

 private:
  enum log_family {
    of_user,
    of_user_tab,
    of_hour_tab,
    of_item,
    of_author,
    of_tag,
    of_user_tag,
    of_tag_tab,
    of_item_tab,
    of_duration_tab,
    log_families
  };
  enum past_family {
    past_user,
    past_item,
    past_author,
    past_tag,
    past_user_tag,
    past_user_author,
    past_families
  };

  void count_history(funnel::user_id user, const funnel::user_history& history);
  float* write_log(log_family f, std::uint64_t key, float* out) const;
  float* copy_log(log_family f, std::uint32_t row, std::uint16_t tab, float* out) const;
  void tabulate();
  float* write_past(past_family f, std::uint64_t key, float* out) const;

  const funnel::interaction_log& source_;
  std::array<std::size_t, watch> label_actions_;
  std::vector<std::uint32_t> buckets_;
  std::vector<funnel::rate_counters> log_;
  std::vector<funnel::rate_counters> past_;
  funnel::rate_counters seconds_;
  std::size_t days_ = 0;
  // Cached for the day: the overall means, and the rates of the few pairs with a tab. Candidates
  // only copy them.
  std::array<float, actions> means_{};
  std::size_t tabs_ = 0;
  std::array<std::vector<float>, log_families> of_tabs_;
  std::size_t user_width_;
};

}  // namespace feed
