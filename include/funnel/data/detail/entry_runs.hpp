// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/data/detail/spill_file.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

// Entries of a sparse matrix in sorted runs, in memory and in a file, and their merging.
namespace funnel::detail {

struct held_entry {
  std::uint32_t row, column;
  float value;
  std::uint32_t arrival;  ///< position among those that are sorted together
  std::int64_t time;

  std::uint64_t cell() const { return std::uint64_t{row} << 32 | column; }
};
static_assert(sizeof(held_entry) == 24 && std::is_trivially_copyable_v<held_entry>);

/// Sorts by cell, then time, then arrival.
inline void sort_entries(std::span<held_entry> entries) {
  std::sort(entries.begin(), entries.end(), [](const held_entry& a, const held_entry& b) {
    return a.cell() != b.cell() ? a.cell() < b.cell()
           : a.time != b.time   ? a.time < b.time
                                : a.arrival < b.arrival;
  });
}

/// A sorted run in a file.
struct spilled_run {
  static constexpr std::size_t block = 4096;  ///< 96 KiB: a disk reads such parts at full speed

  std::uint64_t begin = 0, size = 0;      ///< in entries
  std::vector<std::uint32_t> first_rows;  ///< of each block
};

/// Reads the entries of a sorted run whose rows are in [begin, end).
class run_reader {
 public:
  run_reader(std::span<const held_entry> sorted, std::uint64_t begin, std::uint64_t end)
      : end_row_(end) {
    const auto first = std::partition_point(sorted.begin(), sorted.end(),
                                            [&](const held_entry& e) { return e.row < begin; });
    rest_ = sorted.subspan(static_cast<std::size_t>(first - sorted.begin()));
  }
  /// The buffer, of one entry or more, is this reader's alone.
  run_reader(const spill_file& file, const spilled_run& run, std::span<held_entry> buffer,
             std::uint64_t begin, std::uint64_t end)
      : end_row_(end), file_(&file), buffer_(buffer) {
    // The rows of a block before the last one that begins below `begin` are all below it.
    const auto next = std::ranges::lower_bound(run.first_rows, begin);
    const auto blocks = static_cast<std::uint64_t>(next - run.first_rows.begin());
    const std::uint64_t skipped = blocks == 0 ? 0 : (blocks - 1) * spilled_run::block;
    position_ = run.begin + skipped;
    left_ = run.size - skipped;
    fill();
    while (!rest_.empty() && rest_.front().row < begin) pop();
  }

  bool empty() const { return rest_.empty() || rest_.front().row >= end_row_; }
  const held_entry& front() const { return rest_.front(); }
  void pop() {
    rest_ = rest_.subspan(1);
    if (rest_.empty() && left_ > 0) fill();
  }

 private:
  void fill() {
    const auto part =
        buffer_.first(static_cast<std::size_t>(std::min<std::uint64_t>(buffer_.size(), left_)));
    file_->read(position_ * sizeof(held_entry), std::as_writable_bytes(part));
    position_ += part.size();
    left_ -= part.size();
    rest_ = part;
  }

  std::span<const held_entry> rest_;
  std::uint64_t end_row_;
  const spill_file* file_ = nullptr;
  std::span<held_entry> buffer_;
  std::uint64_t position_ = 0, left_ = 0;  // in the file, in entries
};

/// Calls `take(entry)` for the entries of all runs by cell, then time, then run.
template <class Take>
void merge_runs(std::vector<run_reader>& runs, const Take& take) {
  struct head {
    std::uint64_t cell;
    std::int64_t time;
    std::size_t run;

    bool before(const head& other) const {
      return cell != other.cell   ? cell < other.cell
             : time != other.time ? time < other.time
                                  : run < other.run;
    }
  };
  const auto head_of = [&](std::size_t run) {
    const held_entry& e = runs[run].front();
    return head{e.cell(), e.time, run};
  };
  std::vector<head> heap;
  for (std::size_t run = 0; run < runs.size(); ++run)
    if (!runs[run].empty()) heap.push_back(head_of(run));
  std::ranges::make_heap(heap, [](const head& a, const head& b) { return b.before(a); });
  while (!heap.empty()) {
    run_reader& run = runs[heap.front().run];
    take(run.front());
    run.pop();
    head sinking = heap.back();
    if (run.empty()) {
      heap.pop_back();
      if (heap.empty()) return;
    } else {
      sinking = head_of(heap.front().run);
    }
    std::size_t at = 0;
    for (std::size_t child = 1; child < heap.size(); child = 2 * at + 1) {
      if (child + 1 < heap.size() && heap[child + 1].before(heap[child])) ++child;
      if (!heap[child].before(sinking)) break;
      heap[at] = heap[child];
      at = child;
    }
    heap[at] = sinking;
  }
}

}  // namespace funnel::detail
