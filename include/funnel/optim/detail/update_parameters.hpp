// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/nn/parameter.hpp>
#include <funnel/nn/parameter_gradient.hpp>
#include <funnel/nn/training_context.hpp>
#include <funnel/optim/detail/check_fits.hpp>
#include <funnel/simd/detail/prefetch.hpp>
#include <funnel/simd/optimizer.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace funnel::detail {

/// State of an optimizer for one parameter. The arrays are allocated with the first gradient.
template <class T>
struct optimizer_state {
  std::size_t rows;  // of the parameter
  std::size_t cols;
  parameter_kind kind;
  aligned_vector<T> first;              ///< velocity, or mean of the gradients
  aligned_vector<T> second;             ///< sum or mean of the squared gradients
  aligned_vector<double> row_sums;      ///< per table row: sum of mean squared gradients
  aligned_vector<std::uint32_t> steps;  ///< number of updates, per table row or one

  explicit optimizer_state(const parameter<T>& p) : rows(p.rows()), cols(p.cols()), kind(p.kind) {}
};

/// Calls `update(state, parameter, gradient)` for every learned parameter that has a gradient, and
/// moves each running statistic toward what was observed of it. `states` is in the model's order
/// of parameters.
///
/// Everything is checked, and `reserve(state, parameter)` has requested all memory, before any
/// value changes. If this throws, nothing has changed.
template <class T, class Arch, HasParameters Model, class Reserve, class Update>
void update_parameters(Model& model, const training_context<T, Arch>& context,
                       std::vector<optimizer_state<T>>& states, const Reserve& reserve,
                       const Update& update) {
  constexpr std::string_view name = "optimizer";
  std::vector<optimizer_state<T>> fresh;  // states of a first step
  const bool is_first = states.empty();
  std::vector<optimizer_state<T>>& checked = is_first ? fresh : states;
  std::size_t count = 0;
  visit_parameters_below(model, [&](const parameter<T>& p) {
    const std::size_t index = count++;
    if (is_first) fresh.emplace_back(p);
    if (index >= checked.size()) return;  // refused below
    optimizer_state<T>& state = checked[index];
    if (state.rows != p.rows() || state.cols != p.cols() || state.kind != p.kind) {
      fail("funnel::", name, ": parameter ", path_of_parameter(model, index), " is [", p.rows(),
           ", ", p.cols(), "] of kind ", static_cast<int>(p.kind), ", expected [", state.rows, ", ",
           state.cols, "] of kind ", static_cast<int>(state.kind), " as in the last step");
    }
    const parameter_gradient<T>* gradient = context.find_gradient(p);
    if (gradient == nullptr) return;
    check_fits(name, model, index, p, *gradient);
    if (p.kind != parameter_kind::statistic) reserve(state, p);
  });
  if (count != checked.size()) {
    fail("funnel::", name, ": the model has ", count, " parameters, expected ", checked.size(),
         " as in the last step");
  }
  if (is_first) states.swap(fresh);
  std::size_t index = 0;
  visit_parameters_below(model, [&](parameter<T>& p) {
    optimizer_state<T>& state = states[index++];
    const parameter_gradient<T>* gradient = context.find_gradient(p);
    if (gradient == nullptr) return;
    if (p.kind == parameter_kind::statistic) {
      gradient->move_statistic(p);
    } else {
      update(state, p, *gradient);
    }
  });
}

/// Resizes `values` and sets each of them to `fill`, unless they have this size already.
template <class V>
void ensure_size(V& values, std::size_t size, typename V::value_type fill = {}) {
  if (values.size() != size) values.assign(size, fill);
}

/// An array with the same number of bytes for each row of a table.
struct row_bytes {
  const void* data;
  std::size_t bytes;

  const void* row(std::size_t i) const { return static_cast<const std::byte*>(data) + i * bytes; }
};

/// Calls `body(touched[i], i)` for every i, and prefetches the data of later rows in `arrays`.
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

/// Epsilon as a step uses it.
template <class T>
T step_epsilon(double value) {
  return std::max(static_cast<T>(value), smallest_epsilon<T>);
}

}  // namespace funnel::detail
