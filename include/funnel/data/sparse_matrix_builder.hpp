// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>
#include <funnel/core/error.hpp>
#include <funnel/core/executor.hpp>
#include <funnel/core/sparse_matrix.hpp>
#include <funnel/data/detail/entry_runs.hpp>
#include <funnel/data/detail/spill_file.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace funnel {

/// Options of `sparse_matrix_builder`.
struct sparse_matrix_builder_options {
  /// As in `sparse_matrix_options`.
  std::size_t rows = 0, columns = 0;
  repeated_entries repeated = repeated_entries::largest;
  /// Most bytes that are held beside the matrix, 2^20 or more; by default all entries are, 24 bytes each.
  std::size_t memory = std::numeric_limits<std::size_t>::max();
  /// Folder of the file that takes what `memory` does not, 24 bytes per entry; needed if `memory` is set.
  std::string folder = {};
};

/// Builds a `sparse_matrix` from entries that arrive one after another, such as those of a log that
/// is too long to be held. The result has the same bits as `sparse_matrix(all entries)`: of equal times,
/// the entry that was added last is the latest.
///
/// When the entries that are held fill `memory`, they are sorted and appended to a file in `folder`.
/// `finish` merges the sorted parts into the arrays of the matrix. The file has no name where the system
/// allows that (not on Windows), and is gone with the builder, also if the process is killed.
///
/// One thread uses a builder at a time. `add` and `finish` sort and merge on the executor, if they get one.
///
/// Errors      std::invalid_argument if an option is out of range, or for an entry that `sparse_matrix`
///             refuses. std::system_error if the file can't be created (by the constructor), written
///             (by `add`) or read (by `finish`), such as on a full disk; format_error if someone has
///             shortened it; std::bad_alloc. After an error in `add`, the first `added()` entries are in
///             the builder: go on with the others once there is room, or finish. After an error in
///             `finish`, nothing is lost, and it can be called again.
/// Cost        O(n log n). Memory: the matrix and `memory`, also while `finish` runs. With n above
///             memory^2 / 10^6, the parts are so many that their buffers take more, 4 KiB per part.
/// Source      docs/formulas.md#interaction-matrix; merging of sorted parts: Knuth, The Art of Computer
///             Programming, volume 3, section 5.4.
class sparse_matrix_builder {
 public:
  explicit sparse_matrix_builder(const sparse_matrix_builder_options& options = {})
      : options_(options) {
    constexpr std::string_view name = "sparse_matrix_builder";
    detail::check_sparse_matrix(name, options.rows, options.columns, options.repeated);
    detail::check_that(name, "memory", options.memory, options.memory >= std::size_t{1} << 20,
                       "2^20 or more");
    if (options.memory != std::numeric_limits<std::size_t>::max() && options.folder.empty())
      detail::fail("funnel::sparse_matrix_builder: memory is ", options.memory,
                   " and folder is empty, expected a folder for what does not fit");
    if (!options.folder.empty()) file_.emplace(options.folder);
  }
  sparse_matrix_builder(const sparse_matrix_builder&) = delete;
  sparse_matrix_builder& operator=(const sparse_matrix_builder&) = delete;

  /// Adds entries, in any order; none if one of them is refused.
  template <Executor E>
  void add(E& executor, std::span<const sparse_entry> entries) {
    for (const sparse_entry& e : entries) check(e);
    for (const sparse_entry& e : entries) hold(executor, e);
  }
  void add(std::span<const sparse_entry> entries) {
    serial_executor executor;
    add(executor, entries);
  }
  void add(const sparse_entry& e) {
    check(e);
    serial_executor executor;
    hold(executor, e);
  }

  /// The number of entries that were added since the last matrix.
  std::uint64_t added() const { return added_; }

  /// Returns the matrix of all entries, and starts with a new one.
  template <Executor E>
  sparse_matrix finish(E& executor) {
    sort_parts(executor);
    sparse_matrix matrix;
    matrix.columns_ = std::max(options_.columns, columns_);
    matrix.offsets_.assign(std::max(options_.rows, rows_) + 1, 0);
    // All parts are merged twice: to count the cells of each row, then to write them.
    const std::vector<std::uint64_t> rows = ranges_of_rows(executor.concurrency());
    const std::size_t ranges = rows.size() - 1;
    const std::size_t at_once = std::min<std::size_t>(ranges, executor.concurrency());
    executor.for_each(ranges, [&](std::size_t i) {
      merge(rows[i], rows[i + 1], at_once, [&](const detail::held_entry& e, bool is_new) {
        if (is_new) ++matrix.offsets_[std::size_t{e.row} + 1];
      });
    });
    for (std::size_t r = 1; r < matrix.offsets_.size(); ++r)
      matrix.offsets_[r] += matrix.offsets_[r - 1];
    const std::size_t cells = matrix.offsets_.back();
    matrix.columns_of_.resize(cells);
    matrix.values_.resize(cells);
    matrix.times_.resize(cells);
    executor.for_each(ranges, [&](std::size_t i) {
      std::size_t next = matrix.offsets_[rows[i]];
      merge(rows[i], rows[i + 1], at_once, [&](const detail::held_entry& e, bool is_new) {
        if (is_new) {
          matrix.columns_of_[next] = e.column;
          matrix.values_[next++] = e.value;
        } else {
          float& value = matrix.values_[next - 1];
          value = sparse_matrix::combined(value, e.value, options_.repeated);
        }
        matrix.times_[next - 1] = e.time;
      });
    });
    clear();
    return matrix;
  }
  sparse_matrix finish() {
    serial_executor executor;
    return finish(executor);
  }

 private:
  using entry = detail::held_entry;

  void check(const sparse_entry& e) const {
    detail::check_sparse_entry("sparse_matrix_builder", e, options_.rows, options_.columns);
  }

  /// Of `memory`, an eighth is for buffers.
  std::size_t buffer_bytes() const { return options_.memory / 8; }
  std::size_t most_held() const { return (options_.memory - buffer_bytes()) / sizeof(entry); }

  template <Executor E>
  void hold(E& executor, const sparse_entry& e) {
    if (parts_.empty() || parts_.back().size() == parts_.back().capacity()) {
      if (held_ >= most_held()) spill(executor);
      // Parts grow, so that few entries take little; 16 or more of them can be sorted at a time.
      constexpr std::size_t least = 1024, most = std::size_t{1} << 20;
      std::vector<entry> part;
      part.reserve(std::min(
          {std::max(held_, least), std::max(most_held() / 16, least), most, most_held() - held_}));
      parts_.push_back(std::move(part));
    }
    std::vector<entry>& part = parts_.back();
    part.push_back({e.row, e.column, e.value, static_cast<std::uint32_t>(part.size()), e.time});
    ++held_;
    ++added_;
    rows_ = std::max<std::size_t>(rows_, e.row + std::size_t{1});
    columns_ = std::max<std::size_t>(columns_, e.column + std::size_t{1});
  }

  template <Executor E>
  void sort_parts(E& executor) {
    executor.for_each(parts_.size(), [&](std::size_t i) { detail::sort_entries(parts_[i]); });
  }

  /// Moves what is held to the file, or leaves all as it is.
  template <Executor E>
  void spill(E& executor) {
    sort_parts(executor);
    std::vector<detail::run_reader> readers;
    for (const std::vector<entry>& part : parts_) readers.emplace_back(part, 0, all_rows);
    const std::uint64_t begin = file_->size();
    detail::spilled_run run{begin / sizeof(entry), held_, {}};
    std::vector<entry> block;
    block.reserve(detail::spilled_run::block);
    try {
      const auto write = [&] {
        run.first_rows.push_back(block.front().row);
        file_->append(std::as_bytes(std::span(block)));
        block.clear();
      };
      detail::merge_runs(readers, [&](const entry& e) {
        block.push_back(e);
        if (block.size() == detail::spilled_run::block) write();
      });
      if (!block.empty()) write();
      runs_.push_back(std::move(run));
    } catch (...) {
      file_->cut(begin);
      throw;
    }
    parts_.clear();
    held_ = 0;
  }

  /// Boundaries of ranges of rows with about as many entries each, for as many tasks as there are
  /// buffers for.
  std::vector<std::uint64_t> ranges_of_rows(std::size_t threads) const {
    // Four ranges per thread even out their differences. Buffers are for those that run at a time.
    const std::size_t at_once = std::max<std::size_t>(
        1,
        runs_.empty() ? threads : std::min(threads, buffer_bytes() / least_buffer / runs_.size()));
    const std::size_t ranges = at_once == 1 ? 1 : at_once < threads ? at_once : 4 * at_once;
    std::vector<std::uint32_t> sample;
    for (const detail::spilled_run& run : runs_)
      sample.insert(sample.end(), run.first_rows.begin(), run.first_rows.end());
    for (const std::vector<entry>& part : parts_)
      for (std::size_t i = 0; i < part.size(); i += detail::spilled_run::block)
        sample.push_back(part[i].row);
    std::ranges::sort(sample);
    std::vector<std::uint64_t> rows{0};
    for (std::size_t i = 1; i < ranges && !sample.empty(); ++i)
      if (const std::uint32_t row = sample[sample.size() * i / ranges]; row > rows.back())
        rows.push_back(row);
    rows.push_back(std::max(options_.rows, rows_));
    return rows;
  }

  /// Calls `take(entry, is_new)` for the entries of the rows in [begin, end), by cell, time and
  /// arrival; `is_new`: the first of its cell. `at_once`: the calls that run at a time.
  template <class Take>
  void merge(std::uint64_t begin, std::uint64_t end, std::size_t at_once, const Take& take) const {
    std::vector<entry> buffers;
    std::size_t of_run = 0;
    if (!runs_.empty()) {
      of_run = std::clamp(buffer_bytes() / at_once / runs_.size() / sizeof(entry),
                          least_buffer / sizeof(entry), detail::spilled_run::block);
      buffers.resize(of_run * runs_.size());
    }
    std::vector<detail::run_reader> readers;
    for (std::size_t r = 0; r < runs_.size(); ++r)
      readers.emplace_back(*file_, runs_[r], std::span(buffers).subspan(r * of_run, of_run), begin,
                           end);
    for (const std::vector<entry>& part : parts_) readers.emplace_back(part, begin, end);
    std::optional<std::uint64_t> cell;
    detail::merge_runs(readers, [&](const entry& e) {
      take(e, cell != e.cell());
      cell = e.cell();
    });
  }

  void clear() noexcept {
    parts_.clear();
    runs_.clear();
    if (file_) file_->cut(0);
    held_ = rows_ = columns_ = 0;
    added_ = 0;
  }

  static constexpr std::size_t least_buffer = 4096;
  static constexpr std::uint64_t all_rows = std::uint64_t{1} << 32;

  sparse_matrix_builder_options options_;
  std::optional<detail::spill_file> file_;
  std::vector<detail::spilled_run> runs_;  // in the order of arrival
  std::vector<std::vector<entry>> parts_;  // later than all runs
  std::size_t held_ = 0;                   // entries in parts_
  std::size_t rows_ = 0, columns_ = 0;     // as the entries have
  std::uint64_t added_ = 0;
};

}  // namespace funnel
