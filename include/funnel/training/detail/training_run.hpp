// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>
#include <funnel/core/detail/xxh64.hpp>
#include <funnel/core/error.hpp>
#include <funnel/core/state.hpp>
#include <funnel/features/encoded_log.hpp>
#include <funnel/io/model_file.hpp>
#include <funnel/io/model_writer.hpp>
#include <funnel/nn/parameter.hpp>
#include <funnel/training/batches.hpp>
#include <funnel/training/detail/model_scalar.hpp>
#include <funnel/training/train_options.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace funnel::detail {

inline void check_train_options(const train_options& options) {
  constexpr std::string_view name = "train";
  check_at_least_one(name, "batch_rows", options.batch_rows);
  check_at_least_one(name, "leaf_rows", options.leaf_rows);
  check_that(name, "max_leaves", options.max_leaves,
             options.max_leaves >= 1 && options.max_leaves <= 64, "1 to 64");
  check_fraction(name, "warmup", options.warmup);
  check_that(name, "last_fraction", options.last_fraction,
             options.last_fraction >= 0 && std::isfinite(options.last_fraction),
             "a number of 0 or more");
}

/// Errors      std::invalid_argument if no weight of the model was set: a model of zeros does not
///             learn.
template <class Model>
void check_initialized(const Model& model) {
  bool any = false;
  bool expected = false;
  for_each_parameter(model, [&](std::string_view, const auto& p) {
    if (p.initial == initial_values::zeros || p.initial == initial_values::ones) return;
    expected = true;
    any = any || std::ranges::any_of(p.value.flat(), [](auto value) { return value != 0; });
  });
  if (expected && !any)
    fail("funnel::train: all weights of model are 0, expected a call of initialize(model, random) "
         "before");
}

/// The labels of a step: their sums, and the numbers of rows that have them.
struct step_labels {
  std::vector<double> sums, counts;

  step_labels(const encoded_log& rows, std::span<const std::uint32_t> requests)
      : sums(rows.labels()), counts(rows.labels()) {
    for (std::size_t k = 0; k < sums.size(); ++k) {
      const std::span<const float> label = rows.label(k);
      for (const std::uint32_t r : requests) {
        for (std::uint32_t i = rows.offsets()[r]; i < rows.offsets()[r + 1]; ++i) {
          if (std::isnan(label[i])) continue;
          sums[k] += static_cast<double>(label[i]);
          counts[k] += 1;
        }
      }
    }
  }
};

/// A batch cut into leaves, at the boundaries of requests.
class leaf_cut {
 public:
  leaf_cut(std::span<const std::uint32_t> offsets, std::span<const std::uint32_t> requests,
           std::size_t rows, const train_options& options)
      : requests_(requests) {
    const std::size_t wanted = (rows + options.leaf_rows - 1) / options.leaf_rows;
    // Batches end with a request, and may have some rows less.
    const std::size_t least = rows / 3 >= options.leaf_rows / 4 ? 2 : 1;
    const std::size_t leaves =
        options.whole_batch ? 1 : std::min(std::max(wanted, least), options.max_leaves);
    std::size_t seen = 0;
    for (std::size_t i = 0; i < requests.size(); ++i) {
      seen += offsets[requests[i] + 1] - offsets[requests[i]];
      // The first request that ends at or after the j-th part of the rows ends leaf j.
      if (seen * leaves >= rows * ends_.size()) ends_.push_back(i + 1);
    }
    ends_.back() = requests.size();
  }

  std::size_t count() const { return ends_.size() - 1; }
  std::span<const std::uint32_t> requests(std::size_t leaf) const {
    return requests_.subspan(ends_[leaf], ends_[leaf + 1] - ends_[leaf]);
  }

 private:
  std::span<const std::uint32_t> requests_;
  std::vector<std::size_t> ends_ = {0};
};

/// The factor of the learning rate of a step that begins and ends at these parts of the training.
inline double rate_factor(const train_options& options, double before, double after) {
  if (options.schedule) return options.schedule(before);
  if (before < options.warmup) return std::min(1.0, after / options.warmup);
  return std::lerp(1.0, options.last_fraction, (before - options.warmup) / (1 - options.warmup));
}

/// Where a training is, between two steps.
struct training_position {
  batches loader;
  std::uint64_t steps = 0, epoch_steps = 0, rows_done = 0;
  double epoch_loss = 0;  ///< sum over the steps of this epoch
  std::vector<double> losses = {}, scores = {};
  std::uint64_t best = 0;
  std::uint8_t stopped = 0;

  void visit_state(auto&& visit) {
    visit("batches", loader);
    visit("steps", steps), visit("epoch_steps", epoch_steps), visit("rows_done", rows_done);
    visit("epoch_loss", epoch_loss), visit("losses", losses), visit("scores", scores);
    visit("best", best), visit("stopped", stopped);
  }
};

/// A training: where it is, and how it is saved and goes on.
template <class Model, class O>
class training_run {
 public:
  training_run(Model& model, O& optimizer, const encoded_log& rows, const train_options& options)
      : model_(model), optimizer_(optimizer), options_(options),
        peak_rate_(optimizer.options.learning_rate), at_{.loader = batches(
                                                             rows, {.rows = options.batch_rows,
                                                                    .requests = options.requests,
                                                                    .seed = options.seed})} {
    check_that("train", "rows", at_.loader.epoch_rows(), at_.loader.epoch_rows() > 0, "1 or more");
  }

  batches& loader() { return at_.loader; }
  std::size_t steps() const { return at_.steps; }
  std::size_t rows_done() const { return at_.rows_done; }
  double peak_rate() const { return peak_rate_; }
  bool ended() const { return at_.stopped != 0 || at_.losses.size() >= options_.epochs; }

  void add_step(double loss, std::size_t rows) {
    ++at_.steps;
    ++at_.epoch_steps;
    at_.rows_done += rows;
    at_.epoch_loss += loss;
    if (options_.checkpoint.every_steps > 0 && at_.steps % options_.checkpoint.every_steps == 0)
      save();
  }

  void end_epoch(const std::function<double(const Model&)>& validate) {
    at_.losses.push_back(at_.epoch_loss / static_cast<double>(at_.epoch_steps));
    at_.epoch_loss = 0;
    at_.epoch_steps = 0;
    if (validate) add_score(validate(model_));
    if (options_.checkpoint.every_steps == 0 || ended()) save();
  }

  train_result finish() {
    if (best_model_) model_ = std::move(*best_model_);
    return {at_.steps, at_.losses.size(), at_.losses, at_.scores, at_.best, at_.stopped != 0};
  }

  /// Goes on from the checkpoint, if there is one. If it does not fit, nothing has changed.
  void restore() {
    const std::string& path = options_.checkpoint.path;
    if (path.empty()) return;
    static_assert(HasState<O>, "the optimizer is saved by its visit_state");
    if (std::FILE* found = std::fopen(path.c_str(), "rb"))
      std::fclose(found);
    else
      return;
    const model_file file(path);
    if (const std::string& made = file.text("training"); made != description())
      throw format_error(
          join_text(path, ": the checkpoint is of ", made, ", expected ", description()));
    training_position at = at_;
    file.load_state("position", at);
    O optimizer = optimizer_;
    file.load_state("optimizer", optimizer);
    std::optional<Model> best;
    if (std::ranges::find(file.parts(), "best") != file.parts().end()) {
      best = model_;
      file.load_parameters("best", *best);
    }
    file.load_parameters("model", model_);
    best_model_ = std::move(best);
    optimizer.options = optimizer_.options;
    optimizer_ = std::move(optimizer);
    at_ = std::move(at);
  }

 private:
  std::string description() const {
    return join_text(options_.epochs, " epochs of ", at_.loader.epoch_rows(),
                     " rows in batches of ", options_.batch_rows, " and leaves of ",
                     options_.whole_batch ? options_.batch_rows : options_.leaf_rows, " (at most ",
                     options_.whole_batch ? 1 : options_.max_leaves, ") with seed ", options_.seed,
                     options_.requests
                         ? join_text(", of requests with the hash ",
                                     xxh64_of(std::as_bytes(std::span(*options_.requests))))
                         : "");
  }
  void add_score(double score) {
    at_.scores.push_back(score);
    // The first score is the best so far, even if it is NaN.
    if (at_.scores.size() == 1 || score > at_.scores[at_.best] ||
        std::isnan(at_.scores[at_.best])) {
      at_.best = at_.scores.size() - 1;
      if (options_.keep_best) best_model_ = model_;
    } else if (options_.patience > 0 && at_.scores.size() - 1 - at_.best >= options_.patience) {
      at_.stopped = 1;
    }
  }
  void save() const {
    if (options_.checkpoint.path.empty()) return;
    model_writer file;
    file.text("training", description());
    file.parameters("model", std::as_const(model_))
        .state("optimizer", optimizer_)
        .state("position", at_);
    if (best_model_) file.parameters("best", *best_model_);
    file.write(options_.checkpoint.path);
  }

  Model& model_;
  O& optimizer_;
  const train_options& options_;
  double peak_rate_;
  training_position at_;
  std::optional<Model> best_model_;
};

}  // namespace funnel::detail
