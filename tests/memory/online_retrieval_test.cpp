// SPDX-License-Identifier: MIT
#include <funnel/retrieval/online_item_cf.hpp>
#include <funnel/retrieval/online_swing.hpp>

#include "support/failing_allocator.hpp"

#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

using failing_allocator::check_every_failure;

namespace {

constexpr std::uint32_t last = std::numeric_limits<std::uint32_t>::max();

/// All counts and lists.
template <class Online>
std::vector<double> state_of(const Online& online) {
  std::vector<double> all{static_cast<double>(online.pairs())};
  std::vector<funnel::scored_item> found(50);
  for (std::uint32_t i = 0; i < 40; ++i) {
    const std::size_t count = online.neighbors(i == 39 ? last : i, found);
    all.push_back(static_cast<double>(count));
    for (std::size_t n = 0; n < count; ++n)
      all.insert(all.end(),
                 {static_cast<double>(found[n].item), static_cast<double>(found[n].score)});
  }
  return all;
}

/// Events of users 0 to 9 and items 0 to 29; those of each number of events that an event may find.
template <class Online, class Options>
void check_events(const Options& options) {
  const auto make = [&](std::uint32_t events) {
    Online online(options);
    for (std::uint32_t e = 0; e < events; ++e)
      online.add({e * 7 % 10, e * e % 31 % 30, 1, std::int64_t{e}});
    return online;
  };
  const auto check = [&](std::uint32_t events, const funnel::sparse_entry& event) {
    auto online = make(events);
    if (failing_allocator::runs_out(0, false, [&] { online.add(event); }))
      check_every_failure(
          "add", [&] { return make(events); }, [&](Online& o) { o.add(event); }, state_of<Online>);
  };
  for (std::uint32_t events = 0; events < 120; events += events < 20 ? 1 : 7) {
    check(events, {3, 5, 2, 1000});        // a user and an item that are known, sooner or later
    check(events, {last, last, 1, 1000});  // both new
    check(events, {3, last, 1, 100'000});  // another time, which rescales the weights
  }
  const Online other = make(150);
  check_every_failure(
      "copy", [&] { return make(60); }, [&](Online& o) { o = other; }, state_of<Online>);
}

}  // namespace

TEST_CASE("out of memory: online_item_cf counts an event or nothing") {
  using options = funnel::online_item_cf_options;
  check_events<funnel::online_item_cf>(options{});
  check_events<funnel::online_item_cf>(options{.neighbors = 2,
                                               .most_items_of_user = 5,
                                               .most_pairs_of_item = 6,
                                               .half_life = 10,
                                               .prune_delta = .5});
}

TEST_CASE("out of memory: online_swing counts an event or nothing") {
  using options = funnel::online_swing_options;
  check_events<funnel::online_swing>(options{});
  check_events<funnel::online_swing>(options{
      .user_beta = .5, .most_items_of_user = 5, .most_users_of_item = 3, .most_pairs_of_item = 6});
}
