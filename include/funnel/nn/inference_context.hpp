// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/arena.hpp>
#include <funnel/core/matrix.hpp>
#include <funnel/nn/context.hpp>
#include <funnel/simd/arch.hpp>

#include <cstddef>

namespace funnel {

/// Context for serving (inference): computes forward only and records nothing. After the first
/// requests it allocates no memory from the system.
///
/// A value is a view into an arena and is valid until `reset`. Only one thread at a time may use a
/// context. The model it runs is const, and any number of threads may share it.
template <class T, class Arch = default_arch>
class inference_context {
 public:
  using scalar = T;
  using arch = Arch;
  using value = matrix_view<const T>;
  static constexpr bool is_training = false;

  /// A new value [rows, cols], uninitialized.
  matrix_view<T> make(std::size_t rows, std::size_t cols) {
    return {arena_.allocate<T>(rows, cols), rows, cols};
  }
  /// The caller's data as a value; copies nothing.
  value input(matrix_view<const T> data) { return data; }
  /// Temporary memory for operations, valid until `reset`.
  arena& scratch() { return arena_; }
  /// Ends the request: all its values become invalid. The memory is kept for the next request.
  void reset() { arena_.reset(); }

 private:
  arena arena_;
};

}  // namespace funnel
