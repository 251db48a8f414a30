// SPDX-License-Identifier: MIT
// The C++ side of check_files.py.
//
//     files write <folder>     writes types.safetensors and parts.safetensors
//     files read <folder>      reads python.safetensors and *.npy, which check_files.py wrote
//     files open <file>...     prints for each safetensors file whether it is accepted
#include <funnel/io/model_writer.hpp>
#include <funnel/io/npy.hpp>
#include <funnel/io/safetensors.hpp>
#include <funnel/io/safetensors_writer.hpp>

#include <cstdint>
#include <cstdio>
#include <exception>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace {

/// Calls `run(name, value)` for every type but bool; `value` is of the type.
void for_each_type(auto&& run) {
  run("F64", double{}), run("F32", float{}), run("I64", std::int64_t{}), run("I32", std::int32_t{});
  run("I16", std::int16_t{}), run("I8", std::int8_t{}), run("U64", std::uint64_t{});
  run("U32", std::uint32_t{}), run("U16", std::uint16_t{}), run("U8", std::uint8_t{});
}

/// The values of an array of n: 1, 2, ...
template <class T>
std::vector<T> counted(std::size_t n) {
  std::vector<T> values(n);
  for (std::size_t i = 0; i < n; ++i) values[i] = static_cast<T>(i + 1);
  return values;
}

struct state {
  std::int64_t time = -5;
  std::string name = "likes";
  std::vector<double> sums{1, 2, 3}, none;
  void visit_state(auto&& visit) {
    visit("time", time);
    visit("name", name);
    visit("sums", sums);
    visit("none", none);
  }
};
struct model {
  funnel::parameter<float> weight{2, 3}, bias{1, 3};
  void visit_parameters(auto&& visit) {
    visit("weight", weight);
    visit("bias", bias);
  }
};

void write(const std::string& folder) {
  funnel::safetensors_writer writer;
  std::vector<std::vector<std::byte>> kept;
  for_each_type([&]<class T>(const std::string& name, T) {
    const std::vector<T> values = counted<T>(6);
    const auto bytes = std::as_bytes(std::span(values));
    kept.emplace_back(bytes.begin(), bytes.end());
    writer.add(name, funnel::tensor_type_of<T>, {1, 2, 3}, kept.back());
    writer.add(name + " empty", funnel::tensor_type_of<T>, {0, 4}, {});
  });
  const bool flags[] = {true, false, true};
  const std::vector<std::uint16_t> halves{0x3c00, 0xc000, 0x0001}, brain{0x3f80, 0xc000};
  writer.add("BOOL", std::span(flags))
      .add("F16", funnel::tensor_type::f16, {3}, std::as_bytes(std::span(halves)))
      .add("BF16", funnel::tensor_type::bf16, {2}, std::as_bytes(std::span(brain)))
      .text("a \"key\"\n\xc3\xa9", "\\ text \x01")
      .write(folder + "/types.safetensors");

  model m;
  for (float& value : m.weight.value.flat()) value = .5f;
  const state s;
  funnel::model_writer()
      .parameters("model", m)
      .state("state", s)
      .text("k", "v")
      .golden("scores", std::vector<float>{1, 2})
      .write(folder + "/parts.safetensors");
}

void expect(bool right, const std::string& what) {
  if (!right) throw std::runtime_error(what);
}

template <class T>
bool is_counted(std::span<const T> values) {
  bool right = values.size() == 6;
  for (std::size_t i = 0; right && i < 6; ++i) right = values[i] == static_cast<T>(i + 1);
  return right;
}

void read(const std::string& folder) {
  const funnel::safetensors_file file(folder + "/python.safetensors");
  for_each_type([&]<class T>(const std::string& name, T) {
    expect(is_counted(file.values<T>(name)), name);
    expect(is_counted(file.view<T>(name).middle_rows(0, 2).row(0).size() == 3
                          ? file.values<T>(name)
                          : std::span<const T>()),
           name);
    for (const std::string order : {"c", "fortran", "version2", "version3"}) {
      const std::string path = folder + "/" + name + "_" + order + ".npy";
      const auto copy = funnel::npy_file(path).matrix<T>();
      expect(copy.rows() == 2 && copy.cols() == 3 && is_counted(copy.flat()), path);
    }
    const std::string path = folder + "/" + name + "_number.npy";
    expect(funnel::npy_file(path).values<T>()[0] == T(1), path);
  });
  const auto halves = file.matrix<float>("F16"), brain = file.matrix<float>("BF16");
  expect(is_counted(std::as_const(halves).flat()), "F16");
  expect(is_counted(std::as_const(brain).flat()), "BF16");
  expect(file.values<bool>("BOOL")[0] && !file.values<bool>("BOOL")[1], "BOOL");
  expect(funnel::npy_file(folder + "/BOOL.npy").values<bool>()[0], "BOOL.npy");
  expect(*file.find_text("key") == "\xc3\xa9 \"text\"\n", "metadata");
  for (const std::string name : {"big", "text", "objects", "records", "complex"}) {
    bool refused = false;
    try {
      const funnel::npy_file other(folder + "/" + name + ".npy");
    } catch (const funnel::format_error& error) {
      std::printf("%s\n", error.what());
      refused = true;
    }
    expect(refused, name + ".npy is refused");
  }
}

void open(const std::string& path) {
  try {
    const funnel::safetensors_file file(path);
    std::printf("ok %s\n", path.c_str());
  } catch (const funnel::format_error&) {
    std::printf("refused %s\n", path.c_str());
  }
}

}  // namespace

int main(int count, char** words) {
  const std::vector<std::string> arguments(words + 1, words + count);
  try {
    if (arguments.size() < 2) throw std::runtime_error("expected write, read or open, then a path");
    if (arguments[0] == "write") write(arguments[1]);
    if (arguments[0] == "read") read(arguments[1]);
    if (arguments[0] == "open")
      for (std::size_t i = 1; i < arguments.size(); ++i) open(arguments[i]);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "files: %s\n", error.what());
    return 1;
  }
}
