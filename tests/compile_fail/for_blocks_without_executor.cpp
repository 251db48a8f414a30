// SPDX-License-Identifier: MIT
// error: Executor
#include <funnel/core/executor.hpp>

void run() {
#ifdef MUST_FAIL
  int executor = 2;
#else
  funnel::serial_executor executor;
#endif
  funnel::for_blocks(executor, 10, 3, [](std::size_t, std::size_t) {});
}
