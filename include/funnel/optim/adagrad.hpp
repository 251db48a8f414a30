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

/// Options of `adagrad`.
struct adagrad_options {
  /// Learning rate (step size), above 0. eta in the source.
  double learning_rate = 0.05;
  /// Initial value of the sums of squared gradients, 0 or more.
  double initial_accumulator = 0.1;
  /// Added to the square root (not under it), above 0. delta in the source.
  double epsilon = 1e-10;
  /// Decoupled weight decay, 0 or more: a step also subtracts learning_rate * weight_decay * p from
  /// each weight p. In an embedding table it applies only to the rows that have a gradient.
  double weight_decay = 0;
};

/// Adagrad optimizer.
///
///     s <- s + g^2
///     p <- p - learning_rate (g / (sqrt(s) + epsilon) + weight_decay p)
///
/// For an embedding table, s is one double per row instead of one number per value: the sum of the
/// means of the row's squared gradients.
///
/// Errors      std::invalid_argument if an option is outside its range.
/// Source      Duchi, Hazan and Singer, JMLR 2011; row-wise as in Mudigere et al., ISCA 2022,
///             section 4.1.3; docs/formulas.md#adagrad.
template <class T>
class adagrad {
 public:
  adagrad_options options;

  explicit adagrad(const adagrad_options& given = {}) : options(given) {
    check();
    detail::check_positive<T>("adagrad", "learning_rate", options.learning_rate);
  }
  adagrad(const adagrad&) = default;
  adagrad(adagrad&&) noexcept = default;
  /// Copies everything, or changes nothing if memory runs out.
  adagrad& operator=(const adagrad& other) {
    *this = adagrad(other);
    return *this;
  }
  adagrad& operator=(adagrad&&) noexcept = default;

  /// Updates the parameters of a model by the gradients in `context`, and its running statistics by
  /// their observations.
  ///
  /// Errors      std::invalid_argument if an option is outside its range, if the model has other
  ///             parameters than in the last step, or if the shape or kind of one changed since the
  ///             backward step. Nothing has changed then, nor if memory runs out.
  template <HasParameters Model, class Arch>
  void step(Model& model, const training_context<T, Arch>& context) {
    check();
    const adagrad_step<T> numbers{static_cast<T>(options.learning_rate),
                                  detail::step_epsilon<T>(options.epsilon),
                                  static_cast<T>(options.weight_decay)};
    const double start = options.initial_accumulator;
    const auto reserve = [](auto& state, const auto& p) {
      if (p.kind == parameter_kind::rows)
        state.row_sums.reserve(p.rows());
      else
        state.second.reserve(p.value.size());
    };
    const auto update = [&](auto& state, auto& p, auto& gradient) {
      const T* g = gradient.values().data();
      T* values = p.value.data();
      if (!gradient.by_rows()) {
        detail::ensure_size(state.second, p.value.size(), static_cast<T>(start));
        adagrad_kernel(Arch{}, numbers, g, state.second.data(), values, p.value.size());
        return;
      }
      detail::ensure_size(state.row_sums, p.rows(), start);
      double* sums = state.row_sums.data();
      const std::size_t cols = p.cols();
      detail::for_each_touched(
          gradient.touched(),
          std::array<detail::row_bytes, 2>{{{values, cols * sizeof(T)}, {sums, sizeof(double)}}},
          [&](std::size_t row, std::size_t i) {
            row_adagrad_kernel(Arch{}, numbers, g + i * cols, sums[row], values + row * cols, cols);
          });
    };
    detail::update_parameters(model, context, states_, reserve, update);
  }

 private:
  void check() const {
    detail::check_not_negative<T>("adagrad", "learning_rate", options.learning_rate);
    detail::check_not_negative<T>("adagrad", "initial_accumulator", options.initial_accumulator);
    detail::check_positive<T>("adagrad", "epsilon", options.epsilon);
    detail::check_not_negative<T>("adagrad", "weight_decay", options.weight_decay);
    detail::check_not_negative<T>("adagrad", "learning_rate * weight_decay",
                                  options.learning_rate * options.weight_decay);
  }

  std::vector<detail::optimizer_state<T>> states_;
};

}  // namespace funnel
