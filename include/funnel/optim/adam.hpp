// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>
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

/// Options of `adam`.
struct adam_options {
  /// Learning rate (step size), above 0. alpha in the source.
  double learning_rate = 0.001;
  /// Decay rate of the mean gradient m, in [0, 1). beta_1 in the source.
  double first_decay = 0.9;
  /// Decay rate of the mean squared gradient v, in [0, 1). beta_2 in the source.
  double second_decay = 0.999;
  /// Added to the square root (not under it), above 0.
  double epsilon = 1e-8;
  /// Decoupled weight decay (AdamW), 0 or more: a step also subtracts learning_rate * weight_decay
  /// * p from each weight p. In an embedding table it applies only to the rows that have a
  /// gradient.
  double weight_decay = 0;
};

/// Adam optimizer; AdamW if `weight_decay` is above 0.
///
///     m <- beta_1 m + (1 - beta_1) g
///     v <- beta_2 v + (1 - beta_2) g^2
///     p <- p - learning_rate (m / (1 - beta_1^t)) / (sqrt(v / (1 - beta_2^t)) + epsilon)
///            - learning_rate weight_decay p
///
/// On embedding tables it is lazy: a step changes m, v, the step count t and the values of only
/// those rows that have a gradient.
///
/// Errors      std::invalid_argument if an option is outside its range.
/// Source      Kingma and Ba, ICLR 2015, algorithm 1; decay as in Loshchilov and Hutter, ICLR 2019
///             (AdamW); docs/formulas.md#adam.
template <class T>
class adam {
 public:
  adam_options options;

  explicit adam(const adam_options& given = {}) : options(given) {
    check();
    detail::check_positive<T>("adam", "learning_rate", options.learning_rate);
  }
  adam(const adam&) = default;
  adam(adam&&) noexcept = default;
  /// Copies everything, or changes nothing if memory runs out.
  adam& operator=(const adam& other) {
    *this = adam(other);
    return *this;
  }
  adam& operator=(adam&&) noexcept = default;

  /// Updates the parameters of a model by the gradients in `context`, and its running statistics by
  /// their observations.
  ///
  /// Errors      std::invalid_argument if an option is outside its range, if the model has other
  ///             parameters than in the last step, or if the shape or kind of one changed since the
  ///             backward step. Nothing has changed then, nor if memory runs out.
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
      // The numbers of a step take two calls of std::pow, and many rows have the same few step
      // counts.
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
  // Not inside `step`: g++ 12 with -g has an internal error on a struct local to a generic lambda.
  struct numbered {
    std::uint32_t step = 0;
    adam_step<T> numbers{};
  };

  /// Counts a step. Stops at 2^32 - 1: both bias corrections are 1 by then.
  static std::uint32_t next(std::uint32_t& steps) {
    if (steps < std::numeric_limits<std::uint32_t>::max()) ++steps;
    return steps;
  }

  void check() const {
    detail::check_not_negative<T>("adam", "learning_rate", options.learning_rate);
    detail::check_fraction<double>("adam", "first_decay", options.first_decay);
    detail::check_fraction<double>("adam", "second_decay", options.second_decay);
    detail::check_positive<T>("adam", "epsilon", options.epsilon);
    detail::check_not_negative<T>("adam", "weight_decay", options.weight_decay);
    // The numbers that `numbers_of_step` computes; the rate of the first step is the largest.
    detail::check_not_negative<T>("adam", "learning_rate / (1 - first_decay)",
                                  options.learning_rate / (1 - options.first_decay));
    detail::check_not_negative<T>("adam", "learning_rate * weight_decay",
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
