// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>
#include <funnel/core/error.hpp>
#include <funnel/core/executor.hpp>
#include <funnel/features/encoded_log.hpp>
#include <funnel/features/row_batch.hpp>
#include <funnel/nn/parameter.hpp>
#include <funnel/nn/training_context.hpp>
#include <funnel/optim/adam.hpp>
#include <funnel/training/batches.hpp>
#include <funnel/training/detail/model_scalar.hpp>
#include <funnel/training/detail/training_run.hpp>
#include <funnel/training/train_options.hpp>
#include <funnel/training/training_step.hpp>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <type_traits>
#include <utility>
#include <vector>

namespace funnel {

/// Trains a model on the rows of an encoded log.
///
/// `loss(context, model, leaf)` runs the model on a `row_batch` and returns the loss, [1, 1]. A batch
/// is cut at requests into leaves of about 256 rows, and `loss` is called once per leaf, at the same
/// time on the threads of the executor. Losses of rows divide by the rows of the whole batch
/// (`training_context::set_step_rows`). To divide a head by its own rows of the whole batch, pass
/// `leaf.label_sums[k]` as `total_weight` where label k is its weight, or `leaf.label_counts[k]`
/// where `leaf.present(k)` is.
///
/// The trained parameters have the same bits with any number of threads. With a checkpoint, a
/// training that was interrupted ends with the same bits as one that was not.
///
/// Errors      std::invalid_argument if an option is out of range, there are no rows, or all weights
///             are 0: initialize the model first; std::runtime_error if the loss of a step is not
///             finite; format_error if the checkpoint is of another training. What `loss` and the
///             callbacks throw ends the training.
/// Source      docs/formulas.md#a-step-in-leaves.
template <Executor E, HasParameters Model, class O, class Loss>
requires requires(O& optimizer) {
  optimizer.options.learning_rate;
}
train_result train(E& executor, Model& model, O& optimizer, const encoded_log& rows,
                   const Loss& loss, const train_options& options = {},
                   const train_callbacks<std::type_identity_t<Model>>& callbacks = {}) {
  using scalar = detail::scalar_of_model<Model>;
  detail::check_train_options(options);
  detail::check_initialized(model);
  detail::training_run<Model, O> run(model, optimizer, rows, options);
  run.restore();
  training_step<scalar> step;
  std::vector<row_batch> leaves;
  const double all =
      static_cast<double>(run.loader().epoch_rows()) * static_cast<double>(options.epochs);
  while (!run.ended()) {
    batches& loader = run.loader();
    while (loader.next()) {
      const detail::leaf_cut cut(rows.offsets(), loader.requests(), loader.rows(), options);
      if (leaves.size() < cut.count()) leaves.resize(cut.count());
      const detail::step_labels labels(rows, loader.requests());
      const double before = static_cast<double>(run.rows_done()) / all;
      const double after = static_cast<double>(run.rows_done() + loader.rows()) / all;
      optimizer.options.learning_rate =
          run.peak_rate() * detail::rate_factor(options, before, after);
      const training_step_options of_step{.leaves = cut.count(),
                                          .rows = loader.rows(),
                                          .seed = options.seed,
                                          .step = run.steps(),
                                          .max_norm = options.max_norm};
      const training_step_result done =
          step(executor, model, optimizer, of_step, [&](auto& context, std::size_t i) {
            row_batch& leaf = leaves[i];
            rows.gather(cut.requests(i), leaf, &context.random());
            leaf.label_sums = labels.sums;
            leaf.label_counts = labels.counts;
            leaf.step_rows = loader.rows();
            return loss(context, std::as_const(model), std::as_const(leaf));
          });
      if (!std::isfinite(done.loss))
        throw std::runtime_error(detail::join_text("funnel::train: the loss of step ", run.steps(),
                                                   " is ", done.loss,
                                                   ", expected a finite number"));
      if (callbacks.progress)
        callbacks.progress({loader.epoch(), run.steps() + 1, after, done.loss,
                            optimizer.options.learning_rate, done.norm});
      run.add_step(done.loss, loader.rows());
    }
    run.end_epoch(callbacks.validate);
  }
  optimizer.options.learning_rate = run.peak_rate();
  return run.finish();
}

/// The same with Adam (`options.optimizer`) on one thread.
template <HasParameters Model, class Loss>
train_result train(Model& model, const encoded_log& rows, const Loss& loss,
                   const train_options& options = {},
                   const train_callbacks<std::type_identity_t<Model>>& callbacks = {}) {
  serial_executor executor;
  adam<detail::scalar_of_model<Model>> optimizer(options.optimizer);
  return train(executor, model, optimizer, rows, loss, options, callbacks);
}

/// The same with Adam (`options.optimizer`) on the threads of an executor, such as a `thread_pool`.
template <Executor E, HasParameters Model, class Loss>
train_result train(E& executor, Model& model, const encoded_log& rows, const Loss& loss,
                   const train_options& options = {},
                   const train_callbacks<std::type_identity_t<Model>>& callbacks = {}) {
  adam<detail::scalar_of_model<Model>> optimizer(options.optimizer);
  return train(executor, model, optimizer, rows, loss, options, callbacks);
}

/// The same with an optimizer of one's own, on one thread.
template <HasParameters Model, class O, class Loss>
requires requires(O& optimizer) {
  optimizer.options.learning_rate;
}
train_result train(Model& model, O& optimizer, const encoded_log& rows, const Loss& loss,
                   const train_options& options = {},
                   const train_callbacks<std::type_identity_t<Model>>& callbacks = {}) {
  serial_executor executor;
  return train(executor, model, optimizer, rows, loss, options, callbacks);
}

}  // namespace funnel
