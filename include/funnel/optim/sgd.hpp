// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>
#include <funnel/nn/parameter.hpp>
#include <funnel/nn/training_context.hpp>
#include <funnel/optim/detail/update_parameters.hpp>
#include <funnel/simd/optimizer.hpp>

#include <array>
#include <cstddef>
#include <vector>

namespace funnel {

/// Options of `sgd`.
struct sgd_options {
  /// Learning rate (step size), above 0. eta in the literature.
  double learning_rate = 0.01;
  /// Fraction of the velocity v that carries over to the next step, in [0, 1). 0 is plain SGD.
  double momentum = 0;
  /// Decoupled weight decay, 0 or more: a step also subtracts learning_rate * weight_decay * p from
  /// each weight p. In an embedding table it applies only to the rows that have a gradient.
  double weight_decay = 0;
};

/// Stochastic gradient descent (SGD) with momentum.
///
///     v <- momentum v + g
///     p <- p - learning_rate (v + weight_decay p)
///
/// Errors      std::invalid_argument if an option is outside its range.
/// Source      Polyak, 1964; decoupled decay as in Loshchilov and Hutter, ICLR 2019;
///             docs/formulas.md#momentum.
template <class T>
class sgd {
 public:
  sgd_options options;

  explicit sgd(const sgd_options& given = {}) : options(given) {
    check();
    detail::check_positive<T>("sgd", "learning_rate", options.learning_rate);
  }
  sgd(const sgd&) = default;
  sgd(sgd&&) noexcept = default;
  /// Copies everything, or changes nothing if memory runs out.
  sgd& operator=(const sgd& other) {
    *this = sgd(other);
    return *this;
  }
  sgd& operator=(sgd&&) noexcept = default;

  /// Updates the parameters of a model by the gradients in `context`, and its running statistics by
  /// their observations.
  ///
  /// Errors      std::invalid_argument if an option is outside its range, if the model has other
  ///             parameters than in the last step, or if the shape or kind of one changed since the
  ///             backward step. Nothing has changed then, nor if memory runs out.
  template <HasParameters Model, class Arch>
  void step(Model& model, const training_context<T, Arch>& context) {
    check();
    const sgd_step<T> numbers{static_cast<T>(options.learning_rate),
                              static_cast<T>(options.momentum),
                              static_cast<T>(options.weight_decay)};
    const bool moves_on = numbers.momentum != T(0);
    const auto reserve = [&](auto& state, const auto& p) {
      if (moves_on) state.first.reserve(p.value.size());
    };
    const auto update = [&](auto& state, auto& p, auto& gradient) {
      if (moves_on) detail::ensure_size(state.first, p.value.size());
      const std::size_t cols = p.cols();
      const auto velocity = [&](std::size_t row) {
        return moves_on ? state.first.data() + row * cols : nullptr;
      };
      const T* g = gradient.values().data();
      T* values = p.value.data();
      if (!gradient.by_rows()) {
        sgd_kernel(Arch{}, numbers, g, velocity(0), values, p.value.size());
        return;
      }
      const std::size_t bytes = cols * sizeof(T);
      detail::for_each_touched(
          gradient.touched(),
          std::array<detail::row_bytes, 2>{{{values, bytes}, {velocity(0), moves_on ? bytes : 0}}},
          [&](std::size_t row, std::size_t i) {
            sgd_kernel(Arch{}, numbers, g + i * cols, velocity(row), values + row * cols, cols);
          });
    };
    detail::update_parameters(model, context, states_, reserve, update);
  }

 private:
  void check() const {
    detail::check_not_negative<T>("sgd", "learning_rate", options.learning_rate);
    detail::check_fraction<T>("sgd", "momentum", options.momentum);
    detail::check_not_negative<T>("sgd", "weight_decay", options.weight_decay);
    detail::check_not_negative<T>("sgd", "learning_rate * weight_decay",
                                  options.learning_rate * options.weight_decay);
  }

  std::vector<detail::optimizer_state<T>> states_;
};

}  // namespace funnel
