// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/matrix.hpp>

#include <Eigen/Core>

namespace funnel {

/// Eigen's owned matrix with rows one after another, as batches are.
template <class T>
using row_matrix = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

/// A `matrix_view` as Eigen sees it; copies nothing.
template <class T>
auto as_eigen(matrix_view<T> view) {
  using plain = row_matrix<std::remove_const_t<T>>;
  using mapped = std::conditional_t<std::is_const_v<T>, const plain, plain>;
  return Eigen::Map<mapped, Eigen::Unaligned, Eigen::OuterStride<>>(
      view.data(), static_cast<Eigen::Index>(view.rows()), static_cast<Eigen::Index>(view.cols()),
      Eigen::OuterStride<>(static_cast<Eigen::Index>(view.stride())));
}

template <class T>
auto as_eigen(matrix<T>& owned) {
  return as_eigen(owned.view());
}

template <class T>
auto as_eigen(const matrix<T>& owned) {
  return as_eigen(owned.view());
}

/// Eigen's row-major matrix, block or map as a `matrix_view`; copies nothing.
template <class T>
matrix_view<const T> as_view(const Eigen::Ref<const row_matrix<T>>& values) {
  return {values.data(), static_cast<std::size_t>(values.rows()),
          static_cast<std::size_t>(values.cols()), static_cast<std::size_t>(values.outerStride())};
}

template <class T>
matrix_view<const T> as_view(const row_matrix<T>& values) {
  return {values.data(), static_cast<std::size_t>(values.rows()),
          static_cast<std::size_t>(values.cols())};
}

template <class T>
matrix_view<T> as_view(row_matrix<T>& values) {
  return {values.data(), static_cast<std::size_t>(values.rows()),
          static_cast<std::size_t>(values.cols())};
}

}  // namespace funnel
