// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/matrix.hpp>

// As in simd/arch.hpp: g++ 12 warns about its own AVX-512 intrinsics, which Eigen includes.
#if defined(__GNUC__) && !defined(__clang__) && __GNUC__ < 13
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif
#include <Eigen/Core>
#if defined(__GNUC__) && !defined(__clang__) && __GNUC__ < 13
#pragma GCC diagnostic pop
#endif

namespace funnel {

/// Eigen matrix in row-major order, the layout of batches in this library.
template <class T>
using row_matrix = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

/// Returns an Eigen map of a `matrix_view`; copies nothing.
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

namespace detail {

template <class Derived>
constexpr void check_viewable() {
  static_assert(Derived::IsRowMajor,
                "as_view needs rows one after another: a row_matrix, its block or its map");
  static_assert(
      bool(Eigen::internal::traits<Derived>::Flags & Eigen::DirectAccessBit) &&
          Derived::InnerStrideAtCompileTime == 1,
      "as_view needs values that are in memory, side by side: evaluate the expression first");
}

}  // namespace detail

/// Returns a `matrix_view` of a row-major Eigen matrix, or of a block, map or Ref of one. Copies
/// nothing; the view must not outlive the matrix.
template <class Derived>
matrix_view<const typename Derived::Scalar> as_view(const Eigen::DenseBase<Derived>& values) {
  detail::check_viewable<Derived>();
  const Derived& m = values.derived();
  return {m.data(), static_cast<std::size_t>(m.rows()), static_cast<std::size_t>(m.cols()),
          static_cast<std::size_t>(m.outerStride())};
}

template <class T>
matrix_view<T> as_view(row_matrix<T>& values) {
  return {values.data(), static_cast<std::size_t>(values.rows()),
          static_cast<std::size_t>(values.cols())};
}

}  // namespace funnel
