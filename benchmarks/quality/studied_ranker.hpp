// SPDX-License-Identifier: MIT
// The ranker of the quality program, and what variants of it have.
#pragma once

#include "short_video_feed/models.hpp"

#include <array>
#include <numeric>
#include <optional>
#include <string>
#include <vector>

namespace quality {

using namespace feed;

/// What is judged: the actions, and the order of the watch time, by one of its two heads.
inline constexpr std::size_t targets = watch + 1;
inline constexpr std::array<const char*, targets> target_names{"click", "long_view", "like",
                                                               "seconds"};

/// Rare actions, which have towers if they are asked for, on the mixture of experts of likes.
inline const std::vector<std::string> rare_actions{"follow",          "comment",         "forward",
                                                   "comment_section", "profile_entered", "hate"};

/// What variants of the ranker have.
struct parts {
  bool no_order = false, no_history = false, no_similarity = false, no_counters = false,
       no_tags = false;
  bool svd = false, moment = false;
  bool din = false, use_ple = false, use_senet = false, use_bilinear = false, use_ppnet = false;
  bool rare = false;
  std::size_t cross = 0;  // layers
  std::size_t width = 64, hidden = 0, experts = 4, dim = 8, epochs = 2, last = 20;
  double order_weight = .3, gate_dropout = .1, dropout = 0, rate = 2e-3, decay = 1e-4;

  /// Outputs of each layer of an expert.
  std::vector<std::size_t> sizes() const {
    return hidden == 0 ? std::vector{width} : std::vector{hidden, width};
  }
};

/// The ranker of short_video_feed with a second history, and with what the variant has.
struct studied_ranker {
  bool history = true;
  float order_weight = 0;
  feature_inputs<float> inputs;
  std::optional<din_attention<float>> watched_din, clicked_din;
  std::optional<cross_network<float>> cross;
  std::optional<senet<float>> fields_senet;
  std::optional<bilinear<float>> fields_bilinear;
  std::optional<ple<float, targets>> layered;
  mmoe<float, targets> experts;
  std::vector<net> towers;
  std::vector<ppnet<float>> personal_towers;  ///< instead of towers
  std::vector<net> rare_towers;
  net watch_tower;
  watch_time_head<float> watch_head;
  watch_order_head<float> order_head;

  studied_ranker() = default;
  studied_ranker(const schema& features, const parts& with)
      : history(!with.no_history),
        order_weight(with.no_order ? 0 : static_cast<float>(with.order_weight)),
        inputs(features, {.dim = with.dim}),
        watch_tower(with.width, {32}, {.output = activation::relu}),
        watch_head(32, {.time_scale = 10, .max_time = longest_watch}),
        order_head(32, {.time_scale = 1, .max_time = longest_watch}) {
    std::size_t in = inputs.width();
    if (history) in += inputs.history_width("long_watched") + inputs.history_width("clicked");
    if (history && with.din) {
      watched_din.emplace(inputs.history_width("long_watched"));
      clicked_din.emplace(inputs.history_width("clicked"));
    }
    const std::vector<std::size_t> widths = inputs.field_widths();
    std::size_t made = 0;
    if (with.cross > 0) {
      cross.emplace(in, cross_network_options{.layers = with.cross, .rank = 32});
      made += in;
    }
    if (with.use_senet) {
      fields_senet.emplace(widths);
      made += std::accumulate(widths.begin(), widths.end(), std::size_t{0});
    }
    if (with.use_bilinear) {
      fields_bilinear.emplace(
          widths.size(), with.dim,
          bilinear_options{.form = bilinear_form::inner, .weights = bilinear_weights::all});
      made += widths.size() * (widths.size() - 1) / 2;
    }
    if (with.use_ple)
      layered.emplace(in + made, ple_options{.experts_per_task = 1,
                                             .shared_experts = 2,
                                             .expert_sizes = {{with.width}, {with.width}},
                                             .gate_dropout = with.gate_dropout});
    else
      experts = mmoe<float, targets>(in + made, {.experts = with.experts,
                                                 .expert_sizes = with.sizes(),
                                                 .gate_dropout = with.gate_dropout,
                                                 .dropout = with.dropout});
    if (with.use_ppnet)
      personal_towers.assign(watch, ppnet<float>(with.width, inputs.width(), {32, 1}));
    else
      towers.assign(watch, net(with.width, {32, 1}));
    if (with.rare) rare_towers.assign(rare_actions.size(), net(with.width, {32, 1}));
  }

  /// Logits of click, long view and like; the logarithm of seconds, and that of the order; logits of
  /// the rare actions.
  template <Context C>
  std::vector<value_of<C>> operator()(C& context, const row_batch& rows) const {
    using value = value_of<C>;
    const auto x = inputs(context, rows);
    const value none = context.make(rows.rows(), 0);
    const auto attended = [&](const char* name, const auto& din) -> value {
      if (!history) return none;
      const auto past = inputs.history(context, rows, name);
      if (din) return (*din)(context, past.candidates, past.events, past.offsets);
      return target_attention(context, past.candidates, past.events, past.offsets);
    };
    const value watched = attended("long_watched", watched_din);
    const value clicked = attended("clicked", clicked_din);
    const auto all = concat(context, x.user, x.item, watched, clicked);
    const value crossed = cross ? (*cross)(context, all) : none;
    const value weighted =
        fields_senet ? (*fields_senet)(context, inputs.fields(context, x)) : none;
    const value pairs =
        fields_bilinear ? (*fields_bilinear)(context, inputs.fields(context, x)) : none;
    const auto in = concat(context, all, crossed, weighted, pairs);
    const auto h = layered ? (*layered)(context, in) : experts(context, in);
    std::vector<value> z;
    for (std::size_t t = 0; t < watch; ++t)
      if (personal_towers.empty())
        z.push_back(towers[t](context, h[t]));
      else
        z.push_back(personal_towers[t](
            context, h[t],
            concat(context, stop_gradient(context, x.user), stop_gradient(context, x.item))));
    const value w = watch_tower(context, h[watch]);
    z.push_back(watch_head(context, w));
    z.push_back(order_head(context, w));
    for (const net& tower : rare_towers) z.push_back(tower(context, h[like]));
    return z;
  }
  auto loss(auto& context, const row_batch& rows) const {
    const auto z = (*this)(context, rows);
    std::vector losses{
        bce_with_logits(context, z[click], rows.label(click)),
        bce_with_logits(context, z[long_view], rows.label(long_view)),
        bce_with_logits(context, z[like], rows.label(like)),
        watch_time_loss(context, z[watch], rows.label(watch), watch_head.loss_options()),
        log_watch_time_loss(context, z[watch_order], rows.label(watch), order_head.loss_options())};
    std::vector<float> weights{1, 1, 1, .2f, order_weight};
    for (std::size_t t = heads; t < z.size(); ++t) {
      losses.push_back(bce_with_logits(context, z[t], rows.label(t)));
      weights.push_back(1);
    }
    return total_loss(context, losses, weights);
  }
  void start(const encoded_log& rows) {
    for (std::size_t t = 0; t < towers.size(); ++t) start_at_rate(towers[t], mean_label(rows, t));
    for (std::size_t t = 0; t < personal_towers.size(); ++t)
      start_at_rate(personal_towers[t].network, mean_label(rows, t));
    for (std::size_t t = 0; t < rare_towers.size(); ++t)
      start_at_rate(rare_towers[t], mean_label(rows, heads + t));
    start_at_mean(watch_head, mean_label(rows, watch));
    start_at_mean(order_head, mean_label(rows, watch_order));
  }
  void visit_parameters(auto&& visit) {
    visit("inputs", inputs);
    if (watched_din) visit("watched_din", *watched_din), visit("clicked_din", *clicked_din);
    if (cross) visit("cross", *cross);
    if (fields_senet) visit("senet", *fields_senet);
    if (fields_bilinear) visit("bilinear", *fields_bilinear);
    if (layered)
      visit("layered", *layered);
    else
      visit("experts", experts);
    visit("towers", towers), visit("personal_towers", personal_towers);
    visit("rare_towers", rare_towers);
    visit("watch_tower", watch_tower), visit("watch_head", watch_head);
    visit("order_head", order_head);
  }
};

}  // namespace quality
