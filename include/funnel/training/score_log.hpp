// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>
#include <funnel/features/encoded_log.hpp>
#include <funnel/features/row_batch.hpp>
#include <funnel/nn/inference_context.hpp>
#include <funnel/training/detail/model_scalar.hpp>

#include <cstddef>
#include <cstdint>
#include <numeric>
#include <span>
#include <tuple>
#include <vector>

namespace funnel {
namespace detail {

/// Appends the columns of a model's outputs, a value or an array, vector, pair or tuple of them.
/// `output` counts the columns.
template <class Outputs>
void append_outputs(const Outputs& outputs, std::size_t rows, std::vector<std::vector<float>>& to,
                    std::size_t& output) {
  if constexpr (requires { outputs.rows(), outputs(0, 0); }) {
    check_that("score_log", "the number of rows of an output", outputs.rows(),
               outputs.rows() == rows, rows, ", one per row of the batch");
    for (std::size_t j = 0; j < outputs.cols(); ++j, ++output) {
      if (to.size() <= output) to.resize(output + 1);
      for (std::size_t i = 0; i < rows; ++i)
        to[output].push_back(static_cast<float>(outputs(i, j)));
    }
  } else if constexpr (requires { outputs.begin(); }) {
    for (const auto& part : outputs) append_outputs(part, rows, to, output);
  } else {
    std::apply([&](const auto&... parts) { (append_outputs(parts, rows, to, output), ...); },
               outputs);
  }
}

}  // namespace detail

/// Scores the rows of an encoded log with a model: for validation and metrics.
///
///     const auto scores = score_log(model, later.rows);
///     const double quality = auc(scores[0], later.rows.label(0));
///
/// Values are never dropped, whatever the `drop_rate` of their features.
///
/// Shapes      [outputs][rows]: one list per column that the model returns, in the order in which it
///             returns them; no lists if the log has no rows. Rows are in the order of the log, as
///             encoded_log::label and encoded_log::log_rows have them.
/// Errors      std::invalid_argument if an output does not have one row per row of the batch; also
///             what the model throws.
/// Cost        one run of the model per 1024 rows, on one thread.
template <class Model>
std::vector<std::vector<float>> score_log(const Model& model, const encoded_log& rows) {
  constexpr std::size_t least = 1024;
  std::vector<std::vector<float>> scores;
  inference_context<detail::scalar_of_model<Model>> context;
  row_batch batch;
  std::vector<std::uint32_t> requests(rows.requests());
  std::iota(requests.begin(), requests.end(), 0u);
  const std::span<const std::uint32_t> offsets = rows.offsets();
  for (std::size_t begin = 0, end = 0; begin < requests.size(); begin = end) {
    while (end < requests.size() && offsets[end] - offsets[begin] < least) ++end;
    rows.gather(std::span(requests).subspan(begin, end - begin), batch);
    context.reset();
    std::size_t output = 0;
    detail::append_outputs(model(context, batch), batch.rows(), scores, output);
  }
  return scores;
}

}  // namespace funnel
