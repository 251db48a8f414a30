// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/arena.hpp>
#include <funnel/core/candidates.hpp>
#include <funnel/core/detail/checks.hpp>
#include <funnel/core/error.hpp>
#include <funnel/core/matrix.hpp>
#include <funnel/core/top_k.hpp>
#include <funnel/serving/detail/cascade_stage.hpp>
#include <funnel/serving/detail/merged_sources.hpp>
#include <funnel/serving/stage_call.hpp>
#include <funnel/serving/stage_options.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace funnel {

/// Options of `cascade`.
struct cascade_options {
  /// Time that a request is meant to take, in milliseconds; 0 for no limit.
  double budget_ms = 0;
  /// Most candidates of all sources together, up to 2^32: what the sources find is merged by
  /// `merge_channels`, each with a quota by its share. 0: no merging, each source adds what it keeps.
  std::size_t total = 0;
  /// The clock, in milliseconds; empty for that of the system (`std::chrono::steady_clock`).
  std::function<double()> now_ms = {};
};

/// Serves requests in stages: sources find candidates, filters drop some, scorers order them and keep
/// the best, a selector picks the page. Stages are callables; they run in the order in which they
/// were added, sources first.
///
///     cascade<my_request> pages({.budget_ms = 50});
///     pages.add_source({.name = "popular", .keeps = 500}, [&](const my_request& r, source_call& to) {
///       for (const scored_item& best : popular) to.add(best.item, best.score);
///     });
///     pages.add_scorer({.name = "rank", .keeps = 100, .outputs = {"click", "like"}},
///                      [&](const my_request& r, scorer_call& call) {
///       score_rows(context, ranker, encode(r.user, call.ids(), r.time), call.scores());
///     });
///     pages.add_selector({.name = "mmr", .keeps = 10}, ...);
///     for (const std::int64_t id : pages(request)) show(id);
///
/// A budget is asked, not enforced: no stage is stopped. `stage_call::remaining_ms` tells a stage the
/// time it has; what is late is counted, and used or not as `stage_options` say; a later stage for
/// which too little time is left is sent fewer candidates, or is skipped. A stage that throws is
/// counted, and the candidates go on in the order so far. So every request ends with a page, unless a
/// stage has `when_failed::raise`, and nothing runs on after it.
///
/// One thread uses a cascade; each serving thread has its own. After some requests it allocates no
/// memory, but for traces and exceptions.
///
/// Errors      the functions that add stages: std::invalid_argument if an option is out of range, or
///             a name is used twice. Requests: what stages with `when_failed::raise` throw;
///             std::invalid_argument if there is no source.
/// Cost        beside the stages: one look-up per candidate found, and per scorer one copy of its
///             scores and one `top_k`.
template <class Request>
class cascade {
 public:
  explicit cascade(cascade_options options = {}) : options_(std::move(options)) {
    detail::check_not_negative("cascade", "budget_ms", options_.budget_ms);
    detail::check_that("cascade", "total", options_.total, options_.total <= std::size_t{1} << 32,
                       "at most 2^32");
    merged_.total = options_.total;
    if (!options_.now_ms)
      options_.now_ms = [] {
        const auto now = std::chrono::steady_clock::now().time_since_epoch();
        return std::chrono::duration<double, std::milli>(now).count();
      };
  }

  /// Adds a source: a callable that adds candidates by `source_call::add`.
  void add_source(stage_options options, std::function<void(const Request&, source_call&)> find) {
    stage added{std::move(options)};
    added.find = std::move(find);
    if (!stages_.empty() && !stages_.back().find)
      detail::fail(added.label(), " is a source after other stages, expected sources first");
    add(std::move(added));
  }
  /// In a cascade with a total: a callable that sets the share of each source, by number, for a
  /// request, such as 0 for a source that the user is no reason to ask. It is called with the shares of
  /// the stages' options. What it throws ends the request.
  void set_shares(std::function<void(const Request&, std::span<double> shares)> shares) {
    if (options_.total == 0)
      detail::fail("funnel::cascade::set_shares: total is 0, expected a cascade with a total");
    merged_.set_shares = std::move(shares);
  }
  /// Adds a filter: a callable that returns whether a candidate may go on. `takes` and `keeps` are not
  /// used. If it throws, what it has refused stays refused and the others go on: a filter that must
  /// hold has `when_failed::raise`.
  void add_filter(stage_options options,
                  std::function<bool(const Request&, std::int64_t id)> admits) {
    stage added{std::move(options)};
    added.admits = std::move(admits);
    add(std::move(added));
  }
  /// Adds a scorer: a callable that writes `scorer_call::scores`. The candidates are then ordered by
  /// one of the scores, and the best go on. Those that were not sent because the stage shrank follow
  /// after all that were.
  void add_scorer(stage_options options, std::function<void(const Request&, scorer_call&)> score) {
    stage added{std::move(options)};
    added.score = std::move(score);
    add(std::move(added));
  }
  /// Adds a selector: a callable that writes `selector_call::picked`, such as re-ranking for diversity.
  void add_selector(stage_options options,
                    std::function<void(const Request&, selector_call&)> select) {
    stage added{std::move(options)};
    added.select = std::move(select);
    add(std::move(added));
  }

  /// Serves a request: the ids of the page, best first, valid until the next request.
  ///
  /// What each stage did is written to `trace`, if there is one.
  std::span<const std::int64_t> operator()(const Request& request, cascade_trace* trace = nullptr) {
    if (stages_.empty() || !stages_[0].find)
      detail::fail("funnel::cascade: there is no source, expected one or more");
    found_.clear();
    scratch_.reset();
    ordered_by_ = {};
    const double begin = options_.now_ms();
    const double end = options_.budget_ms > 0 ? begin + options_.budget_ms : infinite;
    if (trace != nullptr) trace->stages.assign(stages_.size(), {});
    const std::size_t sources = found_.sources().size();  // they are the first stages
    if (merges()) merged_.begin(request, stages_, sources);
    for (std::size_t s = 0; s < stages_.size(); ++s) {
      run(request, s, end, trace == nullptr ? nullptr : &trace->stages[s]);
      if (merges() && s + 1 == sources) merged_.merge(found_, stages_, trace);
    }
    milliseconds_ = options_.now_ms() - begin;
    if (trace != nullptr) trace->milliseconds = milliseconds_;
    const std::span<const std::uint32_t> kept = found_.kept();
    page_.resize(kept.size());
    std::ranges::transform(kept, page_.begin(), [&](std::uint32_t s) { return found_.ids()[s]; });
    return page_;
  }

  /// All candidates of the last request: slots, sources, scores, and where they were dropped; a
  /// `fate`'s stage is the number of a stage of the cascade.
  const funnel::candidates& candidates() const { return found_; }

  std::size_t stages() const { return stages_.size(); }
  const stage_options& options_of(std::size_t s) const { return stages_[checked(s)].options; }
  /// Names of the stages by number, for a `funnel_log`.
  std::vector<std::string> stage_names() const {
    std::vector<std::string> names;
    for (const stage& s : stages_) names.push_back(s.options.name);
    return names;
  }
  /// The number of a stage by its name; throws std::invalid_argument if there is none.
  std::size_t stage_of(std::string_view name) const {
    for (std::size_t s = 0; s < stages_.size(); ++s)
      if (stages_[s].options.name == name) return s;
    detail::fail("funnel::cascade::stage_of: name is \"", name, "\", expected a stage");
  }
  /// Counts over all requests so far.
  const stage_counts& counts(std::size_t s) const { return stages_[checked(s)].counts; }
  /// What the last exception of a stage said; empty if there was none.
  const std::string& last_error(std::size_t s) const { return stages_[checked(s)].error; }
  /// Time of the last request, and of a stage in it; 0 if the stage did not run.
  double milliseconds() const { return milliseconds_; }
  double milliseconds(std::size_t s) const { return stages_[checked(s)].milliseconds; }

  /// What looks wrong in the sizes of the stages, one sentence each; empty if nothing does.
  std::vector<std::string> warnings() const {
    return detail::size_warnings(stages_, options_.total);
  }

 private:
  static constexpr double infinite = std::numeric_limits<double>::infinity();

  using stage = detail::cascade_stage<Request>;
  /// The scores by which the candidates were ordered last.
  struct order {
    bool is_set = false;
    std::size_t stage = 0, output = 0;
  };

  bool merges() const { return options_.total > 0; }

  std::size_t checked(std::size_t s) const {
    detail::check_below("cascade", "stage", s, stages_.size());
    return s;
  }

  void add(stage added) {
    added.check();
    const stage_options& o = added.options;
    for (const stage& other : stages_)
      if (other.options.name == o.name)
        detail::fail(added.label(), " is there already, expected another name");
    std::vector<std::string> sources = found_.sources();
    std::vector<score_stage> scorers = found_.stages();
    if (added.find) {
      added.number = sources.size();
      sources.push_back(o.name);
    } else if (added.score) {
      added.number = scorers.size();
      scorers.push_back({o.name, o.outputs});
    }
    funnel::candidates shaped(std::move(sources), std::move(scorers));
    const double budget = o.budget_ms;
    stages_.push_back(std::move(added));
    for (std::size_t s = 0; s + 1 < stages_.size(); ++s) stages_[s].later_ms += budget;
    found_ = std::move(shaped);
  }

  void run(const Request& request, std::size_t number, double end, stage_trace* trace) {
    stage& s = stages_[number];
    const double begin = options_.now_ms();
    const bool is_merged = s.find && merges();
    auto plan =
        s.planned(is_merged ? merged_.count : found_.kept().size(), end - begin - s.later_ms);
    if (is_merged && merged_.quotas[s.number] == 0) plan = {};
    s.milliseconds = 0;
    bool failed = false, late = false;
    if (plan.runs) {
      const double own_end = s.options.budget_ms > 0 ? begin + s.options.budget_ms : infinite;
      late = call(request, number, plan, std::min(own_end, end - s.later_ms), end, failed, trace);
    } else if (!s.find && !s.admits) {
      pass(number);
    }
    const std::size_t went_on = is_merged ? merged_.found[s.number].size()
                                : s.find  ? found_.found_by(s.number)
                                          : found_.kept().size();
    merged_.count += is_merged ? went_on : 0;
    s.record(plan, went_on, late, failed, trace);
  }

  /// Calls a stage and uses what it gave; returns whether it was late.
  bool call(const Request& request, std::size_t number, const typename stage::plan& plan,
            double own_end, double end, bool& failed, stage_trace* trace) {
    const std::size_t sent = plan.sent;
    stage& s = stages_[number];
    const stage_options& o = s.options;
    slots_.assign(found_.kept().begin(), found_.kept().begin() + static_cast<std::ptrdiff_t>(sent));
    ids_.resize(sent);
    for (std::size_t i = 0; i < sent; ++i) ids_[i] = found_.ids()[slots_[i]];
    const stage_call::parts p{found_, slots_, ids_, options_.now_ms, own_end, scratch_, trace};
    const double begin = options_.now_ms();
    const std::size_t outputs = s.score ? o.outputs.size() : 0;
    const std::size_t picks = std::min(o.keeps, sent);
    scores_.assign(sent * outputs, std::numeric_limits<float>::quiet_NaN());
    try {
      if (s.find) {
        source_call of(p, found_, s.number, merged_.room(s));
        s.find(request, of);
      } else if (s.admits) {
        filter(request, number);
      } else if (s.score) {
        scorer_call of(p, matrix_view<float>(scores_.data(), sent, outputs));
        s.score(request, of);
      } else {
        picked_.assign(picks, sent);
        write_relevance();
        selector_call of(p, relevance_, picked_);
        s.select(request, of);
        picked_.resize(of.picked().size());
        s.check_picked(picked_, sent, refused_);
      }
    } catch (const std::exception& error) {
      failed = true;
      s.error = error.what();
      if (o.if_failed == when_failed::raise) raise(s, begin);
    } catch (...) {
      failed = true;
      s.error = "an exception that is no std::exception";
      if (o.if_failed == when_failed::raise) raise(s, begin);
    }
    const double now = options_.now_ms();
    s.milliseconds = now - begin;
    const bool late = (o.budget_ms > 0 && s.milliseconds > o.budget_ms) || now > end;
    const bool used = !failed && !(late && o.if_late == when_late::drop);
    if (s.find) {
      if (late && o.if_late == when_late::drop) drop_late(number);
    } else if (s.score && used) {
      keep_best(number, plan.shrunk);
    } else if (s.select && used) {
      for (std::size_t i = 0; i < picked_.size(); ++i) order_[i] = slots_[picked_[i]];
      found_.keep(std::span(order_).first(picked_.size()), number, drop_cause::size);
    } else if (!s.admits) {
      pass(number);
    }
    return late;
  }

  [[noreturn]] void raise(stage& s, double begin) {
    s.milliseconds = options_.now_ms() - begin;
    s.counts += {.runs = 1, .failed = 1, .milliseconds = s.milliseconds};
    throw;
  }

  /// The candidates go on in the order so far.
  void pass(std::size_t number) {
    const std::span<const std::uint32_t> kept = found_.kept();
    const std::size_t most = stages_[number].options.keeps;
    if (kept.size() <= most) return;
    order_.assign(kept.begin(), kept.begin() + static_cast<std::ptrdiff_t>(most));
    found_.keep(order_, number, drop_cause::size);
  }

  void filter(const Request& request, std::size_t number) {
    // First all answers, then the drops, so that an exception leaves the list whole.
    refused_.assign(found_.size(), 0);
    const auto drop = [&] {
      found_.drop_if(number, drop_cause::filter,
                     [&](std::uint32_t slot) { return refused_[slot] != 0; });
    };
    try {
      for (std::size_t i = 0; i < slots_.size(); ++i)
        if (!stages_[number].admits(request, ids_[i])) refused_[slots_[i]] = 1;
    } catch (...) {
      drop();
      throw;
    }
    drop();
  }

  void drop_late(std::size_t number) {
    if (merges()) {
      merged_.found[number].clear();
      return;
    }
    const std::uint64_t alone = std::uint64_t{1} << stages_[number].number;
    found_.drop_if(number, drop_cause::late,
                   [&](std::uint32_t slot) { return found_.source_bits(slot) == alone; });
  }

  /// Writes the scores of a scorer, and keeps the best.
  void keep_best(std::size_t number, bool shrunk) {
    const stage& s = stages_[number];
    const stage_options& o = s.options;
    const std::size_t sent = slots_.size(), outputs = o.outputs.size();
    const matrix_view<float> to = found_.scores(s.number);
    key_.resize(sent);
    for (std::size_t i = 0; i < sent; ++i) {
      std::ranges::copy(std::span(scores_).subspan(i * outputs, outputs),
                        to.row(slots_[i]).begin());
      key_[i] = scores_[i * outputs + o.order_by];
    }
    ordered_by_ = {true, s.number, o.order_by};
    best_.resize(std::min(sent, o.keeps));
    top_k(std::span<const float>(key_), std::span(best_));
    order_.resize(best_.size());
    std::ranges::transform(best_, order_.begin(), [&](std::uint32_t i) { return slots_[i]; });
    if (shrunk) {  // those that would have been sent follow, up to the number to keep
      const std::span<const std::uint32_t> kept = found_.kept();
      const std::size_t end = std::min(kept.size(), o.takes);
      for (std::size_t i = sent; i < end && order_.size() < o.keeps; ++i) order_.push_back(kept[i]);
    }
    // What was not sent is dropped as such, then what the scores put behind.
    const std::size_t taken = shrunk ? std::min(found_.kept().size(), o.takes) : sent;
    if (taken < found_.kept().size()) {
      taken_.assign(found_.kept().begin(),
                    found_.kept().begin() + static_cast<std::ptrdiff_t>(taken));
      found_.keep(taken_, number, drop_cause::not_sent);
    }
    found_.keep(order_, number, drop_cause::size);
  }

  void write_relevance() {
    relevance_.resize(slots_.size());
    order_.resize(slots_.size());
    for (std::size_t i = 0; i < slots_.size(); ++i)
      relevance_[i] = ordered_by_.is_set
                          ? found_.scores(ordered_by_.stage)(slots_[i], ordered_by_.output)
                          : -static_cast<float>(i);
  }

  cascade_options options_;
  std::vector<stage> stages_;
  funnel::candidates found_;
  arena scratch_;
  order ordered_by_;
  detail::merged_sources<Request> merged_;
  double milliseconds_ = 0;
  // Memory that requests use again.
  std::vector<std::uint32_t> slots_, order_, taken_, best_;
  std::vector<std::int64_t> ids_, page_;
  std::vector<float> scores_, key_, relevance_;
  std::vector<std::size_t> picked_;
  std::vector<std::uint8_t> refused_;
};

}  // namespace funnel
