// SPDX-License-Identifier: MIT
// Serving: the stages of a request, and what they read.
#pragma once

#include "training.hpp"

#include <optional>

namespace feed {

/// Fusion formula: the product formula common for short videos. Of the two estimates of the watch time
/// it takes the one that orders better; the other one is for all that needs seconds.
inline const product_of_shifted_powers<heads> formula{.terms = {{{.weight = 1, .power = 1},
                                                                 {.weight = 2, .power = 1},
                                                                 {.weight = 10, .power = 1},
                                                                 {.weight = 0},
                                                                 {.weight = .5f, .power = 1}}},
                                                      .scale = fused_scale::product};

struct feed_request {
  std::uint64_t user = 0;
  std::int64_t tab = 0, hour = 21;

  std::array<context_value, 2> context() const { return {{{"tab", tab}, {"hour", hour}}}; }
};

/// One version of all that requests are served from. It is const, so all threads share it.
struct served_feed {
  explicit served_feed(trained_feed trained);

  schema features;
  feature_state state;
  head_calibration calibration;
  catalog videos;
  frozen<feed_models, default_arch> models;
  /// Vectors of all videos: their features change at midnight, with the state.
  flat_index<> index;
  matrix<float> three_tower_items, multi_vector_items;
};

/// Numbers of candidates after each stage.
struct feed_sizes {
  std::size_t retrieved = 2000;  ///< by all channels together
  std::size_t preranked = 500;
  std::size_t pool = 100;  ///< best by the formula, for re-ranking
  std::size_t page = 10;
};

/// Serves requests one after another; each thread has its own.
class feed_server {
 public:
  /// `compared`: a pre-ranker to compare. Then all pre-rankers and the ranker score all candidates.
  explicit feed_server(const model_slot<served_feed>& slot, const feed_sizes& sizes = {},
                       const three_tower_preranker* compared = nullptr);
  feed_server(const feed_server&) = delete;
  feed_server& operator=(const feed_server&) = delete;

  /// Serves a request by the newest version; the page and all below are valid until the next one.
  std::span<const std::int64_t> operator()(const feed_request& request);
  /// The two towers alone: positions in the catalog.
  std::span<const scored_item> find(const feed_request& request, std::size_t most);

  /// Its candidates are positions in the catalog.
  const cascade<feed_request>& stages() const { return cascade_; }
  std::uint32_t version() const { return model_->version(); }  ///< of the last request
  /// The time that the features of the last request took.
  double features_ms() const { return features_ms_; }
  /// The positions of the candidates in the catalog, by slot.
  std::span<const std::uint32_t> positions() const { return positions_; }

 private:
  void take_model();
  void add_channels();
  void encode_candidates(const feed_request& request, stage_call& call);
  template <class Score>
  void add_preranker(const char* name, std::size_t keeps, Score score);
  void make_page(selector_call& call);

  const model_slot<served_feed>& slot_;
  std::optional<model_slot<served_feed>::snapshot> model_;
  std::optional<request_encoder> encode_;  // of the model
  cascade<feed_request> cascade_;
  inference_context<float> context_;
  std::optional<neighbor_expander> expand_;  // of the model
  std::vector<scored_item> found_;
  std::vector<std::uint32_t> positions_;
  std::vector<std::uint64_t> ids_;
  std::vector<std::int64_t> page_;
  const row_batch* rows_ = nullptr;  // of all candidates, by slot
  row_batch kept_rows_;
  matrix<float> scores_;
  double features_ms_ = 0;
};

}  // namespace feed
