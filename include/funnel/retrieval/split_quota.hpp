// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>
#include <string_view>

namespace funnel {

/// Splits a total over retrieval channels in proportion to their shares, in whole numbers: the method
/// of the largest remainder.
///
///     quota(c) = floor(total share(c) / sum of the shares), and 1 more for those with the largest
///     fractions, until the sum is the total
///
/// A channel with a share of 0 gets nothing: it is switched off. If all shares are 0, all quotas are.
///
/// Shapes      shares [channels], 0 or more; quotas [channels].
/// Order       of equal fractions the lower channel gets the 1 first.
/// Errors      std::invalid_argument if the sizes differ, a share is negative or not finite, or `total`
///             is above 2^53; `quotas` is unchanged then.
/// Cost        O(channels^2) at most. Allocates nothing.
/// Source      docs/formulas.md#quotas-and-merging.
inline void split_quota(std::size_t total, std::span<const double> shares,
                        std::span<std::size_t> quotas) {
  constexpr std::string_view name = "split_quota";
  detail::check_size(name, "quotas", quotas.size(), shares.size(), "shares");
  detail::check_that(name, "total", total, total <= std::size_t{1} << 53, "at most 2^53");
  double largest = 0;
  for (const double share : shares) {
    detail::check_not_negative(name, "a share", share);
    largest = std::max(largest, share);
  }
  std::ranges::fill(quotas, std::size_t{0});
  if (!(largest > 0)) return;
  double sum = 0;  // of shares that are divided by the largest, so that it is finite
  for (const double share : shares) sum += share / largest;
  const auto exact = [&](std::size_t c) {
    return static_cast<double>(total) * (shares[c] / largest / sum);
  };
  std::size_t left = total;
  for (std::size_t c = 0; c < shares.size(); ++c) {
    // No more than what is left, whatever rounding did.
    quotas[c] = std::min(left, static_cast<std::size_t>(std::floor(exact(c))));
    left -= quotas[c];
  }
  const auto fraction = [&](std::size_t c) { return exact(c) - std::floor(exact(c)); };
  std::size_t last = shares.size();  // the channel that got a 1 last
  for (; left > 0; --left) {
    std::size_t next = shares.size();
    for (std::size_t c = 0; c < shares.size(); ++c) {
      if (!(shares[c] > 0)) continue;
      const bool is_after = last == shares.size() || fraction(c) < fraction(last) ||
                            (fraction(c) == fraction(last) && c > last);
      if (is_after && (next == shares.size() || fraction(c) > fraction(next))) next = c;
    }
    if (next == shares.size()) {  // all have one: begin again
      last = next;
      ++left;
      continue;
    }
    ++quotas[next];
    last = next;
  }
}

}  // namespace funnel
