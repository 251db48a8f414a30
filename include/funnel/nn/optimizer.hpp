// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/nn/parameter.hpp>
#include <funnel/nn/training.hpp>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace funnel {

/// Something that moves the parameters of a model against the gradients a training context holds.
template <class O, class Model, class C>
concept Optimizer = requires(O& optimizer, Model& model, C& context) {
  optimizer.step(model, context);
};

namespace detail {

/// What an optimizer remembers of one parameter.
template <class T>
struct optimizer_state {
  std::vector<T> first;              ///< momentum, or the mean of gradients
  std::vector<T> second;             ///< sums or means of squared gradients
  std::vector<std::uint32_t> steps;  ///< per row of a table, or one: how often it was updated
};

/// Calls `update(state, parameter, row, values, gradient)` for every row of every parameter that
/// has a gradient: all rows of a dense parameter as one, the touched rows of a table one by one.
/// Running statistics move by themselves. `states` is in the order in which the model names its
/// parameters.
template <class T, class Arch, HasParameters Model, class Update>
void update_parameters(Model& model, const training<T, Arch>& context,
                       std::vector<optimizer_state<T>>& states, Update&& update) {
  std::size_t index = 0;
  for_each_parameter(model, [&](std::string_view path, parameter<T>& p) {
    if (index == states.size()) states.emplace_back();
    optimizer_state<T>& state = states[index++];
    const std::size_t rows = p.kind == parameter_kind::rows ? p.rows() : 1;
    if (state.steps.empty()) state.steps.assign(rows, 0);
    if (state.steps.size() != rows) {
      fail("funnel::optimizer: parameter ", path, " changed its shape since the last step");
    }
    const parameter_gradient<T>* gradient = context.find_gradient(p);
    if (gradient == nullptr) return;
    const matrix_view<const T> g = gradient->values();
    if (p.kind == parameter_kind::statistic) {
      for (std::size_t i = 0; i < p.value.size(); ++i) p.value.flat()[i] -= g.data()[i];
    } else if (p.kind == parameter_kind::rows) {
      for (std::size_t i = 0; i < g.rows(); ++i) {
        const std::uint32_t row = gradient->touched()[i];
        ++state.steps[row];
        update(state, p, row, p.value.row(row), g.row(i));
      }
    } else {
      ++state.steps[0];
      update(state, p, std::size_t{0}, p.value.flat(), std::span<const T>(g.data(), g.size()));
    }
  });
}

/// Zeros of the given size where there is nothing yet.
template <class T>
void ensure_size(std::vector<T>& values, std::size_t size) {
  if (values.size() != size) values.assign(size, T(0));
}

inline void check_positive(const char* name, double value) {
  if (!(value > 0) || !std::isfinite(value)) fail(name, " is ", value, ", expected above 0");
}
inline void check_fraction(const char* name, double value) {
  if (!(value >= 0 && value < 1)) fail(name, " is ", value, ", expected in [0, 1)");
}
inline void check_not_negative(const char* name, double value) {
  if (!(value >= 0) || !std::isfinite(value)) fail(name, " is ", value, ", expected 0 or more");
}

}  // namespace detail

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
    detail::check_positive("funnel::sgd: learning_rate", options.learning_rate);
    detail::check_fraction("funnel::sgd: momentum", options.momentum);
    detail::check_not_negative("funnel::sgd: weight_decay", options.weight_decay);
  }

  template <HasParameters Model, class Arch>
  void step(Model& model, const training<T, Arch>& context) {
    const T rate = static_cast<T>(options.learning_rate);
    const T momentum = static_cast<T>(options.momentum);
    const T decay = static_cast<T>(options.weight_decay);
    detail::update_parameters(
        model, context, states_, [&](auto& state, auto& p, std::size_t row, auto values, auto g) {
          if (momentum != T(0)) detail::ensure_size(state.first, p.value.size());
          T* velocity = state.first.data() + (momentum != T(0) ? row * p.cols() : 0);
          for (std::size_t i = 0; i < values.size(); ++i) {
            const T move = momentum != T(0) ? (velocity[i] = momentum * velocity[i] + g[i]) : g[i];
            values[i] -= rate * (move + decay * values[i]);
          }
        });
  }

 private:
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
    detail::check_positive("funnel::adagrad: learning_rate", options.learning_rate);
    detail::check_not_negative("funnel::adagrad: initial_accumulator", options.initial_accumulator);
    detail::check_positive("funnel::adagrad: epsilon", options.epsilon);
    detail::check_not_negative("funnel::adagrad: weight_decay", options.weight_decay);
  }

  template <HasParameters Model, class Arch>
  void step(Model& model, const training<T, Arch>& context) {
    const T rate = static_cast<T>(options.learning_rate);
    const T epsilon = static_cast<T>(options.epsilon);
    const T decay = static_cast<T>(options.weight_decay);
    detail::update_parameters(
        model, context, states_, [&](auto& state, auto& p, std::size_t row, auto values, auto g) {
          const bool by_rows = p.kind == parameter_kind::rows;
          const std::size_t size = by_rows ? p.rows() : p.value.size();
          if (state.second.size() != size)
            state.second.assign(size, static_cast<T>(options.initial_accumulator));
          if (by_rows) {
            double squares = 0;
            for (const T x : g) squares += static_cast<double>(x) * static_cast<double>(x);
            state.second[row] += static_cast<T>(squares / static_cast<double>(g.size()));
          }
          for (std::size_t i = 0; i < values.size(); ++i) {
            if (!by_rows) state.second[i] += g[i] * g[i];
            const T sum = state.second[by_rows ? row : i];
            values[i] -= rate * (g[i] / (std::sqrt(sum) + epsilon) + decay * values[i]);
          }
        });
  }

 private:
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
    detail::check_positive("funnel::adam: learning_rate", options.learning_rate);
    detail::check_fraction("funnel::adam: first_decay", options.first_decay);
    detail::check_fraction("funnel::adam: second_decay", options.second_decay);
    detail::check_positive("funnel::adam: epsilon", options.epsilon);
    detail::check_not_negative("funnel::adam: weight_decay", options.weight_decay);
  }

  template <HasParameters Model, class Arch>
  void step(Model& model, const training<T, Arch>& context) {
    const T beta1 = static_cast<T>(options.first_decay);
    const T beta2 = static_cast<T>(options.second_decay);
    const T epsilon = static_cast<T>(options.epsilon);
    const T decay = static_cast<T>(options.learning_rate * options.weight_decay);
    detail::update_parameters(
        model, context, states_, [&](auto& state, auto& p, std::size_t row, auto values, auto g) {
          detail::ensure_size(state.first, p.value.size());
          detail::ensure_size(state.second, p.value.size());
          const double t = state.steps[row];
          const T rate =
              static_cast<T>(options.learning_rate / (1 - std::pow(options.first_decay, t)));
          const T unbias = static_cast<T>(1 / (1 - std::pow(options.second_decay, t)));
          T* m = state.first.data() + row * p.cols();
          T* v = state.second.data() + row * p.cols();
          for (std::size_t i = 0; i < values.size(); ++i) {
            m[i] += (T(1) - beta1) * (g[i] - m[i]);
            v[i] += (T(1) - beta2) * (g[i] * g[i] - v[i]);
            values[i] -= rate * m[i] / (std::sqrt(v[i] * unbias) + epsilon) + decay * values[i];
          }
        });
  }

 private:
  std::vector<detail::optimizer_state<T>> states_;
};

/// Scales all gradients of a model down so that together their length is at most `largest_norm`;
/// gives the length they had. A gradient that is not finite leaves all of them as they are: look at
/// the result before stepping.
///
/// Errors      std::invalid_argument if largest_norm is not above 0.
/// Source      Pascanu, Mikolov and Bengio, ICML 2013, algorithm 1.
template <class T, class Arch, HasParameters Model>
double clip_gradients(Model& model, training<T, Arch>& context, double largest_norm) {
  detail::check_positive("funnel::clip_gradients: largest_norm", largest_norm);
  double squares = 0;
  const auto for_each_gradient = [&](auto&& visit) {
    for_each_parameter(model, [&](std::string_view, parameter<T>& p) {
      parameter_gradient<T>* gradient = context.find_gradient(p);
      if (gradient == nullptr || p.kind == parameter_kind::statistic) return;
      const matrix_view<T> g = gradient->values();
      for (T& value : std::span<T>(g.data(), g.size())) visit(value);
    });
  };
  for_each_gradient(
      [&](const T& g) { squares += static_cast<double>(g) * static_cast<double>(g); });
  const double norm = std::sqrt(squares);
  if (norm > largest_norm && std::isfinite(norm)) {
    const T factor = static_cast<T>(largest_norm / norm);
    for_each_gradient([&](T& g) { g *= factor; });
  }
  return norm;
}

/// Adds the gradients of `from` to those of `to`, times `factor`: how shards of a batch come
/// together.
///
/// A statistic's gradient is added in the same way, so weights that sum to one over the shards are
/// right for both.
template <class T, class Arch, HasParameters Model>
void add_gradients(Model& model, training<T, Arch>& to, const training<T, Arch>& from, T factor) {
  for_each_parameter(model, [&](std::string_view, parameter<T>& p) {
    if (const parameter_gradient<T>* gradient = from.find_gradient(p))
      to.gradient(p).add(*gradient, factor);
  });
}

}  // namespace funnel
