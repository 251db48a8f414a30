// SPDX-License-Identifier: MIT
#include <funnel/io/load_parameters.hpp>
#include <funnel/io/model_file.hpp>
#include <funnel/io/model_writer.hpp>
#include <funnel/io/npy.hpp>
#include <funnel/io/safetensors_writer.hpp>

#include "data/files.hpp"
#include "io/raw_file.hpp"
#include "io/small_parts.hpp"
#include "support/failing_allocator.hpp"

#include <algorithm>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

using failing_allocator::check_every_failure;

using namespace small_parts;

namespace {

/// Bytes of the file, and how many files are beside it.
std::pair<std::string, std::size_t> contents(const temporary_folder& folder) {
  const auto files = std::filesystem::directory_iterator(folder.path());
  return {bytes_of_file(folder.path() + "/m"),
          static_cast<std::size_t>(std::distance(begin(files), end(files)))};
}

}  // namespace

TEST_CASE("out of memory: writing a model file leaves the old one") {
  const temporary_folder folder;
  const std::string path = folder.path() + "/m";
  const auto model = trained_model<float>(1);
  const small_state state = filled_state();
  const auto make = [&] {
    folder.write("m", "old");
    return 0;
  };
  const auto write = [&](int) {
    funnel::model_writer()
        .parameters("model", model)
        .state("state", state)
        .text("k", "v")
        .golden("scores", std::vector<float>{1, 2})
        .write(path);
  };
  check_every_failure("write", make, write, [&](int) { return contents(folder); });
}

TEST_CASE("out of memory: loading leaves the model and the object") {
  const temporary_folder folder;
  const std::string path = folder.path() + "/m";
  const auto model = trained_model<float>(1);
  const small_state state = filled_state();
  funnel::model_writer().parameters("model", model).state("state", state).write(path);
  const funnel::model_file file(path);
  check_every_failure(
      "parameters", [] { return trained_model<float>(9); },
      [&](auto& m) { file.load_parameters("model", m); }, values_of<float>);
  check_every_failure(
      "state",
      [] {
        small_state s = filled_state();
        s.time = 9;
        s.ids = {1};
        return s;
      },
      [&](auto& s) {
        file.load_state("state", s);
        s.loads = 0;
      },
      [](const auto& s) { return s; });
  const auto none = [] { return std::optional<funnel::model_file>(); };
  const auto parts = [](const auto& f) { return f ? f->parts() : std::vector<std::string>(); };
  check_every_failure(
      "open", none, [&](auto& f) { f.emplace(path); }, parts);
}

TEST_CASE("out of memory: loading by a map leaves the model") {
  const temporary_folder folder;
  const std::string path = folder.path() + "/t";
  const funnel::matrix<float> table(3, 4, 2.f), layers(4, 2, 3.f);
  funnel::safetensors_writer().add("t", table).add("layers", layers).write(path);
  const funnel::safetensors_file file(path);
  funnel::parameter_map map;
  map.add({.parameter = "table", .tensor = "t", .transposed = true});
  map.add({.parameter = "layers.0", .tensor = "layers", .rows = {0, 3}});
  map.add({.parameter = "layers.1", .tensor = "layers", .rows = {3, 1}});
  check_every_failure(
      "load_parameters", [] { return trained_model<float>(9); },
      [&](auto& m) { funnel::load_parameters(file, m, map); }, values_of<float>);
}
