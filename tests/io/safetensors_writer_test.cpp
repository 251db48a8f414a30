// SPDX-License-Identifier: MIT
#include <funnel/io/safetensors_writer.hpp>

#include "data/files.hpp"
#include "io/raw_file.hpp"
#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/matrices.hpp"

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <string>
#include <system_error>
#include <vector>

#if defined(__unix__) || defined(__APPLE__)
#include <csignal>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#endif

using funnel::safetensors_file;
using funnel::safetensors_writer;

namespace {

std::vector<std::string> names_in(const std::string& folder) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder))
    names.push_back(entry.path().filename().string());
  std::ranges::sort(names);
  return names;
}

template <class T>
void check_round_trip(const temporary_folder& folder, const std::vector<T>& values,
                      std::string_view type) {
  const std::string path = folder.path() + "/t";
  safetensors_writer().add("x", std::span<const T>(values)).write(path);
  const safetensors_file file(path);
  CHECK(tensor_type_name(file.at("x").type) == type);
  CHECK(file.at("x").shape == std::vector{values.size()});
  const auto read = file.values<T>("x");
  REQUIRE(read.size() == values.size());
  CHECK(std::ranges::equal(std::as_bytes(read), std::as_bytes(std::span(values))));
}

template <class T>
std::vector<T> ends() {
  using limits = std::numeric_limits<T>;
  return {limits::lowest(), limits::max(), T(0), T(1), limits::min()};
}

}  // namespace

TEST_CASE("safetensors_writer: every type comes back to the bit") {
  const temporary_folder folder;
  check_round_trip(folder, ends<double>(), "F64");
  check_round_trip(folder, ends<float>(), "F32");
  check_round_trip(folder, std::vector{std::numeric_limits<float>::quiet_NaN(), -0.f}, "F32");
  check_round_trip(folder, std::vector<funnel::float16>{{0x3c00}, {0xfbff}, {1}}, "F16");
  check_round_trip(folder, std::vector<funnel::bfloat16>{{0x3f80}, {0x7f7f}}, "BF16");
  check_round_trip(folder, ends<std::int64_t>(), "I64");
  check_round_trip(folder, ends<std::int32_t>(), "I32");
  check_round_trip(folder, ends<std::int16_t>(), "I16");
  check_round_trip(folder, ends<std::int8_t>(), "I8");
  check_round_trip(folder, ends<std::uint64_t>(), "U64");
  check_round_trip(folder, ends<std::uint32_t>(), "U32");
  check_round_trip(folder, ends<std::uint16_t>(), "U16");
  check_round_trip(folder, ends<std::uint8_t>(), "U8");
  check_round_trip(folder, std::vector<char>{'a', '\xff'}, "U8");
  check_round_trip(folder, std::vector<float>{}, "F32");
  const bool flags[] = {true, false, true};
  safetensors_writer().add("x", std::span(flags)).write(folder.path() + "/t");
  const safetensors_file file(folder.path() + "/t");
  CHECK(tensor_type_name(file.at("x").type) == "BOOL");
  CHECK(std::ranges::equal(file.values<bool>("x"), flags));
}

TEST_CASE("safetensors_writer: values start at multiples of 64 bytes and fillers are not listed") {
  const temporary_folder folder;
  const std::string path = folder.path() + "/t";
  const auto a = random_matrix<float>(3, 5, 1), b = random_matrix<float>(7, 9, 2);
  const std::vector<double> c = random_values<double>(8, 3);
  const std::vector<std::uint8_t> none, one{5};
  safetensors_writer()
      .add("a", a)
      .add("part", b.view().middle_cols(2, 4))
      .add("c", c)
      .add("none", none)
      .add("one", one)
      .add("cube", funnel::tensor_type::f64, {2, 2, 2}, std::as_bytes(std::span(c)))
      .text("made by", "a \"test\"\n\xc3\xa9")
      .write(path);
  const safetensors_file file(path);
  std::vector<std::string> names;
  const std::byte* const start = file.header().data();
  CHECK(file.header().size() % 64 == 0);
  for (const funnel::tensor& t : file.tensors()) {
    names.push_back(t.name);
    CHECK((t.bytes.data() - start) % 64 == 0);
  }
  CHECK(names == std::vector<std::string>{"a", "part", "c", "none", "one", "cube"});
  CHECK(std::ranges::equal(file.values<float>("a"), a.flat()));
  CHECK(std::ranges::equal(file.values<double>("cube"), c));
  CHECK(file.at("cube").shape == std::vector<std::size_t>{2, 2, 2});
  CHECK(*file.find_text("made by") == "a \"test\"\n\xc3\xa9");
  const auto part = file.view<float>("part");
  REQUIRE((part.rows() == 7 && part.cols() == 4));
  for (std::size_t i = 0; i < 7; ++i)
    CHECK(std::ranges::equal(part.row(i), b.row(i).subspan(2, 4)));
  CHECK(names_in(folder.path()) == std::vector<std::string>{"t"});
}

TEST_CASE("safetensors_writer: bad arguments are refused before a file is made") {
  const temporary_folder folder;
  const std::string path = folder.path() + "/t";
  const std::vector<float> x{1, 2};
  const auto refused = [&](safetensors_writer& writer, std::string_view words) {
    return refuses([&] { writer.write(path); }, "funnel::safetensors_writer: the name of a tensor",
                   words);
  };
  for (const std::string name : {"", "_pad.0", "__metadata__", "_checksums", "\xff"}) {
    safetensors_writer writer;
    writer.add(name, x);
    CHECK(refused(writer, "expected"));
  }
  safetensors_writer writer;
  writer.add("x", x).add("x", x);
  CHECK(refuses([&] { writer.write(path); },
                "funnel::safetensors_writer: two tensors have the name",
                "\"x\", expected different names"));
  CHECK(
      refuses([&] { writer.add("y", funnel::tensor_type::f32, {3}, std::as_bytes(std::span(x))); },
              "funnel::safetensors_writer: y has 8 bytes", "expected those of F32 [3]"));
  const std::size_t large = std::numeric_limits<std::size_t>::max();
  CHECK(refuses(
      [&] {
        writer.add("y", funnel::tensor_type::f32, {large, large}, {});
      },
      "funnel::safetensors_writer: y has 0 bytes", "expected"));
  writer.text("k", "v");
  CHECK(refuses([&] { writer.text("k", "w"); }, "funnel::safetensors_writer::text: key",
                "not there"));
  CHECK(refuses([&] { writer.text("l", "\xff"); }, "funnel::safetensors_writer::text: value",
                "UTF-8"));
  CHECK(
      refuses([&] { writer.text("\xff", "l"); }, "funnel::safetensors_writer::text: key", "UTF-8"));
  CHECK(names_in(folder.path()).empty());
}

TEST_CASE("safetensors_writer: a file that cannot be written leaves the old one") {
  const temporary_folder folder;
  const std::vector<float> x{1, 2};
  safetensors_writer writer;
  writer.add("x", x);
  const auto error_of = [&](const std::string& path) -> std::string {
    try {
      writer.write(path);
    } catch (const std::system_error& error) {
      return error.what();
    }
    return {};
  };
  const std::string none = folder.path() + "/none/t";
  CHECK(error_of(none) == none + ": the file can't be created: No such file or directory");
  const std::string kept = folder.write("folder/t", "in the way");
  const std::string taken = folder.path() + "/folder";  // a folder has the name
  CHECK(error_of(taken).starts_with(taken + ": the file can't be replaced: "));
  CHECK(names_in(folder.path()) == std::vector<std::string>{"folder"});
  CHECK(bytes_of_file(kept) == "in the way");
}

TEST_CASE("safetensors_writer: the file of a link's name is replaced, not what it points to") {
  const temporary_folder folder;
  const std::vector<float> x{1, 2};
  const std::string target = folder.write("target", "old");
  std::filesystem::create_symlink(target, folder.path() + "/link");
  safetensors_writer().add("x", x).write(folder.path() + "/link");
  CHECK(bytes_of_file(target) == "old");
  CHECK(safetensors_file(folder.path() + "/link").values<float>("x")[1] == 2);
}

TEST_CASE("safetensors_writer: an open file keeps its values while it is replaced") {
  const temporary_folder folder;
  const std::string path = folder.path() + "/t";
  std::vector<float> x(100000, 1);
  safetensors_writer().add("x", x).write(path);
  const safetensors_file before(path);
  std::ranges::fill(x, 2.f);
  safetensors_writer().add("x", x).write(path);
  const safetensors_file after(path);
  CHECK(std::ranges::count(before.values<float>("x"), 1.f) == 100000);
  CHECK(std::ranges::count(after.values<float>("x"), 2.f) == 100000);
}

#if defined(__unix__) || defined(__APPLE__)
TEST_CASE("safetensors_writer: a full disk leaves the old file") {
  const temporary_folder folder;
  const std::string path = folder.path() + "/t";
  const std::vector<float> small{1, 2};
  safetensors_writer().add("x", small).write(path);
  const std::string old = bytes_of_file(path);

  // A limit on the size of files is how a test can fill the disk.
  rlimit before{};
  REQUIRE(getrlimit(RLIMIT_FSIZE, &before) == 0);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  const std::vector<float> large(100000, 3);
  for (const std::size_t limit : size_list{0, 100, 5000, 399999}) {
    const rlimit small_files{limit, before.rlim_max};
    REQUIRE(setrlimit(RLIMIT_FSIZE, &small_files) == 0);
    std::string text;
    try {
      safetensors_writer().add("x", large).write(path);
    } catch (const std::system_error& error) {
      text = error.what();
    }
    REQUIRE(setrlimit(RLIMIT_FSIZE, &before) == 0);
    CHECK(text == path + ": the file can't be written: File too large");
    CHECK(bytes_of_file(path) == old);
    CHECK(names_in(folder.path()) == std::vector<std::string>{"t"});
  }
  std::signal(SIGXFSZ, handler);
}

TEST_CASE("safetensors_writer: a write that is killed leaves a whole file") {
  const temporary_folder folder;
  const std::string path = folder.path() + "/t";
  const std::vector<float> first(100000, 1);
  safetensors_writer().add("x", first).write(path);
  for (int round = 0; round < 20; ++round) {
    const pid_t child = fork();
    if (child == 0) {
      for (float value = 2;; ++value) {
        const std::vector<float> x(100000, value);
        safetensors_writer().add("x", x).write(path);
      }
    }
    usleep(static_cast<useconds_t>(1000 * (round % 7) + 200 * round));
    kill(child, SIGKILL);
    int status = 0;
    REQUIRE(waitpid(child, &status, 0) == child);
    REQUIRE(WIFSIGNALED(status));
    const safetensors_file file(path);
    const auto x = file.values<float>("x");
    CHECK(std::ranges::count(x, x[0]) == 100000);
  }
}
#endif
