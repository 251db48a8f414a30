// SPDX-License-Identifier: MIT
#pragma once

#include "harness.hpp"
#include "workloads.hpp"

#include <utility>

namespace bench {

/// Declares `apply(x, y)`, which reads and writes as many values. Its polynomials take longer than the
/// bytes do, and how many operations a function cannot do without isn't known: no roofline.
template <class Apply>
void add_elementwise(const std::string& name, Apply apply) {
  add("elementwise/" + name + "/n:4096", [=]() -> task {
    return [=, x = uniform(1, elementwise_size, 5, .01, 4),
            y = matrix<float>(1, elementwise_size)]() mutable {
      apply(std::as_const(x).data(), y.data());
      benchmark::ClobberMemory();
    };
  });
}

}  // namespace bench
