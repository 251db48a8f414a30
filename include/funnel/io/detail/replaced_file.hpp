// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/error.hpp>

#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <span>
#include <string>
#include <system_error>
#include <utility>

#if defined(__unix__) || defined(__APPLE__)
#include <fcntl.h>
#include <unistd.h>
#else
#include <filesystem>
#endif

namespace funnel::detail {

/// A file that is written beside the one of the same name, and takes its place when it is complete.
/// Whatever happens before `commit` returns, the old file is as it was or replaced as a whole.
///
/// Errors      std::system_error with the file, what could not be done and the system's reason.
class replaced_file {
 public:
  explicit replaced_file(std::string path)
      : path_(std::move(path)), folder_(path_, 0, path_.rfind('/') + 1) {
    if (folder_.empty()) folder_ = ".";
    // The name is this process's alone; a file of it is left from an interrupted process.
    static std::atomic<unsigned> count{0};
    for (int tries = 0; file_ == nullptr && tries < 1000; ++tries) {
      temporary_ = join_text(path_, ".", process(), "-", count++, ".tmp");
      errno = 0;
      file_ = std::fopen(temporary_.c_str(), exclusive);
      if (file_ == nullptr && errno != EEXIST) break;
    }
    if (file_ == nullptr) throw_error("the file can't be created");
  }
  replaced_file(const replaced_file&) = delete;
  replaced_file& operator=(const replaced_file&) = delete;
  ~replaced_file() {
    if (file_ != nullptr) std::fclose(file_);
    if (!temporary_.empty()) std::remove(temporary_.c_str());
  }

  void write(std::span<const std::byte> bytes) {
    if (!bytes.empty() && std::fwrite(bytes.data(), 1, bytes.size(), file_) != bytes.size())
      throw_error("the file can't be written");
  }

  /// Waits until the bytes are on the disk, then renames the file.
  void commit() {
    if (std::fflush(file_) != 0 || !synchronize()) throw_error("the file can't be written");
    std::FILE* const written = file_;
    file_ = nullptr;
    if (std::fclose(written) != 0) throw_error("the file can't be written");
    rename();
    temporary_.clear();
    synchronize_folder();
  }

 private:
#if defined(__unix__) || defined(__APPLE__)
  static constexpr const char* exclusive = "wbx";

  static long process() {
    return static_cast<long>(::getpid());
  }
  bool synchronize() {
    return ::fsync(::fileno(file_)) == 0;
  }
  void rename() {
    if (std::rename(temporary_.c_str(), path_.c_str()) != 0)
      throw_error("the file can't be replaced");
  }
  /// After a power failure the folder has the new name. The old one would do no harm either, so
  /// that a file system that cannot do this is none.
  void synchronize_folder() const noexcept {
    const int folder = ::open(folder_.c_str(), O_RDONLY | O_CLOEXEC);
    if (folder < 0) return;
    ::fsync(folder);
    ::close(folder);
  }
#else
  static constexpr const char* exclusive = "wb";

  static long process() {
    return 0;
  }
  bool synchronize() {
    return true;
  }
  void rename() {
    std::error_code error;
    std::filesystem::rename(temporary_, path_, error);
    if (error) throw std::system_error(error, path_ + ": the file can't be replaced");
  }
  void synchronize_folder() const noexcept {}
#endif

  [[noreturn]] void throw_error(const char* what) const {
    throw std::system_error(errno, std::generic_category(), path_ + ": " + what);
  }

  std::string path_;
  std::string folder_;
  std::string temporary_;
  std::FILE* file_ = nullptr;
};

}  // namespace funnel::detail
