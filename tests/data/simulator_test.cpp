// SPDX-License-Identifier: MIT
#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/tolerance.hpp"

#include <funnel/data/simulator.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <map>
#include <string>
#include <vector>

using funnel::impression;
using funnel::simulator;

namespace {

const funnel::simulator_options small = {.users = 200,
                                         .videos = 300,
                                         .authors = 40,
                                         .categories = 8,
                                         .days = 6,
                                         .impressions_per_user_day = 10,
                                         .seed = 7};

/// The same as a shop.
const funnel::simulator_options small_shop = [] {
  funnel::simulator_options options = small;
  options.kind = funnel::feed_kind::shop;
  return options;
}();

/// Adds up what was seen and what is true, and the variance of the difference.
struct comparison {
  double seen = 0, expected = 0, variance = 0;

  void add(double value, double mean, double mean_of_squares) {
    seen += value;
    expected += mean;
    variance += mean_of_squares - mean * mean;
  }
  void add(bool value, double probability) { add(value, probability, probability); }
  /// Five deviations.
  bool agrees() const {
    return tolerance::within(seen, expected, tolerance::statistical(std::sqrt(variance), 1));
  }
};

}  // namespace

TEST_CASE("simulator does to a user and a video what its truth says") {
  const simulator feed(small);
  const funnel::interaction_log names = feed.log();
  CHECK(names.actions == std::vector<std::string>{"click", "like", "follow", "comment", "forward",
                                                  "long_view", "favorite"});
  funnel::random_generator bits(11);
  for (int pair = 0; pair < 6; ++pair) {
    impression shown;
    shown.user = static_cast<funnel::user_id>(funnel::uniform_below(bits, small.users));
    shown.item = static_cast<funnel::item_id>(funnel::uniform_below(bits, small.videos));
    shown.position = static_cast<std::uint16_t>(1 + pair);
    shown.hour = static_cast<std::uint8_t>(3 * pair);
    shown.tab = static_cast<std::uint16_t>(pair % 4);
    const funnel::feed_truth t = feed.truth(shown);
    comparison click, like, follow, comment, forward, favorite, long_view, finish, watch, played;
    comparison favorite_without_like;
    for (int i = 0; i < 20000; ++i) {
      feed.react(bits, shown);
      const auto did = [&](const char* action) { return shown.did(names.action(action)); };
      const double play = shown.play_s, duration = shown.duration_s;
      click.add(did("click"), t.click);
      like.add(did("like"), t.like());
      follow.add(did("follow"), t.follow());
      comment.add(did("comment"), t.comment());
      forward.add(did("forward"), t.forward());
      favorite.add(did("favorite"), t.favorite());
      // Given a click, favorite and like are independent.
      favorite_without_like.add(did("favorite") && !did("like"),
                                t.favorite() * (1 - t.like_given_click));
      long_view.add(did("long_view"), t.long_view());
      finish.add(play >= .8 * duration, t.finish());
      // A Gamma(2) of mean m has E T^2 = 1.5 m^2.
      watch.add(play, t.watch_s(), 1.5 * t.click * t.watch_s_given_click * t.watch_s_given_click);
      const double share = std::min(play, duration) / duration;
      played.add(share, t.played(), t.played());  // share^2 <= share
      CHECK(did("long_view") == (did("click") && play >= std::min(18.0, duration)));
      CHECK((did("click") || (play == 0 && shown.done.empty())));
    }
    for (const comparison& c : {click, like, follow, comment, forward, favorite,
                                favorite_without_like, long_view, finish, watch, played})
      CHECK(c.agrees());
    CHECK(t.share() + t.cart() + t.pay() == 0);
  }
}

TEST_CASE("simulator's shop does to a user and an item what its truth says") {
  const simulator shop(small_shop);
  const funnel::interaction_log names = shop.log();
  CHECK(names.actions == std::vector<std::string>{"click", "favorite", "share", "cart", "pay"});
  funnel::random_generator bits(11);
  for (int pair = 0; pair < 6; ++pair) {
    impression shown;
    shown.user = static_cast<funnel::user_id>(funnel::uniform_below(bits, small.users));
    shown.item = static_cast<funnel::item_id>(funnel::uniform_below(bits, small.videos));
    shown.position = static_cast<std::uint16_t>(1 + pair);
    const funnel::feed_truth t = shop.truth(shown);
    comparison click, favorite, share, cart, pay;
    for (int i = 0; i < 20000; ++i) {
      shop.react(bits, shown);
      const auto did = [&](const char* action) { return shown.did(names.action(action)); };
      click.add(did("click"), t.click);
      // Each action among those that had what it is conditional on.
      if (did("click")) {
        favorite.add(did("favorite"), t.favorite_given_click);
        share.add(did("share"), t.share_given_click);
        cart.add(did("cart"), t.cart_given_click);
      }
      if (did("cart")) pay.add(did("pay"), t.pay_given_cart);
      CHECK((did("click") || shown.done.empty()));
      CHECK((did("cart") || !did("pay")));
    }
    for (const comparison& c : {click, favorite, share, cart, pay}) {
      CHECK(c.agrees());
      CHECK((c.variance > 0 && c.expected > 0));
    }
    CHECK(t.pay() == t.click * t.cart_given_click * t.pay_given_cart);
    CHECK((t.like() == 0 && t.watch_s() == 0 && t.long_view() == 0));
    CHECK((shown.play_s == 0 && shown.duration_s == 0));
  }
}

TEST_CASE("simulator's shop sells dear items less often") {
  const simulator shop(small_shop);
  const funnel::interaction_log log = shop.log();
  CHECK(log.video_numbers == std::vector<std::string>{"price"});
  CHECK(log.video_fields.empty());
  std::vector<funnel::item_id> by_price(small.videos);
  double logarithms = 0;
  for (funnel::item_id i = 0; i < small.videos; ++i) {
    by_price[i] = i;
    REQUIRE(log.videos[i].numeric.size() == 1);
    const double price = double{log.videos[i].numeric[0]};
    REQUIRE(price > 0);
    logarithms += std::log(price / 50) / .8 / static_cast<double>(small.videos);
    CHECK(log.videos[i].duration_s == 0);
  }
  CHECK(tolerance::within(logarithms, 0, tolerance::statistical(1, small.videos)));
  std::ranges::sort(by_price, {}, [&](funnel::item_id i) { return log.videos[i].numeric[0]; });
  double cheap = 0, dear = 0;
  for (funnel::user_id user = 0; user < small.users; ++user)
    for (std::size_t i = 0; i < small.videos / 3; ++i) {
      cheap += shop.truth(user, by_price[i], 1).pay_given_cart;
      dear += shop.truth(user, by_price[small.videos - 1 - i], 1).pay_given_cart;
    }
  CHECK(dear < .6 * cheap);
}

TEST_CASE("simulator's log follows its truth") {
  const simulator feed(small);
  const funnel::interaction_log log = feed.log();
  comparison click, like, long_view, favorite, watch;
  std::vector<comparison> at_position(small.slots + 1);
  for (const impression& e : log.impressions) {
    const funnel::feed_truth t = feed.truth(e);
    click.add(e.did(log.action("click")), t.click);
    at_position[e.position].add(e.did(log.action("click")), t.click);
    like.add(e.did(log.action("like")), t.like());
    long_view.add(e.did(log.action("long_view")), t.long_view());
    favorite.add(e.did(log.action("favorite")), t.favorite());
    watch.add(double{e.play_s}, t.watch_s(),
              1.5 * t.click * t.watch_s_given_click * t.watch_s_given_click);
  }
  for (const comparison& c : {click, like, long_view, favorite, watch}) CHECK(c.agrees());
  for (const comparison& c : at_position) CHECK(c.agrees());
  // Not a feed where nothing or everything happens.
  const auto n = static_cast<double>(log.impressions.size());
  CHECK((click.seen > .25 * n && click.seen < .65 * n));
  CHECK((like.seen > .005 * n && like.seen < .1 * n));
  CHECK((favorite.seen > .002 * n && favorite.seen < like.seen));
  CHECK((long_view.seen > .1 * n && long_view.seen < click.seen));
}

TEST_CASE("simulator's log of a shop follows its truth") {
  const simulator shop(small_shop);
  const funnel::interaction_log log = shop.log();
  const std::size_t click = log.action("click"), favorite = log.action("favorite"),
                    cart = log.action("cart"), pay = log.action("pay");
  comparison clicks, favorites, carts, pays, pays_of_carts;
  for (const impression& e : log.impressions) {
    const funnel::feed_truth t = shop.truth(e);
    clicks.add(e.did(click), t.click);
    favorites.add(e.did(favorite), t.favorite());
    carts.add(e.did(cart), t.cart());
    pays.add(e.did(pay), t.pay());
    if (e.did(cart)) pays_of_carts.add(e.did(pay), t.pay_given_cart);
  }
  for (const comparison& c : {clicks, favorites, carts, pays, pays_of_carts}) CHECK(c.agrees());
  const auto n = static_cast<double>(log.impressions.size());
  CHECK((clicks.seen > .25 * n && clicks.seen < .65 * n));
  CHECK((carts.seen > .05 * n && carts.seen < .5 * clicks.seen));
  CHECK((pays.seen > .02 * n && pays.seen < .7 * carts.seen));
  std::size_t liked = 0;
  for (const funnel::user_history& history : log.histories) {
    liked += history.liked.size();
    CHECK(history.long_watched.empty());
  }
  CHECK(liked > 0);
}

TEST_CASE("simulator's log is well formed") {
  const simulator feed(small);
  funnel::interaction_log log = feed.log();
  REQUIRE(log.users.size() == small.users);
  REQUIRE(log.videos.size() == small.videos);
  REQUIRE(log.histories.size() == small.users);
  REQUIRE(log.content.rows() == small.videos);
  REQUIRE(log.content.cols() == small.content_size);
  CHECK(log.authors.size() == small.authors);
  CHECK(log.categories.size() == small.categories + 1);

  for (const funnel::user_profile& user : log.users) {
    REQUIRE(user.categorical.size() == log.user_fields.size());
    REQUIRE(user.numeric.size() == log.user_numbers.size());
    for (std::size_t i = 0; i < user.categorical.size(); ++i)
      CHECK((user.categorical[i] > 0 && user.categorical[i] < log.user_fields[i].size));
  }
  for (std::size_t i = 0; i < log.videos.size(); ++i) {
    const funnel::video& video = log.videos[i];
    CHECK(video.author < small.authors);
    CHECK((video.category >= 1 && video.category <= small.categories));
    CHECK(video.tags.front() == video.category);
    CHECK((video.duration_s >= 3 && video.duration_s <= 600));
    CHECK(funnel::is_date(video.upload_date));
    CHECK(video.categorical.size() == log.video_fields.size());
    double squares = 0;
    for (const float x : log.content.row(i)) squares += double{x} * double{x};
    CHECK(tolerance::within(squares, 1, tolerance::reduction<float>(small.content_size, 1)));
  }

  // As many impressions as asked for; users' activity, Gamma(1.5)/1.5, varies by 1/1.5, and pages
  // are Poisson.
  const double asked = 200. * 6 * 10;
  const double deviation = asked * std::sqrt(1 / 1.5 / 200 + 8 / asked);
  CHECK(tolerance::within(static_cast<double>(log.impressions.size()), asked,
                          tolerance::statistical(deviation, 1)));
  std::size_t random = 0;
  for (std::size_t i = 0; i < log.impressions.size(); ++i) {
    const impression& e = log.impressions[i];
    CHECK((e.date >= 20220425 && e.date <= 20220430));
    CHECK(funnel::day_number(e.date) == e.time_ms / 86'400'000);
    CHECK(e.hour == e.time_ms / 3'600'000 % 24);
    CHECK((e.tab < simulator::tabs && e.position >= 1 && e.position <= small.slots));
    CHECK(e.duration_s == log.videos[e.item].duration_s);
    CHECK(log.videos[e.item].upload_date <= e.date);
    CHECK((i == 0 || log.impressions[i - 1].time_ms <= e.time_ms));
    random += e.random;
  }
  const auto n = static_cast<double>(log.impressions.size());
  CHECK(tolerance::within(static_cast<double>(random), .1 * n,
                          tolerance::statistical(std::sqrt(.09 * n), 1)));
  CHECK(funnel::remove_duplicates(log.impressions) == 0);

  std::size_t watched = 0, total = 0;
  for (const funnel::user_history& history : log.histories) {
    CHECK(history.watched.size() == std::min<std::size_t>(50, history.total));
    CHECK(history.last_time_ms < log.impressions.front().time_ms);
    CHECK(history.long_watched.size() <= history.total);
    watched += history.watched.size();
    total += history.total;
  }
  CHECK(total > watched);
  CHECK(watched > 20 * small.users);
}

TEST_CASE("simulator's pages are requests and show a video once") {
  for (const funnel::simulator_options& options : {small, small_shop}) {
    const funnel::interaction_log log = simulator(options).log();
    std::map<std::uint64_t, std::vector<impression>> pages;
    for (const impression& e : log.impressions) pages[e.request].push_back(e);
    CHECK(pages.count(0) == 0);
    for (const auto& [request, page] : pages) {
      REQUIRE(page.size() == options.slots);
      std::vector<funnel::item_id> items;
      for (std::size_t i = 0; i < page.size(); ++i) {
        CHECK(page[i].position == i + 1);
        CHECK((page[i].user == page[0].user && page[i].date == page[0].date &&
               page[i].hour == page[0].hour && page[i].tab == page[0].tab));
        CHECK(std::ranges::count(items, page[i].item) == 0);
        items.push_back(page[i].item);
      }
    }
  }
}

TEST_CASE("simulator gives the same feed for the same seed, another for another") {
  const funnel::interaction_log a = simulator(small).log(), b = simulator(small).log();
  CHECK(a.impressions == b.impressions);
  CHECK(a.users == b.users);
  CHECK(a.videos == b.videos);
  CHECK(a.histories == b.histories);
  CHECK(std::ranges::equal(a.content.flat(), b.content.flat()));
  funnel::simulator_options other = small;
  other.seed = 8;
  CHECK(simulator(other).log().impressions != a.impressions);
  const simulator feed(small);
  CHECK(feed.log().impressions == feed.log().impressions);
}

TEST_CASE("simulator draws the same numbers in every version") {
  // The authors of the last items and the groups of the last users, which another draw before them
  // would change. They are whole numbers, and so the same on every platform.
  const funnel::interaction_log log = simulator(small).log();
  const std::vector<std::uint32_t> authors{13, 34, 29, 6, 19, 36, 19, 24, 1, 7, 3, 16};
  const std::vector<std::uint32_t> groups{1, 3, 3, 1, 2, 2, 3, 1, 1, 3, 3, 2};
  for (std::size_t i = 0; i < 12; ++i) {
    CHECK(log.videos[288 + i].author == authors[i]);
    CHECK(log.users[188 + i].categorical[2] == groups[i]);
  }
}

TEST_CASE("simulator's image-text posts are read as their truth says, and have no long view") {
  funnel::simulator_options options = small;
  options.image_text = .4;
  const simulator feed(options);
  const funnel::interaction_log log = feed.log();
  funnel::random_generator bits(5);
  int posts = 0;
  for (funnel::item_id item = 0; item < 12; ++item) {
    if (!feed.is_image_text(item)) continue;
    ++posts;
    impression shown{.user = 3, .item = item, .position = 2};
    const funnel::feed_truth t = feed.truth(shown);
    CHECK(t.long_view() == 0);
    comparison click, like, finish, watch, played;
    for (int i = 0; i < 10000; ++i) {
      feed.react(bits, shown);
      const double play = shown.play_s, duration = shown.duration_s;
      click.add(shown.did(log.action("click")), t.click);
      like.add(shown.did(log.action("like")), t.like());
      finish.add(play >= .8 * duration, t.finish());
      watch.add(play, t.watch_s(), 1.5 * t.click * t.watch_s_given_click * t.watch_s_given_click);
      played.add(std::min(play, duration) / duration, t.played(), t.played());
      CHECK_FALSE(shown.did(log.action("long_view")));
    }
    for (const comparison& c : {click, like, finish, watch, played}) CHECK(c.agrees());
  }
  CHECK(posts > 0);
}

TEST_CASE("simulator's image-text posts change nothing but their type and how they are watched") {
  const simulator videos(small);
  const funnel::interaction_log before = videos.log();
  CHECK(before.video_fields[0].size == 3);
  for (const double fraction : {.3, 1.}) {
    funnel::simulator_options options = small;
    options.image_text = fraction;
    const simulator feed(options);
    const funnel::interaction_log log = feed.log();
    CHECK(log.video_fields[0].size == 4);
    CHECK(log.users == before.users);
    CHECK(std::ranges::equal(log.content.flat(), before.content.flat()));
    double posts = 0;
    for (funnel::item_id i = 0; i < small.videos; ++i) {
      funnel::video expected = before.videos[i];
      const bool post = feed.is_image_text(i);
      CHECK_FALSE(videos.is_image_text(i));
      if (post) expected.categorical = {3};
      CHECK(log.videos[i] == expected);
      posts += post;
      const funnel::feed_truth a = videos.truth(7, i, 2), b = feed.truth(7, i, 2);
      CHECK(a.click == b.click);
      CHECK(a.favorite() == b.favorite());
      if (!post) CHECK(a.watch_s() == b.watch_s());
      if (!post) CHECK(a.long_view() == b.long_view());
    }
    CHECK(tolerance::within(posts / 300, fraction,
                            tolerance::statistical(std::sqrt(fraction * (1 - fraction)), 300)));
    // The same pages with the same clicks.
    REQUIRE(log.impressions.size() == before.impressions.size());
    const std::size_t click = log.action("click"), favorite = log.action("favorite");
    for (std::size_t i = 0; i < log.impressions.size(); ++i) {
      const impression &a = before.impressions[i], &b = log.impressions[i];
      CHECK((a.user == b.user && a.item == b.item && a.time_ms == b.time_ms));
      CHECK((a.did(click) == b.did(click) && a.did(favorite) == b.did(favorite)));
      if (!feed.is_image_text(b.item)) CHECK(a == b);
    }
  }
}

TEST_CASE("simulator's clicks fall with the position, by b ln(position) in the logit") {
  funnel::simulator_options options = small;
  for (const double bias : {0., .4, 1.}) {
    options.position_bias = bias;
    const simulator feed(options);
    const auto logit = [&](std::size_t position) {
      const double p = feed.truth(3, 5, position).click;
      return std::log(p / (1 - p));
    };
    for (std::size_t position = 2; position <= 8; ++position) {
      const double drop = logit(1) - logit(position);
      CHECK(tolerance::within(drop, bias * std::log(static_cast<double>(position)),
                              tolerance::iterative<double>(8, 1 + std::abs(logit(position)))));
      CHECK(feed.truth(3, 5, position).like_given_click == feed.truth(3, 5, 1).like_given_click);
    }
  }
}

TEST_CASE("simulator's clicks fall with the position, by the probability of looking at it") {
  funnel::simulator_options options = small;
  options.position_form = funnel::position_effect::examination;
  for (const double bias : {0., .4, 1.}) {
    options.position_bias = bias;
    const simulator feed(options);
    funnel::simulator_options additive = options;
    additive.position_form = funnel::position_effect::additive;
    CHECK(feed.truth(3, 5, 1).click == simulator(additive).truth(3, 5, 1).click);
    for (std::size_t position = 2; position <= 8; ++position) {
      const double looks = std::pow(static_cast<double>(position), -bias);
      CHECK(tolerance::within(feed.truth(3, 5, position).click, looks * feed.truth(3, 5, 1).click,
                              tolerance::elementwise<double>(1)));
      CHECK(feed.truth(3, 5, position).like_given_click == feed.truth(3, 5, 1).like_given_click);
    }
  }
  // As many clicks in the log as the truth says.
  const simulator feed(options);
  double clicks = 0, expected = 0;
  const funnel::interaction_log log = feed.log();
  for (const funnel::impression& e : log.impressions) {
    clicks += e.did(log.action("click")) ? 1 : 0;
    expected += feed.truth(e).click;
  }
  const std::size_t n = log.impressions.size();
  CHECK(tolerance::within(clicks / static_cast<double>(n), expected / static_cast<double>(n),
                          tolerance::statistical(.5, n)));
}

TEST_CASE("simulator's users differ in what they like, in a category too") {
  const simulator feed(small);
  const funnel::interaction_log log = feed.log();
  funnel::item_id other = 1;
  while (log.videos[other].category != log.videos[0].category) ++other;
  const auto logit = [&](funnel::user_id user, funnel::item_id item) {
    const double p = feed.truth(user, item, 1).click;
    return std::log(p / (1 - p));
  };
  double least = 1e9, most = -1e9;
  for (funnel::user_id u = 0; u < small.users; ++u) {
    const double gain = logit(u, 0) - logit(u, other);
    least = std::min(least, gain);
    most = std::max(most, gain);
  }
  CHECK(most - least > .5);
}

TEST_CASE("simulator runs at the edges of its options") {
  funnel::simulator_options least = {.users = 1,
                                     .videos = 1,
                                     .authors = 1,
                                     .categories = 1,
                                     .days = 1,
                                     .history_days = 0,
                                     .slots = 1,
                                     .content_size = 1};
  const funnel::interaction_log log = simulator(least).log();
  CHECK(log.histories[0].watched.empty());
  for (const impression& e : log.impressions) CHECK((e.item == 0 && e.position == 1));
  for (const double exploration : {0., 1.}) {
    funnel::simulator_options options = small;
    options.exploration = exploration;
    options.new_videos = 1;
    options.slots = 100;
    for (const impression& e : simulator(options).log().impressions)
      CHECK(e.random == (exploration == 1));
  }
}

TEST_CASE("simulator runs in the first and the last year it may") {
  for (const std::int32_t date : {1000101, 98991231}) {
    funnel::simulator_options options = small;
    options.first_date = date;
    options.history_days = 3650;
    options.days = 3650;
    options.users = options.slots = options.videos = 1;
    options.new_videos = 1;
    options.impressions_per_user_day = .1;
    const funnel::interaction_log log = simulator(options).log();
    REQUIRE_FALSE(log.impressions.empty());
    for (const impression& e : log.impressions) CHECK(funnel::is_date(e.date));
    for (const funnel::video& v : log.videos) CHECK(funnel::is_date(v.upload_date));
  }
}

TEST_CASE("simulator's reaction leaves nothing of an earlier one") {
  const simulator feed(small), shop(small_shop);
  funnel::random_generator bits(1), again(1);
  impression fresh{.user = 1, .item = 2, .position = 1}, used = fresh;
  for (std::size_t action = 0; action < funnel::action_set::capacity; ++action)
    used.done.set(action);
  used.play_s = 7;
  feed.react(bits, fresh);
  feed.react(again, used);
  CHECK(fresh == used);
  fresh = {.user = 1, .item = 2, .position = 1};
  shop.react(bits, fresh);
  shop.react(again, used);
  CHECK(fresh == used);
}

TEST_CASE("simulator refuses options and questions out of range") {
  const auto refused = [](auto change, const char* words) {
    funnel::simulator_options options = small;
    change(options);
    return refuses([&] { simulator{options}; }, "funnel::simulator", words);
  };
  using options = funnel::simulator_options;
  const double nan = std::numeric_limits<double>::quiet_NaN();
  CHECK(
      refused([](options& o) { o.users = 0; }, "users is 0, expected a number in [1, 100000000]"));
  CHECK(refused([](options& o) { o.kind = static_cast<funnel::feed_kind>(7); }, "kind is 7"));
  CHECK(refused([](options& o) { o.position_form = static_cast<funnel::position_effect>(2); },
                "position_form is 2"));
  CHECK(refused([](options& o) { o.authors = 0; },
                "authors is 0, expected a number in [1, 100000000]"));
  CHECK(refused([](options& o) { o.categories = 0; },
                "categories is 0, expected a number in [1, 100000000]"));
  CHECK(refused([](options& o) { o.slots = 0; }, "slots is 0, expected a number in [1, 100]"));
  CHECK(refused([](options& o) { o.slots = 101; }, "slots is 101"));
  CHECK(refused([](options& o) { o.videos = 7; },
                "videos is 7, expected a number in [8, 100000000]"));
  CHECK(refused([](options& o) { o.days = 0; }, "days is 0, expected a number in [1, 3650]"));
  CHECK(refused([](options& o) { o.first_date = 20220431; }, "first_date"));
  CHECK(refused([](options& o) { o.impressions_per_user_day = 0; }, "impressions_per_user_day"));
  CHECK(refused([&](options& o) { o.impressions_per_user_day = nan; }, "impressions_per_user_day"));
  CHECK(refused([](options& o) { o.exploration = 1.5; },
                "exploration is 1.5, expected a number in [0, 1]"));
  CHECK(refused([](options& o) { o.position_bias = -1; }, "position_bias"));
  CHECK(refused([](options& o) { o.new_videos = -.1; },
                "new_videos is -0.1, expected a number in [0, 1]"));
  CHECK(refused([](options& o) { o.kind = funnel::feed_kind::shop, o.image_text = .1; },
                "image_text is 0.1, expected 0 in a shop"));
  CHECK(refuses([] { simulator(small).is_image_text(300); }, "funnel::simulator::is_image_text",
                "item is 300, expected below 300"));
  CHECK(refused([](options& o) { o.content_size = 0; },
                "content_size is 0, expected a number in [1, 1000000]"));
  // Every number that is none, or far too large, is told before anything is drawn.
  const double infinity = std::numeric_limits<double>::infinity();
  for (double options::*member :
       {&options::impressions_per_user_day, &options::exploration, &options::position_bias,
        &options::new_videos, &options::image_text})
    for (const double value : {nan, infinity, -infinity, -1., 1e300, 2e6})
      CHECK(refused([&](options& o) { o.*member = value; }, ", expected "));
  for (std::size_t options::*member :
       {&options::users, &options::videos, &options::authors, &options::categories, &options::days,
        &options::history_days, &options::slots, &options::content_size})
    for (const std::size_t value :
         {std::numeric_limits<std::size_t>::max(), std::size_t{1} << 32, std::size_t{200'000'000}})
      CHECK(refused([&](options& o) { o.*member = value; }, std::to_string(value).c_str()));
  for (const std::int32_t date : {0, -1, 10101, 991231, 99000101, 99991231, 20220230,
                                  std::numeric_limits<std::int32_t>::max()})
    CHECK(
        refused([&](options& o) { o.first_date = date; }, "expected a date yyyymmdd of the years"));

  const simulator feed(small);
  CHECK(refuses([&] { feed.truth(200, 0, 1); }, "funnel::simulator",
                "user is 200, expected below 200"));
  CHECK(refuses([&] { feed.truth(0, 300, 1); }, "funnel::simulator",
                "item is 300, expected below 300"));
  CHECK(refuses([&] { feed.truth(0, 0, 0); }, "funnel::simulator", "position is 0"));
  CHECK(refuses([&] { feed.truth(0, 0, 1, {.hour = 24}); }, "funnel::simulator", "hour is 24"));
  CHECK(refuses([&] { feed.truth(0, 0, 1, {.tab = 4}); }, "funnel::simulator", "tab is 4"));
}
