// SPDX-License-Identifier: MIT
#include "unit.hpp"

#include <funnel/core/top_k.hpp>

// Compiled once for each instruction set; FUNNEL_UNIT names it.
#define JOIN(a, b) a##b
#define RUN(unit) JOIN(run_, unit)

unit_answer RUN(FUNNEL_UNIT)(const funnel::matrix<float>& scores) {
  unit_answer answer;
  answer.size_of_matrix = sizeof(funnel::matrix<float>);
  answer.align_of_matrix = alignof(funnel::matrix<float>);
  answer.shifted.assign(scores.rows(), scores.cols());
  for (std::size_t i = 0; i < scores.size(); ++i)
    answer.shifted.flat()[i] = scores.flat()[i] + 1.0f;
  answer.picked.resize(scores.size() / 3);
  funnel::top_k(scores.flat(), std::span(answer.picked));
  return answer;
}
