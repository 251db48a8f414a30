// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/nn/clip_gradients.hpp>
#include <funnel/nn/detail/update_parameters.hpp>
#include <funnel/nn/parameter.hpp>
#include <funnel/nn/training.hpp>
#include <funnel/simd/optimizer.hpp>

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

namespace funnel {

/// Something that moves the parameters of a model against the gradients a training context holds.
template <class O, class Model, class C>
concept Optimizer = requires(O& optimizer, Model& model, C& context) {
  optimizer.step(model, context);
};

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
  void step(Model& model, const training<T, Arch>& context) {
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

/// What `adagrad` can be told.
struct adagrad_options {
  /// Size of a step, above 0. eta in the source.
  double learning_rate = 0.05;
  /// What the sums of squares start from, 0 or more.
  double initial_accumulator = 0.1;
  /// Added to the root, above 0. delta in the source.
  double epsilon = 1e-10;
  /// Fraction of a weight taken off per unit of learning rate, decoupled from the gradient; of
  /// tables, touched rows.
  double weight_decay = 0;
};

/// Adagrad: s <- s + g^2, p <- p - learning_rate g / (sqrt(s) + epsilon).
///
/// Embedding tables keep one sum a row, of the mean of its squared gradients: 1/dim of the memory.
///
/// Errors      std::invalid_argument on options outside their ranges.
/// Source      Duchi, Hazan and Singer, JMLR 2011; row-wise as in Mudigere et al., ISCA 2022,
///             section 4.1.3.
template <class T>
class adagrad {
 public:
  adagrad_options options;

  explicit adagrad(const adagrad_options& given = {}) : options(given) {
    check();
    detail::check_positive<T>("funnel::adagrad: learning_rate", options.learning_rate);
  }
  adagrad(const adagrad&) = default;
  adagrad(adagrad&&) noexcept = default;
  /// Copies all of it or, where memory runs out, nothing.
  adagrad& operator=(const adagrad& other) {
    *this = adagrad(other);
    return *this;
  }
  adagrad& operator=(adagrad&&) noexcept = default;

  template <HasParameters Model, class Arch>
  void step(Model& model, const training<T, Arch>& context) {
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
    detail::check_not_negative<T>("funnel::adagrad: learning_rate", options.learning_rate);
    detail::check_not_negative<T>("funnel::adagrad: initial_accumulator",
                                  options.initial_accumulator);
    detail::check_positive<T>("funnel::adagrad: epsilon", options.epsilon);
    detail::check_not_negative<T>("funnel::adagrad: weight_decay", options.weight_decay);
    detail::check_not_negative<T>("funnel::adagrad: learning_rate * weight_decay",
                                  options.learning_rate * options.weight_decay);
  }

  std::vector<detail::optimizer_state<T>> states_;
};

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
  void step(Model& model, const training<T, Arch>& context) {
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
