// SPDX-License-Identifier: MIT
// Metrics and the algorithms of core are called with what a program has, vectors, arrays and spans
// of any number type: no type is named and no span is made.
#include <funnel/core/math.hpp>
#include <funnel/core/random.hpp>
#include <funnel/core/top_k.hpp>
#include <funnel/metrics/auc.hpp>
#include <funnel/metrics/calibration_error.hpp>
#include <funnel/metrics/diversity.hpp>
#include <funnel/metrics/gauc.hpp>
#include <funnel/metrics/logloss.hpp>
#include <funnel/metrics/mean_absolute_error.hpp>
#include <funnel/metrics/ndcg.hpp>
#include <funnel/metrics/recall.hpp>
#include <funnel/metrics/root_mean_squared_error.hpp>
#include <funnel/metrics/xauc.hpp>

#include <array>
#include <concepts>
#include <cstdint>
#include <span>
#include <vector>

template <class Scores, class Labels>
void call_all(const Scores& scores, const Labels& labels) {
  const std::vector<funnel::user_id> users{7, 7};
  const std::vector<funnel::item_id> ranked{3, 4}, relevant{4, 5};
  static_assert(std::same_as<double, decltype(funnel::auc(scores, labels))>);
  funnel::auc(scores, labels);
  static_cast<void>(funnel::gauc(users, scores, labels));
  funnel::xauc(scores, labels);
  funnel::pcoc(scores, labels);
  funnel::mean_absolute_error(scores, labels);
  funnel::root_mean_squared_error(scores, labels);
  funnel::logloss(scores, labels);
  funnel::logloss_from_logits(scores, labels);
  funnel::normalized_entropy(scores, labels);
  funnel::normalized_entropy_from_logits(scores, labels);
  funnel::reliability_table(scores, labels, {.bins = 2});
  funnel::expected_calibration_error(scores, labels, {.bins = 2});
  funnel::ndcg_at_k(ranked, relevant, labels, {.k = 1});
  funnel::ndcg_of_scores(scores, labels, {.k = 1});
  funnel::entropy(labels);
  funnel::gini(labels);
}

namespace {

[[maybe_unused]] void call_metrics() {
  const std::vector<float> floats{.1f, .8f};
  const std::array<double, 2> doubles{.1, .8};
  const double plain[] = {0, 1};
  std::vector<float> changeable{0, 1};
  call_all(floats, changeable);
  call_all(doubles, plain);
  call_all(floats, plain);
  call_all(std::span(doubles), std::span(changeable).first(2));
  call_all(floats, std::vector<int>{0, 1});
  call_all(doubles, std::vector<std::uint8_t>{0, 1});
}

[[maybe_unused]] void call_diversity() {
  const std::vector<std::uint32_t> page{2, 0};
  const auto same = [](std::size_t i, std::size_t j) { return i == j ? 1. : 0.; };
  funnel::intra_list_diversity(page, same, {.window = 1});
  funnel::intra_list_diversity(std::array<std::size_t, 2>{0, 1}, same);
  funnel::intra_list_diversity(funnel::matrix<double>(2, 3));
  const funnel::matrix<float> vectors(2, 3);
  funnel::intra_list_diversity(vectors);
  funnel::intra_list_diversity(vectors.view(), {.window = 1});
  funnel::matrix<float> changeable(2, 3);
  funnel::intra_list_diversity(changeable.view());
}

[[maybe_unused]] void call_core() {
  funnel::random_generator bits(1);
  std::vector<std::size_t> order{0, 1, 2};
  funnel::shuffle(bits, order);
  funnel::shuffle(bits, std::span(order).first(2));
  std::array<std::vector<int>, 2> lists;
  funnel::shuffle(bits, lists);
  int whole[] = {3, 1, 2};
  funnel::shuffle(bits, whole);
  const std::vector<float> floats{1, 2};
  static_assert(std::same_as<float, decltype(funnel::log_sum_exp(floats))>);
  static_assert(std::same_as<double, decltype(funnel::log_sum_exp(std::array{1., 2.}))>);
  funnel::log_sum_exp(std::span(floats).first(1));
}

}  // namespace
