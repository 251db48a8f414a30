// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>
#include <funnel/core/detail/element_of.hpp>
#include <funnel/core/error.hpp>
#include <funnel/core/matrix.hpp>

#include <concepts>
#include <cstddef>
#include <type_traits>

namespace funnel {

/// Read-only view of a column of numbers of any type: a vector, array or span, or one column of a
/// matrix. Evaluation reads scores and labels through it, so that they may have different types.
///
/// A view copies nothing: the numbers must outlive it.
class number_column {
 public:
  number_column() = default;

  template <class Values>
  requires(!std::same_as<std::remove_cvref_t<Values>, number_column> && detail::Numbers<Values>)
      number_column(const Values& values) {
    const auto numbers = detail::as_span(values);
    data_ = numbers.data();
    size_ = numbers.size();
    value_ = &value_of<detail::element_of<const Values>>;
  }

  /// Column j of a matrix.
  ///
  /// Errors      std::invalid_argument if j is not below the number of columns.
  template <detail::Matrix Values>
  number_column(const Values& values, std::size_t j) {
    const auto view = detail::as_view(values);
    detail::check_below("number_column", "j", j, view.cols());
    data_ = view.data() + j;
    size_ = view.rows();
    stride_ = view.stride();
    value_ = &value_of<typename Values::value_type>;
  }

  std::size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  double operator[](std::size_t i) const {
    FUNNEL_ASSERT(i < size_);
    return value_(data_, i * stride_);
  }

 private:
  template <class T>
  static double value_of(const void* data, std::size_t i) {
    return static_cast<double>(static_cast<const T*>(data)[i]);
  }

  const void* data_ = nullptr;
  std::size_t size_ = 0;
  std::size_t stride_ = 1;
  double (*value_)(const void*, std::size_t) = nullptr;
};

}  // namespace funnel
