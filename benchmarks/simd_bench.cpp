// SPDX-License-Identifier: MIT
#include "harness.hpp"
#include "workloads.hpp"

#include <funnel/nn/softmax.hpp>
#include <funnel/simd/activation.hpp>
#include <funnel/simd/reduce.hpp>

#include <memory>

namespace {

constexpr std::size_t n = 4096;
constexpr funnel::default_arch arch;

/// `apply(x, y)` reads and writes n values.
template <class Apply>
void add_elementwise(const std::string& name, Apply apply) {
  bench::add("elementwise/" + name + "/n:4096", {.l2_bytes = 8.0 * n}, [=]() -> bench::task {
    const auto x = std::make_shared<const bench::matrix<float>>(bench::uniform(1, n, 5, -4, 4));
    const auto y = std::make_shared<bench::matrix<float>>(1, n);
    return [=] {
      apply(x->data(), y->data());
      benchmark::ClobberMemory();
    };
  });
}

const bool added = [] {
  add_elementwise(
      "exp", [](const float* x, float* y) { funnel::shifted_exp_kernel(arch, x, 0.0f, y, n); });
  const auto add_activation = [](const std::string& name, funnel::activation function) {
    add_elementwise(name, [=](const float* x, float* y) {
      funnel::activation_kernel(arch, x, y, n, function);
    });
  };
  add_activation("sigmoid", funnel::activation::sigmoid);
  add_activation("tanh", funnel::activation::tanh);
  add_activation("silu", funnel::activation::silu);
  add_activation("gelu", funnel::activation::gelu);
  add_elementwise("softmax",
                  [](const float* x, float* y) { funnel::detail::softmax_row(arch, x, y, n); });
  return true;
}();

}  // namespace
