// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/candidates.hpp>
#include <funnel/core/detail/checks.hpp>
#include <funnel/core/error.hpp>
#include <funnel/data/detail/logged_lists.hpp>
#include <funnel/data/funnel_log_reader.hpp>
#include <funnel/features/columns.hpp>
#include <funnel/features/encoded_log.hpp>
#include <funnel/features/hashing.hpp>
#include <funnel/features/schema.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

namespace funnel {

/// Options of `training_rows`.
struct training_rows_options {
  /// How long after its request an outcome counts, in the unit of time; 0 for no limit.
  std::int64_t window = 0;
  /// The time up to which all outcomes are known. Requests whose window ends later are left out: what
  /// looks like a negative may still become a positive.
  std::int64_t complete_until = std::numeric_limits<std::int64_t>::max();
  /// Names of the columns of the outcomes; `time` is not read if there is no window.
  std::string request = "request", item = "item", time = "time";
};

/// What `training_rows` returns. Row i of `rows` is candidate i of `of`.
struct training_rows_result {
  encoded_log rows;          ///< what was shown, in the order of the pages; all labels are known
  logged_candidates of;      ///< by row: request, user, item, place
  std::size_t requests = 0;  ///< that were read and used
  std::size_t open = 0;      ///< requests that were left out: their window has not ended
  std::size_t repeated = 0;  ///< requests that were left out: their id came before
  std::size_t without_features = 0;  ///< shown candidates that were left out: none were logged
  std::size_t joined = 0;            ///< outcomes that became labels
  std::size_t late = 0;              ///< outcomes after the window, which are not used
  std::size_t late_positives = 0;    ///< of these, those with a label above 0
  std::size_t unmatched = 0;  ///< other outcomes: their request or item is not among the rows
};

/// Joins a funnel log with outcomes that were observed later, to rows for `train`, `batches` and
/// `score_log` with the features as they were served.
///
/// A row is a candidate that was shown. `outcomes` has the id of the request, that of the item, the
/// time, and a column for each label of the schema. If a row has several outcomes, a label is the
/// largest of their values; without an outcome in the window it is 0: a negative.
///
/// Order       requests by time; those of the same time as they were read.
/// Errors      std::invalid_argument if the schema is not the one of the log (both are named), or a
///             column is missing; format_error as `funnel_log_reader`.
/// Cost        O(outcomes log outcomes), and memory for all rows; twice if the log is not in the order
///             of time.
/// Source      docs/formulas.md#outcomes-in-a-window.
inline training_rows_result training_rows(funnel_log_reader& log, const schema& features,
                                          const columns& outcomes,
                                          const training_rows_options& options = {}) {
  detail::check_that("training_rows", "window", options.window, options.window >= 0, "0 or more");
  const std::vector<std::string> names(features.options().labels.begin(),
                                       features.options().labels.end());
  const detail::outcome_table table(outcomes, options.request, options.item,
                                    options.window > 0 ? options.time : std::string(), names);
  training_rows_result result;
  detail::list_builder rows(names.size());
  std::unordered_set<std::uint64_t> seen;
  std::vector<float> labels(names.size());
  while (log.next()) {
    const logged_request& r = log.request();
    detail::check_schema("training_rows", log.names(), features);
    if (!seen.insert(r.served.id).second) {
      ++result.repeated;
      continue;
    }
    if (options.complete_until != std::numeric_limits<std::int64_t>::max() &&
        detail::after(options.complete_until, r.served.time, options.window) < 0) {
      ++result.open;
      continue;
    }
    ++result.requests;
    rows.begin(r);
    for (const std::uint32_t slot : r.shown) {
      if (r.row_of[slot] == candidates::none) {
        ++result.without_features;
        continue;
      }
      std::ranges::fill(labels, 0.f);
      for (const std::size_t o : table.of(r.served.id, r.ids[slot])) {
        if (options.window > 0 && detail::after(table.time(o), r.served.time, options.window) > 0) {
          ++result.late;
          bool positive = false;
          for (std::size_t k = 0; k < names.size(); ++k) positive |= table.label(k, o) > 0;
          result.late_positives += positive ? 1 : 0;
          continue;
        }
        ++result.joined;
        for (std::size_t k = 0; k < names.size(); ++k) {
          const auto value = static_cast<float>(table.label(k, o));
          if (value > labels[k]) labels[k] = value;  // not if it is NaN
        }
      }
      rows.add(r, slot, labels, true);
    }
    rows.end();
  }
  result.unmatched = outcomes.rows() - result.joined - result.late;
  detail::finish(rows, &features, result.of, result.rows);
  return result;
}

/// Candidates of logged requests, as `hard_negatives` and `distillation_lists` return them.
struct logged_lists {
  logged_candidates of;
  /// [candidates, outputs]: the ranker's; NaN where it gave none.
  std::vector<float> scores;
  std::size_t outputs = 0;
  /// With a schema: the features of the same candidates in the same order. Label k is output k.
  encoded_log rows;
};

/// Options of `hard_negatives`.
struct hard_negatives_options {
  /// Names of stages, such as a pre-ranker: candidates that they dropped for their score count.
  std::vector<std::string> dropped_by = {};
  /// Name of the stage, such as the ranker, whose lowest candidates count; empty for none.
  std::string ranked_by = {};
  /// Which of its scores.
  std::size_t output = 0;
  /// The part of what it scored that is low, in (0, 1].
  double low_part = 0.5;
  /// Most candidates of each of the two kinds a request, drawn by chance; 0 for all.
  std::size_t most = 10;
  /// Determines which.
  std::uint64_t seed = 1;
};

/// Hard negatives for training retrieval: what was found, but dropped by the pre-ranker (hard), or
/// is low in the order of the ranker (harder). Mix them with easy negatives, half and half.
///
/// What was shown is never one, clicked or not: retrieval found it rightly. Nor is what a filter
/// refused, came too late, or was not sent to the stage: nothing is known of it.
///
/// Order       requests by time; candidates by slot. Of equal scores the higher slot is lower.
/// Errors      std::invalid_argument if the log has no stage of that name, or an option is out of
///             range; format_error as `funnel_log_reader`.
/// Source      docs/formulas.md#hard-negatives-from-a-log.
inline logged_lists hard_negatives(funnel_log_reader& log,
                                   const hard_negatives_options& options = {},
                                   const schema* features = nullptr) {
  constexpr std::string_view name = "hard_negatives";
  detail::check_that(name, "low_part", options.low_part,
                     options.low_part > 0 && options.low_part <= 1, "a number in (0, 1]");
  if (options.dropped_by.empty() && options.ranked_by.empty())
    detail::fail("funnel::", name, ": dropped_by and ranked_by are empty, expected a stage");
  detail::list_collector collect(name, options.ranked_by, features, options.seed, options.most);
  std::vector<std::size_t> stages;
  std::vector<std::uint32_t> dropped, ranked;
  while (log.next()) {
    const logged_request& r = log.request();
    collect.begin(log.names(), r);
    stages.clear();
    for (const std::string& stage : options.dropped_by)
      stages.push_back(detail::number_of(name, "dropped_by", stage, log.names().stages));
    dropped.clear();
    ranked.clear();
    if (!options.ranked_by.empty())
      detail::check_below(name, "output", options.output, collect.outputs());
    for (std::uint32_t slot = 0; slot < r.ids.size(); ++slot) {
      const candidates::fate fate = r.fates[slot];
      if (fate.cause == drop_cause::filter || fate.cause == drop_cause::late) continue;
      if (!options.ranked_by.empty() && !std::isnan(collect.scores(slot)[options.output]))
        ranked.push_back(slot);
      else if (r.places[slot] == candidates::none && fate.cause == drop_cause::size &&
               std::ranges::find(stages, fate.stage) != stages.end())
        dropped.push_back(slot);
    }
    std::sort(ranked.begin(), ranked.end(), [&](std::uint32_t a, std::uint32_t b) {
      const float x = collect.scores(a)[options.output], y = collect.scores(b)[options.output];
      return x != y ? x > y : a < b;
    });
    const auto low =
        static_cast<std::size_t>(std::floor(options.low_part * static_cast<double>(ranked.size())));
    ranked.erase(ranked.begin(), ranked.end() - static_cast<std::ptrdiff_t>(low));
    std::erase_if(ranked, [&](std::uint32_t s) { return r.places[s] != candidates::none; });
    collect.draw(dropped);
    collect.draw(ranked);
    dropped.insert(dropped.end(), ranked.begin(), ranked.end());
    std::ranges::sort(dropped);
    collect.add(dropped, 1);
  }
  return collect.finish<logged_lists>();
}
/// The same with the features of the candidates; those without logged features are left out.
///
/// Errors      also std::invalid_argument if the schema is not the one of the log.
inline logged_lists hard_negatives(funnel_log_reader& log, const schema& features,
                                   const hard_negatives_options& options = {}) {
  return hard_negatives(log, options, &features);
}

/// Options of `distillation_lists`.
struct distillation_lists_options {
  /// Name of the stage whose scores are learned.
  std::string teacher = "rank";
  /// Fewest candidates of a list; requests with fewer are left out.
  std::size_t least = 2;
  /// Most candidates of a list, drawn by chance; 0 for all.
  std::size_t most = 0;
  /// Determines which.
  std::uint64_t seed = 1;
};

/// Lists for distillation: per request the candidates that the ranker scored and nobody saw, with its
/// scores. A pre-ranker that learns from them orders candidates as the ranker does, also those for
/// which there will never be an outcome.
///
/// With features, `rows` go to `train` as they are: `leaf.label(k)` is the teacher's output k,
/// `leaf.offsets` are the lists of `listwise_distillation`.
///
/// Order       requests by time; candidates by slot.
/// Errors      std::invalid_argument if the log has no scores of that name; format_error as
///             `funnel_log_reader`.
/// Source      docs/formulas.md#listwise-distillation.
inline logged_lists distillation_lists(funnel_log_reader& log,
                                       const distillation_lists_options& options = {},
                                       const schema* features = nullptr) {
  detail::list_collector collect("distillation_lists", options.teacher, features, options.seed,
                                 options.most);
  if (options.teacher.empty())
    detail::fail("funnel::distillation_lists: teacher is empty, expected the name of a stage");
  std::vector<std::uint32_t> unseen;
  while (log.next()) {
    const logged_request& r = log.request();
    collect.begin(log.names(), r);
    unseen.clear();
    for (std::uint32_t slot = 0; slot < r.ids.size(); ++slot)
      if (r.places[slot] == candidates::none &&
          std::ranges::all_of(collect.scores(slot), [](float x) { return std::isfinite(x); }))
        unseen.push_back(slot);
    collect.draw(unseen);
    collect.add(unseen, options.least);
  }
  return collect.finish<logged_lists>();
}
/// The same with the features of the candidates; those without logged features are left out.
///
/// Errors      also std::invalid_argument if the schema is not the one of the log.
inline logged_lists distillation_lists(funnel_log_reader& log, const schema& features,
                                       const distillation_lists_options& options = {}) {
  return distillation_lists(log, options, &features);
}

}  // namespace funnel
