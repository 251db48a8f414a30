// SPDX-License-Identifier: MIT
#pragma once

#include "fuzz/input.hpp"

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <string_view>
#include <system_error>

namespace fuzz {

/// A folder of this process alone, gone when it ends.
class scratch_folder {
 public:
  scratch_folder() {
    std::string name = (std::filesystem::temp_directory_path() / "funnel-fuzz-XXXXXX").string();
    FUZZ_EXPECT(mkdtemp(name.data()) != nullptr);
    path_ = name;
  }
  scratch_folder(const scratch_folder&) = delete;
  scratch_folder& operator=(const scratch_folder&) = delete;
  ~scratch_folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

inline const std::string& folder() {
  static const scratch_folder made;
  return made.path();
}

/// Puts the text into a file of the folder.
inline void write_file(std::string_view text, const std::string& name = "t.csv") {
  std::FILE* const file = std::fopen((folder() + "/" + name).c_str(), "wb");
  FUZZ_EXPECT(file != nullptr);
  FUZZ_EXPECT(std::fwrite(text.data(), 1, text.size(), file) == text.size());
  FUZZ_EXPECT(std::fclose(file) == 0);
}

inline const std::string& file_name() {
  static const std::string name = folder() + "/t.csv";
  return name;
}

}  // namespace fuzz
