// SPDX-License-Identifier: MIT
// error: a frozen model has no gradients
#include <funnel/nn/freeze.hpp>
#include <funnel/nn/mlp.hpp>

#ifdef MUST_FAIL
using context_type = funnel::training<float>;
#else
using context_type = funnel::inference<float>;
#endif

struct model {
  funnel::mlp<float> tower{2, {1}};
  void visit_parameters(auto&& visit) { visit("tower", tower); }
};

auto run(context_type& context, const context_type::value& x) {
  return funnel::freeze(model()).call(context, &model::tower, x);
}
