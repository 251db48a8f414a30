// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/optim/adam.hpp>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace funnel {

/// Where `train` saves its progress, and goes on from.
struct checkpoint_options {
  /// The file; empty for none. If it exists, `train` goes on from it.
  std::string path = {};
  /// Number of steps from one save to the next; 0 saves at the end of each epoch.
  std::size_t every_steps = 0;
};

/// Options of `train`.
struct train_options {
  std::size_t epochs = 1;
  /// Rows of a batch, 1 or more; see `batches_options`.
  std::size_t batch_rows = 1024;
  /// The requests to train on: those of some days, or those with a click. Without it all; see
  /// `batches_options`.
  std::optional<std::vector<std::uint32_t>> requests = {};
  /// Options of Adam, if `train` is not given an optimizer. `learning_rate` is the highest rate.
  adam_options optimizer = {};
  /// The part of the training in which the learning rate rises linearly, in [0, 1).
  double warmup = 0;
  /// The learning rate at the end, as a fraction of the highest one; it falls linearly.
  double last_fraction = 0.1;
  /// Replaces `warmup` and `last_fraction`: the factor of the learning rate for the part of the
  /// training that is done, in [0, 1).
  std::function<double(double)> schedule = {};
  /// Largest norm of the gradients of a step; 0 for no limit (`clip_gradients`).
  double max_norm = 0;
  /// Determines the order of the batches and what dropout drops.
  std::uint64_t seed = 1;
  /// A batch is cut into leaves of about this many rows, for threads and for the cache; a batch of
  /// about this size into two. Half of it lets more threads help, and costs about 3 % on one.
  std::size_t leaf_rows = 256;
  /// ... but into no more than this many, 1 to 64.
  std::size_t max_leaves = 8;
  /// Whether a batch is one leaf: for losses and layers that compare the rows of a batch, such as
  /// `in_batch_softmax`. Only one thread works then.
  bool whole_batch = false;
  /// With a `validate` callback: stop after this many epochs without a better score; 0 for never.
  std::size_t patience = 0;
  /// With a `validate` callback: whether the model ends with the parameters of its best score.
  bool keep_best = true;
  checkpoint_options checkpoint = {};
};

/// What `train` tells after each step.
struct train_progress {
  std::size_t epoch = 0;     ///< from 0
  std::size_t step = 0;      ///< steps that are done
  double done = 0;           ///< part of the training that is done, in [0, 1]
  double loss = 0;           ///< of the step
  double learning_rate = 0;  ///< of the step
  double gradient_norm = 0;  ///< before clipping; 0 without `max_norm`
};

/// Functions that `train` calls; each may be empty.
template <class Model>
struct train_callbacks {
  /// After each step.
  std::function<void(const train_progress&)> progress = {};
  /// After each epoch: scores the model, larger is better. For a loss, return its negative.
  std::function<double(const Model&)> validate = {};
};

/// What `train` did.
struct train_result {
  std::size_t steps = 0;
  std::size_t epochs = 0;
  /// The mean loss of the steps of each epoch.
  std::vector<double> losses;
  /// The score of each epoch, if there is a `validate` callback.
  std::vector<double> scores;
  /// The epoch with the best score, from 0.
  std::size_t best_epoch = 0;
  /// True if training ended before all epochs, for want of a better score.
  bool stopped_early = false;
};

}  // namespace funnel
