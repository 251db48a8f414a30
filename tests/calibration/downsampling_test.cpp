// SPDX-License-Identifier: MIT
#include <funnel/calibration/downsampling.hpp>

#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/saved_state.hpp"
#include "support/tolerance.hpp"

#include <funnel/core/matrix.hpp>
#include <funnel/core/random.hpp>
#include <funnel/data/simulator.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <limits>
#include <numeric>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace {

double sigmoid(double z) {
  return 1 / (1 + std::exp(-z));
}

}  // namespace

TEST_CASE("downsampling_correction: golden values") {
  const double golden[][3] = {
      {.5, .1, .090909091}, {.2, .25, .058823529}, {.9, .05, .310344828}, {.3, 1, .3}};
  for (const auto& [q, alpha, p] : golden) {
    const funnel::downsampling_correction<double> correction(alpha);
    CHECK(tolerance::within(correction.probability(q), p, tolerance::printed(9)));
    const double z = std::log(q / (1 - q));
    CHECK(tolerance::within(sigmoid(correction.logit(z)), p, tolerance::printed(9)));
  }
}

TEST_CASE("downsampling_correction: exact at 0 and 1, NaN stays, alpha 1 changes nothing") {
  const funnel::downsampling_correction<float> correction(.03f), identity(1.f);
  CHECK(correction.alpha() == .03f);
  CHECK(correction.probability(0) == 0);
  CHECK(correction.probability(1) == 1);
  CHECK(std::isnan(correction.probability(std::numeric_limits<float>::quiet_NaN())));
  CHECK(std::isnan(correction.logit(std::numeric_limits<float>::quiet_NaN())));
  for (float q : {0.f, .125f, .75f, 1.f}) CHECK(identity.probability(q) == q);
  CHECK(identity.logit(-3.5f) == -3.5f);
}

TEST_CASE("downsampling_correction: the two forms agree, and undo a down-sampling") {
  funnel::random_generator bits(1);
  for (int round = 0; round < 200; ++round) {
    const double alpha = 1e-3 + .999 * funnel::uniform01(bits);
    const double p = funnel::uniform01(bits);
    const double q = p / (p + alpha * (1 - p));  // the rate where negatives are kept with alpha
    const funnel::downsampling_correction<double> correction(alpha);
    CHECK(tolerance::within(correction.probability(q), p, tolerance::iterative<double>(4, 1)));
    const double z = 8 * funnel::standard_normal(bits);
    CHECK(tolerance::within(sigmoid(correction.logit(z)), correction.probability(sigmoid(z)),
                            tolerance::iterative<double>(8, 1)));
  }
}

TEST_CASE("downsampling_correction: spans, in place too, equal one by one and keep the order") {
  funnel::random_generator bits(2);
  const funnel::downsampling_correction<float> correction(.2f);
  for (std::size_t n : {0u, 1u, 7u, 8u, 9u, 33u}) {
    std::vector<float> values(n), written(n, -1.f);
    for (float& v : values) v = static_cast<float>(funnel::uniform01(bits));
    correction.probabilities(values, written);
    for (std::size_t i = 0; i < n; ++i) {
      CHECK(written[i] == correction.probability(values[i]));
      for (std::size_t j = 0; j < n; ++j)
        if (values[i] < values[j]) CHECK(written[i] <= written[j]);
    }
    std::vector<float> logits = values;
    correction.logits(logits, logits);
    for (std::size_t i = 0; i < n; ++i) CHECK(logits[i] == correction.logit(values[i]));
  }
}

TEST_CASE("downsampling_correction: refuses what it cannot read, and writes nothing then") {
  using floats = std::vector<float>;
  for (const float alpha : {0.f, -.5f, 1.5f, std::numeric_limits<float>::quiet_NaN()})
    CHECK(refuses([&] { funnel::downsampling_correction<float>{alpha}; },
                  "funnel::downsampling_correction", "alpha is"));
  const funnel::downsampling_correction<float> correction(.5f);
  floats output(2, 7.f);
  CHECK(refuses(
      [&] {
        correction.probabilities(floats{.5f, 1.5f}, output);
      },
      "funnel::downsampling_correction::probabilities", "input[1] is 1.5"));
  CHECK(refuses([&] { correction.probabilities(floats{.5f}, output); },
                "funnel::downsampling_correction::probabilities", "output has 2"));
  CHECK(refuses([&] { correction.logits(floats{.5f}, output); },
                "funnel::downsampling_correction::logits", "output has 2"));
  CHECK(output == floats{7, 7});
}

namespace {

using keys = std::vector<std::uint64_t>;

keys random_keys(std::size_t n, std::uint64_t seed) {
  funnel::random_generator bits(seed);
  keys made(n);
  for (std::uint64_t& key : made) key = bits();
  return made;
}

}  // namespace

TEST_CASE("alpha_for_ratio keeps as many negatives as asked for, or all") {
  CHECK(funnel::alpha_for_ratio({.positives = 10, .negatives = 90}, 1) == 10. / 90);  // notes
  CHECK(funnel::alpha_for_ratio({.positives = 10, .negatives = 90}, 3) == 30. / 90);
  CHECK(funnel::alpha_for_ratio({.positives = 10, .negatives = 30}, 3) == 1);
  CHECK(funnel::alpha_for_ratio({.positives = 10, .negatives = 20}, 3) == 1);
  CHECK(funnel::alpha_for_ratio({.positives = 0, .negatives = 20}, 3) == 1);
  CHECK(funnel::alpha_for_ratio({.positives = 5, .negatives = 0}, 3) == 1);
  for (const double ratio :
       {0., -1., std::numeric_limits<double>::infinity(), std::numeric_limits<double>::quiet_NaN()})
    CHECK(refuses(
        [&] {
          funnel::alpha_for_ratio({1, 2}, ratio);
        },
        "funnel::alpha_for_ratio", "ratio is"));
  CHECK(funnel::count_labels(std::vector<float>{0, 1, 0, 0}) ==
        funnel::label_counts{.positives = 1, .negatives = 3});
  CHECK(funnel::count_labels(std::vector<int>{}) == funnel::label_counts{});
  CHECK(refuses(
      [] {
        funnel::count_labels(std::vector<double>{1, .5});
      },
      "funnel::count_labels", "labels[1] is 0.5, expected 0 or 1"));
}

TEST_CASE("negative_downsampling: a worked example") {
  const std::vector<funnel::label_counts> heads{{.positives = 1, .negatives = 4},
                                                {.positives = 2, .negatives = 2}};
  funnel::negative_downsampling drop(heads, {.negatives_per_positive = 1});
  CHECK(drop.heads() == 2);
  CHECK(drop.alpha(0) == .25);
  CHECK(drop.alpha(1) == 1);
  const keys rows{1, 2, 3, 4, 5};
  funnel::matrix<float> labels(2, 5), weights(2, 5);
  labels(0, 4) = 1;
  labels(1, 0) = labels(1, 1) = 1;
  for (float& w : weights.row(0)) w = 2;
  weights(1, 0) = weights(1, 3) = 3;  // a head that is conditional on an action of rows 0 and 3
  drop.apply(rows, labels, weights);
  std::uint64_t dropped = 0;
  for (std::size_t i = 0; i < 4; ++i) {
    CHECK(weights(0, i) == (drop.keeps(0, rows[i]) ? 2 : 0));
    dropped += !drop.keeps(0, rows[i]);
  }
  CHECK(weights(0, 4) == 2);
  CHECK(std::ranges::equal(weights.row(1), std::vector<float>{3, 0, 0, 3, 0}));
  CHECK(drop.seen(0) == funnel::label_counts{.positives = 1, .negatives = 4});
  CHECK(drop.seen(1) == funnel::label_counts{.positives = 1, .negatives = 1});
  CHECK(drop.dropped(0) == dropped);
  CHECK(drop.dropped(1) == 0);
  CHECK(drop.correction(0).alpha() == .25f);
  CHECK(drop.correction<double>(1).alpha() == 1);
  drop.reset_counts();
  CHECK((drop.seen(0) == funnel::label_counts{} && drop.dropped(0) == 0));
}

TEST_CASE("negative_downsampling keeps the same rows in any order, batch, type and call") {
  const std::vector<double> alphas{.3, .05};
  const std::size_t n = 500;
  const keys rows = random_keys(n, 1);
  std::vector<float> labels(n), weights(n, 1.f);
  for (std::size_t i = 0; i < n; i += 7) labels[i] = 1;
  funnel::negative_downsampling drop(alphas, {.seed = 5});
  drop.apply(0, rows, labels, weights);
  const std::uint64_t dropped = drop.dropped(0);
  CHECK(dropped > 0);

  funnel::random_generator bits(2);
  std::vector<std::size_t> order(n);
  std::iota(order.begin(), order.end(), std::size_t{0});
  funnel::shuffle(bits, std::span(order));
  for (std::size_t begin = 0; begin < n; begin += 64) {
    keys some;
    std::vector<int> some_labels;
    std::vector<double> some_weights;
    for (std::size_t i = begin; i < std::min(n, begin + 64); ++i) {
      some.push_back(rows[order[i]]);
      some_labels.push_back(static_cast<int>(labels[order[i]]));
      some_weights.push_back(1);
    }
    drop.apply(0, some, some_labels, some_weights);
    for (std::size_t i = 0; i < some.size(); ++i)
      CHECK(some_weights[i] == double{weights[order[begin + i]]});
  }
  CHECK(drop.dropped(0) == 2 * dropped);
  const std::vector<float> before = weights;
  drop.apply(0, rows, labels, weights);  // again: what is dropped is not counted twice
  CHECK(weights == before);
  CHECK(drop.dropped(0) == 2 * dropped);
}

TEST_CASE("negative_downsampling keeps alpha of the negatives, of each head on its own") {
  const std::size_t n = 40'000;
  const keys random = random_keys(n, 3);
  keys consecutive(n);
  std::iota(consecutive.begin(), consecutive.end(), std::uint64_t{0});
  const std::vector<double> alphas{.5, .5, .1, .01, 1};
  const double count = static_cast<double>(n);
  for (const std::uint64_t seed : {0u, 1u, 77u})
    for (const keys& rows : {random, consecutive}) {
      funnel::negative_downsampling drop(alphas, {.seed = seed});
      funnel::matrix<float> labels(alphas.size(), n), weights(alphas.size(), n);
      for (float& w : weights.flat()) w = 1;
      drop.apply(rows, labels, weights);
      for (std::size_t a = 0; a < alphas.size(); ++a) {
        const double kept = 1 - static_cast<double>(drop.dropped(a)) / count;
        const double deviation = std::sqrt(alphas[a] * (1 - alphas[a]));
        CHECK(tolerance::within(kept, alphas[a], tolerance::statistical(deviation, n)));
        for (std::size_t b = a + 1; b < alphas.size(); ++b) {  // independent of other heads
          double both = 0;
          for (std::size_t i = 0; i < n; ++i) both += double{weights(a, i)} * double{weights(b, i)};
          const double p = alphas[a] * alphas[b];
          CHECK(tolerance::within(both / count, p,
                                  tolerance::statistical(std::sqrt(p * (1 - p)), n)));
        }
      }
      // And of neighboring keys.
      double pairs = 0;
      for (std::size_t i = 1; i < n; ++i)
        pairs += double{weights(0, i)} * double{weights(0, i - 1)};
      CHECK(tolerance::within(pairs / count, .25, tolerance::statistical(std::sqrt(.1875), n / 2)));
    }
  std::size_t same = 0;  // of another seed
  const funnel::negative_downsampling one(alphas, {.seed = 1}), two(alphas, {.seed = 2});
  for (const std::uint64_t key : random) same += one.keeps(0, key) == two.keeps(0, key);
  CHECK(tolerance::within(static_cast<double>(same) / count, .5, tolerance::statistical(.5, n)));
}

namespace {

struct shop_head {
  const char* action;
  const char* condition;  ///< null: all rows
  double funnel::feed_truth::*truth;
};

/// Checks estimates of a shop's heads that learn from the kept negatives: the true rate of a group
/// of rows, after the correction. The best estimate of a group is the mean of its labels by weight.
void check_shop(double negatives_per_positive, bool weighted) {
  const funnel::simulator shop(
      {.kind = funnel::feed_kind::shop, .users = 400, .videos = 200, .days = 8, .seed = 4});
  const funnel::interaction_log log = shop.log();
  const std::size_t n = log.impressions.size();
  constexpr std::size_t groups = 8;  // slots of a page
  using funnel::feed_truth;
  const std::vector<shop_head> heads{{"click", nullptr, &feed_truth::click},
                                     {"favorite", "click", &feed_truth::favorite_given_click},
                                     {"cart", "click", &feed_truth::cart_given_click},
                                     {"pay", "cart", &feed_truth::pay_given_cart}};
  keys rows;
  funnel::matrix<float> labels(heads.size(), n), weights(heads.size(), n);
  std::vector<funnel::label_counts> counts(heads.size());
  for (const funnel::impression& e : log.impressions)
    rows.push_back(funnel::mix_key(funnel::pair_key(e.user, e.item)) ^
                   static_cast<std::uint64_t>(e.time_ms));
  for (std::size_t h = 0; h < heads.size(); ++h) {
    std::vector<float> counted;
    for (std::size_t i = 0; i < n; ++i) {
      const funnel::impression& e = log.impressions[i];
      labels(h, i) = e.did(log.action(heads[h].action)) ? 1.f : 0.f;
      const bool in_sample = heads[h].condition == nullptr || e.did(log.action(heads[h].condition));
      weights(h, i) = in_sample ? 1.f : 0.f;
      if (in_sample) counted.push_back(labels(h, i));
    }
    counts[h] = funnel::count_labels(counted);
  }
  const funnel::matrix<float> sample = weights;
  funnel::negative_downsampling drop(
      counts, {.negatives_per_positive = negatives_per_positive, .weighted = weighted});
  drop.apply(rows, labels, weights);

  for (std::size_t h = 0; h < heads.size(); ++h) {
    CHECK(drop.seen(h) == counts[h]);
    const double alpha = drop.alpha(h);
    const auto negatives = static_cast<double>(counts[h].negatives);
    const double kept = negatives - static_cast<double>(drop.dropped(h));
    // The ratio is reached, up to the chance of what the hash keeps.
    const double wanted =
        std::min(negatives, negatives_per_positive * static_cast<double>(counts[h].positives));
    CHECK(tolerance::within(kept, wanted,
                            tolerance::statistical(std::sqrt(negatives * alpha * (1 - alpha)), 1)));
    CHECK((alpha == 1 || kept < negatives));

    const auto correction = drop.correction<double>(h);
    for (std::size_t g = 0; g <= groups; ++g) {  // 0: all rows
      double sum = 0, positives = 0, truth = 0, count = 0, variance = 0;
      for (std::size_t i = 0; i < n; ++i) {
        const funnel::impression& e = log.impressions[i];
        if ((g != 0 && e.position != g) || sample(h, i) == 0) continue;
        const double w = double{weights(h, i)}, p = shop.truth(e).*heads[h].truth;
        sum += w;
        positives += w * double{labels(h, i)};
        truth += p;
        count += 1;
        // Of the label, and of whether a negative is kept.
        variance += p * (1 - p) * (1 + p * (1 / alpha - 1));
      }
      const double bound = tolerance::statistical(std::sqrt(variance) / count, 1);
      CHECK(tolerance::within(correction.probability(positives / sum), truth / count, bound));
      if (g == 0 && alpha < .9 && !weighted)  // far off without the correction
        CHECK_FALSE(tolerance::within(positives / sum, truth / count, bound));
    }
  }
}

}  // namespace

TEST_CASE("negative_downsampling: estimates of a shop's heads are calibrated") {
  check_shop(1, false);
  check_shop(.3, false);
  check_shop(.3, true);
  check_shop(100, false);  // nothing is dropped
}

TEST_CASE("negative_downsampling: kept negatives that weigh 1 / alpha need no correction") {
  const std::vector<double> alphas{.25};
  funnel::negative_downsampling drop(alphas, {.weighted = true});
  CHECK(drop.correction(0).alpha() == 1);
  const std::size_t n = 20'000;
  const keys rows = random_keys(n, 9);
  std::vector<double> labels(n), weights(n, 1.5);
  labels[0] = 1;
  drop.apply(0, rows, labels, weights);
  CHECK(weights[0] == 1.5);
  double sum = 0;
  for (std::size_t i = 1; i < n; ++i) {
    CHECK((weights[i] == 0 || weights[i] == 6));
    sum += weights[i];
  }
  CHECK(tolerance::within(sum / static_cast<double>(n - 1), 1.5,
                          tolerance::statistical(6 * std::sqrt(.25 * .75), n)));
}

TEST_CASE("negative_downsampling: its state is loaded whole, or refused") {
  const std::vector<double> alphas{.5, .125};
  funnel::negative_downsampling drop(alphas, {.weighted = true, .seed = 12});
  const keys rows = random_keys(100, 4);
  std::vector<float> labels(100), weights(100, 1.f);
  labels[3] = 1;
  drop.apply(1, rows, labels, weights);
  const saved_state file(drop);
  funnel::negative_downsampling loaded;
  file.load(loaded);
  CHECK(loaded.heads() == 2);
  CHECK(loaded.seen(1) == drop.seen(1));
  CHECK(loaded.dropped(1) == drop.dropped(1));
  CHECK(loaded.correction(0).alpha() == 1);
  for (std::size_t h = 0; h < 2; ++h)
    for (const std::uint64_t key : rows) CHECK(loaded.keeps(h, key) == drop.keeps(h, key));

  const auto refused = [&](const char* field, const auto& values, const char* words) {
    return refuses_state(loaded, file.with(field, values), words);
  };
  using counts = std::vector<std::uint64_t>;
  CHECK(refused("alphas", std::vector{.5, 0.}, "an alpha is 0"));
  CHECK(refused("alphas", std::vector{.5, 1.5}, "an alpha is 1.5"));
  CHECK(refused("alphas", std::vector{.5}, "counts of 2 heads, expected 1"));
  CHECK(refused("positives", counts{1}, "counts of 1 heads, expected 2"));
  CHECK(refused("negatives", counts{1, 2, 3}, "counts of 3 heads, expected 2"));
  CHECK(refused("dropped", counts{}, "counts of 0 heads, expected 2"));
  CHECK_FALSE(refused("dropped", counts{1, 2}, ""));
}

TEST_CASE("negative_downsampling: refuses what it cannot use, and changes nothing then") {
  const std::vector<funnel::label_counts> counts{{.positives = 1, .negatives = 2}};
  CHECK(refuses([&] { funnel::negative_downsampling(counts, {.negatives_per_positive = 0}); },
                "funnel::negative_downsampling", "negatives_per_positive is 0"));
  for (const double alpha : {0., 1.1, std::numeric_limits<double>::quiet_NaN()}) {
    const std::vector<double> alphas{1, alpha};
    CHECK(refuses([&] { funnel::negative_downsampling{std::span<const double>(alphas)}; },
                  "funnel::negative_downsampling", "alphas[1] is"));
  }
  const std::vector<double> alphas{.1, .1};
  funnel::negative_downsampling drop(alphas);
  const keys rows = random_keys(3, 1);
  std::vector<float> weights(3, 1.f);
  using floats = std::vector<float>;
  const char* apply = "funnel::negative_downsampling::apply";
  CHECK(refuses([&] { drop.apply(2, rows, floats(3), weights); }, apply,
                "head is 2, expected below 2"));
  CHECK(refuses([&] { drop.apply(0, rows, floats(2), weights); }, apply,
                "labels has 2 values, expected 3 as in keys"));
  CHECK(refuses([&] { drop.apply(0, keys(2), floats(2), weights); }, apply,
                "weights has 3 values, expected 2 as in keys"));
  CHECK(refuses(
      [&] {
        drop.apply(0, rows, floats{0, 0, .5f}, weights);
      },
      apply, "labels[2] is 0.5, expected 0 or 1"));
  floats negative{1, 1, -1};
  CHECK(refuses([&] { drop.apply(0, rows, floats(3), negative); }, apply, "weights[2] is -1"));
  CHECK(negative == floats{1, 1, -1});
  funnel::matrix<float> all_labels(2, 3), all_weights(2, 3), narrow(2, 2);
  for (float& w : all_weights.flat()) w = 1;
  CHECK(refuses([&] { drop.apply(rows, narrow, all_weights); }, apply,
                "labels is [2, 2], expected [2, 3]"));
  CHECK(refuses([&] { drop.apply(rows, all_labels, narrow); }, apply,
                "weights is [2, 2], expected [2, 3]"));
  all_labels(1, 2) = 2;  // of the second head: the first is not dropped either
  CHECK(refuses([&] { drop.apply(rows, all_labels, all_weights); }, apply, "labels[2] is 2"));
  for (const float w : all_weights.flat()) CHECK(w == 1);
  CHECK(weights == floats(3, 1.f));
  CHECK((drop.seen(0) == funnel::label_counts{} && drop.dropped(0) == 0));
  for (const auto& call : std::vector<std::function<void()>>{
           [&] { drop.alpha(2); }, [&] { drop.keeps(2, 0); }, [&] { drop.seen(2); },
           [&] { drop.dropped(2); }, [&] { drop.correction(2); }})
    CHECK(refuses(call, "funnel::negative_downsampling::", "head is 2, expected below 2"));
}

TEST_CASE("downsampling_correction: its state is loaded whole, or refused") {
  using correction = funnel::downsampling_correction<double>;
  const saved_state file{correction(.125)};
  correction loaded;
  CHECK(loaded.logit(.5) == .5);
  file.load(loaded);
  CHECK(loaded.logit(.5) == correction(.125).logit(.5));
  CHECK(loaded.probability(.5) == correction(.125).probability(.5));
  for (const double alpha : {0., 1.5, -1.})
    CHECK(refuses_state(loaded, file.with("alpha", std::vector{alpha}), "expected a number in"));
}
