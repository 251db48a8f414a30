// SPDX-License-Identifier: MIT
// error: (invalid initialization|no matching|cannot convert|no viable conversion).*variable<(float|double)>
// one error
#include <funnel/nn/elementwise.hpp>
#include <funnel/nn/training_context.hpp>

#ifdef MUST_FAIL
using number = double;
#else
using number = float;
#endif

funnel::variable<number> twice(funnel::training_context<number>& context,
                               const funnel::variable<float>& x) {
  return funnel::add(context, x, x);
}
