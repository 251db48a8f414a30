// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/arena.hpp>
#include <funnel/core/matrix.hpp>
#include <funnel/nn/context.hpp>
#include <funnel/simd/arch.hpp>

#include <cstddef>

namespace funnel {

/// The context that serves: forward only, nothing recorded, no memory from the system after the
/// first requests.
///
/// A value is a view into an arena and lives until `reset`. One context serves one thread at a
/// time; the model it runs is const and may be shared by any number of them.
template <class T, class Arch = default_arch>
class inference_context {
 public:
  using scalar = T;
  using arch = Arch;
  using value = matrix_view<const T>;
  static constexpr bool is_training = false;

  /// A new value [rows, cols], not yet filled.
  matrix_view<T> make(std::size_t rows, std::size_t cols) {
    return {arena_.allocate<T>(rows, cols), rows, cols};
  }
  /// The caller's data as a value; copies nothing.
  value input(matrix_view<const T> data) { return data; }
  /// Room that operations may use until `reset`.
  arena& scratch() { return arena_; }
  /// Ends the request: all its values are gone, their memory stays for the next.
  void reset() { arena_.reset(); }

 private:
  arena arena_;
};

}  // namespace funnel
