// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>
#include <funnel/core/matrix.hpp>
#include <funnel/nn/detail/for_each_output.hpp>
#include <funnel/nn/inference_context.hpp>

#include <cstddef>

namespace funnel {

/// Runs a model on rows and writes what it returns to a matrix: one column per column of its outputs,
/// in the order in which it returns them.
///
///     score_rows(context, ranker, encode(user, ids, time), call.scores());
///
/// `rows` is what the model takes, such as a `row_batch`; `model` may be frozen. The context is reset
/// first: what it holds is gone.
///
/// Shapes      scores [n, outputs] for a model whose outputs have n rows, or one row, which is
///             repeated, and `outputs` columns together.
/// Errors      std::invalid_argument if the outputs have another shape; some columns may be written
///             then. Also what the model throws.
/// Cost        one run of the model and one copy of its outputs; no allocation after some calls.
template <class T, class Arch, class Model, class Rows>
void score_rows(inference_context<T, Arch>& context, const Model& model, const Rows& rows,
                matrix_view<float> scores) {
  context.reset();
  std::size_t column = 0;
  detail::for_each_output(model(context, rows), [&](const auto& output) {
    if (output.rows() != 1)
      detail::check_rows("score_rows", "an output of the model", output.rows(), scores.rows(),
                         "scores");
    detail::check_that("score_rows", "the number of columns of scores", scores.cols(),
                       column + output.cols() <= scores.cols(), column + output.cols(),
                       " or more, as of the outputs so far");
    for (std::size_t i = 0; i < scores.rows(); ++i)
      for (std::size_t j = 0; j < output.cols(); ++j)
        scores(i, column + j) = static_cast<float>(output(output.rows() == 1 ? 0 : i, j));
    column += output.cols();
  });
  detail::check_that("score_rows", "the number of columns of scores", scores.cols(),
                     column == scores.cols(), column, " as of the outputs");
}

}  // namespace funnel
