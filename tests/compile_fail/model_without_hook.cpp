// SPDX-License-Identifier: MIT
// error: HasParameters
#include <funnel/nn/parameter.hpp>

struct model {
  funnel::parameter<float> weight;
#ifndef MUST_FAIL
  void visit_parameters(auto&& visit) {
    visit("weight", weight);
  }
#endif
};

std::size_t count(const model& m) {
  return funnel::count_parameters(m);
}
