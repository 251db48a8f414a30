// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/build.hpp>

#include <span>
#include <type_traits>
#include <utility>

namespace funnel::detail {

/// The type of the values in a vector, array or span, without const.
template <class Values>
using element_of =
    typename decltype(std::span(std::declval<std::remove_reference_t<Values>&>()))::value_type;

}  // namespace funnel::detail
