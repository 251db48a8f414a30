// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>
#include <funnel/core/detail/element_of.hpp>
#include <funnel/core/detail/printable.hpp>
#include <funnel/core/ids.hpp>
#include <funnel/core/matrix.hpp>
#include <funnel/core/top_k.hpp>
#include <funnel/evaluation/report.hpp>
#include <funnel/metrics/diversity.hpp>
#include <funnel/metrics/recall.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace funnel {

/// Numbers over served requests: add what each request gave, then write means and percentiles to a
/// report.
///
///     served_requests requests;
///     for (...) {
///       requests.add_page("rerank.after", categories, vectors);
///       requests.add_score_kept("rerank", page_scores, candidate_scores);
///       requests.add_agreement("prerank", kept, best_by_ranker);
///       requests.add_time("ms.rank", milliseconds);
///     }
///     requests.write(numbers, "serving");
///
/// A name that is used for the first time starts a new series; names are as in `report`. Each
/// function documents the numbers that its series gives.
///
/// Numerics    a value that does not exist, such as the diversity of a page of one item, is NaN and
///             left out of its mean; a mean of no values is NaN.
/// Errors      every function: std::invalid_argument if a name is none for a report, or gives a
///             number that another series gives too. Nothing is added then.
class served_requests {
 public:
  /// Adds a number of your own. Gives its mean, as `name`.
  ///
  /// Errors      also if the value is infinite.
  void add(std::string_view name, double value) {
    if (std::isinf(value))
      detail::fail("funnel::served_requests::add: value of ", detail::printable(name), " is ",
                   value, ", expected a finite number, or NaN to leave it out");
    find_or_start(kind::number, name).first.add(value);
  }

  /// Adds the diversity of a page. Gives the mean intra-list diversity, by the cosine of the
  /// vectors, as `name.ild`, and the mean number of different categories, as `name.categories`.
  ///
  /// Shapes      categories [k], one per item; vectors [k, d].
  /// Errors      also if there is not one vector per category.
  /// Source      docs/formulas.md#intra-list-diversity.
  template <detail::Matrix Vectors>
  void add_page(std::string_view name, std::span<const category_id> categories,
                const Vectors& vectors) {
    detail::check_rows("served_requests::add_page", "vectors", vectors.rows(), categories.size(),
                       "categories");
    const double ild = intra_list_diversity(vectors);
    const auto count = static_cast<double>(category_coverage(categories));
    series& page = find_or_start(kind::page, name);
    page.first.add(ild);
    page.second.add(count);
  }

  /// Adds the share of the score that re-ranking keeps: the sum of the scores of the page divided by
  /// that of the page with the best scores. Gives its mean, as `name.score_kept`.
  ///
  /// Shapes      page_scores [k]; candidate_scores [n], those that the page was picked from, k <= n.
  /// Errors      also if the page has more scores than there are candidates, or a score is negative
  ///             or not finite.
  /// Numerics    NaN, and left out of the mean, if the best page has a score of 0.
  /// Source      docs/formulas.md#score-kept.
  template <detail::Floats Page, detail::Floats Candidates>
  void add_score_kept(std::string_view name, const Page& page_scores,
                      const Candidates& candidate_scores) {
    constexpr const char* function = "served_requests::add_score_kept";
    const auto page = detail::as_span(page_scores);
    const auto candidates = detail::as_span(candidate_scores);
    detail::check_not_negative(function, "page_scores", page);
    detail::check_not_negative(function, "candidate_scores", candidates);
    if (page.size() > candidates.size())
      detail::fail("funnel::", function, ": page_scores has ", page.size(),
                   " values, expected at most ", candidates.size(), ", the candidates");
    std::vector<std::size_t> best(page.size());
    top_k(candidates, best);
    double kept = 0, most = 0;
    for (std::size_t i = 0; i < page.size(); ++i) {
      kept += static_cast<double>(page[i]);
      most += static_cast<double>(candidates[best[i]]);
    }
    add(std::string(name) + ".score_kept",
        most > 0 ? kept / most : std::numeric_limits<double>::quiet_NaN());
  }

  /// Adds how well an earlier stage agrees with a later one: the share of the later stage's best
  /// candidates that the earlier stage keeps. Gives its mean, as `name.agreement`.
  ///
  /// Shapes      kept, in any order: the candidates that the earlier stage passes on; best, in any
  ///             order: those that the later stage would put first if it saw all of them. Ids or
  ///             positions, the same for both.
  /// Numerics    NaN, and left out of the mean, if `best` is empty.
  /// Source      docs/formulas.md#agreement-of-two-stages.
  void add_agreement(std::string_view name, std::span<const item_id> kept,
                     std::span<const item_id> best) {
    add(std::string(name) + ".agreement",
        recall_at_k(kept, best, {.k = std::max<std::size_t>(kept.size(), 1)}));
  }

  /// The same, where the best are the `top` candidates with the largest scores of the later stage.
  ///
  ///     requests.add_agreement("prerank", kept, ranker_scores, 100);
  ///
  /// Shapes      kept: positions of candidates; scores [n], of the later stage, of all candidates.
  ///             With fewer than `top` candidates, all are the best.
  /// Errors      also if top is 0 or a position is not below n.
  template <detail::Floats Scores>
  void add_agreement(std::string_view name, std::span<const std::uint32_t> kept,
                     const Scores& scores, std::size_t top) {
    constexpr const char* function = "served_requests::add_agreement";
    const auto later = detail::as_span(scores);
    detail::check_at_least_one(function, "top", top);
    for (const std::uint32_t position : kept)
      detail::check_below(function, "a position in kept", position, later.size());
    std::vector<std::uint32_t> best(std::min(top, later.size()));
    top_k(later, best);
    add_agreement(name, kept, best);
  }

  /// Adds the time that a request or a stage took, in a unit of your choice. Gives `name.p50`,
  /// `name.p90`, `name.p99` and `name.mean`, and `name.count`, the number of times.
  ///
  /// A percentile is the smallest of the times that at least that share of the times do not exceed:
  /// one that was measured, not one between two. Rare slow requests need many times: p99 of less
  /// than 100 is the slowest.
  ///
  /// Errors      also if the time is negative or not finite.
  /// Cost        8 bytes per time.
  /// Source      docs/formulas.md#percentile.
  void add_time(std::string_view name, double time) {
    detail::check_not_negative("served_requests::add_time", "time", time);
    find_or_start(kind::times, name).times.push_back(time);
  }

  /// Sets the numbers of all series in a report, in the order in which the series were started, with
  /// `prefix` and a dot before their names; with an empty prefix, under their own names.
  ///
  /// Errors      as `report::merge`. The report is unchanged then.
  void write(report& numbers, std::string_view prefix) const {
    report part;
    for (const series& s : all_) {
      if (s.of == kind::number) {
        part.set(s.name, s.first.value());
      } else if (s.of == kind::page) {
        part.set(s.name + ".ild", s.first.value());
        part.set(s.name + ".categories", s.second.value());
      } else {
        std::vector<double> sorted = s.times;
        std::sort(sorted.begin(), sorted.end());
        mean_of mean;
        for (const double t : sorted) mean.add(t);
        // In integers: 0.99 * n would be rounded. The ceiling of percent * n / 100 is a rank, from 1.
        for (const std::size_t percent : {50u, 90u, 99u}) {
          const std::size_t n = sorted.size();
          const std::size_t rank = n / 100 * percent + (n % 100 * percent + 99) / 100;
          part.set(s.name + ".p" + std::to_string(percent),
                   n == 0 ? std::numeric_limits<double>::quiet_NaN() : sorted[rank - 1]);
        }
        part.set(s.name + ".mean", mean.value());
        part.set(s.name + ".count", static_cast<double>(sorted.size()));
      }
    }
    numbers.merge(prefix, part);
  }

 private:
  enum class kind { number, page, times };

  struct mean_of {
    double sum = 0, count = 0;

    void add(double value) {
      if (std::isnan(value)) return;
      sum += value;
      ++count;
    }
    double value() const { return sum / count; }  // 0 / 0 is NaN
  };
  struct series {
    kind of = kind::number;
    std::string name;
    mean_of first, second;
    std::vector<double> times;
  };

  series& find_or_start(kind of, std::string_view name) {
    for (series& s : all_)
      if (s.of == of && s.name == name) return s;
    // The names that `write` will set: a report refuses those that do not go together.
    report names = names_;
    const auto take = [&](const char* ending) {
      const std::string full = std::string(name) + ending;
      if (names.contains(full))
        detail::fail("funnel::served_requests: name is ", detail::printable(full),
                     ", expected one that no other series gives");
      names.set(full, 0);
    };
    if (of == kind::number) take("");
    if (of == kind::page)
      for (const char* ending : {".ild", ".categories"}) take(ending);
    if (of == kind::times)
      for (const char* ending : {".p50", ".p90", ".p99", ".mean", ".count"}) take(ending);
    series fresh{of, std::string(name), {}, {}, {}};
    if (of == kind::times) fresh.times.reserve(64);  // memory for the first time, too
    all_.push_back(std::move(fresh));
    std::swap(names_, names);
    return all_.back();
  }

  std::vector<series> all_;
  report names_;
};

}  // namespace funnel
