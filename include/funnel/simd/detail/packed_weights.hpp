// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/error.hpp>
#include <funnel/core/matrix.hpp>
#include <funnel/simd/dense.hpp>

#include <cstddef>
#include <string_view>

namespace funnel::detail {

/// Weights of a frozen layer, packed for one instruction set; empty if the layer is not frozen.
template <class T>
class packed_weights {
 public:
  bool empty() const { return tile_ == 0; }

  /// Allocates `size` packed values, which the caller fills.
  template <class Arch>
  T* make(std::size_t size) {
    values_.resize(size);
    tile_ = dense_tile<Arch, T>::cols;
    return values_.data();
  }

  /// The packed weights.
  /// Errors      std::invalid_argument if the weights were packed for registers of another width,
  ///             or if there are not `size` values: the layer was moved from, or memory ran out
  ///             when it was assigned to.
  template <class Arch>
  const T* data(std::string_view layer, std::size_t size) const {
    constexpr std::size_t tile = dense_tile<Arch, T>::cols;
    if (tile_ != tile) {
      fail("funnel::", layer, ": weight is packed in panels of ", tile_, " columns, expected ",
           tile, ": the layer was frozen for another instruction set");
    }
    if (values_.size() != size)
      fail("funnel::", layer, ": weight has ", values_.size(), " packed values, expected ", size);
    return values_.data();
  }

  /// Checks that the layer is not frozen.
  /// Errors      std::invalid_argument if it is: a frozen layer cannot be trained, or frozen again.
  void check_empty(std::string_view layer) const {
    if (!empty())
      fail("funnel::", layer, ": the layer is frozen, expected the one that it was frozen from");
  }

 private:
  aligned_vector<T> values_;
  std::size_t tile_ = 0;  // columns of a panel
};

}  // namespace funnel::detail
