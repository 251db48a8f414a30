// SPDX-License-Identifier: MIT
#include <funnel/sequence/history_store.hpp>

#include "support/failing_allocator.hpp"

#include <cstddef>
#include <cstdint>
#include <vector>

using failing_allocator::check_every_failure;

namespace {

/// All events, and where those of categories and clusters are.
std::vector<std::int64_t> state_of(const funnel::history_store& store) {
  std::vector<std::int64_t> all{static_cast<std::int64_t>(store.users()),
                                static_cast<std::int64_t>(store.events())};
  std::vector<std::uint32_t> positions(20);
  for (std::uint32_t user = 0; user < 8; ++user) {
    const funnel::stored_history mine = store[user];
    for (std::size_t i = 0; i < mine.size(); ++i) all.push_back(mine[i].item);
    for (std::uint32_t id = 1; id < 12; ++id) {
      const std::size_t category = mine.of_category(id, positions);
      all.insert(all.end(), positions.begin(),
                 positions.begin() + static_cast<std::ptrdiff_t>(category));
      const std::size_t cluster = mine.of_cluster(id, positions);
      all.insert(all.end(), positions.begin(),
                 positions.begin() + static_cast<std::ptrdiff_t>(cluster));
    }
  }
  return all;
}

}  // namespace

TEST_CASE("out of memory: history_store appends an event or nothing") {
  using funnel::history_store;
  const auto make = [](std::uint32_t events) {
    history_store store({.events_per_user = 10, .events = 20});
    for (std::uint32_t e = 0; e < events; ++e) store.append(e % 5, {e, e % 7, e % 3, 0, e});
    return store;
  };
  for (std::uint32_t events = 0; events < 60; events += 3) {
    check_every_failure(
        "append", [&] { return make(events); },
        [](history_store& s) {
          s.append(7, {1, 11, 11, 0, 100});
        },
        state_of);
    check_every_failure(
        "append", [&] { return make(events); },
        [](history_store& s) {
          s.append(1, {1, 11, 11, 0, 100});
        },
        state_of);
  }
  const history_store other = make(40);
  check_every_failure(
      "copy", [&] { return make(9); }, [&](history_store& s) { s = other; }, state_of);
}
