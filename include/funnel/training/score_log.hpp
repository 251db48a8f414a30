// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>
#include <funnel/features/encoded_log.hpp>
#include <funnel/features/row_batch.hpp>
#include <funnel/nn/detail/for_each_output.hpp>
#include <funnel/nn/inference_context.hpp>
#include <funnel/training/detail/model_scalar.hpp>

#include <cstddef>
#include <cstdint>
#include <numeric>
#include <span>
#include <vector>

namespace funnel {
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
    std::size_t column = 0;
    detail::for_each_output(model(context, batch), [&](const auto& output) {
      detail::check_rows("score_log", "an output of the model", output.rows(), batch.rows(),
                         "the batch");
      for (std::size_t j = 0; j < output.cols(); ++j, ++column) {
        if (scores.size() <= column) scores.resize(column + 1);
        for (std::size_t i = 0; i < batch.rows(); ++i)
          scores[column].push_back(static_cast<float>(output(i, j)));
      }
    });
  }
  return scores;
}

}  // namespace funnel
