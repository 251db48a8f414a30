// SPDX-License-Identifier: MIT
// error: a backward step captures views and numbers by value
#include <funnel/nn/training_context.hpp>

#include <vector>

void record(funnel::training_context<float>& context) {
#ifdef MUST_FAIL
  const std::vector<float> kept(3);
#else
  const float* kept = nullptr;
#endif
  context.record([kept] { static_cast<void>(kept); });
}
