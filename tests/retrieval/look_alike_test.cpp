// SPDX-License-Identifier: MIT
#include <funnel/retrieval/look_alike.hpp>

#include <funnel/core/random.hpp>

#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/matrices.hpp"
#include "support/saved_state.hpp"
#include "support/tolerance.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <utility>
#include <vector>

using namespace funnel;

namespace {

constexpr std::int64_t first_time = std::numeric_limits<std::int64_t>::min();
constexpr std::int64_t last_time = std::numeric_limits<std::int64_t>::max();

std::vector<scored_item> search(const look_alike<>& by, const std::vector<float>& user,
                                std::int64_t now, std::size_t most, item_id excluded = 9999) {
  std::vector<scored_item> out(most, {77, 7});
  const std::size_t count = by.search(user, now, out, [&](item_id i) { return i != excluded; });
  for (std::size_t i = count; i < most; ++i) CHECK(out[i].item == 77);
  out.resize(count);
  return out;
}
std::vector<item_id> items_of(const std::vector<scored_item>& found) {
  std::vector<item_id> items;
  for (const scored_item& s : found) items.push_back(s.item);
  return items;
}
bool is_close(float found, double expected) {
  return tolerance::within(static_cast<double>(found), expected, tolerance::reduction<float>(8, 4));
}

}  // namespace

TEST_CASE("an item is the mean of its users") {
  look_alike<> by(2, {.min_users = 2, .window = 100});
  by.add(5, std::vector<float>{10, 0}, 1000);
  CHECK(search(by, {1, 0}, 1000, 9).empty());  // one user is not enough
  CHECK(by.users(5) == 1);
  by.add(5, std::vector<float>{0, .1f}, 1000);  // each user counts the same, whatever the length
  CHECK(is_close(by.vector(5)[0], std::sqrt(.5)));
  CHECK(is_close(by.vector(5)[1], std::sqrt(.5)));
  const auto found = search(by, {3, 0}, 1000, 9);
  REQUIRE(items_of(found) == std::vector<item_id>{5});
  CHECK(is_close(found[0].score, std::sqrt(.5)));
  for (int i = 0; i < 2; ++i) by.add(2, std::vector<float>{1, -.5f}, 1050);
  CHECK(items_of(search(by, {3, 0}, 1050, 9)) == std::vector<item_id>{2, 5});
  CHECK(items_of(search(by, {0, 3}, 1050, 9)) == std::vector<item_id>{5, 2});
  CHECK(items_of(search(by, {3, 0}, 1050, 1)) == std::vector<item_id>{2});
  CHECK(items_of(search(by, {3, 0}, 1050, 9, 2)) == std::vector<item_id>{5});
  CHECK(items_of(search(by, {3, 0}, 1049, 9)) == std::vector<item_id>{5});  // 2 is not published
  CHECK(items_of(search(by, {3, 0}, 1100, 9)) == std::vector<item_id>{2});
  CHECK(search(by, {3, 0}, 1050, 0).empty());
  CHECK(search(by, {0, 0}, 1050, 9).empty());
  CHECK(by.size() == 2);
  by.expire(1000);
  CHECK(by.size() == 2);
  by.expire(1100);
  CHECK(by.size() == 1);
  CHECK((by.users(5) == 0 && by.vector(5).empty() && by.users(2) == 2 && by.users(99) == 0));
  CHECK(by.remove(2));
  CHECK_FALSE(by.remove(2));
  CHECK_FALSE(by.remove(99));
  CHECK(search(by, {3, 0}, 1050, 9).empty());
  // Users who cancel each other; a new start after a removal.
  for (const float x : {.3f, .7f, -.2f, -.9f}) by.add(2, std::vector<float>{x, x / 3}, 1050);
  CHECK(search(by, {3, 0}, 1050, 9)[0].score == 0);
}

TEST_CASE("look_alike against a naive model, saved and loaded on the way") {
  for (std::uint64_t seed = 0; seed < 8; ++seed) {
    random_generator bits(seed);
    const std::size_t dim = 1 + seed * 3, min_users = 1 + seed % 3;
    const std::int64_t window = seed % 2 == 0 ? 60 : last_time;
    look_alike<> by(dim, {.min_users = min_users, .window = window});
    struct naive_item {
      std::vector<double> sum;
      std::size_t users = 0;
      std::int64_t published = 0;
    };
    std::map<item_id, naive_item> items;
    std::int64_t now = 0;
    const auto random_user = [&] {
      std::vector<float> user(dim);
      for (float& x : user) x = static_cast<float>(standard_normal(bits));
      return user;
    };
    for (int step = 0; step < 400; ++step) {
      const auto item = static_cast<item_id>(uniform_below(bits, 150));
      if (uniform_below(bits, 6) == 0) {
        CHECK(by.remove(item) == (items.erase(item) == 1));
      } else {
        for (std::size_t n = 1 + uniform_below(bits, 4); n-- > 0;) {
          const std::vector<float> user = random_user();
          const std::int64_t published =
              now + 3 - static_cast<std::int64_t>(uniform_below(bits, 9));
          by.add(item, user, published);
          naive_item& naive = items[item];
          naive.sum.resize(dim);
          double squares = 0;
          for (const float x : user) squares += double{x} * double{x};
          for (std::size_t k = 0; k < dim; ++k)
            naive.sum[k] += double{user[k]} / std::sqrt(squares);
          ++naive.users;
          naive.published = published;
        }
      }
      now += static_cast<std::int64_t>(uniform_below(bits, 3));
      if (step % 60 == 59) {
        by.expire(now);
        std::erase_if(items, [&](const auto& i) {
          return window != last_time && now - i.second.published >= window;
        });
        look_alike<> loaded(3);
        const saved_state saved(by);
        saved.load(loaded);
        CHECK(saved_state(loaded) == saved);
        const std::vector<float> user = random_user();
        const auto a = search(by, user, now, 20), b = search(loaded, user, now, 20);
        REQUIRE(items_of(a) == items_of(b));
        for (std::size_t i = 0; i < a.size(); ++i) CHECK(a[i].score == b[i].score);
        by = loaded;
      }
      REQUIRE(by.size() == items.size());
      if (step % 7 != 0) continue;
      const std::vector<float> user = random_user();
      std::vector<double> expected;
      std::map<item_id, double> scores;
      for (const auto& [i, naive] : items) {
        CHECK(by.users(i) == naive.users);
        if (naive.users < min_users || naive.published > now || i == 7 ||
            (window != last_time && now - naive.published >= window))
          continue;
        double products = 0, squares = 0, squares_user = 0;
        for (std::size_t k = 0; k < dim; ++k) {
          products += naive.sum[k] * double{user[k]};
          squares += naive.sum[k] * naive.sum[k];
          squares_user += double{user[k]} * double{user[k]};
        }
        scores[i] = std::sqrt(squares) < 1e-9 ? 0 : products / std::sqrt(squares * squares_user);
        expected.push_back(scores[i]);
      }
      std::ranges::sort(expected, std::greater<>());
      const std::size_t most = 1 + uniform_below(bits, 160);
      expected.resize(std::min(expected.size(), most));
      const auto found = search(by, user, now, most, 7);
      REQUIRE(found.size() == expected.size());
      for (std::size_t i = 0; i < found.size(); ++i) {
        REQUIRE(scores.count(found[i].item) == 1);
        CHECK(tolerance::within(static_cast<double>(found[i].score), expected[i],
                                tolerance::reduction<float>(dim, 4)));
        CHECK(tolerance::within(static_cast<double>(found[i].score), scores[found[i].item],
                                tolerance::reduction<float>(dim, 4)));
        if (i > 0)
          CHECK((found[i].score < found[i - 1].score ||
                 (found[i].score == found[i - 1].score && found[i].item > found[i - 1].item)));
      }
    }
  }
}

TEST_CASE("of equal scores the lower item is found, in whatever order they were added") {
  look_alike<> by(3, {.min_users = 1});
  for (const item_id i : {90u, 3u, 70u, 5u, 8u}) by.add(i, std::vector<float>{1, 2, 3}, 0);
  CHECK(items_of(search(by, {1, 1, 1}, 0, 3)) == std::vector<item_id>{3, 5, 8});
  CHECK(items_of(search(by, {1, 1, 1}, 0, 9)) == std::vector<item_id>{3, 5, 8, 70, 90});
}

TEST_CASE("what look_alike refuses, and the ends of time") {
  const char* name = "funnel::look_alike";
  constexpr std::size_t largest = std::numeric_limits<std::size_t>::max();
  for (const std::size_t dim : {std::size_t{0}, largest, largest / 2 + 1})
    CHECK(refuses([&] { look_alike<>{dim}; }, name, "dim is"));
  CHECK(refuses([&] { look_alike<>(2, {.min_users = 0}); }, name, "min_users is 0"));
  CHECK(refuses([&] { look_alike<>(2, {.window = 0}); }, name, "window is 0"));
  CHECK(refuses([&] { look_alike<>(2, {.window = first_time}); }, name, "window is -"));
  look_alike<> by(2, {.min_users = 1});
  by.add(1, std::vector<float>{1, 1}, first_time);
  by.add(2, std::vector<float>{1, 2}, last_time);
  const saved_state saved(by);
  constexpr float infinity = std::numeric_limits<float>::infinity();
  for (const float value : {infinity, std::numeric_limits<float>::quiet_NaN()}) {
    const std::vector<float> bad{1, value};
    CHECK(refuses([&] { by.add(9, bad, 0); }, "funnel::look_alike::add", "no direction"));
    CHECK(refuses([&] { search(by, bad, 0, 2); }, "funnel::look_alike::search", "squares"));
  }
  CHECK(refuses([&] { by.add(9, std::vector<float>(2), 0); }, name, "no direction"));
  CHECK(refuses([&] { by.add(9, std::vector<float>(3), 0); }, name, "user_vector has 3"));
  CHECK(refuses([&] { search(by, {1}, 0, 2); }, name, "user_vector has 1"));
  CHECK(refuses([&] { search(by, {3e19f, 0}, 0, 2); }, name, "squares"));
  CHECK(saved_state(by) == saved);
  CHECK(items_of(search(by, {1, 0}, last_time, 9)) == std::vector<item_id>{1, 2});
  CHECK(items_of(search(by, {1e-40f, 0}, last_time - 1, 9)) == std::vector<item_id>{1});
  look_alike<> longest(2, {.min_users = 1, .window = last_time - 1});
  longest.add(1, std::vector<float>{1, 1}, first_time);
  CHECK(search(longest, {1, 0}, -3, 9).size() == 1);
  CHECK(search(longest, {1, 0}, -2, 9).empty());

  look_alike<> kept = by;
  CHECK_THROWS_AS((saved.with<std::uint64_t>("dim", {3}).load(kept)), format_error);
  CHECK(saved_state(kept) == saved);
  const auto damaged = [&](const saved_state& state) {
    return refuses_state(by, state, "do not fit together");
  };
  CHECK(refuses_state(by, saved.with<std::uint64_t>("dim", {0}), "dim is 0"));
  CHECK(refuses_state(by, saved.with<std::uint64_t>("min_users", {0}), "min_users is 0"));
  CHECK(damaged(saved.with<std::uint64_t>("dim", {3})));
  CHECK(damaged(saved.with<std::uint64_t>("dim", {1})));
  CHECK(damaged(saved.with<item_id>("items", {1})));
  CHECK(damaged(saved.with<item_id>("items", {1, 1})));
  CHECK(damaged(saved.with<std::uint64_t>("users", {1, 0})));
  CHECK(damaged(saved.with<std::int64_t>("published", {1})));
  CHECK(damaged(saved.with<double>("sums", {1, 2, 3})));
  CHECK(damaged(saved.with<double>("sums", {1, 2, 3, std::numeric_limits<double>::infinity()})));
}
