// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/build.hpp>

#include <cstddef>
#include <type_traits>
#include <utility>

namespace funnel::detail {

template <class F, std::size_t... I>
FUNNEL_INLINE inline void unroll(const F& f, std::index_sequence<I...>) {
  (f(std::integral_constant<std::size_t, I>()), ...);
}

/// Unrolls a loop: calls f(0) .. f(N - 1) with compile-time constants. The constants are known
/// before the compiler decides which arrays stay in registers; a loop that it unrolls itself is
/// unrolled too late for that.
template <std::size_t N, class F>
FUNNEL_INLINE inline void unroll(const F& f) {
  unroll(f, std::make_index_sequence<N>());
}

}  // namespace funnel::detail
