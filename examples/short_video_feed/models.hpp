// SPDX-License-Identifier: MIT
// The models of the feed. They read rows that the schema encoded.
#pragma once

#include "data.hpp"

namespace feed {

using net = mlp<float>;

/// The user and the context of each request.
inline auto user_values(const feature_inputs<float>& inputs, auto& context, const row_batch& rows) {
  const auto user = inputs.values(context, rows, feature_side::user);
  return concat(context, user, inputs.values(context, rows, feature_side::context));
}

/// Two towers for retrieval, which return vectors of length 1.
struct two_towers {
  feature_inputs<float> inputs;
  net user, item;

  two_towers() = default;
  explicit two_towers(const schema& features)
      : inputs(features, {.dim = 32, .initial_scale = .01}),
        user(inputs.width(feature_side::user), {64, 32}, {.dropout = .1}),
        item(inputs.width(feature_side::item), {64, 32}) {}

  auto user_vectors(auto& context, const row_batch& rows) const {
    const auto x = inputs.values(context, rows, feature_side::user);
    return l2_normalize(context, user(context, x));
  }
  auto item_vectors(auto& context, const row_batch& rows) const {
    const auto x = inputs.values(context, rows, feature_side::item);
    return l2_normalize(context, item(context, x));
  }
  void visit_parameters(auto&& visit) {
    visit("inputs", inputs), visit("user", user), visit("item", item);
  }
};

/// The ranker: a multi-gate mixture of experts, with attention of the candidate over the videos that
/// the user watched long. Both heads of the watch time share a mixture and a tower. Returns [n, 1] per
/// head: logits, and logarithms of the watch time.
struct ranker {
  static constexpr std::size_t mixtures = watch + 1;
  feature_inputs<float> inputs;
  mmoe<float, mixtures> experts;
  std::vector<net> towers;  // click, long view, like
  net watch_tower;
  watch_time_head<float> watch_head;
  watch_order_head<float> order_head;

  ranker() = default;
  explicit ranker(const schema& features)
      : inputs(features, {.dim = 8}),
        experts(inputs.width() + inputs.history_width("long_watched"),
                {.experts = 4, .expert_sizes = {64}, .gate_dropout = .1, .dropout = 0}),
        towers(watch, net(64, {32, 1})), watch_tower(64, {32}, {.output = activation::relu}),
        watch_head(32, {.time_scale = 10, .max_time = longest_watch}),
        order_head(32, {.time_scale = 1, .max_time = longest_watch}) {}

  template <Context C>
  std::array<value_of<C>, heads> operator()(C& context, const row_batch& rows) const {
    const auto x = inputs(context, rows);
    const auto past = inputs.history(context, rows, "long_watched");
    const auto found = target_attention(context, past.candidates, past.events, past.offsets);
    const auto h = experts(context, concat(context, x.user, x.item, found));
    const auto z = towers[click](context, h[click]);  // one after another: gates drop at random
    const auto v = towers[long_view](context, h[long_view]);
    const auto l = towers[like](context, h[like]);
    const auto w = watch_tower(context, h[watch]);
    return {z, v, l, watch_head(context, w), order_head(context, w)};
  }
  auto loss(auto& context, const row_batch& rows) const {
    const auto z = (*this)(context, rows);
    const std::array losses{
        bce_with_logits(context, z[click], rows.label(click)),
        bce_with_logits(context, z[long_view], rows.label(long_view)),
        bce_with_logits(context, z[like], rows.label(like)),
        watch_time_loss(context, z[watch], rows.label(watch), watch_head.loss_options()),
        log_watch_time_loss(context, z[watch_order], rows.label(watch), order_head.loss_options())};
    return total_loss(context, losses, std::array{1.f, 1.f, 1.f, .2f, .3f});
  }
  void visit_parameters(auto&& visit) {
    visit("inputs", inputs), visit("experts", experts), visit("towers", towers);
    visit("watch_tower", watch_tower), visit("watch_head", watch_head);
    visit("order_head", order_head);
  }
};

/// Pre-ranker with cross features: three towers. Returns logits of clicks, [n, 1].
struct three_tower_preranker {
  feature_inputs<float> inputs;
  three_tower<net, net, net, net> towers;

  three_tower_preranker() = default;
  explicit three_tower_preranker(const schema& features)
      : inputs(features), towers{net(inputs.user_width(), {128, 64}),
                                 net(inputs.width(feature_side::item), {64, 32}),
                                 net(inputs.width(feature_side::cross), {16},
                                     {.output = activation::relu}),
                                 net(64 + 32 + 16, {32, 1})} {}

  auto operator()(auto& context, const row_batch& rows) const {
    return score(context, rows, item_vectors(context, rows));
  }
  auto item_vectors(auto& context, const row_batch& rows) const {
    return towers.item(context, inputs.values(context, rows, feature_side::item));
  }
  auto score(auto& context, const row_batch& rows, const auto& item_vectors) const {
    const auto user = user_values(inputs, context, rows);
    const auto cross = inputs.values(context, rows, feature_side::cross);
    return towers.with_item_vectors(context, user, item_vectors, cross);
  }
  /// Of rows of the videos at some positions, whose vectors are among those of all videos.
  auto score(auto& context, const row_batch& rows, const matrix<float>& all,
             std::span<const std::uint32_t> positions) const {
    const auto vectors = context.make(rows.rows(), all.cols());
    for (std::size_t i = 0; i < rows.rows(); ++i)
      std::ranges::copy(all.row(positions[i]), vectors.row(i).begin());
    return score(context, rows, vectors);
  }
  void visit_parameters(auto&& visit) { visit("inputs", inputs), visit("towers", towers); }
};

/// Pre-ranker without cross features: a vector of the user for each action, one of the item. Returns
/// logits of click, long view and like, [n, 3].
struct multi_vector_preranker {
  static constexpr std::size_t tasks = watch, width = 32;
  feature_inputs<float> inputs;
  multi_vector_tower<net, net, float> towers;

  multi_vector_preranker() = default;
  explicit multi_vector_preranker(const schema& features)
      : inputs(features), towers{net(inputs.user_width(), {128, tasks * width}),
                                 net(inputs.width(feature_side::item), {64, width}),
                                 cosine_heads<float>(tasks)} {}

  auto operator()(auto& context, const row_batch& rows) const {
    const auto user = user_values(inputs, context, rows);
    return towers(context, user, inputs.values(context, rows, feature_side::item));
  }
  auto item_vectors(auto& context, const row_batch& rows) const {
    return towers.item_vectors(context, inputs.values(context, rows, feature_side::item));
  }
  auto score(auto& context, const row_batch& rows, const matrix<float>& all,
             std::span<const std::uint32_t> positions) const {
    const auto user = towers.user_vectors(context, user_values(inputs, context, rows));
    return towers.score(context, user, all.view(), positions);
  }
  void visit_parameters(auto&& visit) { visit("inputs", inputs), visit("towers", towers); }
};

/// All models of the feed, saved and served as one. Calling it gives all outputs, by which a loaded
/// model is checked.
struct feed_models {
  ranker rank;
  two_towers towers;
  three_tower_preranker three_towers;
  multi_vector_preranker multi_vector;

  feed_models() = default;
  explicit feed_models(const schema& features)
      : rank(features), towers(features), three_towers(features), multi_vector(features) {}

  auto operator()(auto& context, const row_batch& rows) const {
    const auto users = towers.user_vectors(context, rows);
    return std::tuple(rank(context, rows), users, towers.item_vectors(context, rows),
                      three_towers(context, rows), multi_vector(context, rows));
  }
  void visit_parameters(auto&& visit) {
    visit("rank", rank), visit("towers", towers);
    visit("three_towers", three_towers), visit("multi_vector", multi_vector);
  }
};

}  // namespace feed
