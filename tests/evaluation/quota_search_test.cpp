// SPDX-License-Identifier: MIT
#include <funnel/evaluation/quota_search.hpp>

#include <funnel/core/random.hpp>
#include <funnel/core/thread_pool.hpp>

#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/tolerance.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <numeric>
#include <set>
#include <vector>

using funnel::channel_results;
using funnel::item_id;
using funnel::merged_recalls;
using funnel::search_quotas;
using funnel::serial_executor;

namespace {

using ids = std::vector<item_id>;
using quotas = std::vector<std::size_t>;

std::vector<funnel::scored_item> list(const ids& items) {
  std::vector<funnel::scored_item> made;
  for (const item_id item : items) made.push_back({item, -static_cast<float>(made.size())});
  return made;
}

/// Users for whom channel 0 finds a relevant item at rank 0, 1, ... deep, channel 1 one at its first
/// rank, and channel 2 none.
struct world {
  std::vector<channel_results> channels{3};
  std::vector<ids> relevant;

  explicit world(std::size_t users, std::size_t deep) {
    for (std::size_t u = 0; u < users; ++u) {
      ids a(deep + 50), c(100);
      std::iota(a.begin(), a.end(), 0u);
      std::iota(c.begin(), c.end(), 2000u);
      const item_id wanted = 1000 + static_cast<item_id>(u);
      a[u % (deep + 1)] = wanted;
      channels[0].push_back(list(a));
      channels[1].push_back(list({500, 501, 502, 503, 504, 505, 506, 507, 508, 509, 510}));
      channels[2].push_back(list(c));
      relevant.push_back({wanted, 500});
    }
  }
};

}  // namespace

TEST_CASE("merged_recalls: a worked example") {
  serial_executor here;
  const std::vector<channel_results> channels{{list({1, 2, 3}), list({1}), list({4})},
                                              {list({2, 9}), list({5, 6}), list({4})}};
  const std::vector<ids> relevant{{3, 9}, {6, 7, 1, 5}, {}};
  const auto recalls = [&](const quotas& q) { return merged_recalls(here, channels, relevant, q); };
  // User 0: 1, 2, and back 9, 3; user 1: 1, 5, and 6 for what channel 0 leaves.
  CHECK(recalls({2, 1})[0] == .5);
  CHECK(recalls({2, 2})[0] == 1);
  CHECK(recalls({3, 0})[0] == .5);
  CHECK(recalls({3, 2})[0] == 1);
  CHECK(recalls({0, 2})[0] == .5);
  CHECK(recalls({2, 1})[1] == .75);
  CHECK(recalls({0, 1})[1] == .25);
  CHECK(recalls({0, 0})[1] == 0);
  CHECK(std::isnan(recalls({2, 1})[2]));
}

TEST_CASE("merged_recalls: against a union of lists, on any number of threads") {
  funnel::random_generator bits(5);
  const std::size_t users = 300;
  std::vector<channel_results> channels(4, channel_results(users));
  std::vector<ids> relevant(users);
  for (std::size_t u = 0; u < users; ++u) {
    for (auto& channel : channels) {
      std::set<item_id> of;
      for (int i = 0; i < 20; ++i) of.insert(static_cast<item_id>(uniform_below(bits, 1000)));
      channel[u] = list(ids(of.begin(), of.end()));
    }
    std::set<item_id> own;
    for (std::size_t i = uniform_below(bits, 30); i > 0; --i)
      own.insert(static_cast<item_id>(uniform_below(bits, 1000)));
    relevant[u].assign(own.begin(), own.end());
  }
  serial_executor here;
  const auto all = merged_recalls(here, channels, relevant, quotas{30, 30, 30, 30});
  for (std::size_t u = 0; u < users; ++u) {
    std::set<item_id> found;
    for (const auto& channel : channels)
      for (const auto& s : channel[u]) found.insert(s.item);
    std::size_t hits = 0;
    for (const item_id item : relevant[u]) hits += found.count(item);
    if (relevant[u].empty())
      REQUIRE(std::isnan(all[u]));
    else
      REQUIRE(all[u] == static_cast<double>(hits) / static_cast<double>(relevant[u].size()));
  }
  funnel::thread_pool pool(3);
  const auto again = merged_recalls(pool, channels, relevant, quotas{30, 30, 30, 30});
  for (std::size_t u = 0; u < users; ++u)
    REQUIRE((again[u] == all[u] || (std::isnan(again[u]) && std::isnan(all[u]))));
  const auto best = search_quotas(here, channels, relevant, {.total = 40});
  const auto best_again = search_quotas(pool, channels, relevant, {.total = 40});
  CHECK(best.quotas == best_again.quotas);
  CHECK(best.recall == best_again.recall);
  CHECK(best.recall >= best.equal_recall);
  CHECK(std::accumulate(best.quotas.begin(), best.quotas.end(), std::size_t{0}) == 40);
}

TEST_CASE("search_quotas: gives the total to the channels that find something") {
  serial_executor here;
  const world w(89, 88);
  const auto best = search_quotas(here, w.channels, w.relevant, {.total = 90});
  // Equal quotas: channel 1 has 11 items, the others get 40 and 39. The best: channel 0 gets all but one.
  const double found = 40. / 89;
  CHECK(tolerance::within(best.equal_recall, (1 + found) / 2, tolerance::reduction<double>(89, 1)));
  CHECK(best.recall == 1);
  CHECK(best.quotas == quotas{89, 1, 0});
  CHECK(best.evaluations > 5);
  CHECK(best.evaluations < 45);  // large steps first: 55 with the smallest alone
  // A channel never has more than it finds.
  const std::vector<channel_results> turned{w.channels[1], w.channels[0], w.channels[2]};
  CHECK(search_quotas(here, turned, w.relevant, {.total = 90}).quotas == quotas{1, 89, 0});
  const std::vector<channel_results> one{w.channels[0]};
  const auto alone = search_quotas(here, one, w.relevant, {.total = 90});
  CHECK(alone.quotas == quotas{90});
  CHECK(alone.recall == .5);  // of two relevant items the one
  CHECK(search_quotas(here, w.channels, w.relevant, {.total = 1, .smallest_step = 1}).recall == .5);
}

TEST_CASE("search_quotas: wrong arguments are refused") {
  serial_executor here;
  const world w(3, 8);
  const auto refused = [&](const std::vector<channel_results>& channels,
                           const std::vector<ids>& relevant,
                           const funnel::quota_search_options& options, const char* words) {
    CHECK(refuses([&] { search_quotas(here, channels, relevant, options); },
                  "funnel::search_quotas: ", words));
  };
  refused(w.channels, w.relevant, {.total = 0}, "total is 0, expected 1 or more");
  refused(w.channels, w.relevant, {.total = std::numeric_limits<std::size_t>::max()},
          "at most 2^53");
  for (const double step : {0., -1., 1.5, std::numeric_limits<double>::quiet_NaN()})
    refused(w.channels, w.relevant, {.smallest_step = step}, "expected a number in (0, 1]");
  refused({}, w.relevant, {}, "channels is empty");
  refused(std::vector<channel_results>(65, channel_results(3)), w.relevant, {},
          "65, expected 64 or fewer");
  refused(w.channels, {{1}}, {}, "a channel has 3 values, expected 1");
  refused(w.channels, {{}, {}, {}}, {}, "users with relevant items is 0");
  CHECK(refuses([&] { merged_recalls(here, w.channels, w.relevant, quotas{1}); },
                "funnel::merged_recalls: ", "quotas has 1 value, expected 3"));
}
