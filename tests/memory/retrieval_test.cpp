// SPDX-License-Identifier: MIT
#include <funnel/retrieval/item_pool.hpp>
#include <funnel/retrieval/seen_filter.hpp>

#include "support/failing_allocator.hpp"

#include <vector>

using failing_allocator::check_every_failure;

TEST_CASE("out of memory: item_pool") {
  const auto make = [] {
    funnel::item_pool pool({.window = 50});
    pool.add(3, 10);
    return pool;
  };
  const auto observe = [](const funnel::item_pool& pool) { return pool.items(20); };
  check_every_failure(
      "add", make, [](auto& pool) { pool.add(1000, 15); }, observe);
  funnel::item_pool other;
  other.add(5, 1);
  check_every_failure(
      "copy", make, [&](auto& pool) { pool = other; }, observe);
}

TEST_CASE("out of memory: seen_filter") {
  const auto make = [] {
    funnel::seen_filter seen({.day = 10, .capacity = 2});
    for (funnel::item_id i = 0; i < 8; ++i) seen.add(1, i, 10);
    return seen;
  };
  const auto observe = [](const funnel::seen_filter& seen) {
    std::vector<bool> found;
    for (funnel::user_id u = 0; u < 40; ++u)
      for (funnel::item_id i = 0; i < 10; ++i) found.push_back(seen.contains(u, i));
    return found;
  };
  const auto add = [](funnel::seen_filter& seen) {
    for (funnel::item_id i = 2; i < 5; ++i) seen.add(2, i, 10);
  };
  check_every_failure(
      "add", make, [](auto& seen) { seen.add(33, 4, 20); }, observe);
  // After a block that could not be made the arrays still fit together.
  check_every_failure(
      "a block", make, [](auto& seen) { seen.add(1, 9, 30); },
      [&](const auto& seen) {
        funnel::seen_filter more = seen;
        add(more);
        return observe(more);
      });
  funnel::seen_filter other;
  other.add(5, 1, 0);
  check_every_failure(
      "copy", make, [&](auto& seen) { seen = other; }, observe);
}
