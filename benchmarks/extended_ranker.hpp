// SPDX-License-Identifier: MIT
#pragma once

#include "workloads.hpp"

#include <funnel/core/matrix.hpp>
#include <funnel/crossing/cross_network.hpp>
#include <funnel/nn/concat.hpp>
#include <funnel/ranking/ple.hpp>
#include <funnel/sequence/din_attention.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace bench {

/// A ranker with a history, crosses and experts: DIN over the history, DCN v2 on the user, the item and
/// the interest, and PLE on all of these for 4 tasks.
struct extended_ranker {
  static constexpr std::size_t dim = 32;  ///< of the vectors of items, the first inputs of an item
  static constexpr std::size_t user_in = 160, item_in = 96, in = user_in + item_in + dim;
  static constexpr std::size_t unit = 32, tasks = 4;
  static constexpr std::size_t history = 100;
  static constexpr size_list candidates{50, 500};

  funnel::din_attention<float> interest{
      dim, {.hidden = {unit}, .function = funnel::activation::relu, .normalize = true}};
  funnel::cross_network<float> crosses{in, {.layers = 2}};
  funnel::ple<float, tasks> experts{2 * in, {.expert_sizes = {{128, 64}, {64}}, .gate_dropout = 0}};
  std::vector<funnel::mlp<float>> towers{tasks, funnel::mlp<float>(64, {32, 1})};

  extended_ranker() { funnel::initialize(*this, 13); }

  /// user [requests, 160], items [n, 96], events [all events, 32] -> a logit [n, 1] for each task.
  template <funnel::Context C>
  std::array<funnel::value_of<C>, tasks> operator()(C& context, const auto& user, const auto& items,
                                                    const auto& vectors, const auto& events,
                                                    std::span<const std::uint32_t> offsets) const {
    const auto all = concat(context, user, items, interest(context, vectors, events, offsets));
    auto y = experts(context, concat(context, all, crosses(context, all)));
    for (std::size_t t = 0; t < tasks; ++t) y[t] = towers[t](context, y[t]);
    return y;
  }

  void visit_parameters(auto&& visit) {
    visit("interest", interest);
    visit("crosses", crosses);
    visit("experts", experts);
    visit("towers", towers);
  }

  /// Float operations for n candidates of one user.
  static double flops(double n) {
    constexpr double of_user = user_in, of_row = in - user_in, all = in;
    const double pairs = n * history * (dim * unit + unit + dim) + 2 * n * dim * unit;
    const double first_cross = all * (of_user + n * of_row);
    const double first = 5 * 128.0 + 4 * 2 + 5;  // what reads the inputs of the experts
    const double levels = first * (of_user + n * (of_row + all)) +
                          n * 5 * (multiply_adds({128, 64}) + multiply_adds({64, 64})) +
                          n * (4 * 2 + 5 + 4 * 2) * 64 + n * 4 * 64 * 2;
    return 2 *
           (pairs + first_cross + n * all * all + levels + n * tasks * multiply_adds({64, 32, 1}));
  }
};

/// Requests of `size` candidates each, with the histories of their users.
struct extended_data {
  std::size_t requests, size;
  matrix<float> user = uniform(requests, extended_ranker::user_in, 111),
                items = uniform(requests * size, extended_ranker::item_in, 112),
                events = uniform(requests * extended_ranker::history, extended_ranker::dim, 113);
  std::vector<std::uint32_t> offsets;  ///< of the events of each request

  extended_data(std::size_t requests_, std::size_t size_) : requests(requests_), size(size_) {
    for (std::size_t r = 0; r <= requests; ++r)
      offsets.push_back(static_cast<std::uint32_t>(r * extended_ranker::history));
  }
  /// The vectors of the candidates.
  funnel::matrix_view<const float> vectors() const {
    return items.view().middle_cols(0, extended_ranker::dim);
  }
};

}  // namespace bench
