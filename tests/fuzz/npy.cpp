// SPDX-License-Identifier: MIT
//
// A file of any bytes as a NumPy array: what is accepted has as many values as its shape says; what
// is refused says where.
#include "fuzz/file.hpp"
#include "fuzz/input.hpp"
#include "fuzz/tensors.hpp"

#include <funnel/io/npy.hpp>

#include <cstring>
#include <string>
#include <string_view>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const std::string path = fuzz::folder() + "/t.npy";
  fuzz::write_file(bytes, "t.npy");
  const auto file = fuzz::opened<funnel::npy_file>(path);
  if (!file) return 0;
  std::size_t count = 1;
  for (const std::size_t n : file->shape()) count *= n;
  fuzz::may_refuse(
      [&] {
        const auto values = file->values<float>();
        FUZZ_EXPECT(values.size() == count && 4 * count < size);
        FUZZ_EXPECT(count == 0 ||
                    std::memcmp(values.data(), data + (size - 4 * count), 4 * count) == 0);
      },
      path);
  fuzz::may_refuse([&] { FUZZ_EXPECT(file->values<bool>().size() == count); }, path);
  fuzz::may_refuse([&] { FUZZ_EXPECT(file->view<std::int64_t>().size() == count); }, path);
  fuzz::may_refuse([&] { FUZZ_EXPECT(file->matrix<double>().size() == count); }, path);
  return 0;
}
