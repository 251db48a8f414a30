// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/data/detail/appended_file.hpp>
#include <funnel/data/detail/record_source.hpp>
#include <funnel/data/funnel_log.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace funnel {

/// A file to which funnel logs are appended, such as those of all serving threads.
///
///     funnel_log_file file("monday.log");
///     file.append(log);                     // now and then; the log is empty afterward
///     file = funnel_log_file("tuesday.log");  // another file from here on
///
/// Each record has a length and a checksum, so that a crash loses what was not written yet, and
/// nothing else: opening a file drops what follows its last whole record, and goes on behind it. One
/// object at a time writes to a file; where the system can tell, a second one is refused. One thread
/// uses it at a time.
///
/// Errors      the constructor: format_error if the file is no funnel log or is damaged before its
///             last record: begin another file then. std::system_error with the file and the
///             system's reason if it cannot be opened or written; after a failed `append` the file
///             ends as before, and the log keeps its requests.
/// Cost        opening reads the whole file; `append` writes the bytes of the log once.
class funnel_log_file {
 public:
  explicit funnel_log_file(std::string path) : file_(path) {
    detail::record_source whole(std::move(path));
    std::vector<std::string> dropped;
    while (whole.next(dropped)) {
    }
    if (!dropped.empty()) dropped_ = std::move(dropped.front());
    file_.truncate(whole.whole());
  }

  /// Appends the requests of a log and clears it. Names are written once, until those of a log
  /// differ.
  void append(funnel_log& log) {
    if (log.requests() == 0) return;
    const std::span<const std::byte> all = log.bytes(), names = log.name_bytes();
    const std::string_view text(reinterpret_cast<const char*>(names.data()), names.size());
    const bool known = text == names_;
    std::string written(known ? std::string_view{} : text);
    file_.append(known ? all.subspan(names.size()) : all);
    if (!known) names_.swap(written);
    log.clear();
  }

  /// Waits until what was appended is on the disk. Without it the end may be lost if the machine, not
  /// just the process, stops.
  void synchronize() { file_.synchronize(); }
  /// Bytes of the file, by which one decides when to begin another.
  std::uint64_t size() const { return file_.size(); }
  /// What was dropped when the file was opened; empty if nothing was.
  const std::string& dropped() const { return dropped_; }

 private:
  detail::appended_file file_;
  std::string names_;  // that were written last
  std::string dropped_;
};

}  // namespace funnel
