// SPDX-License-Identifier: MIT
// Fits, fusion, re-ranking and functions of features are called with what a program has, vectors,
// arrays and spans of any number type: no type is named and no span is made.
#include <funnel/calibration/duration_curve.hpp>
#include <funnel/calibration/duration_quantiles.hpp>
#include <funnel/calibration/fit_bias.hpp>
#include <funnel/calibration/head_calibration.hpp>
#include <funnel/calibration/isotonic.hpp>
#include <funnel/calibration/platt.hpp>
#include <funnel/calibration/quantile_scale.hpp>
#include <funnel/calibration/quantile_tables.hpp>
#include <funnel/calibration/reading_curve.hpp>
#include <funnel/core/arena.hpp>
#include <funnel/core/matrix.hpp>
#include <funnel/diversity/dpp.hpp>
#include <funnel/diversity/mmr.hpp>
#include <funnel/features/bucketize.hpp>
#include <funnel/features/log1p.hpp>
#include <funnel/features/missing_values.hpp>
#include <funnel/fusion/rank_fusion.hpp>
#include <funnel/fusion/weighted_sum.hpp>
#include <funnel/sequence/history_search.hpp>

#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

namespace {

template <class Scores, class Labels>
void fit_all(const Scores& scores, const Labels& labels) {
  static_assert(std::same_as<funnel::platt_scaling, decltype(funnel::fit_platt(scores, labels))>);
  funnel::fit_platt(scores, labels);
  funnel::fit_platt(scores, labels, {.smooth_labels = true});
  funnel::fit_bias(scores, labels, {.tolerance = 1e-6});
  funnel::head_calibration heads({{}});
  heads.fit(0, scores, labels);
  heads.fit(0, scores, labels, std::array<std::uint32_t, 2>{}, {.slope = true});
  funnel::fit_isotonic(scores, labels);
  funnel::fit_isotonic(scores, labels, {}, {.interpolation = funnel::isotonic_interpolation::step});
  funnel::fit_isotonic(scores, labels, scores);
  funnel::fit_isotonic(scores, labels, std::array<int, 2>{1, 2});
  funnel::fit_duration_curve(scores, labels, {.bins = 2});
  funnel::fit_reading_curve(scores, labels, {.bins = 2});
  funnel::fit_duration_quantiles(scores, labels, {.groups = 2});
  funnel::quantile_tables<float>(1).fit(0, scores);
  funnel::quantile_scale<float>(1, 1).fit(0, scores, std::array<std::uint32_t, 2>{});
  std::array<std::uint32_t, 2> buckets{};
  funnel::bucketize(scores, funnel::quantile_boundaries(scores, 2), buckets);
  funnel::bucket_of(scores[0], labels);
  funnel::feature_coverage(scores);
}

[[maybe_unused]] void fit() {
  const std::vector<float> floats{.1f, .8f};
  const std::array<double, 2> doubles{.1, .8};
  const double plain[] = {0, 1};
  std::vector<float> changeable{0, 1};
  fit_all(floats, changeable);
  fit_all(doubles, plain);
  fit_all(floats, plain);
  fit_all(plain, floats);
  fit_all(std::span(doubles), std::span(changeable).first(2));
  fit_all(floats, std::vector<int>{0, 1});
  fit_all(doubles, std::vector<std::uint8_t>{0, 1});
  fit_all(std::vector<std::int64_t>{1, 2}, std::vector<std::uint8_t>{0, 1});
  using funnel::duration_curve, funnel::isotonic_calibrator;
  static_assert(
      std::same_as<isotonic_calibrator<float>, decltype(funnel::fit_isotonic(floats, doubles))>);
  static_assert(std::same_as<isotonic_calibrator<double>,
                             decltype(funnel::fit_isotonic(std::vector<int>{1}, floats))>);
  static_assert(
      std::same_as<duration_curve<double>, decltype(funnel::fit_duration_curve(doubles, floats))>);
  static_assert(std::same_as<std::vector<int>,
                             decltype(funnel::quantile_boundaries(std::vector<int>{1}, 2))>);
}

template <class T>
void rank_all() {
  funnel::matrix<T> estimates(2, 2);
  std::vector<T> scores(2);
  std::array<T, 2> fixed{};
  funnel::arena scratch;
  const funnel::weighted_sum<2, T> sum{.weights = {1, 2}};
  const funnel::rank_fusion<2, T> ranks;
  funnel::fuse(sum, estimates, scores);
  funnel::fuse(sum, estimates.view(), fixed);
  funnel::fuse(sum, std::as_const(estimates).view(), std::span(scores).first(2));
  funnel::fuse(sum, estimates, scores, scratch);
  funnel::fuse(ranks, estimates, fixed, scratch);
  funnel::fuse([](std::span<const T> p) { return p[0]; }, estimates, scores);

  std::vector<std::size_t> picked(1);
  const auto same = [](std::size_t i, std::size_t j) { return i == j ? 1. : 0.; };
  funnel::mmr(scores, same, picked, {.window = 1});
  funnel::mmr(fixed, same, picked, {}, scratch);
  funnel::mmr(std::span(scores), estimates, picked);
  funnel::mmr(scores, estimates.view(), std::span(picked), {}, scratch);
  funnel::mmr(scores, funnel::matrix<double>(2, 3), picked);
  funnel::mmr(scores, funnel::matrix<float>(2, 3).view(), picked);
  funnel::mmr<funnel::scalar_arch>(scores, estimates, picked, {.window = 1});
  funnel::dpp(scores, same, picked, {.window = 1});
  funnel::dpp(fixed, same, picked, {}, scratch);
  funnel::dpp(std::span(scores), estimates, picked);
  funnel::dpp(scores, estimates.view(), std::span(picked), {}, scratch);
  funnel::dpp(scores, funnel::matrix<double>(2, 3), picked);
  funnel::dpp(scores, funnel::matrix<float>(2, 3).view(), picked);
  funnel::dpp<funnel::scalar_arch>(scores, estimates, picked, {.window = 1});

  std::vector<std::uint32_t> found(1);
  funnel::soft_search(estimates, scores, found, scratch);
  funnel::soft_search(std::as_const(estimates).view(), std::array{1., 2.}, found, scratch);
  funnel::missing_indicators(estimates, estimates);
  funnel::missing_indicators(estimates.view(), funnel::matrix<float>(2, 2).view());
  funnel::log1p_counts(scores, scores);
  funnel::log1p_counts(std::vector<int>{1, 2}, std::span(fixed));
}

[[maybe_unused]] void rank() {
  rank_all<float>();
  rank_all<double>();
}

}  // namespace
