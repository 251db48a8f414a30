// SPDX-License-Identifier: MIT
#include <funnel/data/sparse_matrix_builder.hpp>

#include <funnel/core/random.hpp>

#include "data/files.hpp"
#include "support/allocation.hpp"
#include "support/catch.hpp"

#include <cstddef>
#include <cstdint>
#include <vector>

using namespace funnel;

TEST_CASE("a builder holds no more than the matrix and the memory it was allowed") {
  const temporary_folder folder;
  const std::size_t memory = std::size_t{1} << 20, rows = 2000, count = 300'000;
  random_generator bits(2);
  std::vector<sparse_entry> entries;
  for (std::size_t i = 0; i < count; ++i)
    entries.push_back({static_cast<std::uint32_t>(uniform_below(bits, rows)),
                       static_cast<std::uint32_t>(uniform_below(bits, 5000)), 1, 0});
  sparse_matrix_builder builder({.rows = rows, .memory = memory, .folder = folder.path()});
  // What is held, 38,000 entries, is given back when it is in the file: seven times.
  const std::size_t of_add = bytes_of([&] { builder.add(entries); });
  CHECK(of_add <= 8 * memory);
  std::size_t cells = 0;
  const std::size_t of_finish = bytes_of([&] { cells = builder.finish().entries(); });
  CHECK(of_finish <= 16 * cells + 8 * (rows + 1) + memory);
}
