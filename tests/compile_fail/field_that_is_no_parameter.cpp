// SPDX-License-Identifier: MIT
// error: a visited field is a parameter
#include <funnel/nn/parameter.hpp>

struct model {
#ifdef MUST_FAIL
  float weight = 0;
#else
  funnel::parameter<float> weight;
#endif
  void visit_parameters(auto&& visit) {
    visit("weight", weight);
  }
};

std::size_t count(const model& m) {
  return funnel::count_parameters(m);
}
