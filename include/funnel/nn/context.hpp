// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/matrix.hpp>

#include <concepts>
#include <cstddef>

namespace funnel {

/// Concept of a context, the place where a model runs: it allocates the values that operations
/// fill. `inference_context` does only that; `training_context` also records how to compute
/// gradients.
///
/// A value is a matrix with rows() and cols(); `view(value)` reads it. A value with one row is
/// broadcast: an operation uses it for every row of its other values. What depends only on the user
/// therefore stays one row through the whole model.
template <class C>
concept Context = requires(C& context, std::size_t n, matrix_view<const typename C::scalar> data) {
  typename C::value;
  typename C::arch;
  { C::is_training } -> std::convertible_to<bool>;
  context.make(n, n);
  { context.input(data) } -> std::same_as<typename C::value>;
};

/// Number type of a context, float or double.
template <Context C>
using scalar_of = typename C::scalar;
/// Type of the values of a context.
template <Context C>
using value_of = typename C::value;

/// The numbers of a value, read-only.
template <class T>
matrix_view<const T> view(matrix_view<T> value) {
  return value;
}
/// The numbers of a value, for the operation that computes them.
template <class T>
matrix_view<T> writable(matrix_view<T> value) {
  return value;
}

}  // namespace funnel
