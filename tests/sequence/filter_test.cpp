// SPDX-License-Identifier: MIT
#include <funnel/sequence/filter.hpp>

#include "support/catch.hpp"
#include "support/errors.hpp"

#include <funnel/core/random.hpp>

#include <limits>
#include <numeric>
#include <set>

using funnel::category_id;
using funnel::category_index;

namespace {

using positions = std::vector<std::uint32_t>;

positions hard(const category_index& index, category_id category, std::size_t most) {
  positions kept(most, 77);
  kept.resize(funnel::hard_search(index, category, kept));
  return kept;
}

template <std::size_t Lists>
positions joined(const std::span<const std::uint32_t> (&lists)[Lists], std::size_t most) {
  positions kept(most, 77);
  kept.resize(funnel::filter_union(lists, kept));
  return kept;
}

positions soft(const funnel::matrix<float>& history, const std::vector<float>& candidate,
               std::size_t most) {
  funnel::arena scratch;
  positions kept(most, 77);
  kept.resize(funnel::soft_search(history, candidate, kept, scratch));
  return kept;
}

}  // namespace

TEST_CASE("hard_search: the newest of a category, in the order of the history") {
  const category_index index(std::vector<category_id>{5, 7, 5, 5, 9, 5});
  CHECK(hard(index, 5, 10) == positions{0, 2, 3, 5});
  CHECK(hard(index, 5, 2) == positions{3, 5});
  CHECK(hard(index, 5, 0).empty());
  CHECK(hard(index, 8, 10).empty());  // nothing is nothing, not everything
  CHECK(hard(index, 0, 10).empty());
  CHECK(hard(category_index(), 5, 10).empty());
}

TEST_CASE("filter_union: worked example") {
  //                              0  1  2  3  4  5
  const category_index categories(std::vector<category_id>{1, 2, 1, 3, 1, 2});
  const category_index clusters(std::vector<category_id>{8, 8, 9, 9, 8, 0});
  CHECK(joined({categories.find(1), clusters.find(8)}, 10) == positions{0, 1, 2, 4});
  CHECK(joined({categories.find(1), clusters.find(8)}, 2) == positions{2, 4});
  CHECK(joined({categories.find(1), clusters.find(8)}, 0).empty());
  // A candidate without a cluster is left with its category, whatever others have no cluster.
  CHECK(joined({categories.find(2), clusters.find(0)}, 10) == positions{1, 5});
  CHECK(joined({categories.find(4), clusters.find(0)}, 10).empty());
}

TEST_CASE("filter_union: agrees with sets") {
  funnel::random_generator bits(1);
  for (int round = 0; round < 300; ++round) {
    positions lists[3];
    std::set<std::uint32_t> all;
    for (positions& list : lists) {
      const std::size_t density = funnel::uniform_below(bits, 5);
      for (std::uint32_t p = 60; p-- > 0;)
        if (funnel::uniform_below(bits, 5) < density) list.push_back(p);
      all.insert(list.begin(), list.end());
    }
    const std::size_t most = funnel::uniform_below(bits, 70);
    positions expected(all.begin(), all.end());
    if (expected.size() > most)
      expected.erase(expected.begin(), expected.end() - static_cast<std::ptrdiff_t>(most));
    CHECK(joined({lists[0], lists[1], lists[2]}, most) == expected);
  }
}

TEST_CASE("filter_union: refuses a list in another order, and writes nothing then") {
  const positions rising{1, 2};
  const positions twice{2, 2};
  const positions fine{3, 1};
  positions kept(5, 77);
  const auto refused = [&](const positions& list) {
    return refuses(
        [&] {
          funnel::filter_union({fine, list}, kept);
        },
        "funnel::filter_union: ", "list 1 is not newest first");
  };
  CHECK(refused(rising));
  CHECK(refused(twice));
  CHECK(kept == positions(5, 77));
}

TEST_CASE("soft_search: the closest, in the order of the history") {
  funnel::matrix<float> history(5, 2);
  const float values[] = {1, -3, -1, 2, std::numeric_limits<float>::quiet_NaN()};
  for (std::size_t i = 0; i < 5; ++i) history(i, 0) = values[i];
  CHECK(soft(history, {1, 0}, 2) == positions{0, 3});
  CHECK(soft(history, {-1, 0}, 2) == positions{1, 2});
  CHECK(soft(history, {-1, 0}, 3) == positions{0, 1, 2});  // a negative product is still a product
  CHECK(soft(history, {1, 0}, 9) == positions{0, 1, 2, 3, 4});
  CHECK(soft(history, {1, 0}, 0).empty());
  CHECK(soft(funnel::matrix<float>(0, 2), {1, 0}, 3).empty());
  funnel::arena scratch;
  positions kept(2, 77);
  CHECK(refuses([&] { funnel::soft_search(history, std::vector<float>{1}, kept, scratch); },
                "funnel::soft_search: ", "candidate has 1 values, history 2 columns"));
  CHECK(kept == positions{77, 77});
}

TEST_CASE("soft_search: agrees with a sort, in double too") {
  funnel::random_generator bits(2);
  for (int round = 0; round < 50; ++round) {
    const std::size_t n = funnel::uniform_below(bits, 50);
    const std::size_t d = 1 + funnel::uniform_below(bits, 9);
    funnel::matrix<double> history(n, d);
    for (double& value : history.flat()) value = funnel::standard_normal(bits);
    std::vector<double> candidate(d);
    for (double& value : candidate) value = funnel::standard_normal(bits);
    const auto product = [&](std::uint32_t i) {
      return std::inner_product(candidate.begin(), candidate.end(), history.row(i).begin(), 0.);
    };
    const std::size_t most = funnel::uniform_below(bits, 60);
    positions expected(n);
    std::iota(expected.begin(), expected.end(), 0u);
    std::ranges::sort(expected, std::greater<>(), product);
    expected.resize(std::min(n, most));
    std::ranges::sort(expected);
    funnel::arena scratch;
    positions kept(most);
    kept.resize(funnel::soft_search<double>(history, candidate, kept, scratch));
    CHECK(kept == expected);
  }
}
