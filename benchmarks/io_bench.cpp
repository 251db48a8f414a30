// SPDX-License-Identifier: MIT
#include "harness.hpp"

#include <funnel/io/model_file.hpp>
#include <funnel/io/model_writer.hpp>
#include <funnel/nn/embedding.hpp>

#include <filesystem>
#include <memory>
#include <string>

namespace {

/// A file of one table, in the page cache; gone with the object.
struct saved_table {
  static constexpr std::size_t rows = std::size_t{1} << 20, dim = 64;
  static constexpr double bytes = 4. * rows * dim;

  std::string path =
      (std::filesystem::temp_directory_path() / "funnel-io-bench.safetensors").string();
  funnel::embedding<float> model{rows, dim};

  saved_table() {
    float next = 0;
    for (float& value : model.table.value.flat()) value = next++;
    funnel::model_writer().parameters("model", model).write(path);
  }
  saved_table(const saved_table&) = delete;
  saved_table& operator=(const saved_table&) = delete;
  ~saved_table() { std::filesystem::remove(path); }
};

const bool added = [] {
  // Everything is read once.
  bench::add("model_file_open/256MB", {.memory_bytes = saved_table::bytes}, []() -> bench::task {
    const auto s = std::make_shared<saved_table>();
    return [s] { const funnel::model_file file(s->path); };
  });
  // Opened, then copied: the checksums read the file, and the copy reads and writes it.
  bench::add("model_file_load/256MB", {.memory_bytes = 3 * saved_table::bytes},
             []() -> bench::task {
               const auto s = std::make_shared<saved_table>();
               return [s] { funnel::model_file(s->path).load_parameters("model", s->model); };
             });
  return true;
}();

}  // namespace
