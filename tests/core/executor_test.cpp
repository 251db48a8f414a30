// SPDX-License-Identifier: MIT
#include <funnel/core/executor.hpp>
#include <funnel/core/thread_pool.hpp>
#ifdef FUNNEL_HAS_TBB
#include <funnel/adapters/tbb.hpp>
#endif

#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/threads.hpp"

#include <limits>
#include <stdexcept>
#include <utility>
#include <vector>

namespace {

// Every index exactly once, and every write seen by the caller afterward.
template <class E>
void check_executor(E&& executor) {
  for (const std::size_t count : {0u, 1u, 2u, 7u, 1000u}) {
    std::vector<int> calls(count, 0);
    executor.for_each(count, [&](std::size_t i) { ++calls[i]; });
    CHECK(calls == std::vector<int>(count, 1));
  }
}

// The pieces [begin, end) in the order of their indices.
template <class E>
std::vector<std::pair<std::size_t, std::size_t>> pieces(E&& executor, std::size_t n,
                                                        std::size_t block) {
  std::vector<std::pair<std::size_t, std::size_t>> found((n + block - 1) / block);
  funnel::for_blocks(executor, n, block, [&](std::size_t begin, std::size_t end) {
    found[begin / block] = {begin, end};
  });
  return found;
}

}  // namespace

TEST_CASE("executor: a task is called once for every index") {
  check_executor(funnel::serial_executor{});
  check_executor(thread_executor{1});
  check_executor(thread_executor{3});
#ifdef FUNNEL_HAS_TBB
  check_executor(funnel::tbb_executor(1));
  check_executor(funnel::tbb_executor(4));
#endif
}

TEST_CASE("for_blocks: the same pieces for every executor") {
  using list = std::vector<std::pair<std::size_t, std::size_t>>;
  CHECK(pieces(funnel::serial_executor{}, 10, 4) == list{{0, 4}, {4, 8}, {8, 10}});
  CHECK(pieces(funnel::serial_executor{}, 8, 4) == list{{0, 4}, {4, 8}});
  CHECK(pieces(funnel::serial_executor{}, 3, 4) == list{{0, 3}});
  CHECK(pieces(funnel::serial_executor{}, 0, 4).empty());
  CHECK(pieces(thread_executor{3}, 1001, 7) == pieces(funnel::serial_executor{}, 1001, 7));
#ifdef FUNNEL_HAS_TBB
  CHECK(pieces(funnel::tbb_executor(3), 1001, 7) == pieces(funnel::serial_executor{}, 1001, 7));
#endif
}

TEST_CASE("for_blocks: refuses blocks of nothing") {
  funnel::serial_executor executor;
  CHECK(refuses([&] { funnel::for_blocks(executor, 3, 0, [](std::size_t, std::size_t) {}); },
                "funnel::for_blocks", "block is 0"));
}

TEST_CASE("for_blocks: blocks that are larger than what there is, and as large as can be") {
  using list = std::vector<std::pair<std::size_t, std::size_t>>;
  constexpr std::size_t most = std::numeric_limits<std::size_t>::max();
  const auto run = [](std::size_t n, std::size_t block) {
    list found;
    funnel::serial_executor executor;
    funnel::for_blocks(executor, n, block,
                       [&](std::size_t begin, std::size_t end) { found.emplace_back(begin, end); });
    return found;
  };
  CHECK(run(10, most) == list{{0, 10}});
  CHECK(run(most, most) == list{{0, most}});
  CHECK(run(most, most - 1) == list{{0, most - 1}, {most - 1, most}});
  CHECK(run(0, most).empty());
}

TEST_CASE("executor: a task's exception ends the loop, and the executor works on") {
  const auto check = [](auto&& executor) {
    CHECK_THROWS_AS(executor.for_each(100,
                                      [](std::size_t i) {
                                        if (i % 7 == 3) throw std::runtime_error("a task's");
                                      }),
                    std::runtime_error);
    check_executor(executor);
  };
  check(funnel::serial_executor{});
#ifdef FUNNEL_HAS_TBB
  check(funnel::tbb_executor(1));
  check(funnel::tbb_executor(4));
#endif
}

TEST_CASE("executor: tasks may run tasks of the same executor, and those may throw") {
  const auto check = [](auto&& executor) {
    std::vector<int> calls(60, 0);
    executor.for_each(6, [&](std::size_t i) {
      executor.for_each(10, [&](std::size_t j) { ++calls[10 * i + j]; });
    });
    CHECK(calls == std::vector<int>(60, 1));
    const auto fails_inside = [&](std::size_t i) {
      executor.for_each(10, [&](std::size_t j) {
        if (i == 2 && j == 5) throw std::runtime_error("inside");
      });
    };
    CHECK_THROWS_AS(executor.for_each(6, fails_inside), std::runtime_error);
    executor.for_each(0, [](std::size_t) { throw std::runtime_error("never"); });
    check_executor(executor);
  };
  check(funnel::serial_executor{});
#ifdef FUNNEL_HAS_TBB
  check(funnel::tbb_executor(1));
  check(funnel::tbb_executor(4));
#endif
}
