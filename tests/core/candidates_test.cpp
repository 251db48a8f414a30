// SPDX-License-Identifier: MIT
#include <funnel/core/candidates.hpp>
#include <funnel/core/random.hpp>

#include "support/catch.hpp"
#include "support/errors.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <map>
#include <set>
#include <string>
#include <vector>

using funnel::candidates;
using funnel::drop_cause;

namespace {

const std::vector<std::uint32_t> none_picked{};

std::vector<std::uint32_t> kept(const candidates& c) {
  return {c.kept().begin(), c.kept().end()};
}

candidates five() {
  candidates c({"a", "b"}, {{"rank", {"click", "like"}}});
  for (std::int64_t id = 10; id < 15; ++id) c.add(0, id, static_cast<float>(id));
  return c;
}

}  // namespace

TEST_CASE("candidates: a slot per id, with all sources that found it") {
  candidates c({"towers", "popular", "follow"});
  CHECK(c.add(0, 17, .5f) == 0);
  CHECK(c.add(0, -4, .4f) == 1);
  CHECK(c.add(1, 17, 1200) == 0);
  CHECK(c.add(1, 17, 9) == 0);  // found it already: the first score stays
  CHECK(c.add(1, std::numeric_limits<std::int64_t>::min(), 3) == 2);
  CHECK(c.size() == 3);
  CHECK(c.find(17) == 0);
  CHECK(c.find(-4) == 1);
  CHECK(c.find(5) == candidates::none);
  CHECK(c.id(2) == std::numeric_limits<std::int64_t>::min());
  CHECK(c.source_bits(0) == 3);
  CHECK(c.source_bits(1) == 1);
  CHECK(c.source_bits(2) == 2);
  CHECK(c.found_by(0) == 2);
  CHECK(c.found_by(1) == 2);
  CHECK(c.found_by(2) == 0);
  REQUIRE(c.finds().size() == 4);
  CHECK(c.finds()[2].slot == 0);
  CHECK(c.finds()[2].source == 1);
  CHECK(c.finds()[2].score == 1200);
  CHECK(c.finds()[2].rank == 0);
  CHECK(c.finds()[3].rank == 1);
  CHECK(kept(c) == std::vector<std::uint32_t>{0, 1, 2});
}

TEST_CASE("candidates: slots and scores stay where they are while others are dropped") {
  candidates c = five();
  for (std::uint32_t slot = 0; slot < 5; ++slot) c.scores(0)(slot, 1) = static_cast<float>(slot);
  c.keep(std::vector<std::uint32_t>{4, 1, 2}, 3, drop_cause::size);
  CHECK(kept(c) == std::vector<std::uint32_t>{4, 1, 2});
  CHECK(c.fate_of(0) == candidates::fate{drop_cause::size, 3});
  CHECK(c.fate_of(4) == candidates::fate{});
  c.drop_if(5, drop_cause::filter, [&](std::uint32_t slot) { return c.id(slot) == 11; });
  CHECK(kept(c) == std::vector<std::uint32_t>{4, 2});
  CHECK(c.fate_of(1) == candidates::fate{drop_cause::filter, 5});
  CHECK(c.fate_of(0) == candidates::fate{drop_cause::size, 3});  // the first reason stays
  CHECK(c.size() == 5);
  CHECK(c.find(14) == 4);
  CHECK(c.scores(0)(3, 1) == 3);
  CHECK(std::isnan(c.scores(0)(3, 0)));

  // A late source: a slot of its own, after the kept ones, and no scores yet.
  CHECK(c.add(1, 99, 1) == 5);
  CHECK(kept(c) == std::vector<std::uint32_t>{4, 2, 5});
  CHECK(c.scores(0).rows() == 6);
  CHECK(c.scores(0)(4, 1) == 4);
  CHECK(std::isnan(c.scores(0)(5, 1)));
  // One that was dropped stays dropped when another source finds it.
  CHECK(c.add(1, 11, 1) == 1);
  CHECK(kept(c) == std::vector<std::uint32_t>{4, 2, 5});
  CHECK(c.source_bits(1) == 3);
}

TEST_CASE("candidates: random requests equal a map from ids to slots") {
  funnel::random_generator bits(5);
  candidates c({"a", "b", "c"}, {{"s", {"x"}}});
  for (int request = 0; request < 50; ++request) {
    c.clear();
    std::map<std::int64_t, std::uint32_t> slots;
    std::map<std::int64_t, std::set<std::size_t>> sources;
    const std::size_t n = funnel::uniform_below(bits, request % 7 == 0 ? 3000 : 60);
    for (std::size_t i = 0; i < n; ++i) {
      // Also ids that differ by powers of two, whose hashes may be close.
      const std::int64_t id = static_cast<std::int64_t>(funnel::uniform_below(bits, 1 + n / 2))
                              << (request % 3 * 20);
      const std::size_t source = funnel::uniform_below(bits, 3);
      const auto next = static_cast<std::uint32_t>(slots.size());
      const std::uint32_t expected = slots.try_emplace(id, next).first->second;
      REQUIRE(c.add(source, id, 1) == expected);
      sources[id].insert(source);
    }
    REQUIRE(c.size() == slots.size());
    for (const auto& [id, slot] : slots) {
      REQUIRE(c.find(id) == slot);
      REQUIRE(c.id(slot) == id);
      for (std::size_t s = 0; s < 3; ++s)
        REQUIRE((c.source_bits(slot) >> s & 1) == sources[id].count(s));
    }
    REQUIRE(c.find(-1) == candidates::none);
  }
}

TEST_CASE("candidates: nothing of a request is left in the next one") {
  candidates c = five();
  c.scores(0)(0, 0) = 7;
  c.keep(none_picked, 0, drop_cause::size);
  c.clear();
  CHECK(c.size() == 0);
  CHECK(c.kept().empty());
  CHECK(c.finds().empty());
  CHECK(c.found_by(0) == 0);
  CHECK(c.find(10) == candidates::none);
  CHECK(c.add(1, 10, 1) == 0);
  CHECK(c.fate_of(0) == candidates::fate{});
  CHECK(c.source_bits(0) == 2);
  CHECK(std::isnan(c.scores(0)(0, 0)));
}

TEST_CASE("candidates: 100,000 of one request, and copies") {
  candidates c({"a"});
  for (std::int64_t id = 0; id < 100'000; ++id) c.add(0, id * 1024, 0);
  CHECK(c.size() == 100'000);
  CHECK(c.find(1024 * 99'999) == 99'999);
  candidates copy = c;
  copy.add(0, 1, 0);
  CHECK(c.find(1) == candidates::none);
  CHECK(copy.find(1) == 100'000);
  c = std::move(copy);
  CHECK(c.size() == 100'001);
}

TEST_CASE("candidates: wrong arguments are refused, and nothing has changed") {
  candidates c = five();
  const auto keep = [&](std::vector<std::uint32_t> slots) {
    return [&c, slots] { c.keep(slots, 1, drop_cause::size); };
  };
  CHECK(refuses([&] { c.add(2, 1, 0); }, "funnel::candidates::add: source is 2", "below 2"));
  CHECK(refuses(keep({1, 7}), "funnel::candidates::keep: a slot is 7", "below 5"));
  CHECK(refuses(keep({1, 1}), "funnel::candidates::keep: slots[1] is 1", "second time"));
  c.keep(std::vector<std::uint32_t>{0, 1}, 0, drop_cause::size);
  CHECK(refuses(keep({0, 4}), "funnel::candidates::keep: slots[1] is 4", "was dropped"));
  CHECK(kept(c) == std::vector<std::uint32_t>{0, 1});
  CHECK(c.fate_of(1) == candidates::fate{});
  CHECK(refuses([&] { c.scores(1); }, "funnel::candidates::scores: stage is 1", "below 1"));
  CHECK(refuses([&] { c.stage("rnk"); }, "funnel::candidates::stage: name is \"rnk\"", "expected"));
  CHECK(refuses([&] { c.id(5); }, "funnel::candidates::id: slot is 5", "below 5"));
  CHECK(refuses([&] { c.fate_of(5); }, "funnel::candidates::fate_of: slot is 5", "below 5"));
  CHECK(refuses([&] { c.source_bits(5); }, "funnel::candidates::source_bits", "below 5"));
  CHECK(refuses([&] { c.found_by(2); }, "funnel::candidates::found_by: source is 2", "below 2"));
  CHECK(refuses(
      [] {
        candidates({"a"}, {{"rank", {}}});
      },
      "funnel::candidates: outputs of stage rank", "is empty"));
  CHECK(refuses([] { candidates(std::vector<std::string>(65, "a")); },
                "funnel::candidates: the number of sources is 65", "64 or fewer"));
  candidates empty;
  CHECK(refuses([&] { empty.add(0, 1, 0); }, "funnel::candidates::add: source is 0", "below 0"));
  CHECK(empty.find(1) == candidates::none);
}
