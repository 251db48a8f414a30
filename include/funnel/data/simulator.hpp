// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/date.hpp>
#include <funnel/core/detail/checks.hpp>
#include <funnel/core/math.hpp>
#include <funnel/core/random.hpp>
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
/// not logits; times in seconds. What the kind of feed does not have is 0.
struct feed_truth {
  double click = 0;
  /// The following are conditional on a click; without a click none of them happens.
  double favorite_given_click = 0;
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
  /// In a shop.
  double share_given_click = 0;
  double cart_given_click = 0;
  /// Conditional on putting the item into the cart; without that, nothing is paid.
  double pay_given_cart = 0;

  double favorite() const { return click * favorite_given_click; }
  double like() const { return click * like_given_click; }
  double follow() const { return click * follow_given_click; }
  double comment() const { return click * comment_given_click; }
  double forward() const { return click * forward_given_click; }
  double long_view() const { return click * long_view_given_click; }
  double finish() const { return click * finish_given_click; }
  double watch_s() const { return click * watch_s_given_click; }
  double played() const { return click * played_given_click; }
  double share() const { return click * share_given_click; }
  double cart() const { return click * cart_given_click; }
  double pay() const { return cart() * pay_given_cart; }
};

/// Simulator of a feed, of short videos or of a shop: generates an interaction log for which the
/// true probabilities of all actions are known.
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
///     of an image-text post:  m = .7 d exp(.5 (a - .5)), and no long view; d is how long the whole
///                             text takes to read
///     logit P(like | click) = base + 1.2 a + .5 q_i + g_u; follow, comment, forward and favorite
///                             likewise
///
/// With `position_effect::examination`, P(click) is instead position^-b times the sigmoid of the
/// rest.
///
/// In a shop, items have a price p_i (log-normal) instead of a duration. With z = ln(p_i / 50) / .8,
///
///     logit P(favorite | click) = -2.4 + 1.2 a + .5 q_i + g_u; share likewise
///     logit P(cart | click)     = -1.6 + a + .6 q_i - .4 z
///     logit P(pay | cart)       = -.4 + .5 a + .3 q_i - .7 z + .5 e_u
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
  /// Whether an item is an image-text post; in the log it has the type 3.
  ///
  /// Errors      std::invalid_argument if there is no such item.
  bool is_image_text(item_id item) const {
    detail::check_below("simulator::is_image_text", "item", item, world_.videos.size());
    return world_.videos[item].image_text;
  }

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
    const auto action = [&](double base) {
      return sigmoid(base + 1.2 * a + .5 * v.quality + u.giving);
    };
    feed_truth t;
    const double relevance = world_.relevance(user, item, context);
    const double bias = world_.options.position_bias, slot = static_cast<double>(position);
    t.click = world_.options.position_form == position_effect::additive
                  ? sigmoid(relevance - bias * std::log(slot))
                  : std::pow(slot, -bias) * sigmoid(relevance);
    t.favorite_given_click = action(is_shop() ? -2.4 : -5.2);
    if (is_shop()) {
      t.share_given_click = action(-4.8);
      t.cart_given_click = sigmoid(-1.6 + a + .6 * v.quality - .4 * v.price);
      t.pay_given_cart = sigmoid(-.4 + .5 * a + .3 * v.quality - .7 * v.price + .5 * u.click_bias);
      return t;
    }
    const double d = v.duration_s;
    const double m =
        std::clamp(v.image_text ? .7 * d * std::exp(.5 * (a - .5))
                                : .8 * d * std::pow(20 / d, .4) * std::exp(.8 * (a - .5)),
                   .05 * d, 3 * d);
    t.like_given_click = action(-4.2);
    t.follow_given_click = action(-6.6);
    t.comment_given_click = action(-6);
    t.forward_given_click = action(-7);
    t.long_view_given_click = v.image_text ? 0 : survival(long_view_s(d), m);
    t.finish_given_click = survival(.8 * d, m);
    t.watch_s_given_click = m;
    t.played_given_click = (m - std::exp(-2 * d / m) * (m + d)) / d;
    return t;
  }

  /// The true probabilities for an impression.
  feed_truth truth(const impression& shown) const {
    return truth(shown.user, shown.item, shown.position, {shown.hour, shown.tab});
  }

  /// Simulates the user's reaction: draws `done` and play_s of `shown` from its user, item,
  /// position, hour and tab, and sets duration_s.
  void react(RandomGenerator auto& bits, impression& shown) const {
    const feed_truth t = truth(shown);
    const bool clicked = bernoulli(bits, t.click);
    const auto happens = [&](double given_click) {
      return bernoulli(bits, given_click) && clicked;
    };
    shown.done = {};
    shown.done.set(action_of::click, clicked);
    if (is_shop()) {
      shown.play_s = shown.duration_s = 0;
      shown.done.set(action_of::shop_favorite, happens(t.favorite_given_click));
      shown.done.set(action_of::share, happens(t.share_given_click));
      const bool in_cart = happens(t.cart_given_click);
      shown.done.set(action_of::cart, in_cart);
      shown.done.set(action_of::pay, bernoulli(bits, t.pay_given_cart) && in_cart);
      return;
    }
    const auto& v = world_.videos[shown.item];
    const double duration = v.duration_s;
    const double played =
        t.watch_s_given_click / 2 * (standard_exponential(bits) + standard_exponential(bits));
    shown.duration_s = static_cast<float>(duration);
    shown.play_s = clicked ? static_cast<float>(played) : 0.0f;
    shown.done.set(action_of::long_view,
                   clicked && !v.image_text && played >= long_view_s(duration));
    const double u = uniform01(bits);
    const double p = t.like_given_click;
    const bool like = u < p;
    shown.done.set(action_of::like, like && clicked);
    // The part of u below p or above it, whichever u is in, is uniform again and independent of
    // `like`. So one number serves for two actions.
    const double rest = like ? u / p : (u - p) / (1 - p);
    shown.done.set(action_of::favorite, rest < t.favorite_given_click && clicked);
    shown.done.set(action_of::follow, happens(t.follow_given_click));
    shown.done.set(action_of::comment, happens(t.comment_given_click));
    shown.done.set(action_of::forward, happens(t.forward_given_click));
  }

  /// Runs the feed and returns its log: the tables, the histories, and the impressions of `days`
  /// days, sorted by time. The impressions of a page are one request. In a shop, `liked` of a
  /// history holds the favorites.
  interaction_log log() const {
    interaction_log log = world_.tables;
    random_generator bits(world_.options.seed ^ 0x5eedf00d);
    const std::int32_t first = day_number(world_.options.first_date);
    const auto past = static_cast<std::int32_t>(world_.options.history_days);
    std::vector<impression> day;
    std::uint64_t requests = 0;
    for (std::int32_t d = -past; d < static_cast<std::int32_t>(world_.options.days); ++d) {
      day.clear();
      for (user_id u = 0; u < world_.users.size(); ++u) show_day(bits, u, first + d, requests, day);
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
  using action_of = detail::simulated_world::action_of;

  bool is_shop() const { return world_.options.kind == feed_kind::shop; }
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
  void show_day(random_generator& bits, user_id user, std::int32_t day, std::uint64_t& requests,
                std::vector<impression>& shown) const {
    const double pages = world_.options.impressions_per_user_day * world_.users[user].activity /
                         static_cast<double>(world_.options.slots);
    for (double t = standard_exponential(bits); t < pages; t += standard_exponential(bits))
      show_page(bits, user, day, ++requests, shown);
  }

  void show_page(random_generator& bits, user_id user, std::int32_t day, std::uint64_t request,
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
      e.request = request;
      e.time_ms = std::int64_t{day} * 86'400'000 + static_cast<std::int64_t>(start + i * slot_ms);
      e.date = date_of_day(day);
      e.hour = static_cast<std::uint8_t>(context.hour);
      e.tab = static_cast<std::uint16_t>(context.tab);
      e.position = static_cast<std::uint16_t>(i + 1);
      react(bits, e);
    }
    shown.insert(shown.end(), page.begin(), page.end());
  }

  void remember(const impression& e, user_history& history) const {
    const auto push = [&](std::vector<item_id>& items) {
      if (items.size() == 50) items.erase(items.begin());
      items.push_back(e.item);
    };
    push(history.watched);
    if (e.did(is_shop() ? action_of::shop_favorite : action_of::like)) push(history.liked);
    if (!is_shop() && e.did(action_of::long_view)) push(history.long_watched);
    ++history.total;
    history.last_time_ms = e.time_ms;
  }

  detail::simulated_world world_;
};

}  // namespace funnel
