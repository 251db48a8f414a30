// SPDX-License-Identifier: MIT
#include "features.hpp"

#include <funnel/core/date.hpp>
#include <funnel/core/math.hpp>
#include <funnel/features/bucketize.hpp>
#include <funnel/features/log1p.hpp>
#include <funnel/features/vocabulary.hpp>

#include <algorithm>
#include <cmath>
#include <numbers>

namespace feed {

using funnel::log1p_count;
using funnel::pair_key;

namespace {

constexpr std::size_t past_actions = 2;  // watched long, liked

float log_odds(double rate) {
  return static_cast<float>(funnel::logit(std::clamp(rate, 1e-4, 1 - 1e-4)));
}

bool contains(const std::vector<funnel::item_id>& items, funnel::item_id item) {
  return std::ranges::find(items, item) != items.end();
}

}  // namespace

features::features(const funnel::interaction_log& log)
    : source_(log), label_actions_{log.action("click"), log.action("long_view"),
                                   log.action("like")},
      seconds_(1), user_width_(3 + 3 * (1 + actions) + 2 + log.user_numbers.size()) {
  constexpr std::array<float, 14> lengths{.01f, 5,  7,  10, 12,  15,  20,
                                          30,   45, 60, 90, 120, 180, 300};
  for (const funnel::video& v : log.videos) {
    buckets_.push_back(funnel::bucket_of(v.duration_s, lengths));
  }
  log_.assign(log_families, funnel::rate_counters(actions));
  constexpr std::array<double, past_families> strengths{10, 20, 20, 20, 5, 5};
  for (const double strength : strengths)
    past_.emplace_back(past_actions, funnel::rate_options{strength});
  for (funnel::user_id user = 0; user < log.histories.size(); ++user)
    count_history(user, log.histories[user]);
  for (const funnel::impression& e : log.impressions)
    tabs_ = std::max<std::size_t>(tabs_, e.tab + 1u);
  tabulate();
}

void features::count_history(funnel::user_id user, const funnel::user_history& history) {
  for (const funnel::item_id item : history.watched) {
    const funnel::video& v = source_.videos[item];
    // The lists of likes and long views reach further back than the list of all watched videos:
    // count only videos in both.
    const std::array<float, past_actions> done{contains(history.long_watched, item) ? 1.f : 0.f,
                                               contains(history.liked, item) ? 1.f : 0.f};
    past_[past_user].add(user, done);
    past_[past_item].add(item, done);
    past_[past_author].add(v.author, done);
    past_[past_tag].add(v.category, done);
    past_[past_user_tag].add(pair_key(user, v.category), done);
    past_[past_user_author].add(pair_key(user, v.author), done);
  }
}

void features::count_day(std::span<const funnel::impression> day) {
  for (const funnel::impression& e : day) {
    const funnel::video& v = source_.videos[e.item];
    const float seconds = std::min(e.play_s, longest_watch);
    std::array<float, actions> done;
    write_labels(e, std::span(done).first(watch));
    done[watch] = std::log1p(seconds);
    log_[of_user].add(e.user, done);
    log_[of_user_tab].add(pair_key(e.user, e.tab), done);
    log_[of_hour_tab].add(pair_key(e.hour, e.tab), done);
    log_[of_item].add(e.item, done);
    log_[of_author].add(v.author, done);
    log_[of_tag].add(v.category, done);
    log_[of_user_tag].add(pair_key(e.user, v.category), done);
    log_[of_tag_tab].add(pair_key(v.category, e.tab), done);
    log_[of_item_tab].add(pair_key(e.item, e.tab), done);
    log_[of_duration_tab].add(pair_key(buckets_[e.item], e.tab), done);
    seconds_.add(e.item, std::span(&seconds, 1));
  }
  ++days_;
  tabulate();
}

void features::write_labels(const funnel::impression& shown, std::span<float> out) const {
  for (std::size_t i = 0; i < watch; ++i) out[i] = shown.did(label_actions_[i]) ? 1.f : 0.f;
}

void features::tabulate() {
  for (std::size_t a = 0; a < actions; ++a) {
    const double mean = log_[of_user].mean_rate(a);
    means_[a] = a < 3 ? log_odds(mean) : static_cast<float>(mean);
  }
  const auto fill = [&](log_family f, std::uint32_t rows) {
    of_tabs_[f].resize(rows * tabs_ * (1 + actions));
    float* to = of_tabs_[f].data();
    for (std::uint32_t row = 0; row < rows; ++row) {
      for (std::uint32_t tab = 0; tab < tabs_; ++tab) to = write_log(f, pair_key(row, tab), to);
    }
  };
  fill(of_tag_tab, static_cast<std::uint32_t>(source_.categories.size()));
  fill(of_duration_tab, duration_buckets);
}

/// ln(1 + impressions per day), then the difference of each rate from the overall mean.
float* features::write_log(log_family f, std::uint64_t key, float* out) const {
  std::array<float, 1 + actions> numbers;
  log_[f].write(key, numbers);
  *out++ = log1p_count(numbers[0] / static_cast<float>(std::max<std::size_t>(days_, 1)));
  for (std::size_t a = 0; a < 3; ++a) *out++ = log_odds(numbers[1 + a]) - means_[a];
  *out++ = numbers[4] - means_[3];
  return out;
}

float* features::copy_log(log_family f, std::uint32_t row, std::uint16_t tab, float* out) const {
  if (tab >= tabs_) return write_log(f, pair_key(row, tab), out);
  return std::copy_n(of_tabs_[f].data() + (row * tabs_ + tab) * (1 + actions), 1 + actions, out);
}

/// ln(1 + videos shown), then the log odds of a long view and of a like.
float* features::write_past(past_family f, std::uint64_t key, float* out) const {
  std::array<float, 1 + past_actions> numbers;
  past_[f].write(key, numbers);
  *out++ = log1p_count(numbers[0]);
  for (std::size_t a = 0; a < past_actions; ++a) *out++ = log_odds(numbers[1 + a]);
  return out;
}

void features::user_numbers(funnel::user_id user, moment when, std::span<float> out) const {
  float* to = write_past(past_user, user, out.data());
  to = write_log(of_user, user, to);
  to = write_log(of_user_tab, pair_key(user, when.tab), to);
  to = write_log(of_hour_tab, pair_key(when.hour, when.tab), to);
  const float angle = static_cast<float>(2 * std::numbers::pi / 24) * when.hour;
  *to++ = std::sin(angle);
  *to++ = std::cos(angle);
  for (const float number : source_.users[user].numeric) *to++ = log1p_count(number);
}

void features::item_numbers(funnel::item_id item, std::span<float> out) const {
  const funnel::video& v = source_.videos[item];
  float* to = write_past(past_item, item, out.data());
  to = write_past(past_author, v.author, to);
  to = write_past(past_tag, v.category, to);
  to = write_log(of_item, item, to);
  to = write_log(of_author, v.author, to);
  to = write_log(of_tag, v.category, to);
  *to++ = std::log1p(v.duration_s);
  *to++ = v.duration_s > 0 ? 0.f : 1.f;
  // The upload date, not the age at the end of training, which would depend on the future of
  // earlier rows.
  *to++ =
      v.upload_date > 0 ? static_cast<float>(funnel::day_number(v.upload_date) % 10000) / 100 : 0.f;
}

void features::cross_numbers(funnel::user_id user, funnel::item_id item, moment when,
                             std::span<float> out) const {
  const funnel::video& v = source_.videos[item];
  float* to = write_past(past_user_tag, pair_key(user, v.category), out.data());
  *to++ = log1p_count(
      static_cast<float>(past_[past_user_author].impressions(pair_key(user, v.author))));
  to = write_log(of_user_tag, pair_key(user, v.category), to);
  to = copy_log(of_tag_tab, v.category, when.tab, to);
  to = write_log(of_item_tab, pair_key(item, when.tab), to);
  to = copy_log(of_duration_tab, buckets_[item], when.tab, to);
}

}  // namespace feed
