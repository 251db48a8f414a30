// SPDX-License-Identifier: MIT
#include "page.hpp"

#include <funnel/core/top_k.hpp>

#include <span>

std::vector<std::size_t> page(funnel::matrix_view<const float> scores, std::size_t k) {
  std::vector<float> first(scores.rows());
  for (std::size_t i = 0; i < first.size(); ++i) first[i] = scores(i, 0);
  std::vector<std::size_t> picked(k);
  funnel::top_k(first, picked);
  return picked;
}
