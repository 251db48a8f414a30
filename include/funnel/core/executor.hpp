// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>
#include <funnel/core/detail/sizes.hpp>

#include <algorithm>
#include <concepts>
#include <cstddef>

namespace funnel {

/// Concept of an executor: `for_each(count, task)` runs `task(0) .. task(count - 1)`, in any order
/// and on any threads, and returns when all of them are done.
///
/// Results must not depend on the executor: task i writes only data that belongs to index i. If a
/// task throws, `for_each` throws as soon as no task is running any more; some tasks may not have
/// run.
template <class E>
concept Executor = requires(E& executor, std::size_t count, void (*task)(std::size_t)) {
  { executor.concurrency() } -> std::convertible_to<std::size_t>;
  executor.for_each(count, task);
};

/// Executor that runs the tasks one after another on the caller's thread.
struct serial_executor {
  static constexpr std::size_t concurrency() { return 1; }

  template <class Task>
  void for_each(std::size_t count, Task&& task) const {
    for (std::size_t i = 0; i < count; ++i) task(i);
  }
};

/// Runs `task(begin, end)` over [0, n) in blocks of at most `block` indices. The boundaries of the
/// blocks do not depend on the executor.
///
/// Errors      std::invalid_argument if block is 0; no task has run then.
template <Executor E, class Task>
void for_blocks(E& executor, std::size_t n, std::size_t block, Task&& task) {
  detail::check_at_least_one("for_blocks", "block", block);
  executor.for_each(detail::blocks_of(n, block), [&](std::size_t i) {
    const std::size_t begin = i * block;
    task(begin, begin + std::min(block, n - begin));
  });
}

}  // namespace funnel
