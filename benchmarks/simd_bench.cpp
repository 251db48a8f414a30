// SPDX-License-Identifier: MIT
#include "elementwise.hpp"

#include <funnel/simd/activation.hpp>
#include <funnel/simd/elementwise.hpp>
#include <funnel/simd/softmax.hpp>

namespace {

constexpr funnel::default_arch arch;
using bench::elementwise_size;

void add_activation(const std::string& name, funnel::activation function) {
  bench::add_elementwise(name, [=](const float* x, float* y) {
    funnel::activation_kernel(arch, x, y, elementwise_size, function);
  });
}

const bool added = [] {
  using bench::add_elementwise;
  add_elementwise(
      "exp", [](const float* x, float* y) { funnel::exp_kernel(arch, x, y, elementwise_size); });
  add_elementwise(
      "log", [](const float* x, float* y) { funnel::log_kernel(arch, x, y, elementwise_size); });
  add_elementwise("log1p", [](const float* x, float* y) {
    funnel::log1p_kernel(arch, x, y, elementwise_size);
  });
  add_elementwise("softplus", [](const float* x, float* y) {
    funnel::softplus_kernel(arch, x, y, elementwise_size);
  });
  add_activation("sigmoid", funnel::activation::sigmoid);
  add_activation("tanh", funnel::activation::tanh);
  add_activation("silu", funnel::activation::silu);
  add_activation("gelu", funnel::activation::gelu);
  add_elementwise("softmax", [](const float* x, float* y) {
    funnel::softmax_kernel(arch, funnel::matrix_view<const float>(x, 1, elementwise_size),
                           funnel::matrix_view<float>(y, 1, elementwise_size));
  });
  return true;
}();

}  // namespace
