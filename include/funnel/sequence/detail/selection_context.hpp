// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/arena.hpp>
#include <funnel/core/matrix.hpp>

#include <cstddef>

namespace funnel::detail {

/// A context that computes values and records nothing, whatever the model runs on: for what decides
/// which events are found.
template <class T, class Arch>
class selection_context {
 public:
  using scalar = T;
  using arch = Arch;
  using value = matrix_view<const T>;
  static constexpr bool is_training = false;

  explicit selection_context(arena& memory) : memory_(memory) {}
  matrix_view<T> make(std::size_t rows, std::size_t cols) {
    return {memory_.allocate<T>(rows, cols), rows, cols};
  }
  value input(matrix_view<const T> data) { return data; }
  arena& scratch() { return memory_; }

 private:
  arena& memory_;
};

}  // namespace funnel::detail
