// SPDX-License-Identifier: MIT
#pragma once

#include "report.hpp"
#include "server.hpp"

#include <funnel/core/random.hpp>
#include <funnel/data/simulator.hpp>
#include <funnel/metrics/recall.hpp>
#include <funnel/nn/inference_context.hpp>

#include <cmath>
#include <span>
#include <vector>

namespace feed {

/// Metrics of the heads on the test rows, and of a baseline, the product of smoothed rates.
void measure_ranking(report& numbers, const features& known, const rows& test,
                     const funnel::matrix<float>& estimates);

/// Compares the click and watch-time heads with the true values of the simulator.
void measure_truth(report& numbers, const funnel::simulator& simulator, const rows& test,
                   const funnel::matrix<float>& estimates);

/// The videos that each user was shown before the test, sorted. Requests exclude them.
std::vector<std::vector<funnel::item_id>> seen_videos(const funnel::interaction_log& log,
                                                      std::int32_t until);

/// Vectors for the similarity of videos, [videos, d]: tags, length, and content vectors if the log
/// has them.
funnel::matrix<float> content_vectors(const funnel::interaction_log& log, const features& known);

/// Measures requests of users of the test days: the quality and the time of each stage.
void measure_requests(report& numbers, const models& shared,
                      const funnel::frozen<feed_preranker, funnel::default_arch>& undistilled,
                      const rows& test, std::uint64_t seed);

/// Prints the numbers on one screen.
void print(const report& numbers, const char* source);

/// Candidate lists for distillation: videos that the index finds for users of the log, with the
/// fused scores of the ranker. The pre-ranker learns their order.
template <class Executor>
taught_lists
make_lists(const catalog& source, const retrieval_data& retrieval, const feed_towers& towers,
           const funnel::flat_index<>& index, const frozen_ranker& teacher,
           const calibration& calibrate, const scaler& user_scale, const scaler& item_scale,
           const scaler& cross_scale, std::span<const funnel::impression> requests_like,
           std::uint64_t seed, Executor& executor) {
  constexpr std::size_t requests = 1500;
  constexpr std::size_t depth = 2000;
  funnel::random_generator bits(seed);
  taught_lists lists{.candidates = {}, .scores = {}, .length = 30};
  std::vector<funnel::impression> shown;
  std::vector<funnel::scored_item> found(std::min(depth, index.size()));
  funnel::inference_context<float> context;
  user_batch users(retrieval);
  for (std::size_t r = 0; r < requests; ++r) {
    const funnel::impression& like_this =
        requests_like[funnel::uniform_below(bits, requests_like.size())];
    users.clear();
    users.append(like_this.user, retrieval.periods() - 1, nothing);
    index.search(towers.user_vectors(context, users.side()).row(0), found);
    context.reset();
    for (std::size_t i = 0; i < lists.length; ++i) {
      funnel::impression candidate{
          .user = like_this.user, .hour = like_this.hour, .tab = like_this.tab};
      candidate.item = found[funnel::uniform_below(bits, found.size())].item;
      shown.push_back(candidate);
    }
  }
  lists.candidates = make_rows(source.known, std::move(shown));
  user_scale.apply(lists.candidates.user);
  item_scale.apply(lists.candidates.item);
  cross_scale.apply(lists.candidates.cross);
  const funnel::matrix<float> estimates =
      estimate(teacher, calibrate, source, lists.candidates, executor);
  constexpr float sharpness = 8;  // the logarithms of the scores differ by some tenths
  for (std::size_t i = 0; i < estimates.rows(); ++i) {
    lists.scores.push_back(sharpness * std::log(formula(estimates.row(i))));
  }
  return lists;
}

/// Recall of the test clicks by the towers and by the most clicked videos, both without videos that
/// the user has seen.
template <class Executor>
void measure_retrieval(report& numbers, const retrieval_data& retrieval, const features& known,
                       const feed_towers& towers, const funnel::flat_index<>& index,
                       const std::vector<std::vector<funnel::item_id>>& seen, const rows& test,
                       Executor& executor) {
  std::vector<std::vector<funnel::item_id>> clicked(seen.size());
  for (std::size_t i = 0; i < test.size(); ++i) {
    if (test.labels(i, click) != 0) clicked[test.shown[i].user].push_back(test.shown[i].item);
  }
  std::vector<funnel::user_id> users;
  for (funnel::user_id user = 0; user < clicked.size(); ++user) {
    if (!clicked[user].empty()) users.push_back(user);
  }
  std::vector<float> clicks(index.size());
  for (funnel::item_id item = 0; item < clicks.size(); ++item)
    clicks[item] = static_cast<float>(known.item_clicks(item));
  std::vector<funnel::item_id> popular(index.size());
  funnel::top_k(clicks, popular);

  constexpr std::array<std::size_t, 2> depths{100, 500};
  funnel::matrix<double> recalls(users.size(), 2 * depths.size());
  funnel::for_blocks(executor, users.size(), 256, [&](std::size_t begin, std::size_t end) {
    funnel::inference_context<float> context;
    user_batch batch(retrieval);
    std::vector<funnel::scored_item> found(depths.back());
    std::vector<funnel::item_id> list;
    for (std::size_t u = begin; u < end; ++u) {
      const auto unseen = [&](funnel::item_id item) {
        return !std::ranges::binary_search(seen[users[u]], item);
      };
      const auto measure = [&](std::size_t column) {
        for (std::size_t d = 0; d < depths.size(); ++d) {
          recalls(u, column + d) = funnel::recall_at_k(list, clicked[users[u]], {.k = depths[d]});
        }
      };
      context.reset();
      batch.clear();
      batch.append(users[u], retrieval.periods() - 1, nothing);
      const std::size_t count =
          index.search(towers.user_vectors(context, batch.side()).row(0), found, unseen);
      list.clear();
      for (std::size_t i = 0; i < count; ++i) list.push_back(found[i].item);
      measure(0);
      list.clear();
      for (std::size_t i = 0; i < popular.size() && list.size() < depths.back(); ++i) {
        if (unseen(popular[i])) list.push_back(popular[i]);
      }
      measure(depths.size());
    }
  });
  std::array<double, 2 * depths.size()> means{};
  for (std::size_t u = 0; u < users.size(); ++u) {
    for (std::size_t c = 0; c < means.size(); ++c)
      means[c] += recalls(u, c) / static_cast<double>(users.size());
  }
  numbers.set("retrieval.users", static_cast<double>(users.size()));
  for (std::size_t d = 0; d < depths.size(); ++d) {
    numbers.set("retrieval.recall_at_" + std::to_string(depths[d]), means[d]);
    numbers.set("retrieval.popular_recall_at_" + std::to_string(depths[d]),
                means[depths.size() + d]);
  }
}

}  // namespace feed
