// SPDX-License-Identifier: MIT
#include <funnel/metrics/recall.hpp>

#include "support/catch.hpp"
#include "support/errors.hpp"

#include <funnel/core/random.hpp>

#include <algorithm>
#include <cmath>
#include <set>
#include <vector>

namespace {

using ids = std::vector<funnel::item_id>;
using funnel::recall_denominator;

}  // namespace

TEST_CASE("recall_at_k, hit_at_k, reciprocal_rank: worked by hand") {
  const ids ranked{5, 2, 9, 1, 7}, relevant{1, 2, 3, 4};
  CHECK(funnel::recall_at_k(ranked, relevant, {.k = 1}) == 0);
  CHECK(funnel::recall_at_k(ranked, relevant, {.k = 2}) == .25);
  CHECK(funnel::recall_at_k(ranked, relevant, {.k = 4}) == .5);
  CHECK(funnel::recall_at_k(ranked, relevant,
                            {.k = 2, .denominator = recall_denominator::attainable}) == .5);
  CHECK(funnel::recall_at_k(ranked, relevant) == .5);  // a list shorter than k
  CHECK(funnel::hit_at_k(ranked, relevant, 1) == 0);
  CHECK(funnel::hit_at_k(ranked, relevant, 2) == 1);
  CHECK(funnel::reciprocal_rank(ranked, relevant) == .5);
  CHECK(funnel::reciprocal_rank(ranked, ids{8}) == 0);
}

TEST_CASE("recall: ids listed twice count once") {
  CHECK(funnel::recall_at_k(ids{1, 1, 1}, ids{1, 2}) == .5);
  CHECK(funnel::recall_at_k(ids{1, 1, 2}, ids{1, 2}, {.k = 2}) == .5);  // it took up a place
  CHECK(funnel::recall_at_k(ids{1}, ids{1, 1}) == 1);
}

TEST_CASE("recall: equals a count in sets") {
  funnel::random_generator bits(7);
  for (int round = 0; round < 100; ++round) {
    ids corpus(20);
    for (funnel::item_id i = 0; i < 20; ++i) corpus[i] = i;
    funnel::shuffle(bits, corpus);
    const ids ranked(corpus.begin(),
                     corpus.begin() + static_cast<int>(funnel::uniform_below(bits, 20)));
    ids relevant(1 + funnel::uniform_below(bits, 8));
    for (auto& id : relevant) id = static_cast<funnel::item_id>(funnel::uniform_below(bits, 25));
    const std::set<funnel::item_id> sought(relevant.begin(), relevant.end());
    double last = 0;
    for (std::size_t k = 1; k <= 21; ++k) {
      std::size_t hits = 0, first = 0;
      for (std::size_t i = 0; i < std::min(k, ranked.size()); ++i)
        if (sought.count(ranked[i]) > 0 && ++hits == 1) first = i + 1;
      const double recall = funnel::recall_at_k(ranked, relevant, {.k = k});
      CHECK(recall == double(hits) / double(sought.size()));
      CHECK(funnel::recall_at_k(ranked, relevant,
                                {.k = k, .denominator = recall_denominator::attainable}) ==
            double(hits) / double(std::min(k, sought.size())));
      CHECK(funnel::hit_at_k(ranked, relevant, k) == (hits > 0 ? 1 : 0));
      if (k >= ranked.size())
        CHECK(funnel::reciprocal_rank(ranked, relevant) == (first > 0 ? 1. / double(first) : 0));
      CHECK(recall >= last);
      last = recall;
    }
  }
}

TEST_CASE("recall: what has no value, and what is refused") {
  CHECK(std::isnan(funnel::recall_at_k(ids{1}, {})));
  CHECK(std::isnan(funnel::hit_at_k(ids{1}, {}, 1)));
  CHECK(std::isnan(funnel::reciprocal_rank(ids{1}, {})));
  CHECK(funnel::recall_at_k({}, ids{1}) == 0);
  CHECK(funnel::hit_at_k({}, ids{1}, 3) == 0);
  CHECK(refuses([] { funnel::recall_at_k(ids{1}, ids{1}, {.k = 0}); }, "funnel::recall_at_k",
                "k is 0"));
  CHECK(refuses([] { funnel::hit_at_k(ids{1}, ids{1}, 0); }, "funnel::hit_at_k", "k is 0"));
}
