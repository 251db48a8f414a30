// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <thread>
#include <vector>

/// An executor with threads of its own for every call: slow, but all of it is seen by the thread
/// sanitizer, which takes oneTBB's uninstrumented library for a crowd of races.
struct thread_executor {
  std::size_t threads = 4;

  std::size_t concurrency() const { return threads; }

  template <class Task>
  void for_each(std::size_t count, Task&& task) {
    std::vector<std::thread> running;
    for (std::size_t t = 0; t < threads; ++t)
      running.emplace_back([&, t] {
        for (std::size_t i = t; i < count; i += threads) task(i);
      });
    for (std::thread& thread : running) thread.join();
  }
};
