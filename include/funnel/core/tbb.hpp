// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/error.hpp>

#include <tbb/parallel_for.h>
#include <tbb/task_arena.h>

#include <cstddef>

namespace funnel {

/// An executor on oneTBB's threads. Link `funnel::tbb`; the header is not part of funnel.hpp.
class tbb_executor {
 public:
  /// Errors      std::invalid_argument if threads is 0.
  explicit tbb_executor(std::size_t threads)
      : threads_(threads > 0
                     ? threads
                     : (detail::fail("funnel::tbb_executor: threads is 0, expected 1 or more"), 1)),
        arena_(static_cast<int>(threads_)) {}

  std::size_t concurrency() const { return threads_; }

  template <class Task>
  void for_each(std::size_t count, Task&& task) {
    arena_.execute([&] {
      tbb::parallel_for(
          std::size_t{0}, count, [&](std::size_t i) { task(i); }, tbb::simple_partitioner{});
    });
  }

 private:
  std::size_t threads_;
  tbb::task_arena arena_;
};

}  // namespace funnel
