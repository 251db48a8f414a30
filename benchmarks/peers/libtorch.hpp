// SPDX-License-Identifier: MIT
#pragma once

#include "harness.hpp"
#include "workloads.hpp"

#include <cmath>
#include <memory>
#include <span>
#include <string>
#include <torch/torch.h>
#include <vector>

// What the two halves of the LibTorch peer share: data and weights as tensors.
namespace bench {

using torch::Tensor;

inline Tensor tensor(funnel::matrix_view<const float> m) {
  return torch::from_blob(const_cast<float*>(m.data()),
                          {static_cast<long>(m.rows()), static_cast<long>(m.cols())},
                          {static_cast<long>(m.stride()), 1})
      .clone(at::MemoryFormat::Contiguous);
}
inline Tensor tensor(std::span<const std::uint32_t> ids, at::ScalarType type) {
  return torch::from_blob(const_cast<std::uint32_t*>(ids.data()), {static_cast<long>(ids.size())},
                          torch::kInt)
      .to(type, false, true);
}
/// A contiguous [n, d] of floats as funnel sees it.
inline funnel::matrix_view<const float> tensor_view(const Tensor& t) {
  return {t.data_ptr<float>(), static_cast<std::size_t>(t.size(0)),
          static_cast<std::size_t>(t.size(1))};
}
inline std::span<const float> values(const Tensor& t) {
  return {t.data_ptr<float>(), static_cast<std::size_t>(t.numel())};
}

struct constant {
  std::string name;
  Tensor value;
};

/// The weights of the model with the experts side by side, and the same as batches of products.
struct mmoe_weights {
  Tensor w1, b1, w2, b2, gates, w3, b3, w4, b4;

  explicit mmoe_weights(const mmoe_model& m) {
    std::vector<Tensor> first, first_bias, second, second_bias, third, third_bias, last, last_bias;
    for (const auto& expert : m.mixture.experts) {
      first.push_back(tensor(expert.layers[0].weight.value).t());
      first_bias.push_back(tensor(expert.layers[0].bias.value).flatten());
      second.push_back(tensor(expert.layers[1].weight.value));
      second_bias.push_back(tensor(expert.layers[1].bias.value));
    }
    for (const auto& tower : m.towers) {
      third.push_back(tensor(tower.layers[0].weight.value));
      third_bias.push_back(tensor(tower.layers[0].bias.value));
      last.push_back(tensor(tower.layers[1].weight.value));
      last_bias.push_back(tensor(tower.layers[1].bias.value));
    }
    w1 = at::cat(first).contiguous(), b1 = at::cat(first_bias), w2 = at::stack(second),
    b2 = at::stack(second_bias), gates = tensor(m.mixture.gates.weight.value).t().contiguous(),
    w3 = at::stack(third), b3 = at::stack(third_bias), w4 = at::stack(last),
    b4 = at::stack(last_bias);
  }
  std::vector<Tensor*> all() { return {&w1, &b1, &w2, &b2, &gates, &w3, &b3, &w4, &b4}; }

  /// Logits [4, n, 1].
  Tensor joined(const Tensor& x) const {
    const long n = x.size(0);
    const Tensor h = at::linear(x, w1, b1).relu_().view({n, 4, 128}).transpose(0, 1);
    const Tensor experts = at::baddbmm(b2, h, w2).relu_().transpose(0, 1);
    const Tensor g = at::softmax(at::linear(x, gates).view({n, 4, 4}), 2);
    const Tensor mixed = at::bmm(g, experts).transpose(0, 1);
    return at::baddbmm(b4, at::baddbmm(b3, mixed, w3).relu_(), w4);
  }
};

inline std::vector<constant> separate_constants(const mmoe_weights& w) {
  std::vector<constant> made;
  for (long k = 0; k < 4; ++k) {
    const std::string of = "_" + std::to_string(k);
    const auto part = [&](const char* name, const Tensor& t) {
      made.push_back({name + of, t.clone(at::MemoryFormat::Contiguous)});
    };
    part("w1", w.w1.narrow(0, 128 * k, 128)), part("b1", w.b1.narrow(0, 128 * k, 128));
    part("w2", w.w2[k].t()), part("b2", w.b2[k][0]), part("g", w.gates.narrow(0, 4 * k, 4));
    part("w3", w.w3[k].t()), part("b3", w.b3[k][0]), part("w4", w.w4[k].t());
    part("b4", w.b4[k][0]);
  }
  return made;
}

/// One of the ways to do a case, and what it gave last.
struct way {
  task run;
  std::shared_ptr<Tensor> result;
};

/// The fastest of several ways, after a warm-up of each that also checks it.
inline task fastest(std::span<const float> ours, const std::vector<way>& ways) {
  double least = INFINITY;
  task best;
  for (const way& w : ways) {
    for (int i = 0; i < 10; ++i) w.run();  // the profiling executor compiles in its first runs
    if (!ours.empty()) compare(ours, values(w.result->contiguous()), 1e-4);
    int runs = 0;
    const double begin = now();
    while (now() - begin < .03 || runs < 3) w.run(), ++runs;
    const double seconds = (now() - begin) / runs;
    if (seconds < least) best = w.run;
    least = std::min(least, seconds);
  }
  return best;
}

/// Logits of funnel's model, [4, n].
template <class Model, class C>
std::vector<float> logits_of(const Model& model, C& context, const auto& x) {
  std::vector<float> all;
  for (const auto& y : model(context, x)) {
    const auto v = funnel::view(y);
    for (std::size_t i = 0; i < v.rows(); ++i) all.push_back(v(i, 0));
  }
  return all;
}

}  // namespace bench
