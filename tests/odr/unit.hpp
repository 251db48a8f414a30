// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/matrix.hpp>

#include <cstddef>
#include <cstdint>
#include <vector>

// What every unit answers for the same input. Values cross between units inside it.
struct unit_answer {
  std::size_t size_of_matrix = 0;
  std::size_t align_of_matrix = 0;
  funnel::matrix<float> shifted;
  std::vector<std::uint32_t> picked;
};

using unit_function = unit_answer (*)(const funnel::matrix<float>& scores);

unit_answer run_baseline(const funnel::matrix<float>& scores);
unit_answer run_avx2(const funnel::matrix<float>& scores);
unit_answer run_avx512(const funnel::matrix<float>& scores);
