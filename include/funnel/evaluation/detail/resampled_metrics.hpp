// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/evaluation/detail/user_resamples.hpp>
#include <funnel/metrics/auc.hpp>
#include <funnel/metrics/gauc.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <numeric>
#include <span>
#include <type_traits>
#include <vector>

// Metrics of resamples. Each is made once from the rows and then called with how often each user was
// drawn: (times_drawn, scratch) -> metric. `value()` is the metric of the rows as they are.
namespace funnel::detail {

/// Memory of one thread.
struct resample_scratch {
  std::vector<std::uint32_t> times_drawn;
  std::vector<user_id> users;
  std::vector<double> scores, labels;
};

/// AUC with the rows of each user counted as often as the user was drawn: one pass over rows that
/// were sorted once. All sums are integers, so that it has the bits that `auc` has on copies of the
/// rows.
class resampled_auc {
 public:
  resampled_auc(const user_rows& rows, std::span<const double> scores)
      : value_(auc(scores, rows.labels)), rows_(scores.size()) {
    std::vector<std::uint32_t> order(scores.size());
    std::iota(order.begin(), order.end(), 0u);
    // As in `auc`: NaN ranks lowest and ties with itself.
    const auto below = [&](std::uint32_t a, std::uint32_t b) {
      return scores[a] < scores[b] || (std::isnan(scores[a]) && !std::isnan(scores[b]));
    };
    std::sort(order.begin(), order.end(), below);
    for (std::size_t i = 0; i < order.size(); ++i) {
      const std::uint32_t r = order[i];
      const bool last = i + 1 == order.size() || below(r, order[i + 1]);
      rows_[i] = rows.users[r] << 2 | (rows.labels[r] == 1 ? 2u : 0u) | (last ? 1u : 0u);
    }
  }

  double value() const { return value_; }

  double operator()(std::span<const std::uint32_t> times_drawn, resample_scratch&) const {
    std::uint64_t positives = 0, negatives = 0, doubled_wins = 0;
    std::uint64_t tied_positives = 0, tied_negatives = 0;
    for (const std::uint32_t r : rows_) {
      const std::uint64_t times = times_drawn[r >> 2];
      const std::uint64_t if_positive = times & (0 - std::uint64_t{r >> 1 & 1});  // no branch
      tied_positives += if_positive;
      tied_negatives += times - if_positive;
      if ((r & 1) == 0) continue;
      doubled_wins += tied_positives * (2 * negatives + tied_negatives);
      positives += tied_positives;
      negatives += tied_negatives;
      tied_positives = tied_negatives = 0;
    }
    if (positives == 0 || negatives == 0) return std::numeric_limits<double>::quiet_NaN();
    return static_cast<double>(doubled_wins) /
           (2.0 * static_cast<double>(positives) * static_cast<double>(negatives));
  }

 private:
  double value_;
  // In ascending order of score, in 4 bytes, so that the rows of two models stay in the cache: the
  // user, then a bit for a positive, then one for the last row of a tie.
  std::vector<std::uint32_t> rows_;
};

/// GAUC. The AUC of a user does not depend on who else was drawn: it is computed once.
class resampled_gauc {
 public:
  resampled_gauc(const user_rows& rows, std::span<const double> scores)
      : value_(gauc(rows.ids, scores, rows.labels).value), users_(rows.user_count) {
    const rows_by_user of(rows);
    std::vector<double> own_scores, own_labels;
    for (std::size_t u = 0; u < users_.size(); ++u) {
      own_scores.clear();
      own_labels.clear();
      for (const std::uint32_t i : of[u]) {
        own_scores.push_back(scores[i]);
        own_labels.push_back(rows.labels[i]);
      }
      const double own = auc(own_scores, own_labels);
      if (std::isnan(own)) continue;  // of no weight
      users_[u] = {own, static_cast<double>(own_scores.size())};
    }
  }

  double value() const { return value_; }

  double operator()(std::span<const std::uint32_t> times_drawn, resample_scratch&) const {
    double sum = 0, impressions = 0;
    for (std::size_t u = 0; u < users_.size(); ++u) {
      const double weight = static_cast<double>(times_drawn[u]) * users_[u].rows;
      sum += weight * users_[u].auc;
      impressions += weight;
    }
    return sum / impressions;  // 0 / 0 is NaN
  }

 private:
  struct user {
    double auc = 0, rows = 0;
  };

  double value_;
  std::vector<user> users_;
};

/// Calls a metric of the user's own: with users, scores and labels, or without the users.
template <class Metric>
double call_metric(const Metric& metric, std::span<const user_id> users,
                   std::span<const double> scores, std::span<const double> labels) {
  if constexpr (std::is_invocable_r_v<double, const Metric&, std::span<const user_id>,
                                      std::span<const double>, std::span<const double>>)
    return static_cast<double>(metric(users, scores, labels));
  else
    return static_cast<double>(metric(scores, labels));
}

/// Any metric, of copies of the rows of the users that were drawn. One who was drawn twice is two
/// users with equal rows.
template <class Metric>
class resampled_copies {
 public:
  resampled_copies(const user_rows& rows, std::span<const double> scores, const Metric& metric)
      : by_user_(rows), scores_(scores), labels_(rows.labels), metric_(metric) {
    if (!scores.empty()) value_ = call_metric(metric, rows.ids, scores, rows.labels);
  }

  double value() const { return value_; }

  double operator()(std::span<const std::uint32_t> times_drawn, resample_scratch& scratch) const {
    scratch.users.clear();
    scratch.scores.clear();
    scratch.labels.clear();
    user_id drawn = 0;
    for (std::size_t u = 0; u < times_drawn.size(); ++u)
      for (std::uint32_t again = 0; again < times_drawn[u]; ++again, ++drawn)
        for (const std::uint32_t i : by_user_[u]) {
          scratch.users.push_back(drawn);
          scratch.scores.push_back(scores_[i]);
          scratch.labels.push_back(labels_[i]);
        }
    return call_metric(metric_, scratch.users, scratch.scores, scratch.labels);
  }

 private:
  double value_ = std::numeric_limits<double>::quiet_NaN();
  rows_by_user by_user_;
  std::span<const double> scores_, labels_;
  const Metric& metric_;
};

}  // namespace funnel::detail
