// SPDX-License-Identifier: MIT
#pragma once

#include "harness.hpp"
#include "workloads.hpp"

#include <funnel/nn/freeze.hpp>
#include <funnel/nn/inference_context.hpp>

#include <memory>

namespace bench {

/// Declares every dense case of a peer: `make(data, y)` gives the task that fills y [n, out].
template <class Make>
void add_dense_peer(Make make) {
  for (const dense_shape& s : dense_shapes()) {
    add(s.name(), [=]() -> task {
      const auto data = std::make_shared<const dense_data>(s);
      const auto y = std::make_shared<matrix<float>>(s.n, s.out);
      task work = make(*data, *y);
      work();
      funnel::inference_context<float> context;
      const auto ours = freeze(data->layer())(context, data->x.view());
      compare({ours.data(), ours.size()}, y->flat());
      return [data, y, work] { work(); };  // keeps what the work looks at
    });
  }
}

}  // namespace bench
