// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>
#include <funnel/core/error.hpp>
#include <funnel/core/random.hpp>
#include <funnel/core/state.hpp>
#include <funnel/features/encoded_log.hpp>
#include <funnel/features/hashing.hpp>
#include <funnel/features/row_batch.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <optional>
#include <span>
#include <vector>

namespace funnel {

/// Options of `batches`.
struct batches_options {
  /// Rows of a batch, 1 or more. A batch has whole requests: as many as it takes to reach this number.
  std::size_t rows = 1024;
  /// The requests of an epoch: those of some days, or those with a click. Without it all; one that is
  /// there twice is in each epoch twice.
  std::optional<std::vector<std::uint32_t>> requests = {};
  /// Whether each epoch has an order of its own; otherwise requests come in the order of
  /// time, or in that of `requests`.
  bool shuffle = true;
  /// Determines the orders.
  std::uint64_t seed = 1;
};

/// Batches of an encoded log, epoch by epoch: for a training loop of one's own. `train` uses them, too.
///
///     batches all(rows, {.rows = 512});
///     for (int epoch = 0; epoch < 3; ++epoch)
///       while (all.next()) step(all.batch());
///
/// Where it is in the epochs is its state (`visit_state`): one that is loaded goes on with the next
/// batch.
///
/// Errors      std::invalid_argument if `rows` is 0, or a request is not one of the log's.
/// Cost        4 bytes per request, and one shuffle per epoch.
class batches {
 public:
  /// The log must live as long.
  explicit batches(const encoded_log& rows, const batches_options& options = {})
      : rows_(&rows), options_(options) {
    detail::check_at_least_one("batches", "rows", options.rows);
    epoch_rows_ = rows.rows();
    if (options.requests) {
      epoch_rows_ = 0;
      for (const std::uint32_t r : *options.requests) {
        detail::check_below("batches", "a request", r, rows.requests());
        epoch_rows_ += rows.offsets()[r + 1] - rows.offsets()[r];
      }
    }
    order_.resize(options.requests ? options.requests->size() : rows.requests());
    begin_epoch();
  }

  /// Goes to the next batch. False at the end of an epoch; the next call begins another.
  bool next() {
    if (position_ == order_.size()) {
      ++epoch_;
      begin_epoch();
      return false;
    }
    const std::span<const std::uint32_t> offsets = rows_->offsets();
    const std::size_t begin = position_;
    count_ = 0;
    while (position_ < order_.size() && count_ < options_.rows) {
      const std::uint32_t r = order_[position_++];
      count_ += offsets[r + 1] - offsets[r];
    }
    requests_ = std::span<const std::uint32_t>(order_).subspan(begin, position_ - begin);
    return true;
  }

  /// The requests of the batch; valid until `next`.
  std::span<const std::uint32_t> requests() const { return requests_; }
  /// The number of rows of the batch.
  std::size_t rows() const { return count_; }
  /// The rows of the batch; valid until the next call.
  const row_batch& batch() {
    // Drops values by a generator of this batch, so that a loop that goes on later drops the same.
    random_generator random(mix_key(mix_key(options_.seed ^ epoch_) ^ position_));
    rows_->gather(requests_, batch_, &random);
    return batch_;
  }
  /// The number of rows of an epoch.
  std::size_t epoch_rows() const { return epoch_rows_; }
  /// The number of epochs that have ended.
  std::size_t epoch() const { return epoch_; }

  void visit_state(auto&& visit) {
    std::uint64_t requests = order_.size();
    visit("epoch", epoch_);
    visit("position", position_);
    visit("requests", requests);
    if (!is_loading(visit)) return;
    if (requests != order_.size() || position_ > requests)
      throw format_error(detail::join_text("batches of ", requests, " requests at ", position_,
                                           ", expected those of ", order_.size()));
    begin_epoch(position_);
  }

 private:
  void begin_epoch(std::uint64_t position = 0) {
    if (options_.requests)
      std::ranges::copy(*options_.requests, order_.begin());
    else
      std::iota(order_.begin(), order_.end(), 0u);
    if (options_.shuffle) {
      random_generator random(mix_key(mix_key(options_.seed) ^ epoch_));
      shuffle(random, std::span(order_));
    }
    position_ = position;
    requests_ = {};
    count_ = 0;
  }

  const encoded_log* rows_;
  batches_options options_;
  std::size_t epoch_rows_ = 0;
  std::vector<std::uint32_t> order_;  // of this epoch
  std::uint64_t epoch_ = 0;
  std::uint64_t position_ = 0;  // in the order: the first request after the batch
  std::span<const std::uint32_t> requests_;
  std::size_t count_ = 0;
  row_batch batch_;
};

}  // namespace funnel
