// SPDX-License-Identifier: MIT
#pragma once

#include "rows.hpp"

#include <funnel/index/flat_index.hpp>
#include <funnel/nn/concat.hpp>
#include <funnel/nn/freeze.hpp>
#include <funnel/nn/mlp.hpp>
#include <funnel/retrieval/two_tower.hpp>
#include <funnel/sequence/target_attention.hpp>

#include <array>
#include <cstdint>
#include <span>
#include <vector>

namespace feed {

/// Number of lists of what a user did: watched, watched long, liked, and clicked in the log so far.
inline constexpr std::size_t list_kinds = 4;

/// Input of the user tower, n users.
struct user_side {
  funnel::matrix_view<const float> numbers;
  funnel::matrix_view<const std::uint32_t> fields;
  funnel::matrix_view<const float> lengths;  ///< ln(1 + length) of each list
  std::array<funnel::id_lists, list_kinds> items, tags;
};

/// Input of the item tower, n items.
struct item_side {
  std::span<const std::uint32_t> items, tags, durations;
  funnel::matrix_view<const float> numbers;
};

/// Embedding tables of videos and tags that both towers read: for the video itself, and for the
/// videos in the lists of the user.
template <class T>
struct video_tables {
  static constexpr std::size_t width = 32 + 8;
  funnel::embedding<T> video, tag;

  void visit_parameters(auto&& visit) {
    visit("video", video);
    visit("tag", tag);
  }
};

/// User tower: a vector from the fields and the lists of a user.
template <class T>
struct user_tower {
  funnel::embedding<T> field;
  funnel::mlp<T> network;

  user_tower() = default;
  user_tower(std::size_t numbers, std::size_t fields, std::size_t field_values)
      : field(field_values, 2, {.initial_scale = .1}),
        network(numbers + 2 * fields + list_kinds * (video_tables<T>::width + 1), {64, 32},
                {.dropout = .1}) {}

  template <funnel::Context C>
  funnel::value_of<C> operator()(C& context, const user_side& x,
                                 const video_tables<T>& tables) const {
    const auto mean = [&](const funnel::embedding<T>& table, const funnel::id_lists& lists) {
      return funnel::embedding_bag<T>::pooled(context, table.table, lists, funnel::pooling::mean);
    };
    const auto list = [&](std::size_t k) {
      return concat(context, mean(tables.video, x.items[k]), mean(tables.tag, x.tags[k]));
    };
    const auto known = concat(context, x.numbers, field(context, x.fields), x.lengths, list(0),
                              list(1), list(2), list(3));
    return network(context, materialize(context, known));
  }

  void visit_parameters(auto&& visit) {
    visit("field", field);
    visit("network", network);
  }
};

/// Item tower: a vector of a video.
template <class T>
struct item_tower {
  funnel::embedding<T> duration{features::duration_buckets, 4, {.initial_scale = .1}};
  funnel::mlp<T> network{video_tables<T>::width + 4 + features::item_width, {64, 32}};

  template <funnel::Context C>
  funnel::value_of<C> operator()(C& context, const item_side& x,
                                 const video_tables<T>& tables) const {
    const auto known = concat(context, tables.video(context, x.items), tables.tag(context, x.tags),
                              duration(context, x.durations), x.numbers);
    return network(context, materialize(context, known));
  }

  void visit_parameters(auto&& visit) {
    visit("duration", duration);
    visit("network", network);
  }
};

using feed_towers = funnel::two_tower<user_tower<float>, item_tower<float>, video_tables<float>>;

/// Inputs of both towers: users, and videos and clicks as known at the start of each period. Period
/// 0 is the history before the log, period d + 1 is day d of training, and the last period is the
/// end of training.
struct retrieval_data {
  funnel::matrix<float> user_numbers;         ///< [users, ...]
  funnel::matrix<std::uint32_t> user_fields;  ///< [users, fields], rows of one table
  std::size_t field_values = 1;
  std::array<history_lists, list_kinds - 1> past;
  std::vector<history_lists> clicked;          ///< per period; one list per user
  std::vector<funnel::matrix<float>> items;    ///< per period, [videos, ...]
  std::vector<std::uint32_t> tags, durations;  ///< per video

  struct positive {
    funnel::user_id user;
    funnel::item_id item;
  };
  std::vector<std::vector<positive>> positives;  ///< per period; empty for the last one

  /// `days` are the rows of each day of training. `item_numbers` are the standardized numbers of
  /// all videos: one table before each day and one after the last.
  retrieval_data(const funnel::interaction_log& log, const features& known,
                 std::span<const rows> days, std::vector<funnel::matrix<float>> item_numbers);

  std::size_t periods() const { return items.size(); }
};

/// Input of the user tower for some users; reuses its memory.
class user_batch {
 public:
  explicit user_batch(const retrieval_data& data) : data_(data) {}
  void clear();
  /// Adds a user. `hidden`, the video to be found, is left out of the user's lists.
  void append(funnel::user_id user, std::size_t period, funnel::item_id hidden);
  user_side side();

 private:
  const retrieval_data& data_;
  std::vector<float> numbers_, lengths_;
  std::vector<std::uint32_t> fields_;
  std::array<history_lists, list_kinds> lists_;
};

/// For `hidden`: no video.
inline constexpr funnel::item_id nothing = static_cast<funnel::item_id>(-1);

feed_towers train_towers(const retrieval_data& data, std::uint64_t seed, const progress& report);

/// Index of all videos, with features as of the end of training.
funnel::flat_index<> build_index(const feed_towers& towers, const retrieval_data& data);

}  // namespace feed
