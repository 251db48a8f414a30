// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>
#include <funnel/core/error.hpp>
#include <funnel/serving/stage_call.hpp>
#include <funnel/serving/stage_options.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <span>
#include <string>
#include <vector>

namespace funnel::detail {

/// A stage of a cascade. One of the four functions is set.
template <class Request>
struct cascade_stage {
  stage_options options;
  std::function<void(const Request&, source_call&)> find = {};
  std::function<bool(const Request&, std::int64_t)> admits = {};
  std::function<void(const Request&, scorer_call&)> score = {};
  std::function<void(const Request&, selector_call&)> select = {};
  std::size_t number = 0;  ///< among the sources, or among the scorers
  double later_ms = 0;     ///< budgets of the stages after this one
  stage_counts counts = {};
  std::string error = {};  ///< of the last exception
  double milliseconds = 0;

  /// What is done for a request with `coming` candidates when `available` milliseconds are left.
  struct plan {
    bool wanted = false;  ///< there is something to do
    bool runs = false;
    bool shrunk = false;
    std::size_t sent = 0;
  };
  plan planned(std::size_t coming, double available) const {
    plan p;
    p.sent = find ? 0 : std::min(coming, options.takes);
    p.wanted = p.runs = find ? coming < options.only_below : p.sent > 0;
    const bool is_short = available < options.budget_ms || available <= 0;
    if (!p.runs || !is_short || options.if_short == when_short::run) return p;
    if (find || admits ||
        options.if_short == when_short::skip) {  // sources and filters don't shrink
      p.runs = options.if_short != when_short::skip;
      return p;
    }
    const double part = options.budget_ms > 0 ? std::max(0., available / options.budget_ms) : 0;
    std::size_t fewer = static_cast<std::size_t>(part * static_cast<double>(p.sent));
    if (select && fewer > 0) fewer = std::max(fewer, options.keeps);  // a whole page
    fewer = std::min(p.sent, std::max(fewer, options.takes_at_least));
    p.runs = fewer > 0;
    p.shrunk = p.runs && fewer < p.sent;
    if (p.shrunk) p.sent = fewer;
    return p;
  }

  /// Counts a run, and writes it to the trace, if there is one.
  void record(const plan& p, std::size_t went_on, bool late, bool failed, stage_trace* trace) {
    const std::size_t sent = p.runs ? p.sent : 0;
    counts += {.runs = p.runs,
               .skipped = p.wanted && !p.runs,
               .shrunk = p.shrunk,
               .late = late,
               .failed = failed,
               .empty = went_on == 0 && (p.runs || !find),
               .sent = sent,
               .went_on = went_on,
               .milliseconds = milliseconds};
    if (trace == nullptr) return;
    trace->name = options.name;
    trace->sent = sent;
    trace->went_on = went_on;
    trace->milliseconds = milliseconds;
    trace->ran = p.runs;
    trace->shrunk = p.shrunk;
    trace->late = late;
    if (failed) trace->error = error;
  }

  /// Throws unless a selector picked positions below `sent`, each at most once. `marked` is scratch.
  void check_picked(std::span<const std::size_t> picked, std::size_t sent,
                    std::vector<std::uint8_t>& marked) const {
    marked.assign(sent, 0);
    for (const std::size_t i : picked) {
      if (i >= sent || marked[i] != 0)
        fail(label(), " picked ", i, i < sent ? " twice" : "", ", expected each position below ",
             sent, " at most once");
      marked[i] = 1;
    }
  }

  /// Its name, for messages.
  std::string label() const { return "funnel::cascade: stage \"" + options.name + '"'; }

  /// Throws if an option is out of range.
  void check() const {
    if (options.name.empty()) fail("funnel::cascade: name of a stage is empty, expected a text");
    if (!find && !admits && !score && !select)
      fail(label(), " has an empty function, expected a callable");
    if (options.takes == 0) fail(label(), ": takes is 0, expected 1 or more");
    if (options.keeps == 0) fail(label(), ": keeps is 0, expected 1 or more");
    if (!(options.budget_ms >= 0) || options.budget_ms > std::numeric_limits<double>::max())
      fail(label(), ": budget_ms is ", options.budget_ms,
           ", expected a finite number of 0 or more");
    check_not_negative("cascade", "share of stage \"" + options.name + '"', options.share);
    if (score && options.order_by >= options.outputs.size())
      fail(label(), ": order_by is ", options.order_by, ", expected below ", options.outputs.size(),
           ", the number of outputs");
  }
};

/// What looks wrong in the sizes of stages, one sentence each.
template <class Request>
std::vector<std::string> size_warnings(const std::vector<cascade_stage<Request>>& stages,
                                       std::size_t total) {
  std::vector<std::string> found;
  std::size_t coming = 0;  // most candidates that may come
  for (const cascade_stage<Request>& s : stages) {
    const stage_options& o = s.options;
    const std::size_t taken = std::min(o.takes, coming);
    if (s.find)
      coming += std::min(o.keeps, (total > 0 ? total : stage_options::all) - coming);
    else if (!s.admits)
      coming = std::min(o.keeps, taken);
    if (s.select && taken <= o.keeps)
      found.push_back(join_text(
          "stage \"", o.name, "\" is sent at most ", taken, " candidates and keeps ", taken,
          ": it can only reorder them, expected several times as many to be sent"));
  }
  return found;
}

}  // namespace funnel::detail
