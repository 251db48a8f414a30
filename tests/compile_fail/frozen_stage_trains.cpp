// SPDX-License-Identifier: MIT
// error: a frozen model has no gradients
#include <funnel/nn/freeze.hpp>
#include <funnel/nn/inference_context.hpp>
#include <funnel/nn/mlp.hpp>
#include <funnel/nn/training_context.hpp>

#ifdef MUST_FAIL
using context_type = funnel::training_context<float>;
#else
using context_type = funnel::inference_context<float>;
#endif

struct model {
  funnel::mlp<float> tower{2, {1}};
  void visit_parameters(auto&& visit) { visit("tower", tower); }
};

auto run(context_type& context, const context_type::value& x) {
  return funnel::freeze(model()).call(context, &model::tower, x);
}
