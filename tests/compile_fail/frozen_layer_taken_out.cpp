// SPDX-License-Identifier: MIT
// error: the model and its layers stay inside
#include <funnel/nn/freeze.hpp>
#include <funnel/nn/inference_context.hpp>
#include <funnel/nn/mlp.hpp>

struct model {
  funnel::mlp<float> tower{2, {1}};
  void visit_parameters(auto&& visit) { visit("tower", tower); }
};

auto run(funnel::inference_context<float>& context) {
  return funnel::freeze(model()).call(context, [](const model& m, auto&) {
#ifdef MUST_FAIL
    return m.tower;
#else
    return m.tower.out();
#endif
  });
}
