// SPDX-License-Identifier: MIT
#pragma once

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <system_error>
#include <utility>

#if defined(__unix__) || defined(__APPLE__)
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>
#else
#include <cstdio>
#include <filesystem>
#endif

namespace funnel::detail {

/// A file that grows at its end, or stays as it was. Where the system has locks, it is locked.
///
/// Errors      std::system_error with the file, what could not be done and the system's reason.
class appended_file {
 public:
  explicit appended_file(std::string path) : path_(std::move(path)) { open(); }
  appended_file(appended_file&& other) noexcept { swap(other); }
  appended_file& operator=(appended_file&& other) noexcept {
    appended_file old(std::move(other));
    swap(old);
    return *this;
  }
  ~appended_file() { close(); }

  std::uint64_t size() const { return size_; }

#if defined(__unix__) || defined(__APPLE__)
  /// Cuts the file to this size, and appends from there on.
  void truncate(std::uint64_t size) {
    if (::ftruncate(file_, static_cast<off_t>(size)) != 0) throw_error("the file can't be written");
    size_ = size;
  }
  void append(std::span<const std::byte> bytes) {
    for (std::size_t done = 0; done < bytes.size();) {
      const auto count = ::pwrite(file_, bytes.data() + done, bytes.size() - done,
                                  static_cast<off_t>(size_ + done));
      if (count < 0 && errno == EINTR) continue;
      if (count <= 0) {
        const int error = errno;
        // If this fails too, the part is overwritten by the next call, or dropped by a reader.
        if (::ftruncate(file_, static_cast<off_t>(size_)) != 0) errno = error;
        errno = error;
        throw_error("the file can't be written");
      }
      done += static_cast<std::size_t>(count);
    }
    size_ += bytes.size();
  }
  void synchronize() {
    if (::fsync(file_) != 0) throw_error("the file can't be written");
  }

 private:
  void open() {
    file_ = ::open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (file_ < 0) throw_error("the file can't be opened");
    if (::flock(file_, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
      close();
      errno = EWOULDBLOCK;
      throw_error("another funnel_log_file writes to the file");
    }
  }
  void close() noexcept {
    if (file_ >= 0) ::close(file_);
    file_ = -1;
  }
  using handle = int;
  static constexpr handle none = -1;
#else
  void truncate(std::uint64_t size) {
    std::error_code error;
    std::filesystem::resize_file(path_, size, error);
    if (error) throw std::system_error(error, path_ + ": the file can't be written");
    size_ = size;
  }
  void append(std::span<const std::byte> bytes) {
    const bool written = std::fwrite(bytes.data(), 1, bytes.size(), file_) == bytes.size();
    if (std::fflush(file_) != 0 || !written) {
      const int error = errno;
      std::error_code ignored;
      std::filesystem::resize_file(path_, size_, ignored);
      errno = error;
      throw_error("the file can't be written");
    }
    size_ += bytes.size();
  }
  void synchronize() {
    if (std::fflush(file_) != 0) throw_error("the file can't be written");
  }

 private:
  void open() {
    file_ = std::fopen(path_.c_str(), "ab");
    if (file_ == nullptr) throw_error("the file can't be opened");
  }
  void close() noexcept {
    if (file_ != nullptr) std::fclose(file_);
    file_ = nullptr;
  }
  using handle = std::FILE*;
  static constexpr handle none = nullptr;
#endif

  void swap(appended_file& other) noexcept {
    path_.swap(other.path_);
    std::swap(file_, other.file_);
    std::swap(size_, other.size_);
  }
  [[noreturn]] void throw_error(const char* what) const {
    throw std::system_error(errno, std::generic_category(), path_ + ": " + what);
  }

  std::string path_;
  handle file_ = none;
  std::uint64_t size_ = 0;
};

}  // namespace funnel::detail
