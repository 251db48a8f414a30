// SPDX-License-Identifier: MIT
// Training: from the log to all that requests are served from, and its file.
#pragma once

#include "data.hpp"
#include "models.hpp"

namespace feed {

/// The models with all they need: what training gives, and what a file keeps.
struct trained_feed {
  schema features;
  encoded past = {};  ///< rows of training, which a loaded feed has not, and the state after it
  feed_models models = {};
  head_calibration calibration = {};
  catalog videos = {};
};

trained_feed train_feed(const feed_log& data, std::uint64_t seed, thread_pool& pool);
/// Trains the two towers of `feed` on the videos that users watched long before the log, each of which is
/// to be found from the others, and then on the clicks of the log.
void train_towers(const feed_log& data, trained_feed& feed, std::uint64_t seed, thread_pool& pool);
/// Trains the three towers from clicks alone, to compare.
three_tower_preranker train_undistilled(const trained_feed& feed, std::uint64_t seed,
                                        thread_pool& pool);

/// Turns the outputs of the ranker, [n, heads], into calibrated probabilities and seconds.
void calibrate(const head_calibration& calibration, matrix_view<float> scores);
/// The calibrated estimates of all rows, [n, heads].
matrix<float> estimates_of(const trained_feed& feed, const encoded_log& rows);

void save_feed(const std::string& path, const trained_feed& feed);
trained_feed load_feed(const std::string& path);

}  // namespace feed
