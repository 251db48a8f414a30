// SPDX-License-Identifier: MIT
#include <funnel/data/sparse_matrix_builder.hpp>

#include <funnel/core/random.hpp>

#include "data/files.hpp"
#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/threads.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <span>
#include <string>
#include <system_error>
#include <vector>

#if defined(__linux__)
#include <csignal>
#include <sys/resource.h>
#endif

using namespace funnel;

namespace {

constexpr std::size_t least_memory = std::size_t{1} << 20;
/// Entries that memory of 2^20 bytes holds, without its eighth for buffers.
constexpr std::size_t held_by_least = (least_memory - least_memory / 8) / 24;

std::vector<sparse_entry> random_entries(std::uint64_t seed, std::size_t count, std::size_t rows,
                                         std::size_t columns, std::size_t times = 4) {
  random_generator bits(seed);
  std::vector<sparse_entry> entries;
  for (std::size_t i = 0; i < count; ++i)
    entries.push_back({static_cast<std::uint32_t>(uniform_below(bits, rows)),
                       static_cast<std::uint32_t>(uniform_below(bits, columns)),
                       static_cast<float>(uniform01(bits)) + .1f,
                       static_cast<std::int64_t>(uniform_below(bits, times)) - 1});
  return entries;
}

bool same(const sparse_matrix& a, const sparse_matrix& b) {
  if (a.rows() != b.rows() || a.columns() != b.columns() || a.entries() != b.entries())
    return false;
  for (std::size_t r = 0; r < a.rows(); ++r)
    if (!std::ranges::equal(a[r].columns, b[r].columns) ||
        !std::ranges::equal(a[r].values, b[r].values) ||
        !std::ranges::equal(a[r].times, b[r].times))
      return false;
  return true;
}

bool is_empty(const std::string& folder) {
  return std::filesystem::is_empty(folder);
}

/// What a call says in its std::system_error; empty where it throws none.
template <class Call>
std::string system_error_of(Call&& call) {
  try {
    call();
  } catch (const std::system_error& error) {
    return error.what();
  }
  return {};
}

}  // namespace

TEST_CASE("a matrix of entries that are added") {
  sparse_matrix_builder builder({.repeated = repeated_entries::latest});
  builder.add({2, 1, 3, 10});
  builder.add({0, 5, 1, 0});
  builder.add(std::vector<sparse_entry>{{2, 1, 4, 10}, {2, 0, 2, 7}, {2, 1, 9, 8}});
  CHECK(builder.added() == 5);
  const sparse_matrix m = builder.finish();
  CHECK(m.rows() == 3);
  CHECK(m.columns() == 6);
  CHECK(m.entries() == 3);
  CHECK(m[2].columns[0] == 0);
  CHECK(m[2].columns[1] == 1);
  CHECK(m[2].values[1] == 4);  // of the latest two, the one that was added last
  CHECK(m[2].times[1] == 10);
  CHECK(builder.added() == 0);
  CHECK(same(builder.finish(), sparse_matrix(std::vector<sparse_entry>{})));
}

TEST_CASE("a built matrix has the bits of one that is made at once") {
  const temporary_folder folder;
  for (const repeated_entries repeated :
       {repeated_entries::largest, repeated_entries::sum, repeated_entries::latest}) {
    std::uint64_t seed = 0;
    for (const std::size_t count :
         {std::size_t{0}, std::size_t{1}, std::size_t{1023}, std::size_t{1024}, std::size_t{5000},
          held_by_least, held_by_least + 1, 4 * held_by_least + 77}) {
      // Many rows; many entries a cell; one row.
      for (const std::size_t rows : {std::size_t{3000}, std::size_t{40}, std::size_t{1}}) {
        const std::vector<sparse_entry> entries = random_entries(++seed, count, rows, 50);
        const bool given = seed % 2 == 0;
        const sparse_matrix expected(
            entries,
            {.rows = given ? rows + 2 : 0, .columns = given ? 60u : 0u, .repeated = repeated});
        for (const bool spills : {false, true}) {
          if (spills && count < held_by_least) continue;
          sparse_matrix_builder_options options{
              .rows = given ? rows + 2 : 0, .columns = given ? 60u : 0u, .repeated = repeated};
          if (spills) options.memory = least_memory, options.folder = folder.path();
          sparse_matrix_builder builder(options);
          for (const std::size_t threads : {1u, 2u, 4u}) {
            INFO(count << " entries, " << rows << " rows, " << threads << " threads");
            thread_executor executor{threads};
            if (threads == 1) {
              for (const sparse_entry& e : entries) builder.add(e);
              CHECK(same(builder.finish(), expected));
            } else {
              const std::size_t half = count / threads;
              builder.add(executor, std::span(entries).first(half));
              builder.add(executor, std::span(entries).subspan(half));
              CHECK(builder.added() == count);
              CHECK(same(builder.finish(executor), expected));
            }
          }
        }
      }
    }
  }
  CHECK(is_empty(folder.path()));
}

TEST_CASE("more parts than there are buffers for") {
  const temporary_folder folder;
  const std::vector<sparse_entry> entries = random_entries(1, 40 * held_by_least, 90'000, 300, 99);
  sparse_matrix_builder builder({.memory = least_memory, .folder = folder.path()});
  thread_executor executor{2};
  builder.add(executor, entries);
  CHECK(same(builder.finish(executor), sparse_matrix(entries)));
}

TEST_CASE("builders and their files") {
  const temporary_folder folder;
  const std::vector<sparse_entry> entries = random_entries(3, 2 * held_by_least, 500, 500);
  const sparse_matrix_builder_options options{.memory = least_memory, .folder = folder.path()};
  {
    sparse_matrix_builder one(options), other(options);
    one.add(entries);
    other.add(std::span(entries).first(held_by_least + 9));
    CHECK(same(one.finish(), sparse_matrix(entries)));
    CHECK(same(other.finish(), sparse_matrix(std::span(entries).first(held_by_least + 9))));
    one.add(entries);  // again, and not finished
    const std::vector<sparse_entry> bad{{0, 0}, {0, 0, -1}};
    CHECK_THROWS_AS(one.add(bad), std::invalid_argument);
    CHECK(one.added() == entries.size());
  }
  CHECK(is_empty(folder.path()));

  const std::string none = folder.path() + "/none";
  const std::string text =
      system_error_of([&] { sparse_matrix_builder({.memory = least_memory, .folder = none}); });
  CHECK(text.find(none + "/funnel-") == 0);
  CHECK(text.find(": the file can't be created: No such file or directory") != text.npos);
  const std::string file = folder.write("file", "");
  CHECK(!system_error_of([&] { sparse_matrix_builder({.folder = file}); }).empty());
}

TEST_CASE("what a builder refuses") {
  const auto refused = [](const sparse_matrix_builder_options& options, const char* words) {
    return refuses([&] { sparse_matrix_builder builder(options); },
                   "funnel::sparse_matrix_builder: ", words);
  };
  constexpr std::size_t largest = std::numeric_limits<std::size_t>::max();
  CHECK(refused({.rows = largest}, "rows is"));
  CHECK(refused({.columns = std::size_t{1} << 63}, "expected at most 2^32"));
  CHECK(refused({.repeated = static_cast<repeated_entries>(3)}, "repeated is 3"));
  CHECK(refused({.memory = 0, .folder = "."}, "memory is 0, expected 2^20 or more"));
  CHECK(refused({.memory = least_memory}, "folder is empty, expected a folder"));
  CHECK(refused({.memory = std::size_t{1} << 63}, "folder is empty, expected a folder"));
  sparse_matrix_builder builder({.rows = 2, .columns = 3});
  const auto entry_refused = [&](const sparse_entry& e, const char* words) {
    return refuses([&] { builder.add(e); }, "funnel::sparse_matrix_builder: ", words) &&
           refuses(
               [&] {
                 builder.add(std::vector<sparse_entry>{{0, 0}, e});
               },
               "funnel::sparse_matrix_builder: ", words);
  };
  CHECK(entry_refused({2, 0}, "the row of an entry is 2, expected below 2"));
  CHECK(entry_refused({0, 3}, "the column of an entry is 3, expected below 3"));
  CHECK(entry_refused({0, 0, 0}, "the value of an entry is 0"));
  CHECK(entry_refused({0, 0, std::numeric_limits<float>::quiet_NaN()}, "is nan"));
  CHECK(entry_refused({0, 0, std::numeric_limits<float>::infinity()}, "is inf"));
  CHECK(builder.added() == 0);
  CHECK(builder.finish().entries() == 0);
}

#if defined(__linux__)
TEST_CASE("a full disk: nothing is lost, and the builder goes on when there is room") {
  const temporary_folder folder;
  const std::vector<sparse_entry> entries = random_entries(4, 6 * held_by_least, 3000, 700);
  const auto old_action = std::signal(SIGXFSZ, SIG_IGN);
  rlimit before{};
  REQUIRE(getrlimit(RLIMIT_FSIZE, &before) == 0);
  rlimit small = before;
  small.rlim_cur = 3 * least_memory;
  for (const bool finish_without : {false, true}) {
    sparse_matrix_builder builder({.memory = least_memory, .folder = folder.path()});
    REQUIRE(setrlimit(RLIMIT_FSIZE, &small) == 0);
    const std::string text = system_error_of([&] { builder.add(entries); });
    const std::size_t added = builder.added();
    if (!finish_without) {  // the next one does not fit either
      CHECK(!system_error_of([&] { builder.add(entries[added]); }).empty());
      CHECK(builder.added() == added);
    }
    REQUIRE(setrlimit(RLIMIT_FSIZE, &before) == 0);
    CHECK(text.find(folder.path() + "/funnel-") == 0);
    CHECK(text.find(": the file can't be written: File too large") != text.npos);
    CHECK(added == 4 * held_by_least);
    if (!finish_without) builder.add(std::span(entries).subspan(added));
    CHECK(same(builder.finish(), sparse_matrix(finish_without ? std::span(entries).first(added)
                                                              : std::span(entries))));
  }
  std::signal(SIGXFSZ, old_action);
}

TEST_CASE("a folder that is removed, and a file that someone shortens") {
  const temporary_folder folder;
  const std::string path = folder.path() + "/spill";
  std::filesystem::create_directory(path);
  const std::vector<sparse_entry> entries = random_entries(5, 3 * held_by_least, 3000, 700);
  sparse_matrix_builder builder({.memory = least_memory, .folder = path});
  builder.add(std::span(entries).first(held_by_least + 1));
  CHECK(is_empty(path));  // the file has no name
  std::filesystem::remove(path);
  builder.add(std::span(entries).subspan(held_by_least + 1));
  CHECK(same(builder.finish(), sparse_matrix(entries)));

  builder.add(entries);
  for (const auto& open : std::filesystem::directory_iterator("/proc/self/fd")) {
    std::error_code ignored;
    const auto target = std::filesystem::read_symlink(open.path(), ignored).string();
    if (target.starts_with(path)) std::filesystem::resize_file(open.path(), 5000);
  }
  for (int tries = 0; tries < 2; ++tries) {
    const std::string text = format_error_of([&] { builder.finish(); });
    CHECK(text.find(path + "/funnel-") == 0);
    CHECK(text.find(": the file has been shortened, expected ") != text.npos);
    CHECK(builder.added() == entries.size());
  }
}
#endif
