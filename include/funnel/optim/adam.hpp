// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/nn/parameter.hpp>
#include <funnel/nn/training_context.hpp>
#include <funnel/optim/detail/update_parameters.hpp>
#include <funnel/simd/optimizer.hpp>

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

namespace funnel {

/// What `adam` can be told.
struct adam_options {
  /// Size of a step, above 0. alpha in the source.
  double learning_rate = 0.001;
  /// How much of the mean gradient is kept, in [0, 1). beta_1.
  double first_decay = 0.9;
  /// How much of the mean squared gradient is kept, in [0, 1). beta_2.
  double second_decay = 0.999;
  /// Added to the root, above 0.
  double epsilon = 1e-8;
  /// Fraction of a weight taken off per unit of learning rate, decoupled from the gradient; of
  /// tables, touched rows.
  double weight_decay = 0;
};

/// Adam: p <- p - learning_rate (m / (1 - beta_1^t)) / (sqrt(v / (1 - beta_2^t)) + epsilon).
///
/// Embedding rows are lazy: a row's means and its t move only in the steps that touch it.
///
/// Errors      std::invalid_argument on options outside their ranges.
/// Source      Kingma and Ba, ICLR 2015, algorithm 1; decay as Loshchilov and Hutter, ICLR 2019
///             (AdamW).
template <class T>
class adam {
 public:
  adam_options options;

  explicit adam(const adam_options& given = {}) : options(given) {
    check();
    detail::check_positive<T>("funnel::adam: learning_rate", options.learning_rate);
  }
  adam(const adam&) = default;
  adam(adam&&) noexcept = default;
  /// Copies all of it or, where memory runs out, nothing.
  adam& operator=(const adam& other) {
    *this = adam(other);
    return *this;
  }
  adam& operator=(adam&&) noexcept = default;

  template <HasParameters Model, class Arch>
  void step(Model& model, const training_context<T, Arch>& context) {
    check();
    const auto reserve = [](auto& state, const auto& p) {
      state.first.reserve(p.value.size());
      state.second.reserve(p.value.size());
      state.steps.reserve(p.kind == parameter_kind::rows ? p.rows() : 1);
    };
    const auto update = [&](auto& state, auto& p, auto& gradient) {
      detail::ensure_size(state.first, p.value.size());
      detail::ensure_size(state.second, p.value.size());
      detail::ensure_size(state.steps, gradient.by_rows() ? p.rows() : 1);
      const T* g = gradient.values().data();
      T* m = state.first.data();
      T* v = state.second.data();
      T* values = p.value.data();
      if (!gradient.by_rows()) {
        const std::uint32_t step = next(state.steps[0]);
        adam_kernel(Arch{}, numbers_of_step(step), g, m, v, values, p.value.size());
        return;
      }
      // The numbers of a step cost two powers, and many rows are at the same few steps.
      std::array<numbered, 64> known{};
      const std::size_t cols = p.cols();
      const std::size_t bytes = cols * sizeof(T);
      detail::for_each_touched(
          gradient.touched(),
          std::array<detail::row_bytes, 4>{{{values, bytes},
                                            {m, bytes},
                                            {v, bytes},
                                            {state.steps.data(), sizeof(std::uint32_t)}}},
          [&](std::size_t row, std::size_t i) {
            const std::uint32_t step = next(state.steps[row]);
            numbered& kept = known[step % known.size()];
            if (kept.step != step) kept = {step, numbers_of_step(step)};
            const std::size_t at = row * cols;
            adam_kernel(Arch{}, kept.numbers, g + i * cols, m + at, v + at, values + at, cols);
          });
    };
    detail::update_parameters(model, context, states_, reserve, update);
  }

 private:
  // Not inside `step`: g++ 12 with -g ends in an internal error on a struct local to a generic lambda.
  struct numbered {
    std::uint32_t step = 0;
    adam_step<T> numbers{};
  };

  /// Counts a step; after 2^32 - 1 of them no more, as both corrections are 1 by then.
  static std::uint32_t next(std::uint32_t& steps) {
    if (steps < std::numeric_limits<std::uint32_t>::max()) ++steps;
    return steps;
  }

  void check() const {
    detail::check_not_negative<T>("funnel::adam: learning_rate", options.learning_rate);
    detail::check_fraction<double>("funnel::adam: first_decay", options.first_decay);
    detail::check_fraction<double>("funnel::adam: second_decay", options.second_decay);
    detail::check_positive<T>("funnel::adam: epsilon", options.epsilon);
    detail::check_not_negative<T>("funnel::adam: weight_decay", options.weight_decay);
    // What `numbers_of_step` makes of them; the rate of the first step is the largest.
    detail::check_not_negative<T>("funnel::adam: learning_rate / (1 - first_decay)",
                                  options.learning_rate / (1 - options.first_decay));
    detail::check_not_negative<T>("funnel::adam: learning_rate * weight_decay",
                                  options.learning_rate * options.weight_decay);
  }

  adam_step<T> numbers_of_step(double t) const {
    return {static_cast<T>(1 - options.first_decay),
            static_cast<T>(1 - options.second_decay),
            static_cast<T>(options.learning_rate / (1 - std::pow(options.first_decay, t))),
            static_cast<T>(1 / (1 - std::pow(options.second_decay, t))),
            detail::step_epsilon<T>(options.epsilon),
            static_cast<T>(options.learning_rate * options.weight_decay)};
  }

  std::vector<detail::optimizer_state<T>> states_;
};

}  // namespace funnel
