// SPDX-License-Identifier: MIT
// error: (discards qualifiers|no viable conversion)
#include <funnel/core/matrix.hpp>

#ifdef MUST_FAIL
using target = funnel::matrix_view<float>;
#else
using target = funnel::matrix_view<const float>;
#endif

target look(const funnel::matrix<float>& values) {
  return values;
}
