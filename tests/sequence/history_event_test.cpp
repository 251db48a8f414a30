// SPDX-License-Identifier: MIT
#include <funnel/sequence/history_event.hpp>

#include "support/catch.hpp"

TEST_CASE("history_event: events are equal if all their fields are") {
  const funnel::history_event event{1, 2, 3, 4, 5};
  CHECK(event ==
        funnel::history_event{.item = 1, .category = 2, .cluster = 3, .action = 4, .time = 5});
  CHECK(event != funnel::history_event{.item = 1, .category = 2, .cluster = 3, .action = 4});
  CHECK(funnel::history_event{} == funnel::history_event{0, 0, 0, 0, 0});
}
