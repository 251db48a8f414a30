// SPDX-License-Identifier: MIT
#include "ranker.hpp"

scorer avx2_scorer(const ranker& trained) {
  return frozen_scorer<funnel::default_arch>(trained);
}
