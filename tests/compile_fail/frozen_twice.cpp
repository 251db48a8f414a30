// SPDX-License-Identifier: MIT
// error: the model is frozen already
#include <funnel/nn/freeze.hpp>
#include <funnel/nn/mlp.hpp>

void run() {
  const funnel::mlp<float> model(2, {1});
  const auto frozen = funnel::freeze(model);
#ifdef MUST_FAIL
  funnel::freeze(frozen);
#endif
}
