// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/sizes.hpp>
#include <funnel/core/error.hpp>

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <new>
#include <span>
#include <type_traits>
#include <vector>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace funnel {

/// Non-owning view of a row-major matrix: `rows` rows of `cols` values; neighboring rows start
/// `stride` values apart.
///
/// A batch of n examples is a view [n, d], one row per example. Copying a view copies no values;
/// `matrix_view<T>` converts to `matrix_view<const T>`.
template <class T>
class matrix_view {
 public:
  using value_type = std::remove_const_t<T>;

  constexpr matrix_view() = default;
  constexpr matrix_view(T* data, std::size_t rows, std::size_t cols, std::size_t stride)
      : data_(data), rows_(rows), cols_(cols), stride_(stride) {
    FUNNEL_ASSERT(stride >= cols);
  }
  constexpr matrix_view(T* data, std::size_t rows, std::size_t cols)
      : matrix_view(data, rows, cols, cols) {}

  constexpr operator matrix_view<const T>() const requires(!std::is_const_v<T>) {
    return {data_, rows_, cols_, stride_};
  }

  constexpr T* data() const { return data_; }
  constexpr std::size_t rows() const { return rows_; }
  constexpr std::size_t cols() const { return cols_; }
  /// Distance between the first values of two neighboring rows, in values (not bytes).
  constexpr std::size_t stride() const { return stride_; }
  constexpr std::size_t size() const { return rows_ * cols_; }
  constexpr bool empty() const { return size() == 0; }
  /// True if the rows follow one another without gaps.
  constexpr bool contiguous() const { return stride_ == cols_ || rows_ <= 1; }

  constexpr T& operator()(std::size_t i, std::size_t j) const {
    FUNNEL_ASSERT(i < rows_ && j < cols_);
    return data_[i * stride_ + j];
  }
  constexpr std::span<T> row(std::size_t i) const {
    FUNNEL_ASSERT(i < rows_);
    return {data_ + i * stride_, cols_};
  }
  /// Rows [begin, begin + count).
  constexpr matrix_view middle_rows(std::size_t begin, std::size_t count) const {
    FUNNEL_ASSERT(begin <= rows_ && count <= rows_ - begin);
    return {data_ + begin * stride_, count, cols_, stride_};
  }
  /// Columns [begin, begin + count).
  constexpr matrix_view middle_cols(std::size_t begin, std::size_t count) const {
    FUNNEL_ASSERT(begin <= cols_ && count <= cols_ - begin);
    return {rows_ == 0 ? data_ : data_ + begin, rows_, count, stride_};  // data may be null then
  }

 private:
  T* data_ = nullptr;
  std::size_t rows_ = 0;
  std::size_t cols_ = 0;
  std::size_t stride_ = 0;
};

namespace detail {

/// Asks Linux for pages of 2 MB. This is a hint: if Linux refuses, nothing else changes.
inline void ask_for_huge_pages([[maybe_unused]] void* p, [[maybe_unused]] std::size_t bytes) {
#if defined(__linux__) && defined(MADV_HUGEPAGE)
  static_cast<void>(madvise(p, bytes, MADV_HUGEPAGE));
#endif
}

/// Allocator that aligns memory to cache lines. The alignment does not depend on the compiler's
/// flags, so that all translation units agree on it.
///
/// Arrays of 4 MB or more start on a boundary of 2 MB and ask for pages of that size. Rows read at
/// random from a table are then found without walking the page tables.
template <class T>
struct aligned_allocator {
  using value_type = T;

  aligned_allocator() = default;
  template <class U>
  aligned_allocator(const aligned_allocator<U>&) {}

  T* allocate(std::size_t n) {
    if (n > most_values<T>) throw std::bad_array_new_length();
    void* p = ::operator new(n * sizeof(T), alignment(n));
    if (alignment(n) == huge_page) ask_for_huge_pages(p, n * sizeof(T));
    return static_cast<T*>(p);
  }
  void deallocate(T* p, std::size_t n) { ::operator delete(p, alignment(n)); }
  friend bool operator==(const aligned_allocator&, const aligned_allocator&) { return true; }

 private:
  static constexpr std::align_val_t cache_line{64};
  static constexpr std::align_val_t huge_page{std::size_t{1} << 21};

  static std::align_val_t alignment(std::size_t n) {
    return n * sizeof(T) >= std::size_t{1} << 22 ? huge_page : cache_line;
  }
};

template <class T>
using aligned_vector = std::vector<T, aligned_allocator<T>>;

/// The same for memory that is written before it is read: a vector of n values leaves them
/// uninitialized.
template <class T>
struct unfilled_allocator : aligned_allocator<T> {
  static_assert(std::is_trivial_v<T>);

  unfilled_allocator() = default;
  template <class U>
  unfilled_allocator(const unfilled_allocator<U>&) {}

  template <class U>
  struct rebind {
    using other = unfilled_allocator<U>;
  };
  void construct(T*) noexcept {}
};

}  // namespace detail

/// Row-major matrix that owns its values, without gaps between rows.
///
/// Its memory layout does not depend on the compiler's flags; that of an Eigen matrix does.
/// `as_eigen` (core/eigen.hpp) returns an Eigen map of it.
///
/// Errors      std::invalid_argument if rows x cols is more than an array can have; std::bad_alloc
///             if there is no memory for the values. The matrix is unchanged then.
template <class T>
class matrix {
 public:
  using value_type = T;

  matrix() = default;
  /// A matrix [rows, cols] with every value equal to `fill`.
  matrix(std::size_t rows, std::size_t cols, T fill = T())
      : values_(size_of(rows, cols), fill), rows_(rows), cols_(cols) {}
  explicit matrix(matrix_view<const T> source) : matrix(source.rows(), source.cols()) {
    for (std::size_t i = 0; i < rows_; ++i) std::ranges::copy(source.row(i), row(i).begin());
  }

  T* data() { return values_.data(); }
  const T* data() const { return values_.data(); }
  std::size_t rows() const { return rows_; }
  std::size_t cols() const { return cols_; }
  std::size_t size() const { return values_.size(); }
  bool empty() const { return values_.empty(); }

  T& operator()(std::size_t i, std::size_t j) { return view()(i, j); }
  const T& operator()(std::size_t i, std::size_t j) const { return view()(i, j); }
  std::span<T> row(std::size_t i) { return view().row(i); }
  std::span<const T> row(std::size_t i) const { return view().row(i); }
  /// All values, one row after another.
  std::span<T> flat() { return values_; }
  std::span<const T> flat() const { return values_; }

  matrix_view<T> view() { return {values_.data(), rows_, cols_}; }
  matrix_view<const T> view() const { return {values_.data(), rows_, cols_}; }
  operator matrix_view<T>() { return view(); }
  operator matrix_view<const T>() const { return view(); }

  /// Resizes the matrix to [rows, cols] and sets every value to `fill`. Reuses the storage if it is
  /// large enough.
  void assign(std::size_t rows, std::size_t cols, T fill = T()) {
    values_.assign(size_of(rows, cols), fill);
    rows_ = rows;
    cols_ = cols;
  }

 private:
  static std::size_t size_of(std::size_t rows, std::size_t cols) {
    return detail::array_size<T>("funnel::matrix: rows x cols", rows, cols);
  }

  detail::aligned_vector<T> values_;  // before the sizes: a copy that fails changes none of them
  detail::owned_size rows_;
  detail::owned_size cols_;
};

namespace detail {

/// Concept of a matrix, or of a view of one.
template <class M>
concept Matrix =
    std::convertible_to<const M&, matrix_view<const typename std::remove_cvref_t<M>::value_type>>;

/// The values of a matrix, or of a view of one.
template <Matrix M>
matrix_view<const typename M::value_type> as_view(const M& values) {
  return values;
}

}  // namespace detail
}  // namespace funnel
