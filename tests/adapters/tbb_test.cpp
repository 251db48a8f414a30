// SPDX-License-Identifier: MIT
#ifdef FUNNEL_HAS_TBB
#include <funnel/adapters/tbb.hpp>
#include <funnel/core/executor.hpp>

#include "support/catch.hpp"
#include "support/errors.hpp"

#include <atomic>
#include <cstddef>
#include <limits>
#include <stdexcept>
#include <thread>
#include <vector>

static_assert(funnel::Executor<funnel::tbb_executor>);

TEST_CASE("tbb_executor: runs each task once, for any number of threads") {
  for (std::size_t threads : {1u, 2u, 5u}) {
    funnel::tbb_executor executor(threads);
    CHECK(executor.concurrency() == threads);
    for (std::size_t count : {0u, 1u, 2u, 1000u}) {
      std::vector<int> runs(count);
      executor.for_each(count, [&](std::size_t i) { ++runs[i]; });
      CHECK(runs == std::vector<int>(count, 1));
    }
  }
}

TEST_CASE("tbb_executor: for_blocks gives the result that serial gives") {
  std::vector<double> values(1000), parallel(10), one_by_one(10);
  for (std::size_t i = 0; i < 1000; ++i) values[i] = 1. / static_cast<double>(i + 1);
  const auto sum_into = [&](std::vector<double>& sums) {
    return [&](std::size_t begin, std::size_t end) {
      for (std::size_t i = begin; i < end; ++i) sums[begin / 100] += values[i];
    };
  };
  funnel::tbb_executor threads(3);
  funnel::serial_executor serial;
  funnel::for_blocks(threads, 1000, 100, sum_into(parallel));
  funnel::for_blocks(serial, 1000, 100, sum_into(one_by_one));
  CHECK(parallel == one_by_one);
}

TEST_CASE("tbb_executor: tasks may run tasks, and callers may share one") {
  funnel::tbb_executor executor(2);
  std::atomic<int> runs{0};
  executor.for_each(4, [&](std::size_t) { executor.for_each(5, [&](std::size_t) { ++runs; }); });
  CHECK(runs == 20);
  std::thread other([&] { executor.for_each(100, [&](std::size_t) { ++runs; }); });
  executor.for_each(100, [&](std::size_t) { ++runs; });
  other.join();
  CHECK(runs == 220);
}

TEST_CASE("tbb_executor: a task's exception reaches the caller") {
  funnel::tbb_executor executor(2);
  CHECK_THROWS_AS(executor.for_each(10,
                                    [](std::size_t i) {
                                      if (i == 3) throw std::runtime_error("three");
                                    }),
                  std::runtime_error);
}

TEST_CASE("tbb_executor: refuses no threads") {
  CHECK(refuses([] { funnel::tbb_executor executor(0); }, "funnel::tbb_executor", "threads is 0"));
}

TEST_CASE("tbb_executor: refuses more threads than it can have") {
  constexpr std::size_t most = funnel::tbb_executor::most_threads;
  for (const std::size_t threads : {most + 1, std::size_t{1} << 31, std::size_t{1} << 32,
                                    std::numeric_limits<std::size_t>::max()})
    CHECK(refuses([&] { funnel::tbb_executor executor(threads); }, "funnel::tbb_executor",
                  "expected 1 to 4096"));
  funnel::tbb_executor executor(most);
  for (const std::size_t count : {0u, 1u, 2u, 7u, 1000u}) {
    std::vector<int> calls(count);
    executor.for_each(count, [&](std::size_t i) { ++calls[i]; });
    CHECK(calls == std::vector<int>(count, 1));
  }
}
#endif
