// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/build.hpp>

#include <concepts>
#include <span>
#include <type_traits>
#include <utility>

namespace funnel::detail {

/// The type of the values in a vector, array or span, without const.
template <class Values>
using element_of =
    typename decltype(std::span(std::declval<std::remove_reference_t<Values>&>()))::value_type;

/// Concept of a vector, array or span of numbers.
template <class Values>
concept Numbers = std::is_arithmetic_v<element_of<const Values>>;

/// Concept of a vector, array or span of floating-point numbers.
template <class Values>
concept Floats = std::floating_point<element_of<const Values>>;

/// The floating-point type for results that are as exact as some numbers: their type, or double if
/// they are integers.
template <Numbers Values>
using float_of = std::conditional_t<Floats<Values>, element_of<const Values>, double>;

/// The numbers of a vector, array or span.
template <Numbers Values>
auto as_span(const Values& values) {
  return std::span<const element_of<const Values>>(values);
}

}  // namespace funnel::detail
