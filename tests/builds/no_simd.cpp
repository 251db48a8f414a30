// SPDX-License-Identifier: MIT
#include <funnel/simd/dense.hpp>

#include <type_traits>

// Compiled where xsimd has no instruction set: the library runs on its twin in standard C++.
static_assert(std::is_same_v<funnel::default_arch, funnel::scalar_arch>);
static_assert(funnel::detail::lanes<funnel::default_arch, float> == 1);

int main() {
  return 0;
}
