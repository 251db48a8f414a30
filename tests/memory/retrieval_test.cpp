// SPDX-License-Identifier: MIT
#include <funnel/retrieval/item_pool.hpp>

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
