// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/arena.hpp>
#include <funnel/core/matrix.hpp>
#include <funnel/simd/pack.hpp>

#include <concepts>
#include <cstddef>

namespace funnel {

/// Where a model runs: it makes the values that operations fill. `inference` keeps nothing else;
/// `training` also records how to go back.
///
/// A value has rows() and cols(); `view(value)` reads it. A value with one row stands for that row
/// in every row of the values it meets: what depends on the user alone stays one row through the
/// whole model.
template <class C>
concept Context = requires(C& context, std::size_t n, matrix_view<const typename C::scalar> data) {
  typename C::value;
  typename C::arch;
  { C::is_training } -> std::convertible_to<bool>;
  context.make(n, n);
  { context.input(data) } -> std::same_as<typename C::value>;
};

template <Context C>
using scalar_of = typename C::scalar;
template <Context C>
using value_of = typename C::value;

template <class T>
matrix_view<const T> view(matrix_view<T> value) {
  return value;
}
template <class T>
matrix_view<T> writable(matrix_view<T> value) {
  return value;
}

/// The context that serves: forward only, nothing recorded, no memory from the system after the
/// first requests.
///
/// A value is a view into an arena and lives until `reset`. One context serves one thread at a
/// time; the model it runs is const and may be shared by any number of them.
template <class T, class Arch = default_arch>
class inference {
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
