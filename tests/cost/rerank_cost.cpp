// SPDX-License-Identifier: MIT
// How many instructions `mmr` and `dpp` take on the data that re-ranking gets, beside a plain eager
// method on the same kernels. Run by run.sh, which counts with callgrind.
#include <funnel/core/random.hpp>
#include <funnel/diversity/dpp.hpp>
#include <funnel/diversity/mmr.hpp>

#include "plain_scan.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <string>
#include <valgrind/callgrind.h>
#include <vector>

namespace {

constexpr std::size_t dim = 64;

struct problem {
  std::vector<float> relevance;
  funnel::matrix<float> vectors;
};

/// `kind` is a word for the vectors, one for relevance, or both with _ between. Vectors have 50 topics
/// with as much noise by default; relevance is any number by default.
problem make(const std::string& kind, std::size_t n) {
  const auto is = [&](const char* word) {
    return ("_" + kind + "_").find("_" + std::string(word) + "_") != std::string::npos;
  };
  funnel::random_generator bits(61);
  const auto uniform = [&](double low, double high) {
    return low + (high - low) * funnel::uniform01(bits);
  };
  const std::size_t topics = is("identical") ? 1 : is("few") ? 5 : 50;
  std::vector<double> center(50 * dim), of_topic(topics), along(8);
  for (double& c : center) c = uniform(-1, 1);
  for (double& r : of_topic) r = uniform(0, 1);
  problem made{std::vector<float>(n), funnel::matrix<float>(n, dim)};
  std::vector<double> logits(n);
  for (double& z : logits) z = 2 * funnel::standard_normal(bits) + 4;
  std::sort(logits.rbegin(), logits.rend());
  const double noise = is("copies") || is("scaled") || is("identical") || is("few") ? 0
                       : is("close")                                                ? 1e-3
                       : is("near")                                                 ? 1e-7
                                                                                    : 1;
  for (std::size_t i = 0; i < n; ++i) {
    const std::size_t topic = funnel::uniform_below(bits, topics);
    const double length = is("scaled") ? uniform(.5, 2) : 1;
    for (double& a : along) a = uniform(-1, 1);
    for (std::size_t f = 0; f < dim; ++f) {
      double value = length * center[topic * dim + f] + noise * uniform(-1, 1);
      if (is("flat")) {  // in a space of 8 dimensions
        value = 0;
        for (std::size_t a = 0; a < along.size(); ++a) value += along[a] * center[a * dim + f];
      }
      made.vectors(i, f) = static_cast<float>(value);
    }
    double relevance = uniform(0, 1);
    if (is("tied")) relevance = .5;
    if (is("bunched")) relevance = 1 / (1 + std::exp(-logits[i]));
    if (is("saturated")) relevance = 1 / (1 + std::exp(-logits[i] - 12));
    if (is("correlated")) relevance = .9 * of_topic[topic] + .1 * relevance;
    if (is("levels")) relevance = std::floor(5 * relevance) / 5;
    made.relevance[i] = static_cast<float>(relevance);
  }
  return made;
}

}  // namespace

// rerank_cost KIND...: under callgrind each case is a dump of its own. What the plain scan takes hardly
// depends on the data: it is counted with the first kind.
int main(int argc, char** argv) {
  for (int a = 1; a < argc; ++a)
    for (const std::size_t n : {1250, 10000}) {
      const std::string kind = argv[a];
      const problem p = make(kind, n);
      for (const std::size_t k : {10, 60})
        for (const std::size_t window : {0, 10}) {
          if (window >= k) continue;  // looks back over the whole page, as 0 does
          for (const std::string method : {"mmr", "dpp"})
            for (const bool plainly : {false, true}) {
              if (plainly && a > 1) continue;
              std::vector<std::size_t> picked(k);
              funnel::arena scratch;
              plain_scan plain;
              const auto run = [&](std::span<std::size_t> page) {
                scratch.reset();
                if (plainly && method == "mmr")
                  plain.mmr(p.relevance, p.vectors, .7f, window, page);
                else if (plainly)
                  plain.dpp(p.relevance, p.vectors, .5f, window, page);
                else if (method == "mmr")
                  funnel::mmr(p.relevance, p.vectors, page, {.window = window}, scratch);
                else
                  funnel::dpp(p.relevance, p.vectors, page, {.window = window}, scratch);
              };
              run(std::span(picked).first(1));  // so that most of the memory is there
              CALLGRIND_ZERO_STATS;
              run(picked);
              const std::string name = method + " " + kind + " " + std::to_string(n) + " " +
                                       std::to_string(k) + " " + std::to_string(window) +
                                       (plainly ? " plain" : " funnel");
              CALLGRIND_DUMP_STATS_AT(name.c_str());
            }
        }
    }
}
