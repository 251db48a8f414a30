// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>
#include <funnel/core/matrix.hpp>

#include <concepts>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>

namespace funnel {

/// How `initialize` fills a parameter. fan_in is the number of its rows, fan_out that of its
/// columns.
enum class initial_values {
  zeros,
  ones,
  glorot_uniform,  ///< uniform in +-sqrt(6 / (fan_in + fan_out)); Glorot and Bengio, AISTATS 2010
  he_normal,       ///< normal with deviation sqrt(2 / fan_in), for relu; He et al., ICCV 2015
  normal,          ///< normal with deviation `initial_scale`
};

/// How a parameter gets its gradient, and how an optimizer updates it.
enum class parameter_kind {
  dense,      ///< every value gets a gradient in every step
  rows,       ///< an embedding table: only the rows whose ids a batch uses have gradients, and only
              ///< these rows are updated
  statistic,  ///< not learned: a running statistic that moves toward that of training batches
};

/// Parameter of a model: an array of numbers with a name. Parameters are what is trained, saved,
/// counted and frozen.
template <class T>
struct parameter {
  matrix<T> value;
  parameter_kind kind = parameter_kind::dense;
  initial_values initial = initial_values::zeros;
  double initial_scale = 0.01;

  parameter() = default;
  parameter(std::size_t rows, std::size_t cols, initial_values filled = initial_values::zeros,
            parameter_kind of_kind = parameter_kind::dense)
      : value(rows, cols, filled == initial_values::ones ? T(1) : T(0)), kind(of_kind),
        initial(filled) {}

  std::size_t rows() const { return value.rows(); }
  std::size_t cols() const { return value.cols(); }
};

namespace detail {

template <class F>
inline constexpr bool is_parameter = false;
template <class T>
inline constexpr bool is_parameter<parameter<T>> = true;

/// Errors      std::invalid_argument if a parameter is not [rows, cols], or is not of this kind.
template <class T>
void check_parameter(std::string_view function, std::string_view argument, const parameter<T>& p,
                     std::size_t rows, std::size_t cols,
                     parameter_kind kind = parameter_kind::dense) {
  check_shape(function, argument, p, rows, cols);
  if (p.kind != kind) {
    fail("funnel::", function, ": ", argument, " has kind ", static_cast<int>(p.kind),
         ", expected ", static_cast<int>(kind), ": how a layer learns is not changed");
  }
}

/// Visitor that does nothing: used to check whether a type has `visit_parameters`.
struct ignore_fields {
  void operator()(std::string_view, auto&) const {}
};

}  // namespace detail

/// Concept of a model: a struct that names its fields. `visit_parameters(visit)` calls `visit(name,
/// field)` for each field. A field is a `parameter`, a struct with `visit_parameters`, or a range
/// of either.
template <class M>
concept HasParameters = requires(M& model, detail::ignore_fields visit) {
  model.visit_parameters(visit);
};

namespace detail {

template <class F>
concept FieldRange = requires(F& field) {
  field.begin();
  field.end();
};

template <class Field, class Visit>
void visit_field(const std::string& path, Field& field, Visit&& visit) {
  if constexpr (is_parameter<Field>) {
    visit(std::string_view(path), field);
  } else if constexpr (HasParameters<Field>) {
    field.visit_parameters([&](std::string_view name, auto& inner) {
      visit_field(path.empty() ? std::string(name) : path + '.' + std::string(name), inner, visit);
    });
  } else {
    static_assert(
        FieldRange<Field>,
        "a visited field is a parameter, a struct with visit_parameters, or a range of them");
    std::size_t i = 0;
    for (auto& inner : field) visit_field(path + '.' + std::to_string(i++), inner, visit);
  }
}

/// Calls `visit(parameter)` for every parameter in a field, in the order of `visit_field`. Builds
/// no paths: for code that runs in every step.
template <class Field, class Visit>
void visit_parameters_below(Field& field, const Visit& visit) {
  if constexpr (is_parameter<Field>) {
    visit(field);
  } else if constexpr (HasParameters<Field>) {
    field.visit_parameters(
        [&](std::string_view, auto& inner) { visit_parameters_below(inner, visit); });
  } else {
    for (auto& inner : field) visit_parameters_below(inner, visit);
  }
}

}  // namespace detail

/// Calls `visit(path, parameter)` for every parameter of a model, in the order in which the model
/// names them. A path is the names joined by dots: "experts.0.layers.1.weight".
template <HasParameters Model, class Visit>
void for_each_parameter(Model& model, Visit&& visit) {
  detail::visit_field(std::string(), model, visit);
}

/// The same for a const model.
template <HasParameters Model, class Visit>
void for_each_parameter(const Model& model, Visit&& visit) {
  // A model has only a non-const `visit_parameters`; here its visitor gets const parameters.
  detail::visit_field(std::string(), const_cast<Model&>(model),
                      [&]<class P>(std::string_view path, P& p) { visit(path, std::as_const(p)); });
}

/// Number of learned values of a model; running statistics are not counted.
template <HasParameters Model>
std::size_t count_parameters(const Model& model) {
  std::size_t count = 0;
  for_each_parameter(model, [&](std::string_view, const auto& p) {
    if (p.kind != parameter_kind::statistic) count += p.value.size();
  });
  return count;
}

}  // namespace funnel
