// SPDX-License-Identifier: MIT
#include <funnel/core/arena.hpp>

#include "support/catch.hpp"
#include "support/errors.hpp"

#include <funnel/core/random.hpp>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <limits>
#include <vector>

namespace {

struct piece {
  unsigned char* data;
  std::size_t size;
};

bool on_cache_line(const void* p) {
  return reinterpret_cast<std::uintptr_t>(p) % 64 == 0;
}

}  // namespace

TEST_CASE("arena: pieces start on cache lines and never overlap") {
  funnel::random_generator bits(1);
  funnel::arena arena;
  for (int use = 0; use < 3; ++use) {
    std::vector<piece> pieces;
    for (unsigned char k = 0; k < 200; ++k) {
      const std::size_t size = 1 + funnel::uniform_below(bits, 3000);
      pieces.push_back({arena.allocate<unsigned char>(size), size});
      std::fill_n(arena.allocate<double>(size), size, -1.);  // of eight times as many bytes
      CHECK(on_cache_line(pieces.back().data));
      std::memset(pieces.back().data, k, size);
    }
    // Each still holds what was written to it, though blocks were added in between.
    for (std::size_t k = 0; k < pieces.size(); ++k)
      for (std::size_t i = 0; i < pieces[k].size; ++i)
        if (pieces[k].data[i] != k) FAIL("piece " << k << " was overwritten");
    arena.reset();
  }
}

TEST_CASE("arena: allocates nothing from the second use of the same size on") {
  funnel::arena arena;
  CHECK(arena.capacity() == 0);
  const auto use = [&] {
    // The last block alone, of the last piece's size, does not hold all three.
    for (std::size_t size : {10u, 70000u, 300000u}) arena.allocate<double>(size);
  };
  use();
  arena.reset();
  const std::size_t capacity = arena.capacity();
  double* first = arena.allocate<double>(1);
  for (int round = 0; round < 5; ++round) {
    arena.reset();
    CHECK(arena.allocate<double>(1) == first);
    arena.reset();
    use();
    CHECK(arena.capacity() == capacity);
  }
}

TEST_CASE("arena: pieces of nothing, and types wider than a byte") {
  funnel::arena arena;
  arena.reset();
  CHECK(on_cache_line(arena.allocate<int>(0)));
  struct alignas(64) line {
    float values[16];
  };
  line* lines = arena.allocate<line>(3);
  CHECK(on_cache_line(lines + 1));
  lines[2].values[15] = 1;
  arena.allocate<int>(0);
  // A piece that fills the block to its end.
  arena.reset();
  const std::size_t all = arena.capacity();
  auto* bytes = arena.allocate<unsigned char>(all);
  bytes[all - 1] = 1;
  CHECK(arena.capacity() == all);
}

TEST_CASE("arena::scope: takes back what was handed out in it, and nothing before") {
  funnel::arena arena;
  int* kept = arena.allocate<int>(100);
  std::fill_n(kept, 100, 7);
  int* first = nullptr;
  for (int round = 0; round < 3; ++round) {
    const funnel::arena::scope temporary(arena);
    int* piece = arena.allocate<int>(1000);
    if (round == 0) first = piece;
    CHECK(piece == first);
    std::fill_n(piece, 1000, round);
    {
      const funnel::arena::scope inner(arena);
      std::fill_n(arena.allocate<int>(1000), 1000, -1);
    }
    CHECK(std::count(piece, piece + 1000, round) == 1000);
  }
  const std::size_t capacity = arena.capacity();
  {
    const funnel::arena::scope grows(arena);
    std::fill_n(arena.allocate<char>(4 * capacity), 4 * capacity, 'x');
  }
  CHECK(arena.capacity() > capacity);
  std::fill_n(arena.allocate<char>(4 * capacity), 4 * capacity, 'y');
  CHECK(std::count(kept, kept + 100, 7) == 100);
  CHECK(arena.capacity() == 5 * capacity);  // the added block is used again: no third
}

TEST_CASE("arena: sizes that wrap are refused, and what is there stays") {
  funnel::arena arena;
  int* kept = arena.allocate<int>(3);
  kept[2] = 7;
  constexpr std::size_t many = std::size_t{1} << (std::numeric_limits<std::size_t>::digits - 3);
  CHECK(refuses([&] { arena.allocate<double>(many + 1); }, "funnel::arena::allocate", "count is "));
  CHECK(refuses([&] { arena.allocate<char>(std::numeric_limits<std::size_t>::max()); },
                "funnel::arena::allocate", "count is "));
  CHECK(refuses([&] { arena.allocate<char>(many, 8); }, "funnel::arena::allocate",
                "rows x cols is "));
  // No array can have it once it is rounded up to cache lines.
  CHECK(refuses([&] { arena.allocate<char>(std::size_t{PTRDIFF_MAX}); }, "funnel::arena::allocate",
                "count is "));
  const std::size_t capacity = arena.capacity();
  CHECK(on_cache_line(arena.allocate<int>(4)));
  CHECK(arena.capacity() == capacity);
  CHECK(kept[2] == 7);
}
