// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>
#include <funnel/core/detail/cosine.hpp>
#include <funnel/core/detail/element_of.hpp>
#include <funnel/core/detail/mean.hpp>
#include <funnel/core/error.hpp>
#include <funnel/core/ids.hpp>
#include <funnel/core/matrix.hpp>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <span>
#include <vector>

namespace funnel {

/// Options of `intra_list_diversity`.
struct intra_list_diversity_options {
  /// Each item is compared with this many items directly before it; 0 means with all of them.
  std::size_t window = 0;
};

/// Intra-list diversity (ILD): the mean dissimilarity, 1 - similarity, over all pairs of items on a
/// page.
///
///     ild = 2 / (k (k - 1)) sum_{i < j} 1 - similarity(page[i], page[j])
///
/// With a window w the mean is over the pairs with j - i <= w only: items that a user sees
/// together.
///
/// Shapes      page [k], in the order shown; similarity(a, b) of two entries of page, symmetric.
/// Units       similarity is 1 for the same item; 1 - similarity is the distance.
/// Errors      std::invalid_argument if similarity has a size() and an entry of page is not below
///             it.
/// Cost        k (k - 1) / 2 calls of similarity, or about k w with a window.
/// Numerics    NaN if k < 2.
/// Source      Ziegler et al., WWW 2005; docs/formulas.md#intra-list-diversity.
template <detail::Numbers Page, class Similarity>
requires std::unsigned_integral<detail::element_of<const Page>> &&
    std::invocable<const Similarity&, detail::element_of<const Page>,
                   detail::element_of<const Page>>
double intra_list_diversity(const Page& page, const Similarity& similarity,
                            const intra_list_diversity_options& options = {}) {
  const auto shown = detail::as_span(page);
  if constexpr (requires { static_cast<std::size_t>(similarity.size()); })
    for (std::size_t i = 0; i < shown.size(); ++i)
      if (shown[i] >= static_cast<std::size_t>(similarity.size()))
        detail::fail("funnel::intra_list_diversity: page[", i, "] is ", shown[i],
                     ", expected below ", static_cast<std::size_t>(similarity.size()),
                     ", the number of items in similarity");
  const std::size_t window = options.window == 0 ? shown.size() : options.window;
  double sum = 0;
  std::size_t pairs = 0;
  for (std::size_t j = 0; j < shown.size(); ++j)
    for (std::size_t i = j > window ? j - window : 0; i < j; ++i, ++pairs)
      sum += 1 - static_cast<double>(similarity(shown[i], shown[j]));
  return pairs == 0 ? std::numeric_limits<double>::quiet_NaN() : sum / static_cast<double>(pairs);
}

/// `intra_list_diversity` of a page of item vectors, with cosine similarity.
///
/// Shapes      vectors [k, d], in the order shown; they need not be normalized.
/// Units       in [0, 2]; 1 for vectors at right angles. The cosine with a zero vector is 0.
/// Cost        O(k^2 d), or O(k w d) with a window; 2 k doubles of memory.
/// Numerics    in double. NaN if k < 2 or a value is not finite.
template <detail::Matrix Vectors>
double intra_list_diversity(const Vectors& vectors,
                            const intra_list_diversity_options& options = {}) {
  const auto rows = detail::as_view(vectors);
  const std::size_t k = rows.rows();
  std::vector<detail::unit_scale> scales(k);
  for (std::size_t i = 0; i < k; ++i) {
    for (const auto v : rows.row(i))
      if (!std::isfinite(v)) return std::numeric_limits<double>::quiet_NaN();
    scales[i] = detail::unit_scale_of(rows.row(i));
  }
  std::vector<std::size_t> page(k);
  std::iota(page.begin(), page.end(), std::size_t{0});
  const auto cosine = [&](std::size_t a, std::size_t b) {
    return std::clamp(detail::cosine_of(rows.row(a), scales[a], rows.row(b), scales[b]), -1.,
                      1.);  // rounding may exceed these bounds
  };
  return intra_list_diversity(page, cosine, options);
}

/// Shannon entropy of shares: 0 if one category has everything, ln n if n categories have equal
/// shares.
///
///     H = -sum_i s_i ln s_i,  s_i = amount_i / sum of amounts
///
/// Shapes      amounts [n], such as impressions per category or per author.
/// Units       natural logarithm; exp(H) is the effective number of categories.
/// Errors      std::invalid_argument if an amount is negative or not finite.
/// Cost        O(n).
/// Numerics    NaN if the amounts sum to 0.
/// Source      Shannon, 1948; docs/formulas.md#entropy-of-shares.
template <detail::Numbers Amounts>
double entropy(const Amounts& amounts) {
  const auto values = detail::as_span(amounts);
  detail::check_not_negative("entropy", "amounts", values);
  const auto amount = detail::weight_total::of(values.size(), [&](auto i) { return values[i]; });
  if (amount.total == 0) return std::numeric_limits<double>::quiet_NaN();
  double weighted = 0;
  for (const auto v : values) {
    const double share = amount(v) / amount.total;
    if (share > 0) weighted -= share * std::log(share);
  }
  return weighted;
}

/// Gini coefficient, a measure of inequality: 0 if all amounts are equal, (n - 1) / n if one item
/// has everything.
///
///     G = sum_i (2 i - n - 1) x_(i) / (n sum_i x_i),  x_(1) <= ... <= x_(n)
///
/// Shapes      amounts [n], such as impressions per item or per author; include items with
///             amount 0.
/// Errors      std::invalid_argument if an amount is negative or not finite.
/// Cost        O(n log n), a copy.
/// Numerics    NaN if the amounts sum to 0.
/// Source      Gini, 1912; docs/formulas.md#gini-coefficient.
template <detail::Numbers Amounts>
double gini(const Amounts& amounts) {
  const auto values = detail::as_span(amounts);
  detail::check_not_negative("gini", "amounts", values);
  std::vector<detail::element_of<const Amounts>> sorted(values.begin(), values.end());
  std::sort(sorted.begin(), sorted.end());
  const double n = static_cast<double>(sorted.size());
  const auto amount = detail::weight_total::of(sorted.size(), [&](auto i) { return sorted[i]; });
  if (amount.total == 0) return std::numeric_limits<double>::quiet_NaN();
  double weighted = 0;
  for (std::size_t i = 0; i < sorted.size(); ++i)
    weighted += (2 * static_cast<double>(i + 1) - n - 1) * amount(sorted[i]);
  return weighted / (n * amount.total);
}

namespace detail {

/// The number of occurrences of each category, in ascending order of category.
inline std::vector<double> category_counts(std::span<const category_id> categories) {
  std::vector<category_id> sorted(categories.begin(), categories.end());
  std::sort(sorted.begin(), sorted.end());
  std::vector<double> counts;
  for (std::size_t i = 0; i < sorted.size(); ++i) {
    if (i == 0 || sorted[i] != sorted[i - 1]) counts.push_back(0);
    ++counts.back();
  }
  return counts;
}

}  // namespace detail

/// Returns the number of distinct categories on a page.
///
/// Shapes      categories [k], one per item.
/// Cost        O(k log k), a copy.
/// Source      docs/formulas.md#entropy-of-shares.
inline std::size_t category_coverage(std::span<const category_id> categories) {
  return detail::category_counts(categories).size();
}

/// Entropy of the categories on a page: `entropy` of the number of items per category.
///
/// Shapes      categories [k], one per item.
/// Cost        O(k log k), a copy.
/// Numerics    NaN if the page is empty.
/// Source      docs/formulas.md#entropy-of-shares.
inline double category_entropy(std::span<const category_id> categories) {
  return entropy(detail::category_counts(categories));
}

}  // namespace funnel
