// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>

#include <tbb/parallel_for.h>
#include <tbb/task_arena.h>

#include <cstddef>

namespace funnel {

/// Executor that runs tasks on the threads of oneTBB. Link `funnel::tbb` to use it; funnel.hpp does
/// not include this header.
///
/// Tasks may start further tasks, and several threads may share one executor. If tasks throw, the
/// caller gets one of the exceptions after all running tasks have ended; tasks that had not started
/// are skipped.
class tbb_executor {
 public:
  /// Upper limit of the number of threads.
  static constexpr std::size_t most_threads = 4096;

  /// Errors      std::invalid_argument if threads is 0 or above `most_threads`.
  explicit tbb_executor(std::size_t threads)
      : threads_(checked(threads)), arena_(static_cast<int>(threads_)) {
    // Otherwise the first loop does this; if memory runs out there, oneTBB's next loop waits
    // forever.
    arena_.initialize();
  }
  tbb_executor(const tbb_executor& other) : tbb_executor(other.threads_) {}
  tbb_executor& operator=(const tbb_executor&) = delete;

  std::size_t concurrency() const { return threads_; }

  template <class Task>
  void for_each(std::size_t count, Task&& task) {
    arena_.execute([&] {
      tbb::parallel_for(
          std::size_t{0}, count, [&](std::size_t i) { task(i); }, tbb::simple_partitioner{});
    });
  }

 private:
  static std::size_t checked(std::size_t threads) {
    detail::check_that("tbb_executor", "threads", threads, threads > 0 && threads <= most_threads,
                       "1 to ", most_threads);
    return threads;
  }

  std::size_t threads_;
  tbb::task_arena arena_;
};

}  // namespace funnel
