// SPDX-License-Identifier: MIT
#include <page.hpp>

int main() {
  funnel::matrix<float> scores(3, 1);
  scores(1, 0) = 2;
  scores(2, 0) = 1;
  return page(scores, 2) == std::vector<std::size_t>{1, 2} ? 0 : 1;
}
