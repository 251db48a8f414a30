// SPDX-License-Identifier: MIT
#include <funnel/core/executor.hpp>
#include <funnel/core/thread_pool.hpp>

#include "support/catch.hpp"
#include "support/errors.hpp"

#include <atomic>
#include <chrono>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

using funnel::thread_pool;

static_assert(funnel::Executor<thread_pool>);

namespace {

void check_loops(thread_pool& pool) {
  for (const std::size_t count : {0u, 1u, 2u, 3u, 7u, 1000u}) {
    std::vector<int> calls(count, 0);
    pool.for_each(count, [&](std::size_t i) { ++calls[i]; });
    CHECK(calls == std::vector<int>(count, 1));
  }
}

}  // namespace

TEST_CASE("thread_pool: a task is called once for every index") {
  for (const std::size_t threads : {1u, 2u, 3u, 8u}) {
    thread_pool pool(threads);
    CHECK(pool.concurrency() == threads);
    check_loops(pool);
    // Threads that sleep are woken.
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
    check_loops(pool);
  }
}

TEST_CASE("thread_pool: many short loops, one right after another") {
  thread_pool pool(4);
  std::vector<std::size_t> sums(8, 0);
  constexpr std::size_t loops = 20000;
  for (std::size_t loop = 0; loop < loops; ++loop)
    pool.for_each(1 + loop % sums.size(), [&](std::size_t i) { sums[i] += 1; });
  for (std::size_t i = 0; i < sums.size(); ++i)
    CHECK(sums[i] == loops / sums.size() * (sums.size() - i));
}

TEST_CASE("thread_pool: the tasks of a loop run on several threads") {
  thread_pool pool(2);
  std::atomic<int> here{0};
  // Each task waits for the other one: one thread alone would not come back.
  pool.for_each(2, [&](std::size_t) {
    ++here;
    while (here < 2) std::this_thread::yield();
  });
  CHECK(here == 2);
}

TEST_CASE("thread_pool: a loop returns when the tasks of all threads are done") {
  thread_pool pool(2);
  const std::thread::id caller = std::this_thread::get_id();
  std::atomic<int> here{0};
  std::atomic<bool> done{false};
  pool.for_each(2, [&](std::size_t) {
    ++here;
    while (here < 2) std::this_thread::yield();
    if (std::this_thread::get_id() == caller) return;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    done = true;
  });
  CHECK(done);
}

TEST_CASE("thread_pool: a thread keeps to its range where all are as fast") {
  thread_pool pool(2);
  std::vector<std::thread::id> ran(2);
  std::atomic<int> here{0};
  for (int loop = 1; loop <= 20; ++loop) {
    pool.for_each(2, [&](std::size_t i) {
      ++here;
      while (here < 2 * loop) std::this_thread::yield();
      ran[i] = std::this_thread::get_id();
    });
    CHECK(ran[0] == std::this_thread::get_id());
    CHECK(ran[1] != ran[0]);
  }
}

TEST_CASE("thread_pool: an exception ends the loop, and the pool works on") {
  thread_pool pool(3);
  for (int again = 0; again < 50; ++again) {
    std::atomic<int> calls{0};
    CHECK_THROWS_AS(pool.for_each(1000,
                                  [&](std::size_t i) {
                                    ++calls;
                                    if (i % 7 == 3) throw std::runtime_error("a task's");
                                  }),
                    std::runtime_error);
    CHECK(calls < 1000);
  }
  check_loops(pool);
}

TEST_CASE("thread_pool: loops inside of loops, and of several threads at a time") {
  thread_pool pool(3);
  std::vector<int> calls(60, 0);
  pool.for_each(
      6, [&](std::size_t i) { pool.for_each(10, [&](std::size_t j) { ++calls[10 * i + j]; }); });
  CHECK(calls == std::vector<int>(60, 1));

  std::vector<std::vector<int>> counts(4, std::vector<int>(100, 0));
  std::vector<std::thread> users;
  for (std::vector<int>& own : counts) {
    users.emplace_back([&] {
      for (int loop = 0; loop < 200; ++loop) pool.for_each(100, [&](std::size_t i) { ++own[i]; });
    });
  }
  for (std::thread& user : users) user.join();
  CHECK(counts == std::vector<std::vector<int>>(4, std::vector<int>(100, 200)));
}

TEST_CASE("thread_pool: refuses numbers of threads that are out of range") {
  CHECK(refuses([] { thread_pool(0); }, "funnel::thread_pool", "threads is 0, expected 1 to 4096"));
  CHECK(refuses([] { thread_pool(4097); }, "funnel::thread_pool", "threads is 4097"));
}
