// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/nn/parameter.hpp>
#include <funnel/nn/training_context.hpp>
#include <funnel/optim/detail/update_parameters.hpp>
#include <funnel/simd/optimizer.hpp>

#include <array>
#include <cstddef>
#include <vector>

namespace funnel {

/// What `sgd` can be told.
struct sgd_options {
  /// Size of a step, above 0. eta in the literature.
  double learning_rate = 0.01;
  /// How much of the last step is taken again, in [0, 1).
  double momentum = 0;
  /// Fraction of a weight taken off per unit of learning rate, decoupled from the gradient; of
  /// tables, touched rows.
  double weight_decay = 0;
};

/// Stochastic gradient descent with momentum: v <- momentum v + g, p <- p - learning_rate (v +
/// weight_decay p).
///
/// Errors      std::invalid_argument on options outside their ranges.
/// Source      Polyak, 1964; decoupled decay as Loshchilov and Hutter, ICLR 2019.
template <class T>
class sgd {
 public:
  sgd_options options;

  explicit sgd(const sgd_options& given = {}) : options(given) {
    check();
    detail::check_positive<T>("funnel::sgd: learning_rate", options.learning_rate);
  }
  sgd(const sgd&) = default;
  sgd(sgd&&) noexcept = default;
  /// Copies all of it or, where memory runs out, nothing.
  sgd& operator=(const sgd& other) {
    *this = sgd(other);
    return *this;
  }
  sgd& operator=(sgd&&) noexcept = default;

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
    detail::check_not_negative<T>("funnel::sgd: learning_rate", options.learning_rate);
    detail::check_fraction<T>("funnel::sgd: momentum", options.momentum);
    detail::check_not_negative<T>("funnel::sgd: weight_decay", options.weight_decay);
    detail::check_not_negative<T>("funnel::sgd: learning_rate * weight_decay",
                                  options.learning_rate * options.weight_decay);
  }

  std::vector<detail::optimizer_state<T>> states_;
};

}  // namespace funnel
