// SPDX-License-Identifier: MIT
//
// A file of any bytes as safetensors: what is accepted fills the file without gaps and overlaps and
// can be written again; what is refused says where.
#include "fuzz/file.hpp"
#include "fuzz/input.hpp"
#include "fuzz/tensors.hpp"

#include <funnel/io/safetensors.hpp>
#include <funnel/io/safetensors_writer.hpp>

#include <algorithm>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const std::string path = fuzz::folder() + "/t.safetensors";
  fuzz::write_file(bytes, "t.safetensors");
  const auto file = fuzz::opened<funnel::safetensors_file>(path);
  if (!file) return 0;

  std::size_t stored = file->header().size();
  for (const auto& values : file->stored()) stored += values.size();
  FUZZ_EXPECT(stored == size);

  funnel::safetensors_writer writer;
  std::vector<std::string_view> names;
  bool writable = true;
  for (const funnel::tensor& t : file->tensors()) {
    std::size_t count = 1;
    for (const std::size_t n : t.shape) count *= n;
    FUZZ_EXPECT(count == t.size() && t.bytes.size() == count * tensor_type_size(t.type));
    FUZZ_EXPECT(reinterpret_cast<std::uintptr_t>(t.bytes.data()) % tensor_type_size(t.type) == 0);
    FUZZ_EXPECT(file->find(t.name) == &t);
    if (t.name.empty() || t.name == funnel::detail::checksums_name) writable = false;
    names.push_back(t.name);
    writer.add(t.name, t.type, t.shape, t.bytes);
    fuzz::may_refuse([&] { FUZZ_EXPECT(file->values<float>(t.name).size() == t.size()); }, path);
    fuzz::may_refuse([&] { FUZZ_EXPECT(file->view<bool>(t.name).size() == t.size()); }, path);
    fuzz::may_refuse([&] { FUZZ_EXPECT(file->matrix<double>(t.name).size() == t.size()); }, path);
  }
  std::ranges::sort(names);
  FUZZ_EXPECT(std::ranges::adjacent_find(names) == names.end());
  FUZZ_EXPECT(file->find("no such name \x01") == nullptr);
  for (const auto& [key, text] : file->texts()) {
    FUZZ_EXPECT(*file->find_text(key) == text);
    writer.text(key, text);
  }
  if (!writable) return 0;

  const std::string copy = fuzz::folder() + "/copy.safetensors";
  writer.write(copy);
  const funnel::safetensors_file again(copy);
  FUZZ_EXPECT(std::ranges::equal(again.texts(), file->texts()));
  FUZZ_EXPECT(again.tensors().size() == file->tensors().size());
  for (const funnel::tensor& t : file->tensors()) {
    const funnel::tensor& u = again.at(t.name);
    FUZZ_EXPECT(u.type == t.type && u.shape == t.shape && std::ranges::equal(u.bytes, t.bytes));
  }
  return 0;
}
