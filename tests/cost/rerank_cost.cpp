// SPDX-License-Identifier: MIT
// How many instructions `mmr` and `dpp` take on the data that re-ranking gets, beside the eager method:
// the same kernels, every item held against every pick. Run by run.sh, which counts with callgrind.
#include <funnel/core/random.hpp>
#include <funnel/diversity/dpp.hpp>
#include <funnel/diversity/mmr.hpp>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <string>
#include <valgrind/callgrind.h>
#include <vector>

namespace {

constexpr std::size_t dim = 64;

struct problem {
  std::vector<float> relevance;
  funnel::matrix<float> vectors;
};

/// `kind` says what relevance and vectors look like. Vectors have 50 topics, unless told.
problem make(const std::string& kind, std::size_t n) {
  funnel::random_generator bits(61);
  const auto uniform = [&](double low, double high) {
    return low + (high - low) * funnel::uniform01(bits);
  };
  constexpr std::size_t topics = 50;
  std::vector<float> centre(topics * dim), of_topic(topics);
  for (float& c : centre) c = static_cast<float>(uniform(-1, 1));
  for (float& r : of_topic) r = static_cast<float>(uniform(0, 1));
  problem made{std::vector<float>(n), funnel::matrix<float>(n, dim)};
  std::vector<double> logits(n);
  for (double& z : logits) z = 2 * funnel::standard_normal(bits) + 4;
  std::sort(logits.rbegin(), logits.rend());
  for (std::size_t i = 0; i < n; ++i) {
    const std::size_t topic =
        kind == "identical" || kind == "identical_tied" ? 0 : funnel::uniform_below(bits, topics);
    const double noise = kind == "copies" || kind == "copies_tied" ? 0
                         : kind == "near_copies"                   ? 1e-3
                                                                   : 1;
    for (std::size_t f = 0; f < dim; ++f)
      made.vectors(i, f) = static_cast<float>(
          static_cast<double>(centre[topic * dim + f]) +
          (topic == 0 && kind.starts_with("identical") ? 0 : noise) * uniform(-1, 1));
    double relevance = uniform(0, 1);
    if (kind.ends_with("tied")) relevance = .5;
    if (kind == "bunched") relevance = 1 / (1 + std::exp(-logits[i]));
    if (kind == "saturated") relevance = 1 / (1 + std::exp(-logits[i] - 12));
    if (kind == "correlated")
      relevance = .9 * static_cast<double>(of_topic[topic]) + .1 * relevance;
    if (kind == "levels") relevance = std::floor(5 * relevance) / 5;
    made.relevance[i] = static_cast<float>(relevance);
  }
  return made;
}

}  // namespace

// rerank_cost KIND...: a line for each case. Under callgrind each case is a dump of its own.
int main(int argc, char** argv) {
  using funnel::detail::scan;
  for (int a = 1; a < argc; ++a)
    for (const std::size_t n : {1250, 10000}) {
      const problem p = make(argv[a], n);
      for (const std::size_t k : {10, 60})
        for (const std::size_t window : {0, 10})
          for (const std::string method : {"mmr", "dpp"})
            for (const scan how : {scan::adaptive, scan::eager}) {
              std::vector<std::size_t> picked(k);
              funnel::arena scratch;
              const auto run = [&] {
                scratch.reset();
                const std::span<const float> relevance = p.relevance;
                const funnel::matrix_view<const float> vectors = p.vectors;
                if (method == "mmr") {
                  const funnel::mmr_options options{.window = window};
                  bool* taken = funnel::detail::check_mmr(n, picked, options, scratch);
                  funnel::detail::mmr_of_vectors<funnel::default_arch>(
                      relevance, vectors, std::span(picked), options, taken, scratch, how);
                } else {
                  const funnel::dpp_options options{.window = window};
                  bool* taken = funnel::detail::check_dpp(n, picked, options, scratch);
                  funnel::detail::dpp_of_vectors<funnel::default_arch>(
                      relevance, vectors, std::span(picked), options, taken, scratch, how);
                }
              };
              run();
              run();
              CALLGRIND_ZERO_STATS;
              run();
              const std::string name = method + " " + argv[a] + " " + std::to_string(n) + " " +
                                       std::to_string(k) + " " + std::to_string(window) +
                                       (how == scan::eager ? " eager" : " adaptive");
              CALLGRIND_DUMP_STATS_AT(name.c_str());
            }
    }
}
