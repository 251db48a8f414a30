// SPDX-License-Identifier: MIT
#include <funnel/core/executor_ref.hpp>
#include <funnel/core/thread_pool.hpp>
#ifdef FUNNEL_HAS_TBB
#include <funnel/adapters/tbb.hpp>
#endif

#include "support/catch.hpp"
#include "support/threads.hpp"

#include <atomic>
#include <cstddef>
#include <stdexcept>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

using funnel::executor_ref;

static_assert(funnel::Executor<executor_ref>);
static_assert(funnel::Executor<const executor_ref>);
static_assert(std::is_trivially_copyable_v<executor_ref>);
static_assert(std::is_convertible_v<funnel::thread_pool&, executor_ref>);
static_assert(std::is_convertible_v<const funnel::serial_executor&, executor_ref>);
// Neither a temporary executor, nor what is none.
static_assert(!std::is_constructible_v<executor_ref, funnel::thread_pool>);
static_assert(!std::is_constructible_v<executor_ref, funnel::serial_executor>);
static_assert(!std::is_constructible_v<executor_ref, const funnel::serial_executor>);
static_assert(!std::is_constructible_v<executor_ref, int&>);

namespace {

/// Calls `check(executor, name)` with each kind of executor.
template <class Check>
void for_each_executor(const Check& check) {
  funnel::serial_executor serial;
  check(serial, "serial_executor");
  const funnel::serial_executor constant;
  check(constant, "const serial_executor");
  thread_executor threads{3};
  check(threads, "thread_executor");
  funnel::thread_pool one(1);
  check(one, "thread_pool of 1");
  funnel::thread_pool pool(3);
  check(pool, "thread_pool of 3");
#ifdef FUNNEL_HAS_TBB
  funnel::tbb_executor tbb(3);
  check(tbb, "tbb_executor");
#endif
}

/// A function without a template parameter for the threads: sums of blocks of 100 numbers.
std::vector<double> sums_of_blocks(executor_ref threads, const std::vector<double>& values) {
  std::vector<double> sums((values.size() + 99) / 100);
  funnel::for_blocks(threads, values.size(), 100, [&](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i) sums[begin / 100] += values[i];
  });
  return sums;
}

std::vector<double> fractions(std::size_t n) {
  std::vector<double> values(n);
  for (std::size_t i = 0; i < n; ++i) values[i] = 1. / static_cast<double>(i + 1);
  return values;
}

/// An executor that counts its loops and adds to every index.
struct counting_executor {
  std::size_t loops = 0;

  std::size_t concurrency() { return 5; }
  template <class Task>
  void for_each(std::size_t count, Task&& task) {
    ++loops;
    while (count > 0) task(--count);
  }
};

int calls_of_function = 0;
void function_task(std::size_t) {
  ++calls_of_function;
}

}  // namespace

TEST_CASE("executor_ref: runs on the executor it refers to") {
  counting_executor executor;
  const executor_ref threads = executor;
  CHECK(threads.concurrency() == 5);
  std::vector<std::size_t> order;
  threads.for_each(3, [&](std::size_t i) { order.push_back(i); });
  CHECK(order == std::vector<std::size_t>{2, 1, 0});
  CHECK(executor.loops == 1);

  counting_executor other;
  executor_ref moved = threads;
  moved.for_each(1, [](std::size_t) {});
  CHECK(executor.loops == 2);
  moved = other;
  moved.for_each(1, [](std::size_t) {});
  CHECK(executor.loops == 2);
  CHECK(other.loops == 1);
}

TEST_CASE("executor_ref: each index once, and as many threads, as the executor") {
  for_each_executor([](auto& executor, const char* name) {
    INFO(name);
    const executor_ref threads = executor;
    CHECK(threads.concurrency() == executor.concurrency());
    for (const std::size_t count : {0u, 1u, 2u, 7u, 1000u}) {
      std::vector<int> calls(count, 0);
      threads.for_each(count, [&](std::size_t i) { ++calls[i]; });
      CHECK(calls == std::vector<int>(count, 1));
    }
  });
}

TEST_CASE("executor_ref: the same results on every executor, and through a reference of one") {
  const std::vector<double> values = fractions(1050);
  const std::vector<double> expected = sums_of_blocks({}, values);
  CHECK(expected.size() == 11);
  CHECK(expected[0] > 5);
  for_each_executor([&](auto& executor, const char* name) {
    INFO(name);
    CHECK(sums_of_blocks(executor, values) == expected);
    executor_ref direct = executor;
    const executor_ref of_reference = direct;
    CHECK(sums_of_blocks(of_reference, values) == expected);
    CHECK(of_reference.concurrency() == executor.concurrency());
  });
}

TEST_CASE("executor_ref: a reference of a reference outlives the reference in between") {
  counting_executor executor;
  const executor_ref outer = [&] {
    executor_ref inner = executor;
    return executor_ref(inner);
  }();
  outer.for_each(2, [](std::size_t) {});
  CHECK(executor.loops == 1);
}

TEST_CASE("executor_ref: default-constructed, it runs on the caller's thread in order") {
  const executor_ref serial;
  CHECK(serial.concurrency() == 1);
  std::vector<std::size_t> order;
  std::vector<std::thread::id> threads;
  serial.for_each(4, [&](std::size_t i) {
    order.push_back(i);
    threads.push_back(std::this_thread::get_id());
  });
  CHECK(order == std::vector<std::size_t>{0, 1, 2, 3});
  CHECK(threads == std::vector<std::thread::id>(4, std::this_thread::get_id()));
}

TEST_CASE("executor_ref: the tasks of a pool run on several threads") {
  funnel::thread_pool pool(2);
  const executor_ref threads = pool;
  std::atomic<int> here{0};
  // Each task waits for the other one: one thread alone would not come back.
  threads.for_each(2, [&](std::size_t) {
    ++here;
    while (here < 2) std::this_thread::yield();
  });
  CHECK(here == 2);
}

TEST_CASE("executor_ref: a task's exception goes through, and the executor works on") {
  for_each_executor([](auto& executor, const char* name) {
    // A thread_executor's threads do not catch what a task throws.
    if constexpr (!std::is_same_v<std::remove_cvref_t<decltype(executor)>, thread_executor>) {
      INFO(name);
      const executor_ref threads = executor;
      CHECK_THROWS_AS(threads.for_each(100,
                                       [](std::size_t i) {
                                         if (i % 7 == 3) throw std::runtime_error("a task's");
                                       }),
                      std::runtime_error);
      std::vector<int> calls(50, 0);
      threads.for_each(50, [&](std::size_t i) { ++calls[i]; });
      CHECK(calls == std::vector<int>(50, 1));
    }
  });
}

TEST_CASE("executor_ref: tasks of every kind: changing ones, functions, and those that run loops") {
  const executor_ref serial;
  int calls = 0;
  auto changing = [calls = 0, &seen = calls](std::size_t) mutable { seen = ++calls; };
  serial.for_each(3, changing);
  CHECK(calls == 3);
  serial.for_each(2, std::move(changing));
  CHECK(calls == 5);

  calls_of_function = 0;
  serial.for_each(3, function_task);
  serial.for_each(4, &function_task);
  CHECK(calls_of_function == 7);

  funnel::thread_pool pool(2);
  const executor_ref threads = pool;
  std::vector<int> counts(60, 0);
  threads.for_each(6, [&](std::size_t i) {
    threads.for_each(10, [&](std::size_t j) { ++counts[10 * i + j]; });
  });
  CHECK(counts == std::vector<int>(60, 1));
}
