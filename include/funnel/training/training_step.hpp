// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>
#include <funnel/core/executor.hpp>
#include <funnel/features/hashing.hpp>
#include <funnel/nn/model_gradients.hpp>
#include <funnel/nn/parameter.hpp>
#include <funnel/nn/training_context.hpp>
#include <funnel/nn/weight_panels.hpp>
#include <funnel/optim/clip_gradients.hpp>
#include <funnel/optim/optimizer.hpp>
#include <funnel/simd/arch.hpp>

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <thread>
#include <utility>
#include <vector>

namespace funnel {

/// Options of one step of a `training_step`.
struct training_step_options {
  /// Number of leaves: parts of the batch that are run one by one; 1 to 64. Leaves of about 256 rows
  /// are fast, and up to 8 of them; their number limits the threads that a step can use.
  std::size_t leaves = 1;
  /// Rows of the whole batch, by which losses divide (`training_context::set_step_rows`). 0: each
  /// loss divides by the weights of its own leaf; do this with one leaf only.
  std::size_t rows = 0;
  /// Together with `step`, determines the random numbers of each leaf.
  std::uint64_t seed = 0;
  /// Number of the step in the training.
  std::uint64_t step = 0;
  /// Largest norm of all gradients together (`clip_gradients`); 0 means no limit.
  double max_norm = 0;
};

/// The result of one step.
struct training_step_result {
  /// Sum of the losses of the leaves.
  double loss = 0;
  /// Norm of the gradients before clipping; 0 if `max_norm` is 0.
  double norm = 0;
  /// False if the norm was not finite: the model has not changed then.
  bool updated = true;
};

/// One step of training on a batch that is cut into leaves, on the threads of an executor.
///
/// For every leaf, `run(context, leaf)` runs the model and returns the loss, [1, 1]. The gradients of
/// the leaves are added along one fixed binary tree, and the optimizer updates ranges of parameters
/// on all threads. The trained parameters have the same bits with any number of threads and with any
/// executor. They do depend on how the batch is cut.
///
/// A `training_step` keeps the memory of the steps: use one for all steps. Leaves run at the same time
/// on one const model, each with a context of its own, whose random numbers depend on the seed, the
/// step and the leaf. Spans that `run` passes to operations, such as ids, must live until the step
/// ends; those of different leaves must be different arrays.
///
/// Losses and layers that compare rows (`in_batch_softmax`, the statistics of `batch_norm`) see one
/// leaf. A running statistic moves once, toward the mean over the rows of the step.
///
/// Errors      std::invalid_argument if there are no leaves or more than 64, if `max_norm` is
///             negative or not finite, or if a loss is not [1, 1]; also what the optimizer refuses.
///             If that happens, if `run` throws, or if memory runs out, the model and the optimizer
///             have not changed.
/// Source      docs/formulas.md#a-step-in-leaves.
template <class T, class Arch = default_arch>
class training_step {
 public:
  using context = training_context<T, Arch>;

  template <Executor E, HasParameters Model, Optimizer<Model, context> O, class Run>
  training_step_result operator()(E& executor, Model& model, O& optimizer,
                                  const training_step_options& options, Run&& run) {
    const std::size_t count = options.leaves;
    detail::check_that("training_step", "leaves", count, count > 0 && count <= most_leaves, "1 to ",
                       most_leaves);
    detail::check_not_negative("training_step", "max_norm", options.max_norm);
    while (leaves_.size() < count) leaves_.push_back(std::make_unique<model_gradients<T>>());
    losses_.assign(count, 0);
    for (const auto& leaf : leaves_) leaf->clear();  // a step that failed left its own
    for (const panels_key<T>& key : missing_panels_) panels_.add(key);
    missing_panels_.clear();
    if (count > 1) panels_.template pack<Arch>(model, executor);
    executor.for_each(count, [&](std::size_t leaf) { run_leaf(options, leaf, run); });

    training_step_result result;
    result.loss = sum_of(losses_);
    result.norm = update(executor, model, optimizer, count, options.max_norm);
    result.updated = std::isfinite(result.norm);
    return result;
  }

 private:
  static constexpr std::size_t most_leaves = 64;

  /// A context, and the thread that used it last: most of its memory is in that thread's cache.
  struct worker {
    std::unique_ptr<context> used;
    std::thread::id thread;
  };

  /// A context for one leaf. It records gradients in those of the leaf.
  class borrowed {
   public:
    borrowed(training_step& step, model_gradients<T>& gradients)
        : step_(step), own_(step.take()), gradients_(gradients) {
      std::swap(own_.used->gradients(), gradients_);
    }
    borrowed(const borrowed&) = delete;
    borrowed& operator=(const borrowed&) = delete;
    ~borrowed() {
      std::swap(own_.used->gradients(), gradients_);
      own_.used->next_micro_batch();
      own_.used->use_panels(nullptr);
      step_.give_back(std::move(own_));
    }
    context& operator*() { return *own_.used; }
    /// Takes note of what the next step packs for all leaves.
    void note_panels() {
      std::vector<panels_key<T>>& missing = own_.used->missing_panels();
      if (missing.empty()) return;
      const std::lock_guard lock(step_.mutex_);
      step_.missing_panels_.insert(step_.missing_panels_.end(), missing.begin(), missing.end());
    }

   private:
    training_step& step_;
    worker own_;
    model_gradients<T>& gradients_;
  };

  template <class Run>
  void run_leaf(const training_step_options& options, std::size_t leaf, Run& run) {
    borrowed own(*this, *leaves_[leaf]);
    context& c = *own;
    c.reseed(mix_key(mix_key(mix_key(options.seed) ^ options.step) ^ leaf));
    c.set_step_rows(options.rows);
    if (options.leaves > 1) c.use_panels(&panels_);
    const variable<T> loss = run(c, leaf);
    c.backward(loss);
    own.note_panels();
    losses_[leaf] = static_cast<double>(loss.values(0, 0));
  }

  worker take() {
    const std::thread::id self = std::this_thread::get_id();
    const std::lock_guard lock(mutex_);
    if (free_.empty()) {
      free_.reserve(++workers_);  // so that giving it back does not fail
      return {std::make_unique<context>(), self};
    }
    std::size_t i = free_.size() - 1;
    while (i > 0 && free_[i].thread != self) --i;
    std::swap(free_[i], free_.back());
    worker found = std::move(free_.back());
    free_.pop_back();
    found.thread = self;
    return found;
  }
  void give_back(worker used) {
    const std::lock_guard lock(mutex_);
    free_.push_back(std::move(used));
  }

  static double sum_of(std::span<const double> losses) {
    if (losses.size() == 1) return losses[0];
    const std::size_t left = left_part(losses.size());
    return sum_of(losses.first(left)) + sum_of(losses.subspan(left));
  }
  /// The left subtree of n leaves, as in the sums of gradients.
  static std::size_t left_part(std::size_t n) { return std::bit_ceil(n) / 2; }

  template <class E, class Model, class O>
  double update(E& executor, Model& model, O& optimizer, std::size_t count, double max_norm) {
    parts_.clear();
    for (std::size_t leaf = 0; leaf < count; ++leaf) parts_.push_back(leaves_[leaf].get());
    const std::span<model_gradients<T>* const> parts(parts_);
    if constexpr (requires { optimizer.step_parts(Arch{}, model, parts, executor, max_norm); }) {
      return optimizer.step_parts(Arch{}, model, parts, executor, max_norm);
    } else {
      // An optimizer of one's own knows only whole gradients.
      add(model, parts);
      borrowed own(*this, *parts[0]);
      const double norm = max_norm > 0 ? clip_gradients(model, *own, max_norm) : 0;
      if (std::isfinite(norm)) optimizer.step(model, *own);
      return norm;
    }
  }
  template <class Model>
  static void add(Model& model, std::span<model_gradients<T>* const> parts) {
    if (parts.size() == 1) return;
    const std::size_t left = left_part(parts.size());
    add(model, parts.first(left));
    add(model, parts.subspan(left));
    detail::visit_parameters_below(model, [&](const parameter<T>& p) {
      if (const parameter_gradient<T>* other = parts[left]->find_gradient(p))
        parts[0]->gradient(p).add(*other, T(1), Arch{});
    });
  }

  std::vector<std::unique_ptr<model_gradients<T>>> leaves_;
  std::vector<model_gradients<T>*> parts_;
  std::vector<double> losses_;
  weight_panels<T> panels_;  // packed once for all leaves
  std::mutex mutex_;         // of what follows
  std::vector<panels_key<T>> missing_panels_;
  std::vector<worker> free_;
  std::size_t workers_ = 0;
};

}  // namespace funnel
