// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/arena.hpp>
#include <funnel/core/matrix.hpp>
#include <funnel/nn/context.hpp>
#include <funnel/nn/detail/request_rows.hpp>
#include <funnel/simd/arch.hpp>

#include <cstddef>
#include <cstdint>
#include <span>

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
  /// Divides the rows of the batch into requests: request r has rows offsets[r] to
  /// offsets[r + 1] - 1. From now on a value may also have one row per request; operations broadcast
  /// it to the rows of its request. Valid until `reset`.
  ///
  /// Errors      std::invalid_argument if offsets does not start at 0 or does not rise.
  void group_rows(std::span<const std::uint32_t> offsets) {
    requests_ = detail::request_rows(arena_, "inference_context::group_rows", offsets);
  }
  /// The requests that `group_rows` set.
  const detail::request_rows& requests() const { return requests_; }
  /// Ends the request: all its values become invalid. The memory is kept for the next request.
  void reset() {
    requests_ = {};
    arena_.reset();
  }

 private:
  arena arena_;
  detail::request_rows requests_;
};

}  // namespace funnel
