// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/nn/parameter.hpp>
#include <funnel/nn/training.hpp>
#include <funnel/simd/optimizer.hpp>
#include <funnel/simd/prefetch.hpp>
#include <funnel/simd/reduce.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
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
  std::size_t rows = 0;  // of the parameter
  std::size_t cols = 0;
  aligned_vector<T> first;              ///< momentum, or the mean of gradients
  aligned_vector<T> second;             ///< sums or means of squared gradients
  aligned_vector<std::uint32_t> steps;  ///< per row of a table, or one: how often it was updated
};

/// The path of the parameter that a model names at this position.
template <HasParameters Model>
std::string path_of_parameter(const Model& model, std::size_t position) {
  std::string found;
  for_each_parameter(model, [&](std::string_view path, const auto&) {
    if (position-- == 0) found = path;
  });
  return found;
}

/// Calls `update(state, parameter, gradient)` for every parameter that is learned and has a gradient.
/// Running statistics move by themselves. `states` is in the order in which the model names its
/// parameters.
template <class T, class Arch, HasParameters Model, class Update>
void update_parameters(Model& model, const training<T, Arch>& context,
                       std::vector<optimizer_state<T>>& states, const Update& update) {
  std::size_t index = 0;
  visit_parameters_below(model, [&](parameter<T>& p) {
    if (index == states.size()) {
      states.emplace_back();
      states.back().rows = p.rows();
      states.back().cols = p.cols();
    }
    optimizer_state<T>& state = states[index++];
    if (state.rows != p.rows() || state.cols != p.cols()) {
      fail("funnel::optimizer: parameter ", path_of_parameter(model, index - 1),
           " changed its shape since the last step");
    }
    const parameter_gradient<T>* gradient = context.find_gradient(p);
    if (gradient == nullptr) return;
    if (p.kind == parameter_kind::statistic) {
      axpy_kernel(Arch{}, T(-1), gradient->values().data(), p.value.data(), p.value.size());
    } else {
      update(state, p, *gradient);
    }
  });
}

/// Gives values a size, where they don't have it yet.
template <class V>
void ensure_size(V& values, std::size_t size, typename V::value_type fill = {}) {
  if (values.size() != size) values.assign(size, fill);
}

/// Some bytes for each row of a table.
struct row_bytes {
  const void* data;
  std::size_t bytes;

  const void* row(std::size_t i) const { return static_cast<const std::byte*>(data) + i * bytes; }
};

/// Calls `body(row, i)` for rows = touched[i], and asks for what `arrays` hold of it some rows ahead.
template <std::size_t N, class Body>
void for_each_touched(std::span<const std::uint32_t> touched,
                      const std::array<row_bytes, N>& arrays, const Body& body) {
  std::size_t largest = 0;
  for (const row_bytes& array : arrays) largest = std::max(largest, array.bytes);
  const rows_ahead ahead(largest);
  for (std::size_t i = 0; i < touched.size(); ++i) {
    if (i + ahead.far < touched.size()) {
      for (const row_bytes& array : arrays)
        prefetch_bytes<true>(array.row(touched[i + ahead.far]), array.bytes);
    }
    if (i + ahead.near < touched.size()) {
      for (const row_bytes& array : arrays)
        prefetch_bytes<false>(array.row(touched[i + ahead.near]), array.bytes);
    }
    body(touched[i], i);
  }
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
    const sgd_step<T> numbers{static_cast<T>(options.learning_rate),
                              static_cast<T>(options.momentum),
                              static_cast<T>(options.weight_decay)};
    detail::update_parameters(model, context, states_, [&](auto& state, auto& p, auto& gradient) {
      const bool moves_on = numbers.momentum != T(0);
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
    const adagrad_step<T> numbers{static_cast<T>(options.learning_rate),
                                  static_cast<T>(options.epsilon),
                                  static_cast<T>(options.weight_decay)};
    const T start = static_cast<T>(options.initial_accumulator);
    detail::update_parameters(model, context, states_, [&](auto& state, auto& p, auto& gradient) {
      const T* g = gradient.values().data();
      T* values = p.value.data();
      if (!gradient.by_rows()) {
        detail::ensure_size(state.second, p.value.size(), start);
        adagrad_kernel(Arch{}, numbers, g, state.second.data(), values, p.value.size());
        return;
      }
      detail::ensure_size(state.second, p.rows(), start);
      T* sums = state.second.data();
      const std::size_t cols = p.cols();
      detail::for_each_touched(
          gradient.touched(),
          std::array<detail::row_bytes, 2>{{{values, cols * sizeof(T)}, {sums, sizeof(T)}}},
          [&](std::size_t row, std::size_t i) {
            row_adagrad_kernel(Arch{}, numbers, g + i * cols, sums[row], values + row * cols, cols);
          });
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
    detail::update_parameters(model, context, states_, [&](auto& state, auto& p, auto& gradient) {
      detail::ensure_size(state.first, p.value.size());
      detail::ensure_size(state.second, p.value.size());
      detail::ensure_size(state.steps, gradient.by_rows() ? p.rows() : 1);
      const T* g = gradient.values().data();
      T* m = state.first.data();
      T* v = state.second.data();
      T* values = p.value.data();
      if (!gradient.by_rows()) {
        adam_kernel(Arch{}, numbers_of_step(++state.steps[0]), g, m, v, values, p.value.size());
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
            const std::uint32_t step = ++state.steps[row];
            numbered& kept = known[step % known.size()];
            if (kept.step != step) kept = {step, numbers_of_step(step)};
            const std::size_t at = row * cols;
            adam_kernel(Arch{}, kept.numbers, g + i * cols, m + at, v + at, values + at, cols);
          });
    });
  }

 private:
  // Not inside `step`: g++ 12 with -g ends in an internal error on a struct local to a generic lambda.
  struct numbered {
    std::uint32_t step = 0;
    adam_step<T> numbers{};
  };

  adam_step<T> numbers_of_step(double t) const {
    return {static_cast<T>(1 - options.first_decay),
            static_cast<T>(1 - options.second_decay),
            static_cast<T>(options.learning_rate / (1 - std::pow(options.first_decay, t))),
            static_cast<T>(1 / (1 - std::pow(options.second_decay, t))),
            static_cast<T>(options.epsilon),
            static_cast<T>(options.learning_rate * options.weight_decay)};
  }

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
  const auto for_each_gradient = [&](const auto& visit) {
    detail::visit_parameters_below(model, [&](const parameter<T>& p) {
      parameter_gradient<T>* gradient = context.find_gradient(p);
      if (gradient == nullptr || p.kind == parameter_kind::statistic) return;
      const matrix_view<T> g = gradient->values();
      visit(g.data(), g.size());
    });
  };
  double squares = 0;
  for_each_gradient([&](const T* g, std::size_t n) { squares += squares_kernel(Arch{}, g, n); });
  const double norm = std::sqrt(squares);
  if (norm > largest_norm && std::isfinite(norm)) {
    const T factor = static_cast<T>(largest_norm / norm);
    for_each_gradient([&](T* g, std::size_t n) { scale_kernel(Arch{}, factor, g, g, n); });
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
  detail::visit_parameters_below(model, [&](const parameter<T>& p) {
    if (const parameter_gradient<T>* gradient = from.find_gradient(p))
      to.gradient(p).add(*gradient, factor, Arch{});
  });
}

}  // namespace funnel
