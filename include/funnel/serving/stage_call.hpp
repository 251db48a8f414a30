// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/arena.hpp>
#include <funnel/core/candidates.hpp>
#include <funnel/core/detail/checks.hpp>
#include <funnel/core/matrix.hpp>
#include <funnel/retrieval/merge_channels.hpp>
#include <funnel/serving/stage_options.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace funnel {

/// What a stage of a cascade is called with: the candidates that it is sent, and the time it has.
/// All spans are valid until the stage returns.
class stage_call {
 public:
  stage_call(const stage_call&) = delete;
  stage_call& operator=(const stage_call&) = delete;

  /// Number of candidates that were sent to the stage; 0 for a source.
  std::size_t size() const { return slots_.size(); }
  /// Their ids, in the order so far.
  std::span<const std::int64_t> ids() const { return ids_; }
  /// Their slots in `all()`.
  std::span<const std::uint32_t> slots() const { return slots_; }
  /// All candidates of the request, dropped ones included.
  const candidates& all() const { return all_; }

  /// Scores that an earlier stage wrote for the candidates that were sent, [size(), outputs]; NaN
  /// where it wrote none.
  ///
  /// Errors      std::invalid_argument if no stage of this name writes scores.
  matrix_view<const float> scores_of(std::string_view stage) {
    const std::size_t number = all_.stage(stage);
    const matrix_view<const float> from = all_.scores(number);
    float* to = scratch_.allocate<float>(size(), from.cols());
    for (std::size_t i = 0; i < size(); ++i)
      std::ranges::copy(from.row(slots_[i]), to + i * from.cols());
    return {to, size(), from.cols()};
  }

  /// The time that the stage has left, in milliseconds, so that later stages keep their budgets; 0 or
  /// more, infinite without a budget. Nothing stops a stage: one that can do less asks.
  double remaining_ms() const { return std::max(0., end_ms_ - now_ms_()); }
  /// Notes a number for the trace, such as bytes that were read or the age of statistics. Does nothing
  /// if no trace is wanted.
  void note(std::string_view name, double value) {
    if (trace_ != nullptr) trace_->notes.emplace_back(name, value);
  }
  /// Temporary memory of the request; it is released when the next request begins.
  arena& scratch() { return scratch_; }

 protected:
  /// For cascades.
  struct parts {
    const candidates& all;
    std::span<const std::uint32_t> slots;
    std::span<const std::int64_t> ids;
    const std::function<double()>& now_ms;
    double end_ms;
    arena& scratch;
    stage_trace* trace;
  };
  explicit stage_call(const parts& p)
      : all_(p.all), slots_(p.slots), ids_(p.ids), now_ms_(p.now_ms), end_ms_(p.end_ms),
        scratch_(p.scratch), trace_(p.trace) {}

 private:
  template <class>
  friend class cascade;

  const candidates& all_;
  std::span<const std::uint32_t> slots_;
  std::span<const std::int64_t> ids_;
  const std::function<double()>& now_ms_;
  double end_ms_;
  arena& scratch_;
  stage_trace* trace_;
};

namespace detail {

/// How much a source may add, and where.
struct source_room {
  std::size_t most = 0;
  std::size_t quota = 0;
  std::vector<channel_item>* list =
      nullptr;  ///< what is merged later; null: straight to `candidates`
};

}  // namespace detail

/// What a source is called with.
class source_call : public stage_call {
 public:
  /// Adds a candidate with the score that the source gives to it. False, and nothing is added, when
  /// the source has found as many as its stage keeps.
  bool add(std::int64_t id, float score) {
    if (full()) return false;
    if (room_.list != nullptr)
      room_.list->push_back({id, score});
    else
      found_.add(source_, id, score);
    return true;
  }
  /// Whether the source has found as many as its stage keeps.
  bool full() const { return room() == 0; }
  /// Number of candidates that it may still add: those that its stage keeps, or in a cascade with a
  /// total at most the total, as the source may get what others leave of it.
  std::size_t room() const { return room_.most - std::min(room_.most, count()); }
  /// The part of the cascade's total that the source has; without a total, what its stage keeps. It may
  /// add more, which is used where others find less.
  std::size_t quota() const { return room_.quota; }

 private:
  template <class>
  friend class cascade;
  source_call(const parts& p, candidates& found, std::size_t source,
              const detail::source_room& room)
      : stage_call(p), found_(found), source_(source), room_(room) {}

  std::size_t count() const {
    return room_.list != nullptr ? room_.list->size() : found_.found_by(source_);
  }

  candidates& found_;
  std::size_t source_;
  detail::source_room room_;
};

/// What a scorer is called with.
class scorer_call : public stage_call {
 public:
  /// Where the scores are written, [size(), outputs]; NaN until then.
  matrix_view<float> scores() const { return scores_; }

 private:
  template <class>
  friend class cascade;
  scorer_call(const parts& p, matrix_view<float> scores) : stage_call(p), scores_(scores) {}

  matrix_view<float> scores_;
};

/// What a selector is called with.
class selector_call : public stage_call {
 public:
  /// The scores by which the candidates were ordered last, [size()]. If no scorer has run: 0, -1, -2
  /// and so on.
  std::span<const float> relevance() const { return relevance_; }
  /// Where the selector writes what it picks, best first: positions among the candidates that were
  /// sent, each once. As many as the stage keeps, or as were sent if these are fewer.
  std::span<std::size_t> picked() const { return picked_.first(count_); }
  /// Says that fewer were picked: the first `count` of `picked()`.
  ///
  /// Errors      std::invalid_argument if `count` is above their number.
  void shorten(std::size_t count) {
    detail::check_that("selector_call::shorten", "count", count, count <= picked_.size(),
                       "at most ", picked_.size());
    count_ = count;
  }

 private:
  template <class>
  friend class cascade;
  selector_call(const parts& p, std::span<const float> relevance, std::span<std::size_t> picked)
      : stage_call(p), relevance_(relevance), picked_(picked), count_(picked.size()) {}

  std::span<const float> relevance_;
  std::span<std::size_t> picked_;
  std::size_t count_;
};

}  // namespace funnel
