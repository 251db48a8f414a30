// SPDX-License-Identifier: MIT
#include <funnel/data/funnel_log_file.hpp>
#include <funnel/data/funnel_log_reader.hpp>

#include "data/files.hpp"
#include "support/catch.hpp"

#include <funnel/features/column_table.hpp>
#include <funnel/features/fit_schema.hpp>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <system_error>
#include <vector>

#if defined(__linux__)
#include <csignal>
#include <sys/resource.h>
#endif

using namespace funnel;

namespace {

schema fitted_schema(const std::string& name) {
  column_table table;
  for (const char* c : {"user_id", "item_id", "time", "click"})
    table.add(c, 4, [](std::size_t i) { return i; });
  schema features({.name = name, .of_user = {category{"user_id"}}, .labels = "click"});
  fit_schema(features, table);
  return features;
}

struct source {
  candidates found{{"popular"}, {{"rank"}}};
  funnel_log log;
  explicit source(const std::string& name = "s")
      : log(fitted_schema(name), found, {"popular", "rank"}) {
    for (std::int64_t id = 0; id < 50; ++id) found.add(0, id, 1);
  }
  funnel_log& with(std::uint64_t first, std::uint64_t count) {
    for (std::uint64_t r = 0; r < count; ++r) log.add({.id = first + r}, found, found.kept());
    return log;
  }
};

std::vector<std::uint64_t> ids_in(const std::vector<std::string>& files, std::size_t dropped = 0) {
  funnel_log_reader reader(files);
  std::vector<std::uint64_t> ids;
  while (reader.next()) ids.push_back(reader.request().served.id);
  CHECK(reader.dropped().size() == dropped);
  return ids;
}

std::string content(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

using ids = std::vector<std::uint64_t>;

}  // namespace

TEST_CASE("funnel_log_file: appends logs of several threads, and goes on later") {
  const temporary_folder folder;
  const std::string path = folder.path() + "/a.log", next = folder.path() + "/b.log";
  source one, two, other("t");
  {
    funnel_log_file file(path);
    CHECK((file.size() == 0 && file.dropped().empty()));
    file.append(one.log);  // nothing
    CHECK(file.size() == 0);
    const std::size_t names = one.log.name_bytes().size(), first = one.with(1, 2).bytes().size();
    file.append(one.log);
    CHECK(one.log.requests() == 0);
    CHECK(file.size() == first);
    const std::size_t second = two.with(3, 1).bytes().size();
    file.append(two.log);  // the same names: not written again
    CHECK(file.size() == first + second - names);
    file.append(other.with(4, 1));  // other names
    file.append(one.with(5, 1));
    file.synchronize();
    CHECK(file.size() == std::filesystem::file_size(path));
    file = funnel_log_file(next);
    file.append(two.with(6, 1));
  }
  CHECK(ids_in({path}) == ids{1, 2, 3, 4, 5});
  CHECK(ids_in({path, next}) == ids{1, 2, 3, 4, 5, 6});
  funnel_log_file(path).append(one.with(7, 1));
  CHECK(ids_in({path, next}) == ids{1, 2, 3, 4, 5, 7, 6});
  funnel_log_reader reader(path);
  std::vector<std::string> names;
  while (reader.next()) names.push_back(reader.names().schema.substr(0, 1));
  CHECK(names == std::vector<std::string>{"s", "s", "s", "t", "s", "s"});
}

TEST_CASE(
    "funnel_log_file: what a crash left of the last record is dropped, and the file goes on") {
  const temporary_folder folder;
  const std::string path = folder.path() + "/a.log";
  source one;
  funnel_log_file(path).append(one.with(1, 3));
  const std::string whole = content(path);
  for (const std::size_t cut : {8u, 100u, 500u}) {
    for (const std::size_t zeros : {0u, 40u, 70'000u}) {
      folder.write("a.log", whole.substr(0, whole.size() - cut) + std::string(zeros, '\0'));
      CHECK(ids_in({path}, 1) == ids{1, 2});
      {
        funnel_log_file file(path);
        CHECK(file.dropped().find("were dropped") != std::string::npos);
        file.append(one.with(9, 1));
      }
      CHECK(ids_in({path}) == ids{1, 2, 9});
    }
  }
  std::string damaged = whole;
  damaged[damaged.size() / 2] ^= 4;
  folder.write("a.log", damaged);
  CHECK(format_error_of([&] { funnel_log_file file(path); }).find(path + ": byte ") == 0);
  CHECK(content(path) == damaged);
  folder.write("a.log", "a,b\n");
  CHECK(format_error_of([&] { funnel_log_file file(path); }).find("no funnel log") !=
        std::string::npos);
  CHECK(content(path) == "a,b\n");
}

TEST_CASE("funnel_log_file: errors of the system") {
  const temporary_folder folder;
  CHECK_THROWS_AS(funnel_log_file(folder.path() + "/no/a.log"), std::system_error);
#if defined(__linux__)
  const std::string path = folder.path() + "/a.log";
  source one;
  funnel_log_file file(path);
  CHECK_THROWS_AS(funnel_log_file(path), std::system_error);  // is locked
  file.append(one.with(1, 2));
  const std::uint64_t size = file.size();
  one.with(3, 2);
  rlimit before{};
  getrlimit(RLIMIT_FSIZE, &before);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit small{size + 100, before.rlim_max};
  setrlimit(RLIMIT_FSIZE, &small);
  bool thrown = false;
  try {
    file.append(one.log);
  } catch (const std::system_error&) {
    thrown = true;
  }
  setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, handler);
  CHECK(thrown);
  CHECK((one.log.requests() == 2 && file.size() == size));
  CHECK(ids_in({path}) == ids{1, 2});
  file.append(one.log);
  CHECK(ids_in({path}) == ids{1, 2, 3, 4});
#endif
}
