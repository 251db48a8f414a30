// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/nn/concat.hpp>
#include <funnel/nn/freeze.hpp>
#include <funnel/nn/inference_context.hpp>
#include <funnel/nn/parameter.hpp>
#include <funnel/nn/training_context.hpp>

#include "support/catch.hpp"
#include "support/matrices.hpp"
#include "support/random_parameters.hpp"
#include "support/requests.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

// What the tests of the layers in crossing/ share: all take a value or a concatenation and return a value.

/// Numbers that a script in another language can make too: cos(0.9 k + phase) for the k-th value.
inline funnel::matrix<double> wave(std::size_t rows, std::size_t cols, double phase) {
  funnel::matrix<double> values(rows, cols);
  for (std::size_t k = 0; k < rows * cols; ++k)
    values.data()[k] = std::cos(0.9 * static_cast<double>(k) + phase);
  return values;
}

inline funnel::matrix<double> rows_of(std::initializer_list<std::initializer_list<double>> rows) {
  funnel::matrix<double> values(rows.size(), rows.begin()->size());
  std::size_t i = 0;
  for (const auto& row : rows) std::ranges::copy(row, values.row(i++).begin());
  return values;
}

/// The names of the parameters, each with a space after it.
template <class Layer>
std::string names_of(const Layer& layer) {
  std::string names;
  funnel::for_each_parameter(
      layer, [&](std::string_view path, const auto&) { names += std::string(path) + ' '; });
  return names;
}

/// Checks that a layer of float returns the same bits: frozen; on a training context; in any batch;
/// with one row or one row per request for the part that its rows share; on another instruction set,
/// frozen and not. `run(layer, context, user, items)` calls it on parts of widths[0] and widths[1]
/// columns.
template <class Layer, class Run>
void check_same_bits(const Layer& layer, const std::pair<std::size_t, std::size_t>& widths,
                     const Run& run) {
  using funnel::matrix;
  const auto frozen = funnel::freeze(layer);
  const auto run_frozen = [&](auto& context, const auto&... parts) {
    return frozen.call(
        context, [&](const Layer& m, auto& c, const auto&... x) { return run(m, c, x...); },
        parts...);
  };
  const auto scalar_frozen = funnel::freeze<funnel::scalar_arch>(layer);
  for (const request_offsets& requests :
       {offsets_of({1}), offsets_of({5}), offsets_of({1, 1, 1}), offsets_of({3, 1, 9}),
        offsets_of({200, 56, 100, 300, 1, 2})}) {
    const std::size_t n = requests.back();
    const matrix<float> user = random_matrix<float>(requests.size() - 1, widths.first, 51);
    const matrix<float> items = random_matrix<float>(n, widths.second, 52);
    const matrix<float> copies = repeated(user, requests);
    funnel::inference_context<float> plain, grouped;
    grouped.group_rows(requests);
    const auto whole = run(layer, plain, copies.view(), items.view());
    REQUIRE(whole.rows() == n);
    CHECK(same_bits(run(layer, grouped, user.view(), items.view()), whole));
    CHECK(same_bits(run_frozen(plain, copies.view(), items.view()), whole));
    CHECK(same_bits(run_frozen(grouped, user.view(), items.view()), whole));
    funnel::training_context<float> tape, grouped_tape;
    grouped_tape.group_rows(requests);
    CHECK(same_bits(view(run(layer, tape, tape.input(copies.view()), tape.input(items.view()))),
                    whole));
    CHECK(same_bits(view(run(layer, grouped_tape, grouped_tape.input(user.view()),
                             grouped_tape.input(items.view()))),
                    whole));
    for (std::size_t i = 0; i < n; i += 1 + i / 3) {
      const auto item = items.view().middle_rows(i, 1), of_user = copies.view().middle_rows(i, 1);
      CHECK(same_bits(run(layer, plain, of_user, item), whole.middle_rows(i, 1)));
      CHECK(same_bits(run_frozen(plain, of_user, item), whole.middle_rows(i, 1)));
    }
    if (requests.size() == 2) CHECK(same_bits(run_frozen(plain, user.view(), items.view()), whole));
    funnel::inference_context<float, funnel::scalar_arch> scalar;
    const auto slow = run(layer, scalar, copies.view(), items.view());
    CHECK(same_bits(scalar_frozen.call(
                        scalar,
                        [&](const Layer& m, auto& c, const auto&... x) { return run(m, c, x...); },
                        copies.view(), items.view()),
                    slow));
  }
  // No rows.
  const matrix<float> user = random_matrix<float>(1, widths.first, 51);
  const matrix<float> none(0, widths.second);
  funnel::inference_context<float> plain;
  CHECK(run(layer, plain, user.view(), none.view()).rows() == 0);
  CHECK(run_frozen(plain, user.view(), none.view()).rows() == 0);
}
