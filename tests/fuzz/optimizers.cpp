// SPDX-License-Identifier: MIT
// Steps of sgd, adagrad and adam, clip_gradients and add_gradients on random models, options and
// gradients, against the formulas in long double.
#include <funnel/nn/training_context.hpp>
#include <funnel/optim/adagrad.hpp>
#include <funnel/optim/adam.hpp>
#include <funnel/optim/add_gradients.hpp>
#include <funnel/optim/clip_gradients.hpp>
#include <funnel/optim/sgd.hpp>

#include "fuzz/input.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <map>
#include <span>
#include <stdexcept>
#include <vector>

namespace {

using wide = long double;

template <class T>
struct model {
  std::vector<funnel::parameter<T>> parameters;

  void visit_parameters(auto&& visit) { visit("parameters", parameters); }
};

/// What a step of one value remembers.
struct remembered {
  wide first = 0;
  wide second = 0;
};

/// The formulas, one value at a time, with gradients and epsilon in the range that steps are taken
/// in.
template <class T>
struct reference {
  int kind;
  wide rate, decay, momentum, start, epsilon, first, second;
  std::map<std::size_t, std::vector<remembered>> state;
  std::map<std::size_t, std::vector<unsigned>> steps;
  std::map<std::size_t, std::vector<wide>> row_sums;

  /// How far gradients of 64 move a value in the last step: its rounding is against that.
  wide reach = 0;

  /// Moves row `row` of parameter `p`, where `values` and `g` are `cols` values.
  void move(std::size_t p, std::size_t row, bool table, std::size_t rows, std::size_t cols,
            bool decays, const std::vector<wide>& g, std::vector<wide>& values) {
    auto& kept = state[p];
    kept.resize(rows * cols);
    auto& count = steps[p];
    count.resize(table ? rows : 1);
    auto& sums = row_sums[p];
    if (sums.empty()) sums.assign(rows, start);
    const wide t = ++count[table ? row : 0];
    if (table) {
      wide mean = 0;
      for (const wide x : g) mean += bounded(x) * bounded(x) / static_cast<wide>(cols);
      sums[row] += mean;
    }
    reach = 64 * rate;
    for (std::size_t j = 0; j < cols; ++j) {
      remembered& r = kept[row * cols + j];
      wide& value = values[j];
      wide by = 0;
      if (kind == 0) {
        r.first = momentum * r.first + g[j];
        by = rate * r.first;
      } else if (kind == 1) {
        if (t == 1 && !table) r.second = start;
        if (!table) r.second += bounded(g[j]) * bounded(g[j]);
        by = rate * bounded(g[j]) / (std::sqrt(table ? sums[row] : r.second) + epsilon);
      } else {
        r.first = first * r.first + (1 - first) * bounded(g[j]);
        r.second = second * r.second + (1 - second) * bounded(g[j]) * bounded(g[j]);
        const wide root = std::sqrt(r.second / (1 - std::pow(second, t))) + epsilon;
        by = rate * r.first / (1 - std::pow(first, t)) / root;
        reach = std::max(reach, 64 * rate / root);
      }
      value -= by + (decays ? rate * decay * value : 0);
    }
  }
  static wide bounded(wide x) {
    const wide limit = static_cast<wide>(funnel::largest_gradient<T>);
    return x > limit ? limit : x < -limit ? -limit : x;
  }
};

template <class T>
T gradient_value(fuzz::input& in, bool special) {
  return special ? (in.flag() ? in.any<T>() : in.usual<T>()) : T(in.below(256)) / T(64) - T(2);
}

template <class T>
std::vector<T> all_values(const model<T>& m) {
  std::vector<T> all;
  for (const auto& p : m.parameters)
    all.insert(all.end(), p.value.flat().begin(), p.value.flat().end());
  return all;
}
template <class T>
bool same(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() &&
         (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0);
}

template <class T, class Optimizer>
void run(fuzz::input& in, const auto& options, reference<T> expected) {
  Optimizer optimizer;
  try {
    optimizer = Optimizer(options);
  } catch (const std::invalid_argument&) {
    return;
  }
  model<T> m;
  const std::size_t count = 1 + in.below(3);
  m.parameters.reserve(8);  // they stay where they are
  for (std::size_t p = 0; p < count; ++p) {
    const auto kind = static_cast<funnel::parameter_kind>(in.below(3));
    m.parameters.emplace_back(in.below(4), in.below(21), funnel::initial_values::zeros, kind);
    for (T& value : m.parameters.back().value.flat()) value = T(in.below(64)) / T(16) - T(2);
  }
  const bool special = in.flag();
  // Only usual gradients and options are held against the formulas to the last digits.
  const bool comparable = !special;
  funnel::training_context<T> context;
  funnel::training_context<T> other;
  for (std::size_t step = 0; step < 6 && in.left() > 0; ++step) {
    context.clear();
    other.clear();
    const bool shards = in.flag();
    bool finite = true;
    for (auto& p : m.parameters) {
      if (in.below(4) == 0) continue;  // nothing reached it
      for (auto* c : {&context, &other}) {
        if (c == &other && !shards) continue;
        if (p.kind == funnel::parameter_kind::statistic) {
          std::vector<double> seen(p.value.size());
          for (double& x : seen) x = static_cast<double>(gradient_value<T>(in, special));
          for (const double x : seen) finite &= std::isfinite(x);
          c->gradient(p).observe(in.below(5), seen, static_cast<double>(in.below(5)) / 4);
        } else if (p.kind == funnel::parameter_kind::rows) {
          for (std::size_t i = in.below(4); i > 0 && p.rows() > 0; --i) {
            for (T& x : c->gradient(p).row(static_cast<std::uint32_t>(in.below(p.rows())))) {
              x = gradient_value<T>(in, special);
              finite &= std::isfinite(x);
            }
          }
        } else {
          for (T& x : std::span<T>(c->gradient(p).values().data(), p.value.size())) {
            x = gradient_value<T>(in, special);
            finite &= std::isfinite(x);
          }
        }
      }
    }
    if (shards) {
      add_gradients(m, context, other, T(in.below(5)) / T(2));
      for (const auto& p : m.parameters) {
        const auto* g = context.find_gradient(p);
        if (g == nullptr) continue;
        for (std::size_t i = 0; i < g->values().size(); ++i)
          finite &= std::isfinite(g->values().data()[i]);  // a sum may overflow
      }
    }
    if (in.flag()) {
      wide squares = 0;
      for (const auto& p : m.parameters) {
        const auto* g = context.find_gradient(p);
        if (g == nullptr || p.kind == funnel::parameter_kind::statistic) continue;
        for (std::size_t i = 0; i < g->values().size(); ++i) {
          const wide x = static_cast<wide>(g->values().data()[i]);
          squares += x * x;
        }
      }
      const double limit = in.flag() ? 1 : static_cast<double>(1 + in.below(1000));
      const double norm = clip_gradients(m, context, limit);
      const wide right = std::sqrt(squares);
      if (std::isfinite(right) && right <= static_cast<wide>(std::numeric_limits<double>::max())) {
        const wide error = std::abs(static_cast<wide>(norm) - right);
        FUZZ_EXPECT(error <=
                    1e-12L * right + static_cast<wide>(std::numeric_limits<double>::min()));
        FUZZ_EXPECT(clip_gradients(m, context, limit) <= limit * (1 + 1e-5));
      } else if (std::isnan(right)) {
        FUZZ_EXPECT(std::isnan(norm));
      }
    }

    // Now and then something is not what it was: refused, and nothing has moved.
    const std::size_t change = in.below(12);
    if (change < 4) {
      const std::size_t at = in.below(m.parameters.size());
      funnel::parameter<T>& p = m.parameters[at];
      const funnel::parameter<T> kept = p;
      const bool reached = context.find_gradient(p) != nullptr;
      if (change == 0) p.value.assign(p.rows() + 1 + in.below(3), p.cols());
      if (change == 1 && p.rows() > 0) p.value.assign(p.rows() - 1, p.cols());
      if (change == 2) p.value.assign(p.rows(), p.cols() + 1);
      if (change == 3)
        p.kind = static_cast<funnel::parameter_kind>((static_cast<int>(p.kind) + 1) % 3);
      const bool changed =
          p.rows() != kept.rows() || p.cols() != kept.cols() || p.kind != kept.kind;
      if (changed && (reached || step > 0)) {
        const std::vector<T> before = all_values(m);
        bool refused = false;
        try {
          optimizer.step(m, context);
        } catch (const std::invalid_argument&) {
          refused = true;
        }
        FUZZ_EXPECT(refused);
        FUZZ_EXPECT(same(before, all_values(m)));
        if (reached) {
          refused = false;
          try {
            clip_gradients(m, context, 1);
          } catch (const std::invalid_argument&) {
            refused = true;
          }
          FUZZ_EXPECT(refused);
        }
      }
      p = kept;
    }

    const std::vector<T> before = all_values(m);
    optimizer.step(m, context);
    const std::vector<T> after = all_values(m);
    std::size_t first = 0;
    for (std::size_t p = 0; p < m.parameters.size(); ++p) {
      const auto& of = m.parameters[p];
      const auto* g = context.find_gradient(of);
      const bool learns = of.kind != funnel::parameter_kind::statistic;
      if (learns && g != nullptr && comparable) {
        const bool table = g->by_rows();
        const std::size_t rows = table ? g->touched().size() : 1;
        const std::size_t cols = table ? of.cols() : of.value.size();
        for (std::size_t i = 0; i < rows; ++i) {
          const std::size_t row = table ? g->touched()[i] : 0;
          std::vector<wide> gradient, moved;
          for (std::size_t j = 0; j < cols; ++j) {
            gradient.push_back(static_cast<wide>(g->values().data()[i * cols + j]));
            moved.push_back(static_cast<wide>(before[first + row * cols + j]));
          }
          expected.move(p, row, table, table ? of.rows() : 1, cols, table || of.rows() != 1,
                        gradient, moved);
          for (std::size_t j = 0; j < cols; ++j) {
            const wide found = static_cast<wide>(after[first + row * cols + j]);
            const wide was = static_cast<wide>(before[first + row * cols + j]);
            const wide eps = static_cast<wide>(std::numeric_limits<T>::epsilon());
            // Means that nearly cancel keep the rounding of what was added. Subnormal numbers are as
            // far apart as the least of them is large.
            const wide apart = static_cast<wide>(std::numeric_limits<T>::denorm_min());
            const wide bound =
                64 * eps * (std::abs(was) + std::abs(moved[j] - was) + expected.reach) + 2 * apart;
            FUZZ_EXPECT(std::abs(found - moved[j]) <= bound);
          }
        }
      }
      if (g == nullptr) {
        for (std::size_t i = 0; i < of.value.size(); ++i)
          FUZZ_EXPECT(std::memcmp(&before[first + i], &after[first + i], sizeof(T)) == 0);
      }
      first += of.value.size();
    }
    // Finite gradients leave weights finite; of sgd, where the exact step is.
    if (finite && expected.kind != 0) {
      for (const T value : after) FUZZ_EXPECT(std::isfinite(value));
    }
    if (!finite || (expected.kind == 0 && special)) return;
  }
}

template <class T>
void run(fuzz::input& in) {
  const auto number = [&](double usual) {
    switch (in.below(8)) {
    case 0:
      return in.any<double>();
    case 1:
      return static_cast<double>(in.usual<float>());
    default:
      return usual * static_cast<double>(1 + in.below(16));
    }
  };
  reference<T> expected{};
  expected.kind = static_cast<int>(in.below(3));
  const bool odd_options = in.below(4) == 0;
  const auto option = [&](double usual) {
    return odd_options ? number(usual) : usual * static_cast<double>(1 + in.below(16));
  };
  const double rate = option(1e-3);
  const double decay = in.flag() ? option(1e-3) : 0;
  const double first = static_cast<double>(in.below(16)) / 16;
  const double second = static_cast<double>(in.below(16)) / 16;
  const double epsilon = option(1e-8);
  const double start = option(0.1);
  if (odd_options) {
    // Options of any size: what is not refused leaves finite weights finite, unless the exact step is
    // as large as numbers go.
    if (!(rate < 1e3 && decay < 1e3)) {
      try {
        funnel::adam<T> a({.learning_rate = rate, .weight_decay = decay});
        FUZZ_EXPECT(std::isfinite(static_cast<T>(rate)) && std::isfinite(static_cast<T>(decay)));
        FUZZ_EXPECT(rate > 0 && decay >= 0);
      } catch (const std::invalid_argument&) {
      }
      return;
    }
  }
  expected.rate = static_cast<wide>(static_cast<T>(rate));
  expected.decay = static_cast<wide>(static_cast<T>(decay));
  expected.momentum = static_cast<wide>(first);
  expected.first = static_cast<wide>(first);
  expected.second = static_cast<wide>(second);
  expected.start = static_cast<wide>(start);
  expected.epsilon = std::max(static_cast<wide>(static_cast<T>(epsilon)),
                              static_cast<wide>(funnel::smallest_epsilon<T>));
  if (expected.kind == 0) {
    run<T, funnel::sgd<T>>(
        in, funnel::sgd_options{.learning_rate = rate, .momentum = first, .weight_decay = decay},
        expected);
  } else if (expected.kind == 1) {
    run<T, funnel::adagrad<T>>(in,
                               funnel::adagrad_options{.learning_rate = rate,
                                                       .initial_accumulator = start,
                                                       .epsilon = epsilon,
                                                       .weight_decay = decay},
                               expected);
  } else {
    run<T, funnel::adam<T>>(in,
                            funnel::adam_options{.learning_rate = rate,
                                                 .first_decay = first,
                                                 .second_decay = second,
                                                 .epsilon = epsilon,
                                                 .weight_decay = decay},
                            expected);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::input in(data, size);
  if (in.flag())
    run<float>(in);
  else
    run<double>(in);
  return 0;
}
