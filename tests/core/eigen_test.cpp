// SPDX-License-Identifier: MIT
#include <funnel/core/eigen.hpp>

#include "support/catch.hpp"

#include <utility>

namespace {

using funnel::as_eigen;
using funnel::as_view;
using funnel::row_matrix;

row_matrix<float> numbered(Eigen::Index rows, Eigen::Index cols) {
  row_matrix<float> m(rows, cols);
  for (Eigen::Index i = 0; i < rows; ++i)
    for (Eigen::Index j = 0; j < cols; ++j) m(i, j) = static_cast<float>(10 * i + j);
  return m;
}

}  // namespace

TEST_CASE("as_eigen: looks at the same values, and writes to them") {
  funnel::matrix<float> m(3, 4);
  for (std::size_t k = 0; k < 12; ++k) m.flat()[k] = static_cast<float>(k);
  auto map = as_eigen(m);
  CHECK(map.data() == m.data());
  CHECK(map.rows() == 3);
  CHECK(map.cols() == 4);
  CHECK(map(2, 1) == 9);
  map(0, 0) = 7;
  CHECK(m(0, 0) == 7);
  CHECK(as_eigen(std::as_const(m)).sum() == 7 + 66);

  auto part = as_eigen(m.view().middle_cols(1, 2));  // rows 4 apart
  CHECK(part(2, 0) == 9);
  part.setZero();
  CHECK(m(1, 0) == 4);
  CHECK(m(1, 1) == 0);
  CHECK(m(1, 3) == 7);
}

TEST_CASE("as_view: sees an Eigen matrix without a copy") {
  auto m = numbered(3, 4);
  const auto view = as_view(m);
  CHECK(view.data() == m.data());
  CHECK(view.rows() == 3);
  CHECK(view.cols() == 4);
  CHECK(view(2, 3) == 23);
  view(2, 3) = -1;
  CHECK(m(2, 3) == -1);
  CHECK(as_view(std::as_const(m)).data() == m.data());
}

TEST_CASE("as_view: sees a Ref of a block without a copy") {
  auto m = numbered(4, 5);
  const Eigen::Ref<const row_matrix<float>> block = m.block(1, 2, 2, 3);
  const auto view = as_view(block);
  CHECK(view.data() == &m(1, 2));
  CHECK(view.rows() == 2);
  CHECK(view.cols() == 3);
  CHECK(view.stride() == 5);
  CHECK(view(1, 2) == 24);
}

TEST_CASE("as_eigen and as_view: of nothing") {
  funnel::matrix<float> none;
  CHECK(as_eigen(none).size() == 0);
  funnel::matrix<float> no_rows(0, 3);
  CHECK(as_eigen(no_rows).cols() == 3);
  row_matrix<float> empty(0, 2);
  CHECK(as_view(empty).cols() == 2);
}

TEST_CASE("as_view: there and back again") {
  auto m = numbered(3, 3);
  auto map = as_eigen(as_view(m));
  CHECK(map.data() == m.data());
  CHECK((map.array() == m.array()).all());
}

TEST_CASE("as_view: sees blocks as they are, without a name for them") {
  row_matrix<float> m(4, 5);
  m.setRandom();
  const auto rows = as_view(m.topRows(2));
  CHECK(rows.data() == m.data());
  CHECK(rows.rows() == 2);
  const auto block = as_view(m.block(1, 2, 2, 3));
  CHECK(block.stride() == 5);
  CHECK(block(1, 2) == m(2, 4));
}
