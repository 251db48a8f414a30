// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>
#include <funnel/core/detail/sizes.hpp>
#include <funnel/core/error.hpp>
#include <funnel/core/state.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string_view>
#include <vector>

namespace funnel {

/// One entry of a sparse matrix, such as what user `row` did with item `column`.
struct sparse_entry {
  std::uint32_t row = 0;
  std::uint32_t column = 0;
  float value = 1;        ///< such as the weight of the action: click 1, like 2
  std::int64_t time = 0;  ///< in any unit

  friend bool operator==(const sparse_entry&, const sparse_entry&) = default;
};

/// What the value of a cell is that has several entries. Its time is that of the latest.
enum class repeated_entries : std::uint8_t {
  largest,  ///< the largest value: the strongest action of a user with an item counts
  sum,      ///< the sum of the values, at most the largest float
  latest,   ///< the value of the latest entry; of equal times the last one that was passed
};

/// Options of `sparse_matrix`.
struct sparse_matrix_options {
  /// Numbers of rows and columns; 0: one more than the largest of the entries.
  std::size_t rows = 0, columns = 0;
  repeated_entries repeated = repeated_entries::largest;
};

/// One row of a sparse matrix.
struct sparse_row {
  std::span<const std::uint32_t> columns;  ///< ascending
  std::span<const float> values;
  std::span<const std::int64_t> times;

  std::size_t size() const { return columns.size(); }
};

namespace detail {

/// Of a sparse matrix, and columns.
inline constexpr std::uint64_t most_rows = std::uint64_t{1} << 32;

inline void check_sparse_matrix(std::string_view function, std::size_t rows, std::size_t columns,
                                repeated_entries repeated) {
  check_that(function, "rows", rows, rows <= most_rows, "at most 2^32");
  check_that(function, "columns", columns, columns <= most_rows, "at most 2^32");
  check_that(function, "repeated", static_cast<int>(repeated), repeated <= repeated_entries::latest,
             "below 3");
}
/// Rows and columns of 0: any.
inline void check_sparse_entry(std::string_view function, const sparse_entry& e, std::size_t rows,
                               std::size_t columns) {
  if (rows > 0) check_below(function, "the row of an entry", e.row, rows);
  if (columns > 0) check_below(function, "the column of an entry", e.column, columns);
  check_positive(function, "the value of an entry", e.value);
}

}  // namespace detail

class sparse_matrix_builder;

/// Sparse matrix in compressed rows (CSR), such as the interactions of users with items: each row has
/// its columns in ascending order, each once, with a value and a time.
///
/// Errors      std::bad_alloc; an object that is assigned to is unchanged then.
/// Cost        16 bytes per entry, 8 per row.
/// Source      docs/formulas.md#interaction-matrix.
class sparse_matrix {
 public:
  sparse_matrix() = default;
  sparse_matrix(const sparse_matrix&) = default;
  sparse_matrix(sparse_matrix&&) noexcept = default;
  sparse_matrix& operator=(const sparse_matrix& other) {
    *this = sparse_matrix(other);
    return *this;
  }
  sparse_matrix& operator=(sparse_matrix&&) noexcept = default;
  /// A matrix of entries in any order.
  ///
  /// Errors      std::invalid_argument if the options have more than 2^32 rows or columns, an entry is
  ///             not below their numbers, a value is not a finite number above 0, or `repeated` is no value of the
  ///             enumeration.
  /// Cost        O(entries + rows), and O(n log n) per row of n entries.
  explicit sparse_matrix(std::span<const sparse_entry> entries,
                         const sparse_matrix_options& options = {}) {
    constexpr std::string_view name = "sparse_matrix";
    detail::check_sparse_matrix(name, options.rows, options.columns, options.repeated);
    std::size_t rows = options.rows;
    columns_ = options.columns;
    for (const sparse_entry& e : entries) {
      detail::check_sparse_entry(name, e, options.rows, options.columns);
      rows = std::max<std::size_t>(rows, e.row + std::size_t{1});
      columns_ = std::max<std::size_t>(columns_, e.column + std::size_t{1});
    }
    std::vector<std::size_t> ends(rows + 1);
    for (const sparse_entry& e : entries) ++ends[e.row + 1];
    for (std::size_t r = 0; r < rows; ++r) ends[r + 1] += ends[r];
    std::vector<std::size_t> next(ends.begin(), ends.end() - 1), order(entries.size());
    for (std::size_t i = 0; i < entries.size(); ++i) order[next[entries[i].row]++] = i;
    offsets_.reserve(rows + 1);
    columns_of_.reserve(entries.size());
    values_.reserve(entries.size());
    times_.reserve(entries.size());
    for (std::size_t r = 0; r < rows; ++r) {
      const auto of_row = std::span(order).subspan(ends[r], ends[r + 1] - ends[r]);
      std::ranges::sort(of_row, [&](std::size_t a, std::size_t b) {
        const sparse_entry &x = entries[a], &y = entries[b];
        return x.column != y.column ? x.column < y.column
               : x.time != y.time   ? x.time < y.time
                                    : a < b;
      });
      for (const std::size_t i : of_row) add(entries[i], options.repeated);
      offsets_.push_back(columns_of_.size());
    }
  }

  std::size_t rows() const { return offsets_.empty() ? 0 : offsets_.size() - 1; }
  std::size_t columns() const { return columns_; }
  std::size_t entries() const { return columns_of_.size(); }
  sparse_row operator[](std::size_t row) const {
    FUNNEL_ASSERT(row < rows());
    const std::size_t begin = offsets_[row], size = offsets_[row + 1] - begin;
    return {std::span(columns_of_).subspan(begin, size), std::span(values_).subspan(begin, size),
            std::span(times_).subspan(begin, size)};
  }

  /// The number of entries of the longest row.
  std::size_t longest_row() const {
    std::size_t longest = 0;
    for (std::size_t r = 0; r < rows(); ++r)
      longest = std::max<std::size_t>(longest, offsets_[r + 1] - offsets_[r]);
    return longest;
  }

  /// The same entries by column: row c of the result is column c.
  ///
  /// Cost        O(entries).
  sparse_matrix transposed() const {
    sparse_matrix t;
    t.columns_ = rows();
    t.offsets_.assign(columns_ + 1, 0);
    for (const std::uint32_t c : columns_of_) ++t.offsets_[c + 1];
    for (std::size_t c = 0; c < columns_; ++c) t.offsets_[c + 1] += t.offsets_[c];
    t.columns_of_.resize(entries());
    t.values_.resize(entries());
    t.times_.resize(entries());
    std::vector<std::uint64_t> next(t.offsets_.begin(), t.offsets_.end() - 1);
    for (std::size_t r = 0; r < rows(); ++r)
      for (std::uint64_t i = offsets_[r]; i < offsets_[r + 1]; ++i) {
        const std::uint64_t to = next[columns_of_[i]]++;
        t.columns_of_[to] = static_cast<std::uint32_t>(r);
        t.values_[to] = values_[i];
        t.times_[to] = times_[i];
      }
    return t;
  }

  /// The matrix with at most `most` entries a row: the latest ones, of equal times those with the
  /// higher column. Caps the cost of users or items with very many entries.
  sparse_matrix latest(std::size_t most) const {
    sparse_matrix kept;
    kept.columns_ = columns_;
    kept.offsets_.reserve(offsets_.size());
    const auto keep = [&](std::uint64_t begin, std::uint64_t end) {
      const auto copy = [&](auto& to, const auto& from) {
        to.insert(to.end(), from.begin() + static_cast<std::ptrdiff_t>(begin),
                  from.begin() + static_cast<std::ptrdiff_t>(end));
      };
      copy(kept.columns_of_, columns_of_);
      copy(kept.values_, values_);
      copy(kept.times_, times_);
    };
    const auto later = [&](std::uint64_t a, std::uint64_t b) {
      return times_[a] != times_[b] ? times_[a] > times_[b] : a > b;
    };
    std::vector<std::uint64_t> order;
    for (std::size_t r = 0; r < rows(); ++r) {
      const std::size_t n = offsets_[r + 1] - offsets_[r];
      if (n <= most) {
        keep(offsets_[r], offsets_[r + 1]);
      } else {
        order.resize(n);
        for (std::size_t i = 0; i < n; ++i) order[i] = offsets_[r] + i;
        const auto end = order.begin() + static_cast<std::ptrdiff_t>(most);
        std::nth_element(order.begin(), end, order.end(), later);
        std::sort(order.begin(), end);
        for (auto i = order.begin(); i != end; ++i) keep(*i, *i + 1);
      }
      kept.offsets_.push_back(kept.columns_of_.size());
    }
    return kept;
  }

  void visit_state(auto&& visit) {
    std::uint64_t columns = columns_;
    visit("columns", columns);
    visit("offsets", offsets_);
    visit("columns_of", columns_of_);
    visit("values", values_);
    visit("times", times_);
    if (!is_loading(visit)) return;
    columns_ = columns;
    bool fits = !offsets_.empty() && offsets_[0] == 0 && offsets_.back() == columns_of_.size() &&
                values_.size() == columns_of_.size() && times_.size() == columns_of_.size() &&
                columns <= detail::most_rows && rows() <= detail::most_rows &&
                std::ranges::all_of(values_, [](float v) { return v > 0 && std::isfinite(v); });
    for (std::size_t r = 0; fits && r + 1 < offsets_.size(); ++r) {
      fits = offsets_[r] <= offsets_[r + 1] && offsets_[r + 1] <= columns_of_.size();
      for (std::uint64_t i = offsets_[r]; fits && i < offsets_[r + 1]; ++i)
        fits =
            columns_of_[i] < columns && (i == offsets_[r] || columns_of_[i - 1] < columns_of_[i]);
    }
    if (!fits) throw format_error("a sparse matrix is damaged: its arrays do not fit together");
  }

 private:
  friend class sparse_matrix_builder;  // fills the arrays

  /// The value of a cell and of the next entry of it.
  static float combined(float value, float next, repeated_entries repeated) {
    constexpr float most = std::numeric_limits<float>::max();
    return repeated == repeated_entries::sum       ? std::min(value + next, most)
           : repeated == repeated_entries::largest ? std::max(value, next)
                                                   : next;
  }

  /// Adds the next entry of a row, in the order of columns and times.
  void add(const sparse_entry& e, repeated_entries repeated) {
    if (columns_of_.size() == offsets_.back() || columns_of_.back() != e.column) {
      columns_of_.push_back(e.column);
      values_.push_back(e.value);
      times_.push_back(e.time);
      return;
    }
    times_.back() = e.time;
    values_.back() = combined(values_.back(), e.value, repeated);
  }

  std::size_t columns_ = 0;
  std::vector<std::uint64_t> offsets_ = {0};  // [rows + 1]
  std::vector<std::uint32_t> columns_of_;
  std::vector<float> values_;
  std::vector<std::int64_t> times_;
};

}  // namespace funnel
