// SPDX-License-Identifier: MIT
#include <funnel/retrieval/author_affinity.hpp>

#include <funnel/core/random.hpp>

#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/saved_state.hpp"
#include "support/tolerance.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

using namespace funnel;

namespace {

using found_authors = std::vector<std::pair<author_id, float>>;

const auto every_author = [](author_id) { return true; };

template <class Admits>
found_authors search(const author_affinity& by, user_id user, std::int64_t now, std::size_t most,
                     const Admits& admits) {
  std::vector<scored_item> out(most, {99, -9});
  const std::size_t count = by.search(user, now, out, admits);
  found_authors found;
  for (std::size_t i = 0; i < count; ++i) found.emplace_back(out[i].item, out[i].score);
  for (std::size_t i = count; i < most; ++i) CHECK(out[i].score == -9);
  return found;
}

bool is_close(double found, double expected) {
  return tolerance::within(found, expected, tolerance::iterative<double>(200, expected));
}

struct event {
  user_id user;
  author_id author;
  std::int64_t time;
  float weight;  // 0: an exposure
};

std::vector<event> random_events(std::uint64_t seed, std::size_t count) {
  random_generator bits(seed);
  std::vector<event> events;
  for (std::size_t i = 0; i < count; ++i)
    events.push_back({static_cast<user_id>(uniform_below(bits, 4)),
                      static_cast<author_id>(uniform_below(bits, 15)),
                      static_cast<std::int64_t>(uniform_below(bits, 1000)) - 500,
                      static_cast<float>(uniform_below(bits, 4))});
  return events;
}
void add(author_affinity& to, const event& e) {
  if (e.weight > 0)
    to.add_action(e.user, e.author, e.time, e.weight);
  else
    to.add_exposure(e.user, e.author, e.time);
}

}  // namespace

TEST_CASE("affinity to authors by hand") {
  author_affinity by({.half_life = 10});
  by.add_action(1, 5, 100, 2);
  by.add_action(1, 6, 110, 1);
  by.add_action(1, 5, 110, 1);
  CHECK(is_close(by.affinity(1, 5, 110), 2));   // 2 / 2 + 1
  CHECK(is_close(by.affinity(1, 5, 130), .5));  // two half-lives later
  CHECK(search(by, 1, 110, 9, every_author) == found_authors{{5, 2}, {6, 1}});
  for (int i = 0; i < 3; ++i) by.add_exposure(1, 5, 110);
  by.add_exposure(1, 7, 110);
  CHECK(is_close(by.affinity(1, 5, 110), 2 / std::sqrt(4.)));
  CHECK(is_close(by.affinity(1, 5, 120), 1 / std::sqrt(2.5)));
  CHECK(search(by, 1, 110, 1, every_author) == found_authors{{5, 1}});  // of equal ones the lower
  CHECK(search(by, 1, 110, 9, [](author_id a) { return a != 5; }) == found_authors{{6, 1}});
  by.add_action(1, 7, 90, 4);  // late: 4 / 4
  CHECK(is_close(by.affinity(1, 7, 110), 1 / std::sqrt(2.)));
  // Nobody, nothing, and the ends of time.
  CHECK(by.affinity(1, 4, 110) == 0);
  CHECK(by.affinity(0, 5, 110) == 0);
  CHECK(by.affinity(77, 5, 110) == 0);
  CHECK(search(by, 0, 110, 9, every_author).empty());
  CHECK(search(by, 77, 110, 9, every_author).empty());
  CHECK(search(by, 1, 110, 0, every_author).empty());
  constexpr std::int64_t last = std::numeric_limits<std::int64_t>::max();
  CHECK(by.affinity(1, 5, last) == 0);
  CHECK(search(by, 1, last, 9, every_author).empty());
  by.add_action(2, 8, last, 1);  // a clock that is far ahead
  by.add_action(2, 9, 110, 1);
  REQUIRE(search(by, 2, 110, 9, every_author).size() == 2);
  CHECK(search(by, 2, 110, 9, every_author)[0] ==
        std::pair(author_id{8}, std::numeric_limits<float>::max()));
  by.add_exposure(2, 8, last);
  CHECK(search(by, 2, 110, 1, every_author)[0].first == 8);
  CHECK(is_close(by.affinity(2, 9, 110), 1));  // the others are as they were
  CHECK(is_close(by.affinity(1, 5, 110), 1));
}

TEST_CASE("affinity to authors equals its definition, for events in any order") {
  for (std::uint64_t seed = 0; seed < 5; ++seed) {
    std::vector<event> events = random_events(seed, 600);
    const author_affinity_options options{.half_life = 100, .min_actions = .5};
    author_affinity by(options), reversed(options);
    for (const event& e : events) add(by, e);
    std::ranges::reverse(events);
    for (const event& e : events) add(reversed, e);
    for (const std::int64_t now : {500, 700}) {
      for (user_id user = 0; user < 4; ++user) {
        std::size_t expected = 0;
        const found_authors found = search(by, user, now, 15, every_author);
        for (author_id author = 0; author < 15; ++author) {
          double actions = 0, exposures = 1;
          for (const event& e : events) {
            if (e.user != user || e.author != author) continue;
            const double decayed = std::exp2(-static_cast<double>(now - e.time) / 100);
            (e.weight > 0 ? actions : exposures) += decayed * (e.weight > 0 ? double{e.weight} : 1);
          }
          CHECK(is_close(by.affinity(user, author, now), actions / std::sqrt(exposures)));
          CHECK(is_close(reversed.affinity(user, author, now), actions / std::sqrt(exposures)));
          expected += actions >= .5 ? 1 : 0;
        }
        CHECK(found.size() == expected);
        for (std::size_t i = 0; i < found.size(); ++i) {
          CHECK(found[i].second == static_cast<float>(by.affinity(user, found[i].first, now)));
          CHECK((i == 0 || ranks_before(scored_item{found[i - 1].first, found[i - 1].second},
                                        scored_item{found[i].first, found[i].second})));
        }
        const found_authors few = search(by, user, now, 3, every_author);
        CHECK(std::ranges::equal(few, std::span(found).first(few.size())));
      }
    }
    author_affinity loaded;
    saved_state(by).load(loaded);
    CHECK(saved_state(loaded) == saved_state(by));
    for (const event& e : events) add(loaded, e), add(by, e);
    CHECK(saved_state(loaded) == saved_state(by));
  }
}

TEST_CASE("the author with the least actions makes room") {
  author_affinity by({.half_life = 10, .authors_of_user = 3});
  by.add_exposure(0, 1, 100);
  by.add_action(0, 2, 100, 4);
  by.add_action(0, 3, 110, 1);
  by.add_action(0, 4, 100, 1);  // in the place of 1, which was only shown
  CHECK(search(by, 0, 110, 9, every_author) == found_authors{{2, 2}, {3, 1}, {4, .5f}});
  by.add_action(0, 1, 110, 1);  // in the place of 4
  CHECK(search(by, 0, 110, 9, every_author) == found_authors{{2, 2}, {1, 1}, {3, 1}});
  by.add_exposure(0, 9, 110);  // a new author stays until the next one comes
  by.add_exposure(0, 8, 110);
  CHECK(search(by, 0, 110, 9, every_author).size() == 2);
}

TEST_CASE("what author_affinity refuses") {
  constexpr double nan = std::numeric_limits<double>::quiet_NaN();
  constexpr double infinity = std::numeric_limits<double>::infinity();
  const auto refused = [](const author_affinity_options& options, const char* words) {
    return refuses([&] { author_affinity by(options); }, "funnel::author_affinity", words);
  };
  CHECK(refused({.half_life = .5}, "half_life is 0.5"));
  CHECK(refused({.half_life = -1}, "half_life is -1"));
  CHECK(refused({.half_life = nan}, "half_life is nan"));
  CHECK(refused({.half_life = infinity}, "half_life is inf"));
  CHECK(refused({.min_actions = -1}, "min_actions is -1"));
  CHECK(refused({.min_actions = nan}, "min_actions is nan"));
  CHECK(refused({.authors_of_user = 0}, "authors_of_user is 0"));
  author_affinity by({.half_life = 0});
  CHECK(refuses([&] { by.add_action(0, 1, 1, 0); }, "funnel::author_affinity::add_action",
                "weight is 0"));
  by.add_action(0, 1, 0, 3);
  CHECK(is_close(by.affinity(0, 1, std::numeric_limits<std::int64_t>::max()), 3));

  by.add_action(2, 4, 0, 1);
  by.add_action(2, 6, 0, 1);
  const saved_state good(by);
  const auto damaged = [&](const saved_state& state) {
    return refuses_state(by, state, "an author_affinity is damaged");
  };
  CHECK(!damaged(good));
  CHECK(damaged(good.with<std::uint64_t>("ends", {1, 1, 2})));
  CHECK(damaged(good.with<std::uint64_t>("ends", {1, 0, 3})));
  CHECK(damaged(good.with<std::uint64_t>("authors_of_user", {1})));
  CHECK(damaged(good.with<author_id>("authors", {1, 6, 4})));
  CHECK(damaged(good.with<double>("actions", {1, 2})));
  CHECK(damaged(good.with<double>("actions", {1, 2, infinity})));
  CHECK(damaged(good.with<double>("exposures", {1, 2, nan})));
  CHECK(refuses_state(by, good.with<double>("clock.half_life", {-1}), "half_life is -1"));
  CHECK(refuses_state(by, good.with<double>("min_actions", {-1}), "min_actions is -1"));
}
