// SPDX-License-Identifier: MIT
// error: the model was frozen for another instruction set
#include <funnel/nn/freeze.hpp>
#include <funnel/nn/inference_context.hpp>

#ifdef MUST_FAIL
using context_type = funnel::inference_context<float>;
#else
using context_type = funnel::inference_context<float, funnel::scalar_arch>;
#endif

struct model {
  template <funnel::Context C>
  int operator()(C&) const {
    return 1;
  }
  void visit_parameters(auto&&) {}
};

int run(context_type& context) {
  return funnel::freeze<funnel::scalar_arch>(model())(context);
}
