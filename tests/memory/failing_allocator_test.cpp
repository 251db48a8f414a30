// SPDX-License-Identifier: MIT
#include "support/failing_allocator.hpp"
#include "support/replaced_new.hpp"

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

bool replaced_new::serves(std::size_t) noexcept {
  return !failing_allocator::fails();
}

TEST_CASE("the allocator of these tests fails at the request it is told") {
  std::vector<std::unique_ptr<int>> kept;
  kept.reserve(5);
  const auto take_five = [&] {
    kept.clear();
    for (int i = 0; i < 5; ++i) kept.push_back(std::make_unique<int>(i));
  };
  for (long served = 0; served < 5; ++served) {
    CHECK(failing_allocator::runs_out(served, true, take_five));
    CHECK(kept.size() == static_cast<std::size_t>(served));
  }
  CHECK_FALSE(failing_allocator::runs_out(5, true, take_five));
  CHECK(failing_allocator::failures == 0);
  CHECK(failing_allocator::runs_out(0, true, [] { std::vector<float> many(100); }));
}
