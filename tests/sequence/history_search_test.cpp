// SPDX-License-Identifier: MIT
#include <funnel/sequence/history_search.hpp>

#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/matrices.hpp"

#include "support/archs.hpp"

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

TEST_CASE("filter_union, hard_search: a scan finds what the indexes find") {
  using funnel::field_equals;
  funnel::random_generator bits(3);
  for_each_arch([&]<class Arch>(Arch) {
    for (const std::size_t n : size_list{0, 1, 3, 4, 5, 15, 16, 17, 63, 64, 65, 128, 1000, 3000}) {
      for (const std::size_t kinds : size_list{2, 20, 1000}) {
        // Bits above the 24th, which a comparison of floats would drop.
        const auto draw = [&] {
          const auto id = funnel::uniform_below(bits, kinds);
          return static_cast<category_id>(id == 0 ? 0 : 0x7f000000u + id);
        };
        std::vector<category_id> categories(n), clusters(n);
        for (category_id& c : categories) c = draw();
        for (category_id& c : clusters) c = draw();
        const category_index by_category(categories), by_cluster(clusters);
        for (const std::size_t most : {std::size_t{0}, std::size_t{1}, std::size_t{7}, n, n + 3}) {
          for (int round = 0; round < 4; ++round) {
            const category_id c = round == 0 ? 0 : n == 0 ? draw() : categories[n / 2];
            const category_id g = round == 1 ? 0 : n == 0 ? draw() : clusters[n / 3];
            positions expected(most, 77), scanned(most, 77);
            INFO(n << " items, " << kinds << " kinds, " << most << " kept");
            const std::size_t count =
                funnel::filter_union({by_category.find(c), by_cluster.find(g)}, expected);
            CHECK(funnel::filter_union<2, Arch>(
                      {field_equals{categories, c}, field_equals{clusters, g}}, scanned) == count);
            CHECK(scanned == expected);
            positions one(most, 77), one_scanned(most, 77);
            const std::size_t of_one = funnel::hard_search(by_category, c, one);
            CHECK(funnel::hard_search<Arch>({categories, c}, one_scanned) == of_one);
            CHECK(one_scanned == one);
          }
        }
      }
    }
  });
}

TEST_CASE("filter_union: a scan has a missing id of its own, and refuses what does not fit") {
  using funnel::field_equals;
  const std::vector<category_id> categories{1, 0, 1, 9}, clusters{0, 9, 0, 9}, short_one{1, 2};
  positions kept(9, 77);
  const auto scan = [&](const field_equals& a, const field_equals& b) {
    kept.assign(9, 77);
    kept.resize(funnel::filter_union({a, b}, kept));
    return kept;
  };
  CHECK(scan({categories, 1}, {clusters, 9}) == positions{0, 1, 2, 3});
  CHECK(scan({categories, 1}, {clusters, 9, 9}) == positions{0, 2});
  CHECK(scan({categories, 1, 1}, {clusters, 0, 9}) == positions{0, 2});
  CHECK(scan({categories, 0}, {clusters, 0}).empty());
  CHECK(scan({{}, 1}, {{}, 2}).empty());
  kept.assign(9, 77);
  CHECK(refuses(
      [&] {
        funnel::filter_union({field_equals{categories, 1}, field_equals{short_one, 1}}, kept);
      },
      "funnel::filter_union: ",
      "conditions[1].ids has 2 values, expected 4 as in conditions[0].ids"));
  CHECK(kept == positions(9, 77));
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
        "funnel::filter_union: ", "lists[1] is out of order, expected the newest first");
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
  CHECK(
      refuses([&] { funnel::soft_search(history, std::vector<float>{1}, kept, scratch); },
              "funnel::soft_search: ", "candidate has 1 value, expected 2 as in a row of history"));
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
    kept.resize(funnel::soft_search(history, candidate, kept, scratch));
    CHECK(kept == expected);
  }
}
