// SPDX-License-Identifier: MIT
#include <funnel/core/matrix.hpp>

#include "support/catch.hpp"
#include "support/errors.hpp"

#include <cstdint>
#include <limits>
#include <type_traits>
#include <utility>
#include <vector>

namespace {

using funnel::matrix;
using funnel::matrix_view;

static_assert(std::is_convertible_v<matrix<float>&, matrix_view<float>>);
static_assert(std::is_convertible_v<matrix<float>&, matrix_view<const float>>);
static_assert(std::is_convertible_v<const matrix<float>&, matrix_view<const float>>);
static_assert(std::is_nothrow_move_constructible_v<matrix<float>>);

/// rows * 10 + column
matrix<int> numbered(std::size_t rows, std::size_t cols) {
  matrix<int> m(rows, cols);
  for (std::size_t i = 0; i < rows; ++i)
    for (std::size_t j = 0; j < cols; ++j) m(i, j) = static_cast<int>(10 * i + j);
  return m;
}

}  // namespace

TEST_CASE("matrix_view: rows are stride values apart") {
  std::vector<int> values(12);
  for (int i = 0; i < 12; ++i) values[static_cast<std::size_t>(i)] = i;
  const matrix_view<int> view(values.data(), 3, 2, 4);
  CHECK(view.rows() == 3);
  CHECK(view.cols() == 2);
  CHECK(view.stride() == 4);
  CHECK(view.size() == 6);
  CHECK_FALSE(view.empty());
  CHECK_FALSE(view.contiguous());
  CHECK(view(0, 0) == 0);
  CHECK(view(2, 1) == 9);
  CHECK(view.row(1).size() == 2);
  CHECK(view.row(1)[1] == 5);
  view(1, 0) = -1;
  CHECK(values[4] == -1);
}

TEST_CASE("matrix_view: parts of parts see the same values") {
  auto m = numbered(5, 6);
  const auto part = m.view().middle_rows(1, 3).middle_cols(2, 3);
  CHECK(part.rows() == 3);
  CHECK(part.cols() == 3);
  CHECK(part.stride() == 6);
  for (std::size_t i = 0; i < 3; ++i)
    for (std::size_t j = 0; j < 3; ++j) CHECK(part(i, j) == m(i + 1, j + 2));
  CHECK(part.middle_rows(1, 2)(1, 0) == 32);
  part.row(2)[0] = 99;
  CHECK(m(3, 2) == 99);
  CHECK(m.view().middle_rows(5, 0).empty());
  CHECK(m.view().middle_cols(6, 0).empty());
}

TEST_CASE("matrix_view: what counts as contiguous") {
  auto m = numbered(3, 4);
  CHECK(m.view().contiguous());
  CHECK(m.view().middle_rows(1, 2).contiguous());
  CHECK_FALSE(m.view().middle_cols(0, 2).contiguous());
  CHECK(m.view().middle_cols(0, 2).middle_rows(2, 1).contiguous());
  CHECK(matrix_view<int>().contiguous());
  CHECK(matrix_view<int>().empty());
}

TEST_CASE("matrix: owns values without gaps, on a cache line") {
  for (std::size_t cols : {1u, 3u, 8u, 17u}) {
    matrix<float> m(7, cols, 2.5f);
    CHECK(reinterpret_cast<std::uintptr_t>(m.data()) % 64 == 0);
    CHECK(m.size() == 7 * cols);
    CHECK(m.view().contiguous());
    for (float v : m.flat()) CHECK(v == 2.5f);
    CHECK(&m(6, cols - 1) == m.data() + m.size() - 1);
  }
}

TEST_CASE("matrix: copies of a view and of a matrix are apart from the original") {
  auto m = numbered(3, 4);
  const matrix<int> part(m.view().middle_cols(1, 2));
  CHECK(part.cols() == 2);
  CHECK(part(2, 1) == 22);
  matrix<int> copy = m;
  copy(0, 0) = 7;
  CHECK(m(0, 0) == 0);
  m(2, 2) = 5;
  CHECK(part(2, 1) == 22);
  const matrix<int> moved = std::move(copy);
  CHECK(moved(0, 0) == 7);
}

TEST_CASE("matrix: assign sizes anew and keeps the storage where it suffices") {
  auto m = numbered(4, 4);
  const int* data = m.data();
  m.assign(2, 3, 8);
  CHECK(m.rows() == 2);
  CHECK(m.cols() == 3);
  CHECK(m.data() == data);
  for (int v : m.flat()) CHECK(v == 8);
  m.assign(5, 5);
  for (int v : m.flat()) CHECK(v == 0);
}

TEST_CASE("matrix: of no rows or no columns") {
  const matrix<float> none, no_rows(0, 3), no_columns(3, 0);
  CHECK(none.empty());
  CHECK(no_rows.empty());
  CHECK(no_rows.cols() == 3);
  CHECK(no_columns.empty());
  CHECK(no_columns.rows() == 3);
  CHECK(no_columns.row(2).empty());
  CHECK(matrix<float>(no_columns.view()).rows() == 3);
  // No address is made of what is not there.
  CHECK(no_rows.view().middle_cols(1, 2).data() == nullptr);
  CHECK(no_rows.view().middle_cols(1, 2).cols() == 2);
}

TEST_CASE("matrix: its values start on a cache line, large ones on a page of 2 MB") {
  const auto starts_on = [](const auto& m, std::uintptr_t step) {
    return reinterpret_cast<std::uintptr_t>(m.data()) % step == 0;
  };
  for (const std::size_t rows : {std::size_t{1}, std::size_t{3}, std::size_t{1000}})
    CHECK(starts_on(matrix<float>(rows, 7), 64));
  matrix<float> large(1 << 20, 1, 3.f);
  CHECK(starts_on(large, std::uintptr_t{1} << 21));
  CHECK(large(large.rows() - 1, 0) == 3);
  CHECK(starts_on(matrix<float>(large), std::uintptr_t{1} << 21));
}

TEST_CASE("matrix: sizes whose product wraps are refused") {
  constexpr std::size_t most = std::numeric_limits<std::size_t>::max();
  const auto refused = [](std::size_t rows, std::size_t cols) {
    return refuses([&] { matrix<float>(rows, cols); }, "funnel::matrix", "rows x cols is ");
  };
  CHECK(refused(most / 2 + 1, 2));  // 2^63 x 2 is 0 where it wraps
  CHECK(refused(2, most / 2 + 1));
  CHECK(refused(most, most));
  CHECK(refused(most / 8 + 1, 1));  // fits as a number of values, and not as one of bytes
  matrix<int> m = numbered(2, 3);
  CHECK(refuses([&] { m.assign(most / 2 + 1, 2); }, "funnel::matrix",
                "rows x cols is 9223372036854775808 x 2, expected at most 2305843009213693936"));
  CHECK(m.rows() == 2);
  CHECK(m(1, 2) == 12);
  CHECK(matrix<int>(most, 0).size() == 0);
  CHECK(matrix<int>(0, most).rows() == 0);
}

TEST_CASE("matrix: empty when moved from") {
  matrix<int> m = numbered(2, 3);
  const matrix<int> taken = std::move(m);
  CHECK(taken(1, 2) == 12);
  CHECK(m.rows() == 0);  // NOLINT(bugprone-use-after-move): what this is about
  CHECK(m.cols() == 0);
  CHECK(m.view().empty());
  m = taken;
  CHECK(m(1, 2) == 12);
}
