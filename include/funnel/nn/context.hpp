// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/matrix.hpp>

#include <concepts>
#include <cstddef>
#include <span>
#include <type_traits>

namespace funnel {

/// Concept of a context, the place where a model runs: it allocates the values that operations
/// fill. `inference_context` does only that; `training_context` also records how to compute
/// gradients.
///
/// A value is a matrix that is read alike on every context: rows(), cols(), value(i, j), row(i).
/// A value with one row is broadcast: an operation uses it for every row of its other values. What
/// depends only on the user therefore stays one row through the whole model.
template <class C>
concept Context = requires(C& context, std::size_t n, matrix_view<const typename C::scalar> data) {
  typename C::value;
  typename C::arch;
  { C::is_training } -> std::convertible_to<bool>;
  context.make(n, n);
  { context.input(data) } -> std::same_as<typename C::value>;
}
&&requires(const typename C::value& value, std::size_t i) {
  { value.rows() } -> std::same_as<std::size_t>;
  { value.cols() } -> std::same_as<std::size_t>;
  { value(i, i) } -> std::convertible_to<typename C::scalar>;
  { value.row(i) } -> std::convertible_to<std::span<const typename C::scalar>>;
};

/// Concept of a context that computes in numbers of type T: what a layer with parameters of type T
/// runs on.
template <class C, class T>
concept ContextOf = Context<C> && std::same_as<typename C::scalar, T>;

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

namespace detail {

/// Stops the compilation where a layer of numbers T is run on a context of other numbers.
template <Context C, class T>
value_of<C> refuse_context() {
  static_assert(std::is_same_v<scalar_of<C>, T>,
                "the model and the context have different number types: run a model<float> on a "
                "context of float, and a model<double> on a context of double");
  return {};
}

/// Base of layers with parameters of type T. It holds the call operator for contexts of another
/// number type, which stops the compilation with one sentence.
template <class T>
struct layer_of {
  template <Context C>
  value_of<C> operator()(C&, const auto&...) const requires(!ContextOf<C, T>) {
    return refuse_context<C, T>();
  }
};

}  // namespace detail
}  // namespace funnel
