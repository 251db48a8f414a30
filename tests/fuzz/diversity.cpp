// SPDX-License-Identifier: MIT
// mmr, dpp and rules against their definitions: cosines in long double, every item scored at every
// pick, rules as documented. By vectors in float and double, lazily, eagerly and as it chooses, by
// cosine_similarity, and by a function.
#include "fuzz/input.hpp"

#include <funnel/diversity/dpp.hpp>
#include <funnel/diversity/mmr.hpp>

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <vector>

namespace {

using pick_list = std::vector<std::size_t>;
using funnel::cosine_range;
using funnel::detail::scan;

template <class T>
struct problem {
  std::size_t n = 0;
  std::vector<T> relevance;
  funnel::matrix<T> vectors;
  std::vector<std::vector<funnel::category_id>> labels;
  std::vector<funnel::slate_rule> rules;
  pick_list picked;
  std::size_t given = 0, window = 0;
  double weight = 0;
  cosine_range range = cosine_range::minus_one_to_one;
  double jitter = 0, epsilon = 1e-10;
};

template <class T>
problem<T> read(fuzz::input& in) {
  problem<T> x;
  x.n = 1 + in.below(40);
  const std::size_t n = x.n, d = in.below(9);
  x.picked.assign(1 + in.below(n), n);
  x.window = in.below(4) == 0 ? 0 : in.below(12);
  constexpr double weights[] = {.5, .7, 0, 1, .25, .999};
  x.weight = weights[in.below(std::size(weights))];
  x.range = in.flag() ? cosine_range::zero_to_one : cosine_range::minus_one_to_one;
  constexpr double jitters[] = {0, 0, .5, 1e-6}, epsilons[] = {1e-10, 1e-10, .3, 1e-6};
  x.jitter = jitters[in.below(4)];
  x.epsilon = epsilons[in.below(4)];
  const std::size_t rules = in.below(4) == 0 ? 1 + in.below(3) : 0;
  x.labels.resize(rules);
  for (auto& column : x.labels) {
    for (std::size_t i = 0; i < n; ++i)
      column.push_back(static_cast<funnel::category_id>(in.below(4)));
    x.rules.push_back({.labels = column,
                       .window = 1 + in.below(5),
                       .max_count = in.below(3),
                       .first_slots = in.below(4) == 0 ? in.below(6) : 0,
                       .hard = (x.rules.empty() || x.rules.back().hard) && in.flag()});
  }
  const std::size_t given = in.below(4) == 0 ? in.below(x.picked.size() + 1) : 0;
  for (std::size_t t = 0; t < given; ++t) {
    const std::size_t item = in.below(n);
    if (std::ranges::find(x.picked, item) != x.picked.end()) break;
    x.picked[x.given++] = item;
  }
  x.relevance.resize(n);
  const bool equal = in.below(3) == 0;
  for (std::size_t i = 0; i < n; ++i)
    x.relevance[i] = equal && i > 0 ? x.relevance[0] : in.usual<T>() / T(8);
  x.vectors = funnel::matrix<T>(n, d);
  for (std::size_t i = 0; i < n; ++i) {
    const std::size_t kind = in.below(8);
    constexpr double factors[] = {1, 3, -1, -3, 1e30, 1e-30, 7};
    const std::size_t from = i > 0 && kind < 4 ? in.below(i) : i;
    const double factor = factors[in.below(std::size(factors))];
    for (std::size_t f = 0; f < d; ++f)
      x.vectors(i, f) =
          from < i ? static_cast<T>(static_cast<double>(x.vectors(from, f)) * factor)
                   : static_cast<T>(static_cast<double>(in.usual<T>()) * (kind == 7 ? factor : 1));
    if (kind == 6 && d > 0 && in.flag()) x.vectors(i, in.below(d)) = in.any<T>();
    if (kind == 6 && sizeof(T) == 8 && in.flag())
      for (T& v : x.vectors.row(i))
        v = static_cast<T>(std::ldexp(static_cast<double>(v), in.flag() ? 900 : -900));
  }
  return x;
}

/// The cosine by the definition; long double holds the squares of all doubles.
template <class T>
long double cosine(const funnel::matrix<T>& vectors, std::size_t i, std::size_t j) {
  if (i == j) return 1;
  long double ij = 0, ii = 0, jj = 0;
  for (std::size_t f = 0; f < vectors.cols(); ++f) {
    const long double a = vectors(i, f), b = vectors(j, f);
    ij += a * b;
    ii += a * a;
    jj += b * b;
  }
  if (!(ii > 0 && jj > 0 && std::isfinite(ii) && std::isfinite(jj))) return 0;
  return ij / (std::sqrt(ii) * std::sqrt(jj));
}

/// Which items may take slot `shown.size()`; empty if none.
template <class T>
std::vector<bool> admitted(const problem<T>& x, std::span<const std::size_t> shown) {
  const auto allowed = [&](std::size_t item, std::size_t rules) {
    if (std::ranges::find(shown, item) != shown.end()) return false;
    for (std::size_t r = 0; r < rules; ++r) {
      const funnel::slate_rule& rule = x.rules[r];
      if (rule.first_slots != 0 && shown.size() >= rule.first_slots) continue;
      if (rule.labels[item] == 0) continue;
      std::size_t same = 1;
      for (std::size_t back = 1; back < rule.window && back <= shown.size(); ++back)
        same += rule.labels[shown[shown.size() - back]] == rule.labels[item];
      if (same > rule.max_count) return false;
    }
    return true;
  };
  std::size_t hard = 0;
  while (hard < x.rules.size() && x.rules[hard].hard) ++hard;
  for (std::size_t rules = x.rules.size() + 1; rules-- > hard;) {
    std::vector<bool> left(x.n);
    for (std::size_t i = 0; i < x.n; ++i) left[i] = allowed(i, rules);
    if (std::ranges::find(left, true) != left.end()) return left;
  }
  return {};
}

struct scored {
  double score, slack;
  double doubt;  // how far rounding may move the score
};

/// One pick after another; stops where rounding decides, and where rules forbid all that is left.
template <class T, class Scores>
pick_list by_definition(const problem<T>& x, bool& unclear, const Scores& scores) {
  pick_list page(x.picked.begin(), x.picked.begin() + static_cast<std::ptrdiff_t>(x.given));
  while (page.size() < x.picked.size()) {
    const std::vector<bool> left = admitted(x, page);
    if (left.empty()) break;
    const std::vector<scored> all = scores(page, unclear);
    if (unclear) break;
    double enough = -INFINITY;
    for (std::size_t i = 0; i < x.n; ++i)
      if (left[i] && std::isfinite(x.relevance[i]))
        enough = std::max(enough, all[i].score - all[i].slack -
                                      1e-12 * std::max(1., std::abs(all[i].score)));
    std::size_t pick = x.n;
    for (std::size_t i = 0; i < x.n; ++i) {
      if (!left[i] || !std::isfinite(x.relevance[i])) continue;
      const double above = all[i].score + all[i].slack - enough;
      if (std::abs(above) < 1e-13 * std::max(1., std::abs(enough)) + all[i].doubt) unclear = true;
      if (above >= 0 && (pick == x.n || x.relevance[i] > x.relevance[pick])) pick = i;
    }
    if (unclear) break;
    if (pick == x.n) pick = static_cast<std::size_t>(std::ranges::find(left, true) - left.begin());
    page.push_back(pick);
  }
  return page;
}

template <class T>
std::span<const std::size_t> in_view(const problem<T>& x, std::span<const std::size_t> page) {
  return x.window == 0 || page.size() < x.window ? page : page.last(x.window);
}

template <class T>
pick_list naive_mmr(const problem<T>& x, const funnel::matrix<double>& table, bool& unclear) {
  return by_definition(x, unclear, [&](const pick_list& page, bool&) {
    std::vector<scored> all(x.n);
    for (std::size_t i = 0; i < x.n; ++i) {
      double largest = page.empty() ? 0 : -INFINITY;
      for (const std::size_t j : in_view(x, page)) largest = std::max(largest, table(i, j));
      all[i] = {x.weight * static_cast<double>(x.relevance[i]) - (1 - x.weight) * largest, 0, 0};
    }
    return all;
  });
}

template <class T>
pick_list naive_dpp(const problem<T>& x, const funnel::matrix<double>& table, bool& unclear) {
  return by_definition(x, unclear, [&](const pick_list& page, bool& doubtful) {
    // Rows of the factor of the picks in view, without those that add nothing.
    std::vector<std::vector<long double>> lower;
    pick_list kept;
    long double least = 1;
    const auto solve = [&](std::size_t item, std::vector<long double>& row) {
      long double left = static_cast<long double>(table(item, item)) + x.jitter;
      row.clear();
      for (std::size_t s = 0; s < kept.size(); ++s) {
        long double e = table(kept[s], item);
        for (std::size_t u = 0; u < s; ++u) e -= row[u] * lower[s][u];
        row.push_back(e / lower[s][s]);
        left -= row[s] * row[s];
      }
      return left;
    };
    std::vector<long double> row;
    for (const std::size_t j : in_view(x, page)) {
      const long double left = solve(j, row);
      if (std::abs(left - x.epsilon) < 1e-13L / least) doubtful = true;
      if (!(left > x.epsilon)) continue;
      least = std::min(least, left);
      row.push_back(std::sqrt(left));
      lower.push_back(row);
      kept.push_back(j);
    }
    std::vector<scored> all(x.n);
    for (std::size_t i = 0; i < x.n; ++i) {
      const double base = x.weight * static_cast<double>(x.relevance[i]);
      if (x.weight == 1) {
        all[i] = {base, 0, 0};
        continue;
      }
      if (std::ranges::find(page, i) != page.end()) continue;
      const auto left = static_cast<double>(solve(i, row));
      const double noise = static_cast<double>(1e-13L / least);
      if (std::abs(left - x.epsilon) < noise) doubtful = true;
      if (left > x.epsilon)
        all[i] = {base + (1 - x.weight) * std::log(left),
                  (1 - x.weight) * std::min(1e-14 / left, .5), (1 - x.weight) * noise / left};
      else
        all[i] = {base + (1 - x.weight) * -1e9, 0, 0};
    }
    return all;
  });
}

/// What `pick` makes of the problem: the page as far as it is filled.
template <class T, class Pick>
pick_list made_by(const problem<T>& x, const Pick& pick) {
  pick_list picked = x.picked;
  const std::size_t count = pick(std::span(picked));
  FUZZ_EXPECT(count <= picked.size());
  picked.resize(count);
  return picked;
}

template <class Options, class T>
Options options_of(const problem<T>& x) {
  Options options{.relevance_weight = x.weight, .window = x.window, .given = x.given};
  options.rules = x.rules;
  options.range = x.range;
  return options;
}

template <class T>
void check(fuzz::input& in) {
  const problem<T> x = read<T>(in);
  const std::span<const T> relevance = x.relevance;
  const funnel::matrix_view<const T> vectors = x.vectors;
  const funnel::cosine_similarity<T> similarity(vectors, x.range);
  funnel::matrix<double> rounded(x.n, x.n), full(x.n, x.n);
  const auto mapped = [&](double cosine) {
    return x.range == cosine_range::zero_to_one ? (1 + cosine) / 2 : cosine;
  };
  for (std::size_t i = 0; i < x.n; ++i)
    for (std::size_t j = 0; j < x.n; ++j) {
      const long double exact = cosine(x.vectors, i, j);
      rounded(i, j) = mapped(static_cast<double>(static_cast<float>(exact)));
      full(i, j) = i == j ? 1 : mapped(static_cast<double>(exact));
      // Equal but where the cosine lies between two floats to double's rounding.
      const double got = similarity(i, j);
      FUZZ_EXPECT(got == similarity(j, i));
      FUZZ_EXPECT(std::abs(got - mapped(static_cast<double>(exact))) <= 6e-8);
      if (std::abs(exact) > 1e-6L && got != rounded(i, j)) return;
    }

  funnel::arena scratch;
  const auto mmr = funnel::mmr_options(options_of<funnel::mmr_options>(x));
  bool unclear = false;
  const pick_list by_mmr = naive_mmr(x, rounded, unclear);
  const auto check_page = [&](const pick_list& page, const pick_list& expected, bool open_end) {
    FUZZ_EXPECT(open_end ? page.size() >= expected.size() : page.size() == expected.size());
    FUZZ_EXPECT(std::equal(expected.begin(), expected.end(), page.begin()));
  };
  const auto by_mmr_of = [&](scan how) {
    return made_by(x, [&](std::span<std::size_t> picked) {
      bool* taken = funnel::detail::check_mmr(x.n, picked, mmr, scratch);
      return funnel::detail::mmr_of_vectors<funnel::default_arch>(relevance, vectors, picked, mmr,
                                                                  taken, scratch, how);
    });
  };
  const pick_list lazy_mmr = by_mmr_of(scan::lazy);
  check_page(lazy_mmr, by_mmr, unclear);
  FUZZ_EXPECT(by_mmr_of(scan::eager) == lazy_mmr);
  FUZZ_EXPECT(by_mmr_of(scan::adaptive) == lazy_mmr);
  FUZZ_EXPECT(made_by(x, [&](auto picked) {
                return funnel::mmr(relevance, similarity, picked, mmr);
              }) == lazy_mmr);
  if (!unclear)
    FUZZ_EXPECT(made_by(x, [&](auto picked) {
                  return funnel::mmr(
                      relevance, [&](std::size_t i, std::size_t j) { return similarity(i, j); },
                      picked, mmr);
                }) == lazy_mmr);
  FUZZ_EXPECT(made_by(x, [&](auto picked) {
                return funnel::mmr<funnel::scalar_arch>(relevance, vectors, picked, mmr);
              }) == lazy_mmr);

  auto dpp = options_of<funnel::dpp_options>(x);
  dpp.jitter = x.jitter;
  dpp.epsilon = x.epsilon;
  unclear = false;
  const pick_list by_dpp = naive_dpp(x, full, unclear);
  const auto by_dpp_of = [&](scan how) {
    return made_by(x, [&](std::span<std::size_t> picked) {
      bool* taken = funnel::detail::check_dpp(x.n, picked, dpp, scratch);
      return funnel::detail::dpp_of_vectors<funnel::default_arch>(relevance, vectors, picked, dpp,
                                                                  taken, scratch, how);
    });
  };
  for (const scan how : {scan::lazy, scan::eager, scan::adaptive})
    check_page(by_dpp_of(how), by_dpp, unclear);
  check_page(
      made_by(x, [&](auto picked) { return funnel::dpp(relevance, similarity, picked, dpp); }),
      by_dpp, unclear);
  check_page(made_by(x,
                     [&](auto picked) {
                       return funnel::dpp(
                           relevance, [&](std::size_t i, std::size_t j) { return full(i, j); },
                           picked, dpp);
                     }),
             by_dpp, unclear);
  check_page(made_by(x,
                     [&](auto picked) {
                       return funnel::dpp<funnel::scalar_arch>(relevance, vectors, picked, dpp);
                     }),
             by_dpp, unclear);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::input in(data, size);
  if (in.flag())
    check<float>(in);
  else
    check<double>(in);
  return 0;
}
