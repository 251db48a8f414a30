// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>
#include <funnel/core/math.hpp>
#include <funnel/core/random.hpp>
#include <funnel/data/date.hpp>
#include <funnel/data/detail/simulated_world.hpp>
#include <funnel/data/interaction_log.hpp>
#include <funnel/data/simulator_options.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <numbers>
#include <span>
#include <utility>
#include <vector>

namespace funnel {

/// The true probabilities and expected times of a user's actions on a shown video. Probabilities,
/// not logits; times in seconds.
struct feed_truth {
  double click = 0;
  /// The following are conditional on a click; without a click none of them happens.
  double like_given_click = 0;
  double follow_given_click = 0;
  double comment_given_click = 0;
  double forward_given_click = 0;
  double long_view_given_click = 0;
  /// Probability that at least 80 % of the video is played.
  double finish_given_click = 0;
  /// Expected watch time in seconds.
  double watch_s_given_click = 0;
  /// Expected fraction played, min(play time, duration) / duration.
  double played_given_click = 0;

  double like() const { return click * like_given_click; }
  double follow() const { return click * follow_given_click; }
  double comment() const { return click * comment_given_click; }
  double forward() const { return click * forward_given_click; }
  double long_view() const { return click * long_view_given_click; }
  double finish() const { return click * finish_given_click; }
  double watch_s() const { return click * watch_s_given_click; }
  double played() const { return click * played_given_click; }
};

/// Simulator of a short-video feed: generates an interaction log for which the true probabilities
/// of all actions are known.
///
/// Each user u has interests theta_u (a Dirichlet distribution over categories), a taste vector t_u
/// and an activity. Each video i has a category c, an author, a quality q_i, a duration d_i
/// (log-normal) and a content vector x_i close to the center of its category. With the affinity a =
/// sqrt(theta_uc) + <t_u, x_i>,
///
///     logit P(click)        = base + 2 a + q_i + e_u + tab_c + hour - b ln(position)
///     play time T | click   ~ Gamma(2) of mean m = .8 d (20/d)^.4 exp(.8 (a - .5)),
///                             .05 d <= m <= 3 d; without a click T = 0
///     long view             = T >= min(18 s, d)
///     logit P(like | click) = base + 1.2 a + .5 q_i + g_u; follow, comment, forward likewise
///
/// So all values of `feed_truth` have a closed form: P(T >= s) = (1 + 2s/m) exp(-2s/m). Users see
/// pages of videos that are drawn by popularity and by interest and ordered by their click logit
/// plus noise. So position and relevance are confounded, as in real logs. Some slots get random
/// videos.
///
/// A model can use what a real service would know: the log, noisy interests and an activity class
/// of each user, and the author, tags, duration, upload date and content vector of each video.
///
/// Errors      std::invalid_argument for options outside their range.
/// Cost        0.2 s for the 130,000 impressions of the default options. The same seed gives the
///             same feed.
class simulator {
 public:
  static constexpr std::size_t tabs = detail::simulated_world::tabs;

  explicit simulator(const simulator_options& options = {}) : world_(options) {}
  simulator(const simulator&) = default;
  simulator(simulator&&) noexcept = default;
  /// Copies the whole simulator; if memory runs out, this object is unchanged.
  simulator& operator=(const simulator& other) {
    *this = simulator(other);
    return *this;
  }
  simulator& operator=(simulator&&) noexcept = default;

  const simulator_options& options() const { return world_.options; }

  /// Returns the true probabilities for a user and an item (indices in the tables of the log) at a
  /// position (from 1) in a context.
  ///
  /// Errors      std::invalid_argument if an argument is out of range.
  feed_truth truth(user_id user, item_id item, std::size_t position,
                   const feed_context& context = {}) const {
    detail::check_below("simulator::truth", "user", user, world_.users.size());
    detail::check_below("simulator::truth", "item", item, world_.videos.size());
    detail::check_at_least_one("simulator::truth", "position", position);
    detail::check_below("simulator::truth", "hour", context.hour, 24);
    detail::check_below("simulator::truth", "tab", context.tab, tabs);
    const auto& u = world_.users[user];
    const auto& v = world_.videos[item];
    const double a = world_.affinity(user, item);
    const double d = v.duration_s;
    const double m =
        std::clamp(.8 * d * std::pow(20 / d, .4) * std::exp(.8 * (a - .5)), .05 * d, 3 * d);
    const auto action = [&](double base) {
      return sigmoid(base + 1.2 * a + .5 * v.quality + u.giving);
    };
    feed_truth t;
    t.click = sigmoid(world_.relevance(user, item, context) -
                      world_.options.position_bias * std::log(static_cast<double>(position)));
    t.like_given_click = action(-4.2);
    t.follow_given_click = action(-6.6);
    t.comment_given_click = action(-6);
    t.forward_given_click = action(-7);
    t.long_view_given_click = survival(long_view_s(d), m);
    t.finish_given_click = survival(.8 * d, m);
    t.watch_s_given_click = m;
    t.played_given_click = (m - std::exp(-2 * d / m) * (m + d)) / d;
    return t;
  }

  /// The true probabilities for an impression.
  feed_truth truth(const impression& shown) const {
    return truth(shown.user, shown.item, shown.position, {shown.hour, shown.tab});
  }

  /// Simulates the user's reaction: draws click, the other actions and play_s of `shown` from its
  /// user, item, position, hour and tab, and sets duration_s. Simulated users never open the
  /// comment section, open a profile or use `hate`.
  void react(RandomGenerator auto& bits, impression& shown) const {
    const feed_truth t = truth(shown);
    const double duration = world_.videos[shown.item].duration_s;
    shown.duration_s = static_cast<float>(duration);
    shown.click = bernoulli(bits, t.click);
    const double played =
        t.watch_s_given_click / 2 * (standard_exponential(bits) + standard_exponential(bits));
    shown.play_s = shown.click ? static_cast<float>(played) : 0.0f;
    shown.long_view = shown.click && played >= long_view_s(duration);
    shown.like = bernoulli(bits, t.like_given_click) && shown.click;
    shown.follow = bernoulli(bits, t.follow_given_click) && shown.click;
    shown.comment = bernoulli(bits, t.comment_given_click) && shown.click;
    shown.forward = bernoulli(bits, t.forward_given_click) && shown.click;
    shown.comment_section = shown.profile_entered = shown.hate = false;
  }

  /// Runs the feed and returns its log: the tables, the histories, and the impressions of `days`
  /// days, sorted by time.
  interaction_log log() const {
    interaction_log log = world_.tables;
    random_generator bits(world_.options.seed ^ 0x5eedf00d);
    const std::int32_t first = day_number(world_.options.first_date);
    const auto past = static_cast<std::int32_t>(world_.options.history_days);
    std::vector<impression> day;
    for (std::int32_t d = -past; d < static_cast<std::int32_t>(world_.options.days); ++d) {
      day.clear();
      for (user_id u = 0; u < world_.users.size(); ++u) show_day(bits, u, first + d, day);
      sort_by_time(day);
      if (d >= 0) {
        log.impressions.insert(log.impressions.end(), day.begin(), day.end());
      } else {
        for (const impression& e : day) remember(e, log.histories[e.user]);
      }
    }
    return log;
  }

 private:
  static double long_view_s(double duration) { return std::min(18.0, duration); }
  /// P(T >= s) for T ~ Gamma(2) with mean m.
  static double survival(double s, double m) { return (1 + 2 * s / m) * std::exp(-2 * s / m); }

  /// Draws a video that exists on that day and is not yet on the page.
  item_id draw_video(random_generator& bits, user_id user, std::int32_t day, bool random,
                     std::span<const impression> page) const {
    const auto fits = [&](item_id item) {
      return world_.videos[item].upload_day <= day &&
             std::ranges::find(page, item, &impression::item) == page.end();
    };
    for (int attempt = 0; !random && attempt < 20; ++attempt) {
      const auto& liked = world_.by_category[world_.draw_interest(bits, user)];
      const auto& from = liked.items.empty() || bernoulli(bits, .5) ? world_.everything : liked;
      if (const item_id item = from.draw(bits); fits(item)) return item;
    }
    for (;;)  // ends, because at least `slots` videos are old
      if (const auto item = static_cast<item_id>(uniform_below(bits, world_.videos.size()));
          fits(item))
        return item;
  }

  /// Appends the pages that a user sees in a day; their number has a Poisson distribution.
  void show_day(random_generator& bits, user_id user, std::int32_t day,
                std::vector<impression>& shown) const {
    const double pages = world_.options.impressions_per_user_day * world_.users[user].activity /
                         static_cast<double>(world_.options.slots);
    for (double t = standard_exponential(bits); t < pages; t += standard_exponential(bits))
      show_page(bits, user, day, shown);
  }

  void show_page(random_generator& bits, user_id user, std::int32_t day,
                 std::vector<impression>& shown) const {
    constexpr std::size_t slot_ms = 20'000;
    constexpr std::array tab_shares{.7, .85, .95, 1.};
    const std::size_t slots = world_.options.slots;
    feed_context context;
    do context.hour = uniform_below(bits, 24);  // more pages in the evening
    while (!bernoulli(bits, .6 + .4 * std::cos(2 * std::numbers::pi *
                                               (static_cast<double>(context.hour) - 20) / 24)));
    context.tab = static_cast<std::size_t>(std::ranges::upper_bound(tab_shares, uniform01(bits)) -
                                           tab_shares.begin());
    const std::size_t start =
        context.hour * 3'600'000 + uniform_below(bits, 3'600'000 - slots * slot_ms);

    std::vector<impression> page;
    std::vector<std::pair<double, item_id>> ranked;
    for (std::size_t i = 0; i < slots; ++i) {
      impression& e = page.emplace_back();
      e.random = bernoulli(bits, world_.options.exploration);
      e.item = draw_video(bits, user, day, e.random, std::span(page).first(i));
      if (!e.random)
        ranked.emplace_back(world_.relevance(user, e.item, context) + standard_normal(bits),
                            e.item);
    }
    std::ranges::sort(ranked, std::greater<>());
    auto next = ranked.begin();
    for (std::size_t i = 0; i < slots; ++i) {
      impression& e = page[i];
      if (!e.random) e.item = (next++)->second;
      e.user = user;
      e.time_ms = std::int64_t{day} * 86'400'000 + static_cast<std::int64_t>(start + i * slot_ms);
      e.date = date_of_day(day);
      e.hour = static_cast<std::uint8_t>(context.hour);
      e.tab = static_cast<std::uint16_t>(context.tab);
      e.position = static_cast<std::uint16_t>(i + 1);
      react(bits, e);
    }
    shown.insert(shown.end(), page.begin(), page.end());
  }

  static void remember(const impression& e, user_history& history) {
    const auto push = [&](std::vector<item_id>& items) {
      if (items.size() == 50) items.erase(items.begin());
      items.push_back(e.item);
    };
    push(history.watched);
    if (e.like) push(history.liked);
    if (e.long_view) push(history.long_watched);
    ++history.total;
    history.last_time_ms = e.time_ms;
  }

  detail::simulated_world world_;
};

}  // namespace funnel
