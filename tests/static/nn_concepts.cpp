// SPDX-License-Identifier: MIT
#include <funnel/nn/inference_context.hpp>
#include <funnel/nn/parameter.hpp>
#include <funnel/nn/training_context.hpp>
#include <funnel/optim/optimizer.hpp>
#include <funnel/optim/sgd.hpp>

#include <vector>

namespace {

// Context: the library's two, the smallest of somebody else's, and ones that miss something.
struct smallest_context {
  using scalar = float;
  using arch = funnel::scalar_arch;
  using value = funnel::matrix_view<const float>;
  static constexpr bool is_training = false;
  funnel::matrix_view<float> make(std::size_t, std::size_t) { return {}; }
  value input(funnel::matrix_view<const float> data) { return data; }
};
struct context_without_arch {
  using scalar = float;
  using value = funnel::matrix_view<const float>;
  [[maybe_unused]] static constexpr bool is_training = false;
  funnel::matrix_view<float> make(std::size_t, std::size_t) { return {}; }
  value input(funnel::matrix_view<const float> data) { return data; }
};
struct context_of_other_inputs : smallest_context {
  std::vector<float> input(funnel::matrix_view<const float>) { return {}; }
};
struct value_without_rows {
  std::size_t rows() const { return 0; }
  std::size_t cols() const { return 0; }
  float operator()(std::size_t, std::size_t) const { return 0; }
};
struct context_of_other_values : smallest_context {
  using value = value_without_rows;
  value input(funnel::matrix_view<const float>) { return {}; }
};
static_assert(funnel::Context<smallest_context>);
static_assert(funnel::Context<funnel::inference_context<float>>);
static_assert(funnel::Context<funnel::inference_context<double, funnel::scalar_arch>>);
static_assert(funnel::Context<funnel::training_context<float>>);
static_assert(funnel::Context<funnel::training_context<double>>);
static_assert(!funnel::Context<context_without_arch>);
static_assert(!funnel::Context<context_of_other_inputs>);
static_assert(!funnel::Context<context_of_other_values>);
static_assert(!funnel::Context<float>);

// ContextOf: a context of one number type.
static_assert(funnel::ContextOf<smallest_context, float>);
static_assert(funnel::ContextOf<funnel::training_context<double>, double>);
static_assert(!funnel::ContextOf<smallest_context, double>);
static_assert(!funnel::ContextOf<funnel::inference_context<double>, float>);
static_assert(!funnel::ContextOf<context_without_arch, float>);

// HasParameters: one hook, which takes any visitor.
struct smallest_model {
  void visit_parameters(auto&&) {}
};
struct plain_struct {
  funnel::parameter<float> weight;
};
struct hook_for_one_visitor {
  void visit_parameters(int) {}
};
static_assert(funnel::HasParameters<smallest_model>);
static_assert(!funnel::HasParameters<plain_struct>);
static_assert(!funnel::HasParameters<hook_for_one_visitor>);
static_assert(!funnel::HasParameters<funnel::parameter<float>>);
static_assert(!funnel::HasParameters<std::vector<smallest_model>>);

// Optimizer: a step of a model on a context.
struct smallest_optimizer {
  void step(smallest_model&, const funnel::training_context<float>&) {}
};
struct optimizer_without_step {};
using tape = funnel::training_context<float>;
static_assert(funnel::Optimizer<smallest_optimizer, smallest_model, tape>);
static_assert(funnel::Optimizer<funnel::sgd<float>, smallest_model, tape>);
static_assert(!funnel::Optimizer<funnel::sgd<float>, plain_struct, tape>);
static_assert(
    !funnel::Optimizer<funnel::sgd<float>, smallest_model, funnel::training_context<double>>);
static_assert(
    !funnel::Optimizer<funnel::sgd<float>, smallest_model, funnel::inference_context<float>>);
static_assert(!funnel::Optimizer<optimizer_without_step, smallest_model, tape>);

// A variable goes into backward steps, which the arena never destroys.
static_assert(std::is_trivially_copyable_v<funnel::variable<float>>);
static_assert(std::is_trivially_destructible_v<funnel::variable<float>>);

}  // namespace
