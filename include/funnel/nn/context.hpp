// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/matrix.hpp>

#include <concepts>
#include <cstddef>

namespace funnel {

/// Where a model runs: it makes the values that operations fill. `inference_context` keeps nothing else;
/// `training_context` also records how to go back.
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

}  // namespace funnel
