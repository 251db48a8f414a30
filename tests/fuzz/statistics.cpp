// SPDX-License-Identifier: MIT
// Statistics, fits, metrics and losses of any numbers there are, against what is counted naively and
// against what must hold of every result.
#include "fuzz/input.hpp"

#include <funnel/calibration/duration_curve.hpp>
#include <funnel/calibration/isotonic.hpp>
#include <funnel/calibration/platt.hpp>
#include <funnel/features/bucketize.hpp>
#include <funnel/features/smoothing.hpp>
#include <funnel/features/standardize.hpp>
#include <funnel/features/vocabulary.hpp>
#include <funnel/loss/bce.hpp>
#include <funnel/loss/completion.hpp>
#include <funnel/loss/in_batch_softmax.hpp>
#include <funnel/loss/listwise.hpp>
#include <funnel/loss/pairwise.hpp>
#include <funnel/loss/sampled_softmax.hpp>
#include <funnel/loss/triplet.hpp>
#include <funnel/loss/watch_time.hpp>
#include <funnel/metrics/auc.hpp>
#include <funnel/metrics/calibration_error.hpp>
#include <funnel/metrics/gauc.hpp>
#include <funnel/metrics/logloss.hpp>
#include <funnel/metrics/mean_absolute_error.hpp>
#include <funnel/metrics/ndcg.hpp>
#include <funnel/metrics/xauc.hpp>
#include <funnel/nn/inference_context.hpp>
#include <funnel/nn/training_context.hpp>

#include <algorithm>
#include <cmath>
#include <map>
#include <stdexcept>
#include <vector>

namespace {

using fuzz::input;

/// A number: one of few digits, any there is, or one that is finite.
template <class T>
T number(input& in) {
  return in.below(4) == 0 ? in.any<T>() : in.usual<T>();
}

template <class T>
T finite(input& in) {
  const T value = number<T>(in);
  return std::isfinite(value) ? value : T(1);
}

template <class T>
std::vector<T> numbers(input& in, std::size_t n, T (*one)(input&)) {
  std::vector<T> values(n);
  for (T& value : values) value = one(in);
  return values;
}

template <class T>
T share(input& in) {
  const std::size_t k = in.below(20);
  return k == 19 ? std::abs(std::fmod(finite<T>(in), T(1))) : static_cast<T>(k % 9) / T(8);
}

template <class T>
T flag(input& in) {
  return in.flag() ? T(1) : T(0);
}

/// Whether the call was refused; nothing else may be thrown.
template <class Call>
bool refused(Call call) {
  try {
    call();
  } catch (const std::invalid_argument&) {
    return true;
  }
  return false;
}

bool is_count(double x) {
  return x >= 0 && std::isfinite(x);
}

void rates(input& in) {
  const double c = number<double>(in), n = number<double>(in), z = number<double>(in);
  const funnel::beta_prior prior{number<double>(in), number<double>(in)};
  double low = -1, smooth = -1;
  const bool no_bound = refused([&] { low = funnel::wilson_lower_bound(c, n, z); });
  FUZZ_EXPECT(no_bound == !(is_count(c) && is_count(n) && is_count(z)));
  if (!no_bound) FUZZ_EXPECT(low >= 0 && low <= 1 && (n == 0 || low <= c / n));
  const bool no_rate = refused([&] { smooth = funnel::smoothed_rate(c, n, prior); });
  const bool counts = is_count(c) && is_count(n) && is_count(prior.a) && is_count(prior.b);
  FUZZ_EXPECT(no_rate == !(counts && (n > 0 || prior.a > 0 || prior.b > 0)));
  if (!no_rate) FUZZ_EXPECT(smooth >= 0 && smooth <= 1);

  const std::size_t keys = in.below(8);
  const auto counted = numbers<double>(in, keys, number<double>);
  const auto shown = numbers<double>(in, keys, number<double>);
  funnel::beta_prior moments;
  funnel::beta_fit fit;
  const bool no_fit = refused([&] { moments = funnel::fit_beta_moments(counted, shown); });
  FUZZ_EXPECT(no_fit == refused([&] { fit = funnel::fit_beta_likelihood(counted, shown); }));
  FUZZ_EXPECT(no_fit ==
              !(std::ranges::all_of(counted, is_count) && std::ranges::all_of(shown, is_count) &&
                std::ranges::any_of(shown, [](double x) { return x > 0; })));
  if (no_fit) return;
  for (const funnel::beta_prior& found : {moments, fit.prior})
    FUZZ_EXPECT(found.a >= 0 && found.b >= 0 && found.strength() > 0 &&
                std::isfinite(found.strength()));
}

template <class T>
void fits(input& in) {
  const std::size_t n = in.below(12);
  const auto logits = numbers<T>(in, n, number<T>), labels = numbers<T>(in, n, share<T>);
  const bool sound = n > 0 && std::ranges::all_of(logits, [](T z) { return std::isfinite(z); });
  for (const bool smooth : {false, true}) {
    funnel::platt_scaling scaling, bias;
    const funnel::platt_options options{.smooth_labels = smooth};
    FUZZ_EXPECT(refused([&] { scaling = funnel::fit_platt(logits, labels, options); }) == !sound);
    FUZZ_EXPECT(refused([&] { bias = funnel::fit_bias(logits, labels, options); }) == !sound);
    if (!sound) return;
    FUZZ_EXPECT(std::isfinite(scaling.a) && std::isfinite(scaling.b) && std::isfinite(bias.b));
    if (bias.converged && !smooth) {
      double excess = 0;
      for (std::size_t i = 0; i < n; ++i)
        excess += funnel::sigmoid(static_cast<double>(logits[i]) + bias.b) -
                  static_cast<double>(labels[i]);
      FUZZ_EXPECT(std::abs(excess) < 1e-8);
    }
  }

  const auto weights = numbers<T>(in, n, share<T>);
  const auto values = numbers<T>(in, n, number<T>);
  const auto direction =
      in.flag() ? funnel::isotonic_direction::increasing : funnel::isotonic_direction::decreasing;
  const bool fit_refused = refused([&] {
    const auto curve = funnel::fit_isotonic(logits, values, weights, {.direction = direction});
    std::vector<T> at = logits, out(n);
    std::ranges::sort(at);
    curve.apply(at, out);
    const auto [low, high] = std::ranges::minmax(values);
    const bool rises = direction == funnel::isotonic_direction::increasing;
    for (std::size_t i = 0; i < n; ++i) {
      FUZZ_EXPECT(out[i] >= low && out[i] <= high);
      if (i > 0) FUZZ_EXPECT(rises ? out[i] >= out[i - 1] : out[i] <= out[i - 1]);
    }
    for (int repeat = 0; repeat < 4; ++repeat) {
      const T between = curve(number<T>(in));
      FUZZ_EXPECT(std::isnan(between) || (between >= low && between <= high));
    }
  });
  FUZZ_EXPECT(fit_refused ==
              !(sound && std::ranges::all_of(values, [](T y) { return std::isfinite(y); }) &&
                std::ranges::all_of(weights, [](T w) { return w > 0; })));

  const std::size_t bins = in.flag() ? in.any<std::size_t>() : in.below(9);
  static_cast<void>(refused([&] {
    const auto curve = funnel::fit_duration_curve(logits, labels, {.bins = bins});
    T before = 1;
    std::vector<T> at = logits;
    std::ranges::sort(at);
    for (const T length : at) {
      FUZZ_EXPECT(curve.expected(length) <= before && curve.expected(length) > 0);
      before = curve.expected(length);
    }
  }));
}

template <class T>
void buckets(input& in) {
  const std::size_t n = in.below(24);
  const auto values = numbers<T>(in, n, number<T>);
  const std::size_t parts = in.flag() ? in.any<std::size_t>() : in.below(9);
  std::vector<T> cuts;
  if (refused([&] { cuts = funnel::quantile_boundaries(values, parts); })) {
    FUZZ_EXPECT(parts == 0);
  } else {
    FUZZ_EXPECT(cuts.size() < parts);
    std::vector<std::uint32_t> found(n);
    funnel::bucketize(values, cuts, found);
    std::vector<std::size_t> held(cuts.size() + 2);
    std::size_t present = 0;
    for (std::size_t i = 0; i < n; ++i) {
      std::uint32_t expected = std::isnan(values[i]) ? 0 : 1;
      for (const T cut : cuts) expected += cut <= values[i];
      FUZZ_EXPECT(found[i] == expected);
      ++held[expected];
      present += expected != 0;
    }
    for (std::size_t b = 1; b < held.size() && present > 0; ++b) FUZZ_EXPECT(held[b] > 0);
    std::map<T, std::size_t> distinct;
    for (const T value : values)
      if (!std::isnan(value)) ++distinct[value];
    if (parts > 1 && distinct.size() > 1) FUZZ_EXPECT(!cuts.empty());
  }

  funnel::matrix<T> column(n, 1), out(n, 1);
  for (std::size_t i = 0; i < n; ++i) column(i, 0) = values[i];
  const bool infinite = std::ranges::any_of(values, [](T x) { return std::isinf(x); });
  FUZZ_EXPECT(infinite == refused([&] {
                const funnel::standardizer<T> scale(column);
                scale.apply(column, out);
                double sum = 0, squares = 0, present = 0;
                bool digits = true;  // denormal numbers have few
                for (std::size_t i = 0; i < n; ++i) {
                  FUZZ_EXPECT(std::isfinite(out(i, 0)));
                  if (std::isnan(values[i])) continue;
                  sum += static_cast<double>(out(i, 0));
                  squares += static_cast<double>(out(i, 0)) * static_cast<double>(out(i, 0));
                  ++present;
                }
                const double deviation = scale.deviations()[0], mean = scale.means()[0];
                FUZZ_EXPECT(std::isfinite(deviation) && std::isfinite(mean) && deviation >= 0);
                digits = deviation > 1e-290 && deviation > 1e-5 * std::abs(mean);
                if (digits) {
                  FUZZ_EXPECT(std::abs(sum) < 1e-3 * present);
                  FUZZ_EXPECT(std::abs(squares - present) < 1e-3 * present);
                }
              }));

  std::map<std::uint64_t, std::uint32_t> rows;
  funnel::vocabulary words;
  for (std::size_t i = 0; i < n; ++i) {
    const std::uint64_t id = in.flag() ? in.bits() : in.below(8) << 32;
    const auto row = rows.emplace(id, static_cast<std::uint32_t>(rows.size() + 1)).first->second;
    FUZZ_EXPECT(words.add(id) == row && words.find(id) == row && words.id(row) == id);
  }
}

template <class T>
void tables(input& in) {
  const std::size_t n = in.below(24), bins = 1 + in.below(40);
  const auto p = numbers<T>(in, n, share<T>), y = numbers<T>(in, n, share<T>);
  for (const auto kind : {funnel::binning::equal_width, funnel::binning::equal_mass}) {
    const auto table = funnel::reliability_table(p, y, {.bins = bins, .binning = kind});
    std::size_t count = 0;
    double before = -1;
    FUZZ_EXPECT(table.size() == bins);
    for (std::size_t b = 0; b < bins; ++b) {
      count += table[b].count;
      if (kind == funnel::binning::equal_width) {
        std::size_t held = 0;
        for (const T value : p) {
          const double x = static_cast<double>(value);
          held += x >= table[b].lower && (x < table[b].upper || (x == 1 && b + 1 == bins));
        }
        FUZZ_EXPECT(held == table[b].count);
      } else if (table[b].count > 0) {
        FUZZ_EXPECT(table[b].lower > before && table[b].lower <= table[b].upper);
        before = table[b].upper;
      }
    }
    FUZZ_EXPECT(count == n);
  }
  if (n > 0) {
    const double loss = funnel::logloss(p, y);
    FUZZ_EXPECT(loss >= 0 && std::isfinite(loss));
  }
}

/// Pairs counted one by one: of which a wins, and all.
template <class T, class Differs>
double by_pairs(const std::vector<T>& scores, const std::vector<T>& targets, Differs above) {
  const auto place = [](T x) { return std::isnan(x) ? 0 : 1; };  // NaN below all numbers
  double wins = 0, pairs = 0;
  for (std::size_t i = 0; i < scores.size(); ++i)
    for (std::size_t j = 0; j < scores.size(); ++j) {
      if (!above(targets[i], targets[j])) continue;
      ++pairs;
      const T a = scores[i], b = scores[j];
      const bool more = place(a) > place(b) || (place(a) == place(b) && a > b);
      const bool less = place(b) > place(a) || (place(a) == place(b) && a < b);
      wins += more ? 1 : less ? 0 : .5;
    }
  return pairs == 0 ? std::nan("") : wins / pairs;
}

bool same(double a, double b) {
  return (std::isnan(a) && std::isnan(b)) || std::abs(a - b) <= 1e-12 * std::max(1., std::abs(b));
}

template <class T>
void orders(input& in) {
  const std::size_t n = in.below(24);
  const auto scores = numbers<T>(in, n, number<T>), labels = numbers<T>(in, n, flag<T>);
  const auto above = [](T a, T b) { return a > b; };
  FUZZ_EXPECT(same(funnel::auc(scores, labels), by_pairs(scores, labels, above)));
  auto targets = numbers<T>(in, n, number<T>);
  for (T& target : targets)
    if (std::isnan(target)) target = 0;
  FUZZ_EXPECT(same(funnel::xauc(scores, targets), by_pairs(scores, targets, above)));

  std::vector<funnel::user_id> users(n);
  for (auto& user : users) user = static_cast<funnel::user_id>(in.below(3));
  double sum = 0, weight = 0;
  for (funnel::user_id user = 0; user < 3; ++user) {
    std::vector<T> s, l;
    for (std::size_t i = 0; i < n; ++i)
      if (users[i] == user) {
        s.push_back(scores[i]);
        l.push_back(labels[i]);
      }
    const double one = by_pairs(s, l, above);
    if (std::isnan(one)) continue;
    sum += one * static_cast<double>(s.size());
    weight += static_cast<double>(s.size());
  }
  FUZZ_EXPECT(
      same(funnel::gauc(users, scores, labels).value, weight > 0 ? sum / weight : std::nan("")));

  // NDCG: the mean gain of the places that equal scores share, place by place.
  const funnel::ndcg_options options{.k = 1 + in.below(8), .gain = funnel::ndcg_gain::linear};
  std::vector<T> relevance(n);
  for (T& r : relevance) r = static_cast<T>(in.below(4));
  std::vector<double> gain(n), ideal(relevance.begin(), relevance.end());
  for (std::size_t i = 0; i < n; ++i) {
    const auto tied = [&](std::size_t j) {
      return std::isnan(scores[i]) ? std::isnan(scores[j]) : scores[j] == scores[i];
    };
    const auto before = [&](std::size_t j) {
      return std::isnan(scores[i]) ? !std::isnan(scores[j]) : scores[j] > scores[i];
    };
    std::size_t first = 0, size = 0;
    double total = 0;
    for (std::size_t j = 0; j < n; ++j) {
      first += before(j);
      if (!tied(j)) continue;
      ++size;
      total += static_cast<double>(relevance[j]);
    }
    for (std::size_t place = first; place < first + size; ++place)
      gain[place] = total / static_cast<double>(size);
  }
  std::ranges::sort(ideal, std::greater<>());
  double found = 0, best = 0;
  for (std::size_t i = 0; i < std::min(n, options.k); ++i) {
    found += gain[i] / std::log2(static_cast<double>(i) + 2);
    best += ideal[i] / std::log2(static_cast<double>(i) + 2);
  }
  FUZZ_EXPECT(same(funnel::ndcg_of_scores(scores, relevance, options),
                   best > 0 ? found / best : std::nan("")));

  auto other = numbers<T>(in, n, finite<T>), more = numbers<T>(in, n, finite<T>);
  if (n > 0) {
    const double mae = funnel::mean_absolute_error(other, more);
    FUZZ_EXPECT(mae >= 0 && std::isfinite(mae));
    const auto soft = numbers<T>(in, n, share<T>);
    const double loss = funnel::logloss_from_logits(other, soft);
    FUZZ_EXPECT(loss >= 0 && std::isfinite(loss));
  }
}

/// A loss of finite numbers and its slopes are finite; that of serving is that of training.
template <class T, class Loss>
void check_loss(input& in, std::size_t rows, std::size_t cols, Loss loss) {
  funnel::matrix<T> x(rows, cols);
  for (T& value : x.flat()) value = finite<T>(in);
  const bool bad = in.below(8) == 0 && x.size() > 0;
  if (bad) x.flat()[0] = number<T>(in);
  const bool sound = !bad || std::isfinite(x.flat()[0]);
  static funnel::training_context<T>
      context;  // making one takes longer than all that is done in it
  static funnel::inference_context<T> serving;
  context.clear();
  serving.reset();
  const auto value = context.make(rows, cols);
  std::ranges::copy(x.flat(), value.values.data());
  T found = 0;
  if (refused([&] {
        const auto result = loss(context, value);
        context.backward(result);
        found = view(result)(0, 0);
      })) {
    FUZZ_EXPECT(refused([&] { loss(serving, serving.input(x)); }));
    return;
  }
  const T served = view(loss(serving, serving.input(x)))(0, 0);
  FUZZ_EXPECT(served == found || (std::isnan(served) && std::isnan(found)));
  if (!sound) return;
  FUZZ_EXPECT(std::isfinite(found) && found >= 0);
  for (std::size_t i = 0; i < rows; ++i)
    for (std::size_t j = 0; j < cols; ++j) FUZZ_EXPECT(std::isfinite(value.gradient(i, j)));
}

template <class T>
void losses(input& in) {
  const std::size_t n = in.below(5);
  const auto option = [&] { return std::abs(finite<T>(in)); };
  const auto amounts = [&](std::size_t size) {
    auto values = numbers<T>(in, size, finite<T>);
    for (T& value : values) value = std::abs(value);
    return values;
  };
  const std::vector<T> weights = in.flag() ? amounts(n) : std::vector<T>();
  const auto labels = numbers<T>(in, n, share<T>);
  check_loss<T>(in, n, 1, [&](auto& context, const auto& z) {
    return funnel::bce_with_logits(context, z, labels, {.weights = weights});
  });
  const auto played = amounts(n), lengths = amounts(n);
  const T at = option();
  for (const auto target :
       {funnel::completion_target::fraction, funnel::completion_target::finished})
    check_loss<T>(in, n, 1, [&](auto& context, const auto& z) {
      return funnel::completion_loss(
          context, z, played, lengths,
          {.target = target, .finished_fraction = at, .weights = weights});
    });
  const T unit = option(), longest = option();
  for (const auto target :
       {funnel::watch_time_target::expected_time, funnel::watch_time_target::odds_of_fraction,
        funnel::watch_time_target::weighted_clicks})
    check_loss<T>(in, n, 1, [&](auto& context, const auto& z) {
      return funnel::watch_time_loss(
          context, z, played,
          {.target = target, .time_scale = unit, .max_time = longest, .weights = weights});
    });
  const std::size_t m = n + in.below(3);
  const T temperature = option();
  const auto log_q = in.flag() ? numbers<T>(in, m, finite<T>) : std::vector<T>();
  std::vector<funnel::item_id> items(in.flag() ? m : 0);
  for (auto& item : items) item = static_cast<funnel::item_id>(in.below(3));
  check_loss<T>(in, n, m, [&](auto& context, const auto& s) {
    return funnel::in_batch_softmax(
        context, s,
        {.temperature = temperature, .log_q = log_q, .items = items, .weights = weights});
  });
  check_loss<T>(in, n, m, [&](auto& context, const auto& s) {
    return funnel::sampled_softmax(context, s, {.temperature = temperature, .weights = weights});
  });
  std::vector<std::uint32_t> lists = {0};
  if (n > 0) lists.push_back(static_cast<std::uint32_t>(in.below(n + 1)));
  lists.push_back(static_cast<std::uint32_t>(n));
  const auto teacher = numbers<T>(in, n, finite<T>);
  const T margin = option(), sharpness = option(), smallest = option();
  for (const auto weight : {funnel::pair_weight::difference, funnel::pair_weight::equal})
    check_loss<T>(in, n, 1, [&](auto& context, const auto& z) {
      return funnel::pairwise_distillation(
          context, z, teacher, lists, {.weight = weight, .margin = margin, .sharpness = sharpness});
    });
  check_loss<T>(in, n, 1, [&](auto& context, const auto& z) {
    return funnel::listwise_distillation(
        context, z, teacher, lists,
        {.temperature = temperature, .scale = funnel::teacher_scale::logit});
  });
  check_loss<T>(in, n, 1, [&](auto& context, const auto& z) {
    return funnel::listwise_distillation(
        context, z, labels, lists, {.temperature = temperature, .smallest_probability = smallest});
  });
  funnel::matrix<T> positives(n, 1);
  for (T& p : positives.flat()) p = finite<T>(in);
  for (const auto form : {funnel::triplet_form::hinge, funnel::triplet_form::logistic})
    check_loss<T>(in, n, m, [&](auto& context, const auto& s) {
      return funnel::triplet_loss(
          context, context.input(positives), s,
          {.form = form, .margin = margin, .sharpness = sharpness, .weights = weights});
    });
}

template <class T>
void any_of(input& in, std::size_t what) {
  switch (what) {
  case 0:
    return fits<T>(in);
  case 1:
    return buckets<T>(in);
  case 2:
    return tables<T>(in);
  case 3:
    return orders<T>(in);
  default:
    return losses<T>(in);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  input in(data, size);
  const std::size_t what = in.below(6);
  if (what == 5)
    rates(in);
  else if (in.flag())
    any_of<float>(in, what);
  else
    any_of<double>(in, what);
  return 0;
}
