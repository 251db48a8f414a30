// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/error.hpp>
#include <funnel/data/detail/log_record.hpp>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace funnel::detail {

/// Reads records from a file or from memory, one after another.
class record_source {
 public:
  record_source() = default;
  explicit record_source(std::span<const std::byte> bytes) : name_("log"), memory_(bytes) {}
  explicit record_source(std::string file)
      : name_(std::move(file)), file_(std::fopen(name_.c_str(), "rb")) {
    if (file_ == nullptr)
      throw format_error(join_text(name_, ": the file can't be opened: ", std::strerror(errno)));
  }

  /// Reads a record; nothing at the end. What is dropped there is told to `dropped`.
  std::optional<record_kind> next(std::vector<std::string>& dropped) {
    if (!error_.empty()) throw format_error(error_);
    if (ended_) return std::nullopt;
    begin_ = end_;
    read(head_, record_head_size);
    if (head_.empty()) {
      ended_ = true;
      return std::nullopt;
    }
    record_head head;
    if (!read_head(head_, head)) {
      const std::size_t mark = std::min(head_.size(), sizeof record_mark);
      if (begin_ == 0 && std::memcmp(head_.data(), record_mark, mark) != 0)
        refuse("this is no funnel log");
      end(head_, "the head of the record is damaged", dropped);
      return std::nullopt;
    }
    read(contents_, head.size);
    if (contents_.size() < head.size || xxh64_of(contents_) != head.sum) {
      end({}, "the checksum of the record is wrong", dropped);
      return std::nullopt;
    }
    end_ = begin_ + record_head_size + contents_.size();
    return head.kind;
  }

  std::span<const std::byte> contents() const { return contents_; }
  /// The bytes up to the end of the last record that was read.
  std::uint64_t whole() const { return end_; }

  /// Throws, now and at every later call of `next`.
  [[noreturn]] void refuse(std::string_view what) {
    error_ = join_text(name_, ": byte ", begin_, ": ", what);
    throw format_error(error_);
  }

 private:
  struct close {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };

  /// At most `size` bytes, fewer at the end. Memory grows with what is there.
  void read(std::vector<std::byte>& to, std::uint64_t size) {
    constexpr std::size_t block = std::size_t{1} << 20;
    to.clear();
    while (to.size() < size) {
      const auto wanted =
          static_cast<std::size_t>(std::min<std::uint64_t>(size - to.size(), block));
      const std::size_t before = to.size();
      to.resize(before + wanted);
      std::size_t got = 0;
      if (file_ != nullptr) {
        got = std::fread(to.data() + before, 1, wanted, file_.get());
        if (got < wanted && std::ferror(file_.get()) != 0) refuse("the file can't be read");
      } else {
        got = std::min(wanted, memory_.size());
        if (got > 0) std::memcpy(to.data() + before, memory_.data(), got);
        memory_ = memory_.subspan(got);
      }
      to.resize(before + got);
      if (got < wanted) return;
    }
  }

  /// The record that begins at `begin_` is none. If another one follows, the file is damaged;
  /// otherwise this is its end. `begun` are bytes that were read and may hold the next head.
  void end(std::span<const std::byte> begun, std::string_view what,
           std::vector<std::string>& dropped) {
    std::uint64_t bytes = begun.empty() ? record_head_size + contents_.size() : begun.size();
    std::vector<std::byte> window(begun.begin(), begun.end()), more;
    std::size_t first = begun.empty() ? 0 : 1;  // the head that is damaged is not the next one
    for (bool rest = true; rest;) {
      read(more, std::size_t{1} << 16);
      rest = !more.empty();
      bytes += more.size();
      window.insert(window.end(), more.begin(), more.end());
      record_head head;
      for (; first + record_head_size <= window.size(); ++first)
        if (read_head(std::span<const std::byte>(window).subspan(first), head)) refuse(what);
      window.erase(window.begin(),
                   window.begin() + static_cast<std::ptrdiff_t>(std::min(first, window.size())));
      first = 0;
    }
    dropped.push_back(join_text(name_, ": byte ", begin_, ": ", what, " or incomplete: the last ",
                                bytes, " bytes were dropped"));
    ended_ = true;
  }

  std::string name_;
  std::unique_ptr<std::FILE, close> file_;
  std::span<const std::byte> memory_;
  std::vector<std::byte> head_, contents_;
  std::uint64_t begin_ = 0, end_ = 0;  // of the current record
  bool ended_ = false;
  std::string error_;
};

}  // namespace funnel::detail
