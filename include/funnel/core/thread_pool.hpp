// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

namespace funnel {

/// Executor with threads of its own: those that its constructor starts, and the thread that calls
/// `for_each`. The destructor ends them.
///
/// Every thread first runs the tasks of its own range of indices, then those of others that are not
/// done yet. In a series of equal loops a thread therefore mostly runs the same tasks, whose data
/// its cache may still hold. Between two loops the threads wait for 20 microseconds before they
/// sleep.
///
/// A loop that starts while the pool runs another one, such as the loop of a task or of another
/// thread, runs on its caller's thread alone.
class thread_pool {
 public:
  /// Upper limit of the number of threads.
  static constexpr std::size_t most_threads = 4096;

  /// Errors      std::invalid_argument if threads is 0 or above `most_threads`; std::system_error
  ///             if a thread cannot be started.
  explicit thread_pool(std::size_t threads) : ranges_(checked(threads)) {
    threads_.reserve(threads - 1);
    try {
      while (threads_.size() + 1 < threads)
        threads_.emplace_back([this, own = threads_.size() + 1] { work(own); });
    } catch (...) {
      stop();
      throw;
    }
  }
  thread_pool(const thread_pool&) = delete;
  thread_pool& operator=(const thread_pool&) = delete;
  ~thread_pool() { stop(); }

  std::size_t concurrency() const { return ranges_.size(); }

  /// Runs task(0) .. task(count - 1). If tasks throw, throws one of the exceptions after all running
  /// tasks have ended; tasks that had not started are skipped.
  template <class Task>
  void for_each(std::size_t count, Task&& task) {
    if (count <= 1 || threads_.empty() || busy_.exchange(true)) {
      for (std::size_t i = 0; i < count; ++i) task(i);
      return;
    }
    using type = std::remove_reference_t<Task>;
    task_ = const_cast<void*>(static_cast<const void*>(std::addressof(task)));
    run_ = [](void* of, std::size_t i) { (*static_cast<type*>(of))(i); };
    const std::size_t n = ranges_.size();
    const std::size_t share = count / n;
    const std::size_t larger = count % n;  // so many ranges have one index more
    std::size_t begin = 0;
    for (std::size_t t = 0; t < n; ++t) {
      ranges_[t].next = begin;
      ranges_[t].end = begin += share + (t < larger ? 1 : 0);
    }
    open_ = true;
    ++loops_;
    wake(loop_began_);
    run_tasks(0);
    open_ = false;
    // A thread that came in while the loop was open has counted itself, and is waited for.
    wait_until(loop_ended_, [this] { return inside_ == 0; });
    const std::exception_ptr error = std::exchange(error_, nullptr);
    failed_ = false;
    busy_ = false;
    if (error) std::rethrow_exception(error);
  }

 private:
  /// The indices [next, end) of a loop that one thread starts with. On a cache line of its own.
  struct alignas(64) range {
    std::atomic<std::size_t> next{0};
    std::size_t end = 0;
  };

  static std::size_t checked(std::size_t threads) {
    detail::check_that("thread_pool", "threads", threads, threads > 0 && threads <= most_threads,
                       "1 to ", most_threads);
    return threads;
  }

  static void pause() {
#if defined(__GNUC__) && (defined(__x86_64__) || defined(__i386__))
    __builtin_ia32_pause();
#else
    std::this_thread::yield();
#endif
  }
  // Not std::atomic::wait: where a system has no futex, that of libstdc++ before 12.3 can miss a change.
  using event = std::condition_variable;

  /// Returns when `condition()` is true: looks for some time, then sleeps. Who makes it true calls
  /// `wake` afterwards.
  template <class Condition>
  void wait_until(event& changed, const Condition& condition) {
    using clock = std::chrono::steady_clock;
    const auto until = clock::now() + std::chrono::microseconds(20);
    do {
      for (int i = 0; i < 32; ++i) {
        if (condition()) return;
        pause();
      }
    } while (clock::now() < until);
    std::unique_lock lock(mutex_);
    changed.wait(lock, condition);
  }
  void wake(event& changed) {
    { const std::lock_guard lock(mutex_); }  // nobody is between looking and sleeping
    changed.notify_all();
  }

  void work(std::size_t own) {
    for (std::uint32_t seen = 0;;) {
      wait_until(loop_began_, [&] { return loops_ != seen; });
      seen = loops_;
      if (ended_) return;
      ++inside_;
      if (open_) run_tasks(own);
      if (--inside_ == 0) wake(loop_ended_);
    }
  }

  void run_tasks(std::size_t own) noexcept {
    try {
      for (std::size_t k = 0; k < ranges_.size(); ++k) {
        range& from = ranges_[(own + k) % ranges_.size()];
        while (from.next < from.end) {
          const std::size_t i = from.next++;
          if (i < from.end) run_(task_, i);
        }
      }
    } catch (...) {
      if (!failed_.exchange(true)) error_ = std::current_exception();
      for (range& skipped : ranges_) skipped.next = skipped.end;
    }
  }

  void stop() {
    ended_ = true;
    ++loops_;
    wake(loop_began_);
    for (std::thread& thread : threads_) thread.join();
  }

  std::vector<range> ranges_;  // one for each thread; the caller's is the first
  std::vector<std::thread> threads_;
  void (*run_)(void*, std::size_t) = nullptr;
  void* task_ = nullptr;
  std::exception_ptr error_;
  std::atomic<bool> busy_{false};
  std::atomic<bool> open_{false};    // threads may come in
  std::atomic<bool> failed_{false};  // a task threw
  std::atomic<bool> ended_{false};
  std::atomic<std::uint32_t> loops_{0};   // counts loops
  std::atomic<std::uint32_t> inside_{0};  // threads, beside the caller, that may run tasks
  std::mutex mutex_;
  event loop_began_, loop_ended_;
};

}  // namespace funnel
