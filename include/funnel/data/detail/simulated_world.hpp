// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/date.hpp>
#include <funnel/core/detail/checks.hpp>
#include <funnel/core/random.hpp>
#include <funnel/data/interaction_log.hpp>
#include <funnel/data/simulator_options.hpp>
#include <funnel/features/hashing.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numbers>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace funnel::detail {

/// The users and videos of a simulated feed: the hidden truth about them, and what a service knows.
struct simulated_world {
  struct hidden_user {
    double activity, click_bias, giving;
  };
  struct hidden_video {
    std::size_t category;  // from 0; in the tables from 1
    double quality, duration_s;
    double price;     // ln(price / 50) / .8; 0 in a feed of videos
    bool image_text;  // read, not played
    std::int32_t upload_day;
  };

  /// A set of videos to draw from, with probabilities proportional to popularity.
  struct pool {
    std::vector<item_id> items;
    std::vector<double> sums;  // cumulative popularity, up to and including the item

    void add(item_id item, double popularity) {
      items.push_back(item);
      sums.push_back(popularity + (sums.empty() ? 0 : sums.back()));
    }
    item_id draw(random_generator& bits) const {
      const auto found = std::ranges::upper_bound(sums, uniform01(bits) * sums.back());
      return items[std::min(static_cast<std::size_t>(found - sums.begin()), items.size() - 1)];
    }
  };

  static constexpr std::size_t tabs = 4;

  /// Positions of the actions in the names of `name_actions`.
  struct action_of {
    static constexpr std::size_t click = 0;
    // Of a feed of videos.
    static constexpr std::size_t like = 1, follow = 2, comment = 3, forward = 4, long_view = 5,
                                 favorite = 6;
    // Of a shop.
    static constexpr std::size_t shop_favorite = 1, share = 2, cart = 3, pay = 4;
  };

  simulator_options options;
  interaction_log tables;  // everything except the impressions
  std::vector<hidden_user> users;
  std::vector<hidden_video> videos;
  matrix<double> interests;    // [users, categories], each row sums to 1
  matrix<float> tastes;        // [users, content_size], rows of length 1
  matrix<float> centers;       // [categories, content_size], rows of length 1
  matrix<double> tab_effects;  // [tabs, categories]
  std::vector<std::size_t> author_category;
  std::vector<double> author_quality;
  pool everything;
  std::vector<pool> by_category;

  explicit simulated_world(const simulator_options& settings) : options(settings) {
    check();
    name_actions();
    random_generator bits(options.seed);
    draw_authors_and_categories(bits);
    draw_videos(bits);
    draw_users(bits);
  }

  /// How well a video matches a user: about -1 to 2.
  double affinity(user_id user, item_id item) const {
    const std::span<const float> x = tables.content.row(item), t = tastes.row(user);
    double a = std::sqrt(interests(user, videos[item].category));
    for (std::size_t i = 0; i < x.size(); ++i) a += double{t[i]} * double{x[i]};
    return a;
  }

  /// The click logit at position 1.
  double relevance(user_id user, item_id item, const feed_context& context) const {
    const hidden_video& v = videos[item];
    const double angle = 2 * std::numbers::pi * (static_cast<double>(context.hour) - 21) / 24;
    return -1.2 + 2 * affinity(user, item) + v.quality + users[user].click_bias +
           tab_effects(context.tab, v.category) + .15 * std::cos(angle);
  }

  /// Draws a category from the user's interests.
  std::size_t draw_interest(random_generator& bits, std::size_t user) const {
    double rest = uniform01(bits);
    std::size_t k = 0;
    for (; k + 1 < options.categories && rest >= interests(user, k); ++k)
      rest -= interests(user, k);
    return k;
  }

 private:
  void name_actions() {
    if (options.kind == feed_kind::short_video)
      tables.actions = {"click", "like", "follow", "comment", "forward", "long_view", "favorite"};
    else
      tables.actions = {"click", "favorite", "share", "cart", "pay"};
  }

  void check() const {
    const simulator_options& o = options;
    constexpr const char* name = "simulator";
    constexpr std::size_t most = 100'000'000;  // far below the largest id
    const auto check_range = [](std::string_view argument, auto value, auto least, auto largest) {
      check_that(name, argument, value, value >= least && value <= largest, "a number in [", least,
                 ", ", largest, "]");
    };
    check_that(name, "kind", static_cast<int>(o.kind),
               o.kind == feed_kind::short_video || o.kind == feed_kind::shop,
               "a kind of feed_kind");
    check_range("users", o.users, 1u, most);
    check_range("authors", o.authors, 1u, most);
    check_range("categories", o.categories, 1u, most);
    check_range("slots", o.slots, 1u, 100u);
    check_range("videos", o.videos, o.slots, most);
    check_range("days", o.days, 1u, 3650u);
    check_range("history_days", o.history_days, 0u, 3650u);
    check_that(name, "first_date", o.first_date,
               is_date(o.first_date) && o.first_date > 100'00'00 && o.first_date < 9900'00'00,
               "a date yyyymmdd of the years 100 to 9899");
    check_that(name, "impressions_per_user_day", o.impressions_per_user_day,
               o.impressions_per_user_day > 0 && o.impressions_per_user_day <= 1e6,
               "a number in (0, 1e6]");
    check_unit_interval(name, "exploration", o.exploration);
    check_range("position_bias", o.position_bias, 0, 100);
    check_that(name, "position_form", static_cast<int>(o.position_form),
               o.position_form == position_effect::additive ||
                   o.position_form == position_effect::examination,
               "an effect of position_effect");
    check_unit_interval(name, "new_videos", o.new_videos);
    check_range("content_size", o.content_size, 1u, 1'000'000u);
    check_unit_interval(name, "image_text", o.image_text);
    if (o.kind == feed_kind::shop)
      check_that(name, "image_text", o.image_text, o.image_text == 0, "0 in a shop");
  }

  /// Sets the row to direction + noise, normalized to length 1.
  static void draw_near(random_generator& bits, std::span<const double> direction, double noise,
                        std::span<float> row) {
    const double scale = noise / std::sqrt(static_cast<double>(row.size()));
    std::vector<double> x(direction.begin(), direction.end());
    double squares = 0;
    for (double& value : x) {
      value += scale * standard_normal(bits);
      squares += value * value;
    }
    const double norm = std::sqrt(squares);
    for (std::size_t i = 0; i < x.size(); ++i) row[i] = static_cast<float>(x[i] / norm);
  }

  void draw_authors_and_categories(random_generator& bits) {
    const std::size_t c = options.categories, d = options.content_size;
    centers.assign(c, d);
    const std::vector<double> nowhere(d);
    for (std::size_t i = 0; i < c; ++i) draw_near(bits, nowhere, 1, centers.row(i));
    tab_effects.assign(tabs, c);
    for (double& effect : tab_effects.flat()) effect = .4 * standard_normal(bits);
    for (std::size_t i = 0; i < options.authors; ++i) {
      author_category.push_back(uniform_below(bits, c));
      author_quality.push_back(.5 * standard_normal(bits));
      tables.authors.push_back(i);
    }
    for (std::size_t i = 0; i <= c; ++i) tables.categories.push_back(i);
  }

  void draw_videos(random_generator& bits) {
    const std::size_t n = options.videos;
    tables.content.assign(n, options.content_size);
    const bool shop = options.kind == feed_kind::shop;
    if (shop)
      tables.video_numbers = {"price"};
    else
      tables.video_fields = {{"type", options.image_text > 0 ? 4u : 3u}};
    by_category.resize(options.categories);
    const std::int32_t first = day_number(options.first_date);
    const std::int32_t before = first - static_cast<std::int32_t>(options.history_days);
    for (std::size_t i = 0; i < n; ++i) {
      hidden_video& v = videos.emplace_back();
      // By a hash, so that all else about the items is the same with any fraction of posts.
      v.image_text = static_cast<double>(mix_key(mix_key(options.seed) ^ i) >> 11) * 0x1p-53 <
                     options.image_text;
      const std::size_t author = uniform_below(bits, options.authors);
      v.category =
          bernoulli(bits, .8) ? author_category[author] : uniform_below(bits, options.categories);
      v.quality = author_quality[author] + .6 * standard_normal(bits);
      v.duration_s = std::clamp(22 * std::exp(.8 * standard_normal(bits)), 3.0, 600.0);
      // The first videos are old, so that every page can be filled.
      v.upload_day = i >= options.slots && bernoulli(bits, options.new_videos)
                         ? first + static_cast<std::int32_t>(uniform_below(bits, options.days))
                         : before - static_cast<std::int32_t>(uniform_below(bits, 60));
      const std::span<const float> center = centers.row(v.category);
      draw_near(bits, std::vector<double>(center.begin(), center.end()), .8, tables.content.row(i));
      const double popularity = std::exp(v.quality + .6 * standard_normal(bits));
      everything.add(static_cast<item_id>(i), popularity);
      by_category[v.category].add(static_cast<item_id>(i), popularity);

      video& known = tables.videos.emplace_back();
      known.id = i;
      known.author = static_cast<author_id>(author);
      known.category = static_cast<category_id>(v.category + 1);
      known.tags = {known.category};
      const auto second = static_cast<category_id>(1 + uniform_below(bits, options.categories));
      if (second != known.category && bernoulli(bits, .3)) known.tags.push_back(second);
      known.upload_date = date_of_day(v.upload_day);
      if (shop) {
        v.price = standard_normal(bits);
        known.numeric = {static_cast<float>(50 * std::exp(.8 * v.price))};
      } else {
        v.price = 0;
        known.duration_s = static_cast<float>(v.duration_s);
        known.categorical = {v.image_text ? 3u : v.duration_s < 60 ? 1u : 2u};
      }
    }
  }

  void draw_users(random_generator& bits) {
    const std::size_t n = options.users, c = options.categories;
    interests.assign(n, c);
    tastes.assign(n, options.content_size);
    tables.histories.resize(n);
    tables.user_fields = {
        {"activity", 5}, {"favorite_category", static_cast<std::uint32_t>(c + 1)}, {"group", 4}};
    for (std::size_t k = 0; k < c; ++k)
      tables.user_numbers.push_back("interest_" + std::to_string(k + 1));
    constexpr std::array group_bias{-.4, 0., .4};
    for (std::size_t i = 0; i < n; ++i) {
      hidden_user& u = users.emplace_back();
      const std::span<double> theta = interests.row(i);
      double sum = 0;
      for (double& share : theta) sum += share = standard_gamma(bits, .3) + 1e-12;
      for (double& share : theta) share /= sum;
      std::vector<double> direction(options.content_size);
      for (std::size_t k = 0; k < c; ++k)
        for (std::size_t j = 0; j < direction.size(); ++j)
          direction[j] += std::sqrt(theta[k]) * double{centers(k, j)};
      draw_near(bits, direction, .7, tastes.row(i));
      const std::size_t group = uniform_below(bits, 3);
      u.activity = standard_gamma(bits, 1.5) / 1.5;
      u.click_bias = group_bias[group] + .5 * standard_normal(bits);
      u.giving = .7 * standard_normal(bits);

      user_profile& known = tables.users.emplace_back();
      known.id = i;
      // Interests as a service would know them: relative frequencies in 20 draws.
      known.numeric.assign(c, 0);
      for (int pick = 0; pick < 20; ++pick) known.numeric[draw_interest(bits, i)] += .05f;
      const auto favorite = std::ranges::max_element(known.numeric) - known.numeric.begin();
      const double seen_activity = u.activity * std::exp(.3 * standard_normal(bits));
      known.categorical = {1u + (seen_activity > .4) + (seen_activity > .8) + (seen_activity > 1.5),
                           static_cast<std::uint32_t>(favorite + 1),
                           static_cast<std::uint32_t>(group + 1)};
    }
  }
};

}  // namespace funnel::detail
