// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/error.hpp>

#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <span>
#include <string>
#include <system_error>

#if defined(__unix__) || defined(__APPLE__)
#include <fcntl.h>
#include <unistd.h>
#else
#include <chrono>
#include <fstream>
#include <mutex>
#endif

namespace funnel::detail {

/// A file for what does not fit into memory, which only its object uses: written at the end, read
/// anywhere, gone with the object. Where the system allows it, the file has no name from the start, so
/// nothing is left of a process that is killed, and no one else can find it.
///
/// Errors      std::system_error with the file, what could not be done and the system's reason;
///             format_error if someone has shortened the file.
class spill_file {
 public:
  explicit spill_file(const std::string& folder) {
    static std::atomic<unsigned> count{0};
    for (int tries = 0; tries < 1000; ++tries) {
      path_ = join_text(folder, "/funnel-", process(), "-", count++, ".tmp");
      if (create()) return;
      if (errno != EEXIST) break;  // else it is left from an interrupted process
    }
    throw_error("the file can't be created");
  }
  spill_file(const spill_file&) = delete;
  spill_file& operator=(const spill_file&) = delete;
  ~spill_file() {
    close();
    if (has_name_) std::remove(path_.c_str());
  }

  std::uint64_t size() const { return size_; }
  const std::string& path() const { return path_; }

#if defined(__unix__) || defined(__APPLE__)
  /// Forgets the bytes from `size` on.
  void cut(std::uint64_t size) noexcept {
    size_ = size;
    // If it fails, the bytes are overwritten.
    [[maybe_unused]] const int done = ::ftruncate(file_, static_cast<off_t>(size));
  }
  void append(std::span<const std::byte> bytes) {
    for (std::size_t done = 0; done < bytes.size();) {
      const auto count = ::pwrite(file_, bytes.data() + done, bytes.size() - done,
                                  static_cast<off_t>(size_ + done));
      if (count < 0 && errno == EINTR) continue;
      if (count <= 0) throw_error("the file can't be written");
      done += static_cast<std::size_t>(count);
    }
    size_ += bytes.size();
  }
  /// Several threads may read at a time.
  void read(std::uint64_t position, std::span<std::byte> bytes) const {
    for (std::size_t done = 0; done < bytes.size();) {
      const auto count = ::pread(file_, bytes.data() + done, bytes.size() - done,
                                 static_cast<off_t>(position + done));
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) throw_error("the file can't be read");
      if (count == 0) throw_shortened();
      done += static_cast<std::size_t>(count);
    }
  }

 private:
  static long process() {
    return static_cast<long>(::getpid());
  }
  bool create() {
    file_ = ::open(path_.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    has_name_ = file_ >= 0 && ::unlink(path_.c_str()) != 0;
    return file_ >= 0;
  }
  void close() noexcept {
    ::close(file_);
  }

  int file_ = -1;
#else
  void cut(std::uint64_t size) noexcept {
    size_ = size;
  }  // the bytes are overwritten
  void append(std::span<const std::byte> bytes) {
    const std::lock_guard lock(mutex_);
    errno = 0;
    file_.clear();
    file_.seekp(static_cast<std::streamoff>(size_));
    file_.write(reinterpret_cast<const char*>(bytes.data()),
                static_cast<std::streamsize>(bytes.size()));
    if (!file_.flush()) throw_error("the file can't be written");
    size_ += bytes.size();
  }
  void read(std::uint64_t position, std::span<std::byte> bytes) const {
    const std::lock_guard lock(mutex_);
    file_.clear();
    file_.seekg(static_cast<std::streamoff>(position));
    file_.read(reinterpret_cast<char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
    if (!file_) throw_shortened();
  }

 private:
  static long long process() {
    static const long long started = std::chrono::system_clock::now().time_since_epoch().count();
    return started;
  }
  bool create() {
    errno = 0;
    file_.open(path_, std::ios::in | std::ios::out | std::ios::binary | std::ios::trunc);
    return has_name_ = file_.is_open();
  }
  void close() noexcept {
    file_.close();
  }

  mutable std::fstream file_;
  mutable std::mutex mutex_;
#endif

  [[noreturn]] void throw_error(const char* what) const {
    throw std::system_error(errno, std::generic_category(), path_ + ": " + what);
  }
  [[noreturn]] void throw_shortened() const {
    throw format_error(
        join_text(path_, ": the file has been shortened, expected ", size_, " bytes"));
  }

  std::string path_;
  bool has_name_ = false;
  std::uint64_t size_ = 0;
};

}  // namespace funnel::detail
