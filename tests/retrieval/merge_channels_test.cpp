// SPDX-License-Identifier: MIT
#include <funnel/retrieval/merge_channels.hpp>

#include <funnel/core/random.hpp>
#include <funnel/index/scored_item.hpp>

#include "support/catch.hpp"
#include "support/errors.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <numeric>
#include <set>
#include <span>
#include <string>
#include <vector>

using funnel::candidates;
using funnel::channel_item;
using funnel::merge_channels;

namespace {

using ids = std::vector<std::int64_t>;
using quotas = std::vector<std::size_t>;
using lists = std::vector<std::vector<channel_item>>;

/// A list of these items with scores that tell the channel and the rank.
std::vector<channel_item> list(std::size_t channel, const ids& items) {
  std::vector<channel_item> made;
  for (const std::int64_t item : items)
    made.push_back({item, static_cast<float>(100 * channel + made.size())});
  return made;
}

candidates empty(std::size_t channels) {
  std::vector<std::string> names;
  for (std::size_t c = 0; c < channels; ++c) names.push_back("c" + std::to_string(c));
  return candidates(names);
}
void merge_into(candidates& to, const lists& found, const quotas& q) {
  const std::vector<std::span<const channel_item>> spans(found.begin(), found.end());
  merge_channels<channel_item>(spans, q, to);
}
candidates merge(const lists& found, const quotas& q) {
  candidates to = empty(found.size());
  merge_into(to, found, q);
  return to;
}
ids ids_of(const candidates& of) {
  return {of.ids().begin(), of.ids().end()};
}

}  // namespace

TEST_CASE("merge_channels: turns in snake order, duplicates once with all sources") {
  const lists found{list(0, {1, 2, 3, 4}), list(1, {2, 5, 1, 6}), list(2, {7, 8})};
  const candidates merged = merge(found, {2, 2, 1});
  // Turns: 1 (c0), 2 (c1), 7 (c2), back: c2 is done, 5 (c1), 3 (c0): 2 is there already.
  CHECK(ids_of(merged) == ids{1, 2, 7, 5, 3});
  CHECK(merged.source_bits(merged.find(1)) == 0b011);
  CHECK(merged.source_bits(merged.find(2)) == 0b011);
  CHECK(merged.source_bits(merged.find(7)) == 0b100);
  CHECK(merged.source_bits(merged.find(5)) == 0b010);
  CHECK(merged.find(8) == candidates::none);
  CHECK(merged.kept().size() == 5);
  // Ranks and scores are those of the source's own list.
  for (const candidates::find_record& f : merged.finds()) {
    const auto& of = found[f.source];
    CHECK(of[f.rank].item == merged.id(f.slot));
    CHECK(of[f.rank].score == f.score);
  }
  CHECK(merged.finds().size() == 7);
}

TEST_CASE("merge_channels: what channels leave goes to the others by their quotas") {
  // Channel 0 leaves 6 of 8; by 4 : 2 channels 1 and 2 get 4 and 2 more.
  const lists found{list(0, {1, 2}), list(1, {10, 11, 12, 13, 14, 15, 16, 17, 18, 19}),
                    list(2, {20, 21, 22, 23, 24, 25, 26})};
  const candidates merged = merge(found, {8, 4, 2});
  CHECK(merged.size() == 14);
  CHECK(merged.found_by(0) == 2);
  CHECK(merged.found_by(1) == 8);
  CHECK(merged.found_by(2) == 4);
  // A channel that leaves something of what it got: it is split again.
  const candidates again =
      merge({list(0, {}), list(1, {10, 11}), list(2, {20, 21, 22, 23, 24})}, {4, 1, 1});
  CHECK(again.size() == 6);
  CHECK(again.found_by(1) == 2);
  CHECK(again.found_by(2) == 4);
  // All find too few.
  CHECK(merge({list(0, {1}), list(1, {1})}, {5, 5}).size() == 1);
}

TEST_CASE("merge_channels: a quota of 0 switches a channel off, but it is still a source") {
  const candidates merged = merge({list(0, {1, 2, 3}), list(1, {3, 4})}, {0, 5});
  CHECK(ids_of(merged) == ids{3, 4});
  CHECK(merged.source_bits(0) == 0b11);
  CHECK(merge({list(0, {1}), list(1, {2})}, {0, 0}).size() == 0);
  CHECK(merge({}, {}).size() == 0);
}

TEST_CASE("merge_channels: lists of an index") {
  const std::vector<funnel::scored_item> a{{5, .9f}, {6, .8f}}, b{{4294967295u, .5f}};
  const std::vector<std::span<const funnel::scored_item>> found{a, b};
  candidates to = empty(2);
  merge_channels<funnel::scored_item>(found, quotas{1, 1}, to);
  CHECK(ids_of(to) == ids{5, 4294967295});
}

TEST_CASE("merge_channels: what is there before counts as found by others") {
  candidates to({"a", "b", "before"});
  to.add(2, 1, .5f);
  merge_into(to, {list(0, {1, 2, 3}), list(1, {4})}, {2, 1});
  CHECK(ids_of(to) == ids{1, 2, 4, 3});
  CHECK(to.source_bits(0) == 0b101);
}

TEST_CASE("merge_channels: properties over random worlds") {
  funnel::random_generator bits(7);
  for (int round = 0; round < 3000; ++round) {
    const std::size_t channels = 1 + uniform_below(bits, 6), items = 1 + uniform_below(bits, 60);
    lists found(channels);
    quotas q(channels);
    std::set<std::int64_t> all;
    for (std::size_t c = 0; c < channels; ++c) {
      q[c] = uniform_below(bits, 3) == 0 ? 0 : uniform_below(bits, 20);
      ids of;
      for (std::size_t i = uniform_below(bits, 25); i > 0; --i)
        of.push_back(static_cast<std::int64_t>(uniform_below(bits, items)));  // also one twice
      found[c] = list(c, of);
      if (q[c] > 0) all.insert(of.begin(), of.end());
    }
    const candidates merged = merge(found, q);
    const std::size_t total = std::accumulate(q.begin(), q.end(), std::size_t{0});
    // The total is reached if there are as many, and nothing is there twice.
    REQUIRE(merged.size() == std::min(total, all.size()));
    const ids out = ids_of(merged);
    REQUIRE(std::set<std::int64_t>(out.begin(), out.end()).size() == out.size());
    // Each item has exactly the sources whose lists have it.
    for (std::uint32_t slot = 0; slot < out.size(); ++slot) {
      std::uint64_t sources = 0;
      for (std::size_t c = 0; c < channels; ++c)
        if (std::ranges::find(found[c], out[slot], &channel_item::item) != found[c].end())
          sources |= std::uint64_t{1} << c;
      REQUIRE(merged.source_bits(slot) == sources);
    }
    // The first record of a slot is of the channel that added it. None adds more than its quota and
    // what others left, and one that has items left adds no less than its quota.
    quotas added(channels);
    std::vector<bool> is_known(out.size());
    for (const candidates::find_record& f : merged.finds()) {
      if (!is_known[f.slot]) ++added[f.source];
      is_known[f.slot] = true;
      REQUIRE(found[f.source][f.rank].item == out[f.slot]);
      REQUIRE(found[f.source][f.rank].score == f.score);
    }
    std::size_t left = 0;
    for (std::size_t c = 0; c < channels; ++c) left += q[c] - std::min(q[c], added[c]);
    for (std::size_t c = 0; c < channels; ++c) {
      REQUIRE(added[c] <= q[c] + left);
      if (q[c] == 0) REQUIRE(added[c] == 0);
      const bool is_exhausted = std::ranges::all_of(
          found[c], [&](const channel_item& f) { return merged.find(f.item) != candidates::none; });
      if (!is_exhausted) REQUIRE(added[c] >= q[c]);
    }
    REQUIRE(ids_of(merge(found, q)) == out);
  }
}

TEST_CASE(
    "merge_channels: as many channels as candidates can have, and requests one after another") {
  lists found;
  for (std::size_t c = 0; c < candidates::most_sources; ++c)
    found.push_back(
        list(c, {static_cast<std::int64_t>(c), 1000, 2000 + static_cast<std::int64_t>(c)}));
  candidates to = empty(found.size());
  for (int request = 0; request < 3; ++request) {
    to.clear();
    merge_into(to, found, quotas(found.size(), 2));
    REQUIRE(to.size() == 128);
    REQUIRE(to.source_bits(to.find(1000)) == ~std::uint64_t{0});
  }
}

TEST_CASE("merge_channels: wrong arguments are refused, and nothing is added") {
  candidates to = empty(2);
  const auto refused = [&](const lists& found, const quotas& q, const char* words) {
    CHECK(refuses([&] { merge_into(to, found, q); }, "funnel::merge_channels: ", words));
    CHECK(to.size() == 0);
  };
  const auto some = list(0, {1});
  refused({some, some}, {1}, "quotas has 1 value, expected 2");
  refused({some, some, some}, {1, 1, 1},
          "the number of lists is 3, expected at most 2, the sources");
  constexpr std::size_t most = std::numeric_limits<std::size_t>::max();
  refused({some, some}, {1, most}, "a quota is 18446744073709551615, expected at most 2^53");
  refused({some, some}, {std::size_t{1} << 53, std::size_t{1} << 53}, "at most 2^53");
  merge_into(to, {some, list(1, {2})}, {std::size_t{1} << 52, std::size_t{1} << 52});
  CHECK(to.size() == 2);
}
