// SPDX-License-Identifier: MIT
#pragma once

#include "preranker.hpp"
#include "retriever.hpp"

#include <funnel/core/arena.hpp>
#include <funnel/diversity/dpp.hpp>
#include <funnel/fusion/power_product.hpp>
#include <funnel/nn/inference_context.hpp>

#include <array>
#include <chrono>
#include <vector>

namespace feed {

/// Number of candidates after each stage.
struct funnel_sizes {
  std::size_t retrieved = 2000;
  std::size_t preranked = 500;
  std::size_t pool = 100;  ///< best by the formula, input of re-ranking
  std::size_t page = 10;
};

/// The stages of a request, in order.
enum stage { retrieve, collect, prerank, rank, fuse, rerank, stages };
inline constexpr std::array<const char*, stages> stage_names{"retrieve", "features", "prerank",
                                                             "rank",     "fuse",     "rerank"};

/// Fusion formula for click, long view, like and watch time: the product formula common for short
/// videos.
inline const funnel::product_of_shifted_powers<tasks> formula{
    .terms = {{{.weight = 1, .power = 1},
               {.weight = 2, .power = 1},
               {.weight = 10, .power = 1},
               {.weight = .05f, .power = .5f}}},
    .scale = funnel::fused_scale::product};

/// Options of re-ranking. Relevance is the fused score, whose values spread over some units. A page
/// of ten fits into the window.
inline const funnel::dpp_options diversity{.relevance_weight = .5, .window = 10};

/// Everything that requests are served from; const, so all servers can share it.
struct models {
  const catalog& source;
  const retrieval_data& retrieval;
  funnel::frozen<feed_towers, funnel::default_arch> towers;
  const funnel::flat_index<>& index;
  funnel::frozen<feed_preranker, funnel::default_arch> preranker;
  frozen_ranker ranker;
  calibration calibrate;
  scaler user_scale, cross_scale;
  const funnel::matrix<float>& item_numbers;       ///< scaled, as of the end of training
  const funnel::matrix<float>& content;            ///< vectors for the similarity of videos
  std::vector<std::vector<funnel::item_id>> seen;  ///< by user, sorted
};

/// Serves requests one after another. It reuses all memory: only the first requests allocate.
class server {
 public:
  server(const models& shared, const funnel_sizes& sizes);

  /// Computes the page of a user. The results below are valid until the next request.
  void serve(funnel::user_id user, moment when);

  std::span<const funnel::item_id> retrieved() const { return retrieved_; }
  std::span<const std::uint32_t> preranked() const { return kept_; }  ///< positions in `retrieved`
  std::span<const float> fused() const { return fused_; }             ///< of each of `preranked`
  std::span<const std::uint32_t> best() const { return best_; }       ///< positions in `preranked`
  std::span<const funnel::item_id> page() const { return page_; }
  std::span<const std::size_t> page_positions() const { return picked_; }  ///< in `best`
  std::span<const double> milliseconds() const { return milliseconds_; }   ///< by stage
  const funnel::item_tower_cache<float>& cache() const { return cache_; }

  /// For measurement only: the ranker's fused scores of all `retrieved`, and the candidates that a
  /// pre-ranker would keep.
  std::vector<float> rank_everything();
  std::vector<std::uint32_t>
  kept_by(const funnel::frozen<feed_preranker, funnel::default_arch>& preranker);

 private:
  void retrieve_items(funnel::user_id user);
  void collect_features(funnel::user_id user, moment when);
  void prerank_items();
  void rank_items();
  void fuse_items();
  void make_page();
  candidates input(std::span<const funnel::item_id> items, funnel::matrix_view<const float> item,
                   funnel::matrix_view<const float> cross);
  void estimate_items(const candidates& x);

  const models& shared_;
  funnel_sizes sizes_;
  funnel::inference_context<float> context_;
  funnel::arena scratch_;
  user_batch users_;
  funnel::item_tower_cache<float> cache_;
  std::vector<funnel::scored_item> found_;
  std::vector<funnel::item_id> retrieved_;
  std::uint32_t tab_ = 0, slot_ = 0;
  history_lists watched_, long_watched_;
  funnel::matrix<float> user_, item_, cross_, kept_item_, kept_cross_, estimates_, pool_;
  std::vector<std::uint32_t> tags_, durations_, kept_, best_;
  std::vector<funnel::item_id> kept_items_, page_;
  std::vector<float> fused_, relevance_;
  std::vector<std::size_t> picked_;
  std::array<double, stages> milliseconds_{};
};

}  // namespace feed
