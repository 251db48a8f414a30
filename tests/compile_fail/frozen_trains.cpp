// SPDX-License-Identifier: MIT
// error: a frozen model has no gradients
#include <funnel/nn/freeze.hpp>
#include <funnel/nn/inference_context.hpp>
#include <funnel/nn/training_context.hpp>

#ifdef MUST_FAIL
using context_type = funnel::training_context<float>;
#else
using context_type = funnel::inference_context<float>;
#endif

struct model {
  template <funnel::Context C>
  int operator()(C&) const {
    return 1;
  }
  void visit_parameters(auto&&) {}
};

int run(context_type& context) {
  return funnel::freeze(model())(context);
}
