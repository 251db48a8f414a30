// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/arena.hpp>
#include <funnel/core/detail/checks.hpp>
#include <funnel/core/error.hpp>
#include <funnel/core/matrix.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace funnel::detail {

/// The requests that the rows of a batch belong to: R requests, each with one row or more, n rows
/// together. Empty if the batch was not divided into requests.
class request_rows {
 public:
  request_rows() = default;
  /// Request r has rows offsets[r] to offsets[r + 1] - 1. The memory of the object is `memory`'s.
  ///
  /// Errors      std::invalid_argument if offsets does not start at 0 or does not rise.
  request_rows(arena& memory, std::string_view function, std::span<const std::uint32_t> offsets) {
    check_that(function, "offsets.size()", offsets.size(), offsets.size() > 1, "2 or more");
    check_that(function, "offsets[0]", offsets[0], offsets[0] == 0, "0");
    for (std::size_t r = 1; r < offsets.size(); ++r)
      if (offsets[r] <= offsets[r - 1])
        fail("funnel::", function, ": offsets[", r, "] is ", offsets[r], ", expected more than ",
             offsets[r - 1], ", the one before");
    requests_ = offsets.size() - 1;
    rows_ = offsets.back();
    auto* ends = memory.allocate<std::uint32_t>(offsets.size());
    std::ranges::copy(offsets, ends);
    auto* of_row = memory.allocate<std::uint32_t>(rows_);
    for (std::size_t r = 0; r < requests_; ++r)
      std::fill(of_row + offsets[r], of_row + offsets[r + 1], static_cast<std::uint32_t>(r));
    offsets_ = ends;
    of_row_ = of_row;
  }

  std::size_t requests() const { return requests_; }
  std::size_t rows() const { return rows_; }
  /// The request of each row, [n]; null if there are no requests.
  const std::uint32_t* of_row() const { return of_row_; }
  /// The rows of request r begin at begin(r) and end before begin(r + 1).
  std::size_t begin(std::size_t r) const { return offsets_[r]; }
  /// True if a value of `few` rows has one row per request, and one of `many` one row per row.
  bool match(std::size_t few, std::size_t many) const {
    return of_row_ != nullptr && few == requests_ && many == rows_;
  }

 private:
  std::size_t requests_ = 0;
  std::size_t rows_ = 0;
  const std::uint32_t* offsets_ = nullptr;
  const std::uint32_t* of_row_ = nullptr;
};

/// The requests of a context; none if it knows of no requests.
template <class C>
request_rows requests_of(const C& context) {
  if constexpr (requires { context.requests(); })
    return context.requests();
  else
    return {};
}

/// Finds the row of a value that belongs to row i of an operation's result: row i, the only row, or
/// the row of the request.
class row_map {
 public:
  row_map(const request_rows& requests, std::size_t rows)
      : rows_(rows), of_row_(requests.of_row()) {}

  /// A pointer to the row.
  template <class T>
  T* operator()(matrix_view<T> values, std::size_t i) const {
    const std::size_t row = values.rows() == rows_ ? i : values.rows() == 1 ? 0 : of_row_[i];
    return values.data() + row * values.stride();
  }
  /// Adds values to the row of a gradient. Does nothing if there is no gradient.
  template <class T>
  void add(matrix_view<T> gradient, std::size_t i, const T* values) const {
    if (gradient.data() == nullptr) return;
    T* to = (*this)(gradient, i);
    for (std::size_t j = 0; j < gradient.cols(); ++j) to[j] += values[j];
  }

 private:
  std::size_t rows_;
  const std::uint32_t* of_row_;
};

/// Number of rows of an operation's result: two values have equal numbers of rows, or one of them
/// is broadcast: it has one row, or one row per request where the other has one per row of the batch.
/// Errors      std::invalid_argument otherwise; the message calls a `argument` and b `other`.
template <class A, class B>
std::size_t common_rows(const request_rows& requests, std::string_view function,
                        std::string_view argument, const A& a, const B& b, std::string_view other) {
  if (a.rows() == b.rows() || b.rows() == 1) return a.rows();
  if (a.rows() == 1 || requests.match(a.rows(), b.rows())) return b.rows();
  if (requests.match(b.rows(), a.rows())) return a.rows();
  if (requests.of_row() == nullptr || b.rows() != requests.rows())
    fail("funnel::", function, ": ", argument, " has ", a.rows(), " rows, expected 1, or ",
         b.rows(), " as in ", other);
  fail("funnel::", function, ": ", argument, " has ", a.rows(), " rows, expected 1, ",
       requests.requests(), " for one per request, or ", b.rows(), " as in ", other);
}

}  // namespace funnel::detail
