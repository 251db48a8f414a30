// SPDX-License-Identifier: MIT
//
// A model file of any bytes. Where only the checksums are wrong they are set right, so that the
// functions that load meet any names, types and shapes. They load all or nothing.
#include "fuzz/file.hpp"
#include "fuzz/input.hpp"
#include "fuzz/tensors.hpp"

#include <funnel/io/model_file.hpp>

#include <cstring>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace {

struct model {
  funnel::parameter<float> table{3, 2}, bias{1, 2};
  void visit_parameters(auto&& visit) {
    visit("table", table);
    visit("bias", bias);
  }
};

struct list {
  std::vector<double> sums;
  void visit_state(auto&& visit) { visit("sums", sums); }
};
struct state {
  std::int64_t time = 1;
  bool open = true;
  std::string name = "n";
  std::uint32_t count = 0;
  std::vector<list> lists;
  void visit_state(auto&& visit) {
    visit("time", time);
    visit("open", open);
    visit("name", name);
    visit("count", count);
    if (count > 8) throw std::invalid_argument("state: count is large, expected 8 or less");
    lists.resize(count);
    visit("lists", lists);
  }
};

/// Puts the right checksums into a file whose structure is right.
void repair(std::string& bytes, const std::string& path) {
  std::size_t begin = 0;
  std::vector<std::uint64_t> sums;
  {
    const auto file = fuzz::opened<funnel::safetensors_file>(path);
    if (!file || file->stored().empty()) return;
    const auto* last = file->find(funnel::detail::checksums_name);
    if (last == nullptr || last->bytes.size() != 8 * file->stored().size()) return;
    sums.push_back(funnel::detail::xxh64_of(file->header()));
    for (const auto& values : file->stored().first(file->stored().size() - 1))
      sums.push_back(funnel::detail::xxh64_of(values));
    begin = bytes.size() - file->stored().back().size();
    if (file->stored().back().size() != last->bytes.size()) return;
  }
  std::memcpy(bytes.data() + begin, sums.data(), 8 * sums.size());
  fuzz::write_file(bytes, "t.safetensors");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string bytes(reinterpret_cast<const char*>(data), size);
  const std::string path = fuzz::folder() + "/t.safetensors";
  fuzz::write_file(bytes, "t.safetensors");
  repair(bytes, path);
  const auto file = fuzz::opened<funnel::model_file>(path);
  if (!file) return 0;
  for (const std::string& part : file->parts()) {
    model m;
    const funnel::load_options some{.allow_missing = true, .allow_unused = true};
    if (!fuzz::may_refuse([&] { file->load_parameters(part, m); }, path)) {
      for (const float value : m.table.value.flat()) FUZZ_EXPECT(value == 0);
      for (const float value : m.bias.value.flat()) FUZZ_EXPECT(value == 0);
    }
    fuzz::may_refuse([&] { file->load_parameters(part, m, some); }, path);
    state s;
    if (!fuzz::may_refuse([&] { file->load_state(part, s); }, path))
      FUZZ_EXPECT(s.time == 1 && s.open && s.name == "n" && s.count == 0 && s.lists.empty());
    else
      FUZZ_EXPECT(s.lists.size() == s.count && s.count <= 8);
  }
  fuzz::may_refuse([&] { file->golden<float>("scores"); }, path);
  fuzz::may_refuse([&] { file->check_golden("scores", std::vector<float>{1, 2}); }, path);
  return 0;
}
