// SPDX-License-Identifier: MIT
#include <funnel/core/sparse_matrix.hpp>

#include <funnel/core/random.hpp>

#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/saved_state.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <utility>
#include <vector>

using namespace funnel;

namespace {

std::vector<sparse_entry> random_entries(std::uint64_t seed, std::size_t count, std::size_t rows,
                                         std::size_t columns) {
  random_generator bits(seed);
  std::vector<sparse_entry> entries;
  for (std::size_t i = 0; i < count; ++i)
    entries.push_back({static_cast<std::uint32_t>(uniform_below(bits, rows)),
                       static_cast<std::uint32_t>(uniform_below(bits, columns)),
                       static_cast<float>(1 + uniform_below(bits, 5)),
                       static_cast<std::int64_t>(uniform_below(bits, 20))});
  return entries;
}

std::vector<sparse_entry> entries_of(const sparse_matrix& m) {
  std::vector<sparse_entry> entries;
  for (std::size_t r = 0; r < m.rows(); ++r)
    for (std::size_t i = 0; i < m[r].size(); ++i)
      entries.push_back(
          {static_cast<std::uint32_t>(r), m[r].columns[i], m[r].values[i], m[r].times[i]});
  return entries;
}

}  // namespace

TEST_CASE("rows have their columns once, in order") {
  for (const repeated_entries repeated :
       {repeated_entries::largest, repeated_entries::sum, repeated_entries::latest}) {
    for (std::uint64_t seed = 0; seed < 20; ++seed) {
      const auto entries = random_entries(seed, 200, 9, 11);
      std::map<std::pair<std::uint32_t, std::uint32_t>, sparse_entry> cells;
      for (const sparse_entry& e : entries) {
        const auto [at, is_new] = cells.try_emplace({e.row, e.column}, e);
        if (is_new) continue;
        sparse_entry& cell = at->second;
        if (repeated == repeated_entries::sum) cell.value += e.value;
        if (repeated == repeated_entries::largest) cell.value = std::max(cell.value, e.value);
        if (repeated == repeated_entries::latest && e.time >= cell.time) cell.value = e.value;
        cell.time = std::max(cell.time, e.time);
      }
      std::vector<sparse_entry> expected;
      for (const auto& [place, cell] : cells) expected.push_back(cell);
      const sparse_matrix m(entries, {.rows = 10, .columns = 12, .repeated = repeated});
      CHECK(m.rows() == 10);
      CHECK(m.columns() == 12);
      CHECK(m.entries() == expected.size());
      CHECK(entries_of(m) == expected);
    }
  }
}

TEST_CASE("the size is that of the entries unless it is given") {
  const sparse_matrix m(std::vector<sparse_entry>{{3, 1}, {0, 7}});
  CHECK(m.rows() == 4);
  CHECK(m.columns() == 8);
  CHECK(m[1].size() == 0);
  CHECK(sparse_matrix().rows() == 0);
  CHECK(sparse_matrix(std::vector<sparse_entry>{}).transposed().rows() == 0);
}

TEST_CASE("the transposed matrix has the same entries") {
  const sparse_matrix m(random_entries(1, 300, 20, 30));
  auto swapped = entries_of(m.transposed());
  for (sparse_entry& e : swapped) std::swap(e.row, e.column);
  std::ranges::sort(swapped, [](const sparse_entry& a, const sparse_entry& b) {
    return std::pair(a.row, a.column) < std::pair(b.row, b.column);
  });
  CHECK(swapped == entries_of(m));
  CHECK(entries_of(m.transposed().transposed()) == entries_of(m));
}

TEST_CASE("the latest entries of a row") {
  const sparse_matrix m(std::vector<sparse_entry>{
      {0, 0, 1, 5}, {0, 1, 1, 3}, {0, 2, 1, 5}, {0, 3, 1, 4}, {2, 1, 1, 0}});
  const auto columns = [&](std::size_t most, std::size_t row) {
    const sparse_matrix kept = m.latest(most);
    return std::vector<std::uint32_t>(kept[row].columns.begin(), kept[row].columns.end());
  };
  CHECK(columns(3, 0) == std::vector<std::uint32_t>{0, 2, 3});
  CHECK(columns(1, 0) == std::vector<std::uint32_t>{2});
  CHECK(columns(0, 0).empty());
  CHECK(columns(9, 0).size() == 4);
  CHECK(columns(1, 2) == std::vector<std::uint32_t>{1});
  CHECK(m.latest(2).columns() == 4);
}

TEST_CASE("what a sparse matrix refuses, and damaged files") {
  using entries = std::vector<sparse_entry>;
  const auto refused = [](const entries& of, sparse_matrix_options options, const char* words) {
    return refuses([&] { sparse_matrix(of, options); }, "funnel::sparse_matrix", words);
  };
  CHECK(refused({{2, 0}}, {.rows = 2}, "the row of an entry is 2, expected below 2"));
  CHECK(refused({{0, 5}}, {.columns = 5}, "the column of an entry is 5, expected below 5"));
  constexpr std::size_t largest = std::numeric_limits<std::size_t>::max();
  CHECK(refused({{2, 0}}, {.rows = largest}, "expected at most 2^32"));
  CHECK(refused({{2, 0}}, {.columns = largest}, "expected at most 2^32"));
  CHECK(refused({{0, 0, 0}}, {}, "the value of an entry is 0"));
  CHECK(refused({{0, 0, -1}}, {}, "the value of an entry is -1"));
  CHECK(refused({{0, 0, std::numeric_limits<float>::quiet_NaN()}}, {}, "is nan"));
  CHECK(refused({}, {.repeated = static_cast<repeated_entries>(3)}, "repeated is 3"));
  const sparse_matrix m(random_entries(2, 50, 6, 7));
  const saved_state file(m);
  sparse_matrix loaded;
  file.load(loaded);
  CHECK(entries_of(loaded) == entries_of(m));
  CHECK(loaded.columns() == 7);
  const char* words = "a sparse matrix is damaged";
  CHECK(refuses_state(m, file.with("columns", std::vector<std::uint64_t>{3}), words));
  CHECK(refuses_state(m, file.with("offsets", std::vector<std::uint64_t>{}), words));
  CHECK(refuses_state(m, file.with("offsets", std::vector<std::uint64_t>{0, 9, 3, m.entries()}),
                      words));
  CHECK(refuses_state(m, file.with("values", std::vector<float>{1}), words));
  CHECK(
      refuses_state(m, file.with("columns", std::vector<std::uint64_t>{(1ull << 32) + 1}), words));
  for (const float wrong : {0.f, -1.f, std::numeric_limits<float>::infinity(),
                            std::numeric_limits<float>::quiet_NaN()}) {
    std::vector<float> values(m.entries(), 1.f);
    values.back() = wrong;
    CHECK(refuses_state(m, file.with("values", values), words));
  }
  constexpr float most = std::numeric_limits<float>::max();
  const sparse_matrix sum(entries{{0, 0, most}, {0, 0, most}}, {.repeated = repeated_entries::sum});
  CHECK(sum[0].values[0] == most);
  CHECK(refuses_state(m, file.with("times", std::vector<std::int64_t>{1}), words));
  std::vector<std::uint32_t> twice(m[0].columns.begin(), m[0].columns.end());
  for (std::size_t r = 1; r < m.rows(); ++r)
    twice.insert(twice.end(), m[r].columns.begin(), m[r].columns.end());
  twice[1] = twice[0];
  CHECK(refuses_state(m, file.with("columns_of", twice), words));
}
