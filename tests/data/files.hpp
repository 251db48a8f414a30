// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/error.hpp>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

/// A folder that is removed with all that a test wrote into it.
class temporary_folder {
 public:
  temporary_folder() {
    std::string name = (std::filesystem::temp_directory_path() / "funnel-XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr) throw std::filesystem::filesystem_error("mkdtemp", {});
    path_ = name;
  }
  temporary_folder(const temporary_folder&) = delete;
  temporary_folder& operator=(const temporary_folder&) = delete;
  ~temporary_folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }

  const std::string& path() const { return path_; }

  /// Writes a file, making its folders, and returns its path.
  std::string write(const std::string& name, std::string_view content) const {
    const std::filesystem::path file = std::filesystem::path(path_) / name;
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file, std::ios::binary) << content;
    return file.string();
  }
  void remove(const std::string& name) const {
    std::filesystem::remove(std::filesystem::path(path_) / name);
  }

 private:
  std::string path_;
};

/// What a call says in its funnel::format_error; empty where it throws none.
template <class Call>
std::string format_error_of(Call&& call) {
  try {
    call();
  } catch (const funnel::format_error& error) {
    return error.what();
  }
  return {};
}
