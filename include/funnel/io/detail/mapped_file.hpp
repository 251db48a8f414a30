// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/error.hpp>

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <span>
#include <string>
#include <utility>

#if defined(__unix__) || defined(__APPLE__)
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#else
#include <funnel/core/matrix.hpp>

#include <cstdio>
#endif

namespace funnel::detail {

/// The bytes of a file, read only: mapped into memory on POSIX systems, read into memory elsewhere.
/// The first byte is aligned to a cache line.
///
/// The file must not be changed while it is mapped. Replacing it by another file of the same name
/// is no change: the map keeps the old one.
///
/// Errors      format_error if the file cannot be opened or is no regular file; std::bad_alloc.
class mapped_file {
 public:
  explicit mapped_file(const std::string& path) { open(path); }
  mapped_file(mapped_file&& other) noexcept { swap(other); }
  mapped_file& operator=(mapped_file&& other) noexcept {
    swap(other);
    return *this;
  }
  ~mapped_file() { close(); }

  std::span<const std::byte> bytes() const { return bytes_; }

 private:
#if defined(__unix__) || defined(__APPLE__)
  void open(const std::string& path) {
    const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (file < 0) refuse(path, "the file can't be opened", errno);
    struct stat status;
    if (::fstat(file, &status) != 0 || !S_ISREG(status.st_mode)) {
      ::close(file);
      refuse(path, "not a regular file", 0);
    }
    const auto size = static_cast<std::size_t>(status.st_size);
    void* const data = size == 0 ? nullptr : ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file, 0);
    const int error = errno;
    ::close(file);
    if (data == MAP_FAILED) refuse(path, "the file can't be mapped into memory", error);
    bytes_ = {static_cast<const std::byte*>(data), size};
  }
  void close() noexcept {
    if (bytes_.data() != nullptr) ::munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
  }
  void swap(mapped_file& other) noexcept {
    std::swap(bytes_, other.bytes_);
  }
#else
  void open(const std::string& path) {
    std::FILE* const file = std::fopen(path.c_str(), "rb");
    if (file == nullptr) refuse(path, "the file can't be opened", errno);
    try {
      constexpr std::size_t block = std::size_t{1} << 20;
      for (std::size_t size = 0, got = block; got == block;) {
        read_.resize(size + block);
        got = std::fread(read_.data() + size, 1, block, file);
        read_.resize(size += got);
      }
    } catch (...) {
      std::fclose(file);
      throw;
    }
    const bool failed = std::ferror(file) != 0;
    std::fclose(file);
    if (failed) refuse(path, "the file can't be read", 0);
    bytes_ = read_;
  }
  void close() noexcept {}
  void swap(mapped_file& other) noexcept {
    read_.swap(other.read_);
    std::swap(bytes_, other.bytes_);
  }

  aligned_vector<std::byte> read_;
#endif

  [[noreturn]] static void refuse(const std::string& path, std::string_view what, int error) {
    throw format_error(join_text(path, ": ", what, error == 0 ? "" : ": ",
                                 error == 0 ? "" : std::strerror(error)));
  }

  std::span<const std::byte> bytes_;
};

}  // namespace funnel::detail
