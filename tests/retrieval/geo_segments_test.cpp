// SPDX-License-Identifier: MIT
#include <funnel/retrieval/geo_segments.hpp>

#include <funnel/core/random.hpp>

#include "support/catch.hpp"
#include "support/errors.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <set>
#include <vector>

using namespace funnel;

namespace {

std::vector<popular_segment> segments_of(double latitude, double longitude,
                                         const geo_segments_options& options = {}) {
  std::vector<popular_segment> out(most_geo_segments);
  out.resize(geo_segments(latitude, longitude, out, options));
  return out;
}

}  // namespace

TEST_CASE("the cells around a place, the coarser ones, and all") {
  random_generator bits(1);
  for (int place = 0; place < 200; ++place) {
    const double latitude = static_cast<double>(uniform_below(bits, 1'600'000)) / 1e4 - 80;
    const double longitude = static_cast<double>(uniform_below(bits, 3'600'000)) / 1e4 - 180;
    for (std::size_t longest = 2; longest <= 8; ++longest) {
      const auto found =
          segments_of(latitude, longitude, {.longest = longest, .shortest = 2, .all = 5});
      REQUIRE(found.size() == 9 + (longest - 2) + 1);
      CHECK(found[0] == popular_segment{geo_segment(latitude, longitude, longest), 0});
      const double height = 180 / std::exp2(static_cast<double>(5 * longest / 2));
      const double width = 360 / std::exp2(static_cast<double>((5 * longest + 1) / 2));
      std::set<std::uint64_t> expected, around;
      for (const int north : {-1, 0, 1})
        for (const int east : {-1, 0, 1})
          expected.insert(geo_segment(latitude + north * height,
                                      std::remainder(longitude + east * width, 360.), longest));
      for (std::size_t i = 0; i < 9; ++i) {
        CHECK(found[i].level == 0);
        around.insert(found[i].key);
      }
      CHECK(around == expected);
      CHECK(around.size() == 9);
      std::uint32_t level = 0;
      for (std::size_t length = longest; length-- > 2;) {
        ++level;
        CHECK(found[8 + level] == popular_segment{geo_segment(latitude, longitude, length), level});
      }
      CHECK(found.back() == popular_segment{5, level + 1});
    }
  }
}

TEST_CASE("cells at the poles, at the date line, and of all lengths") {
  for (const double latitude : {-90., 90.}) CHECK(segments_of(latitude, 0).size() == 6 + 2 + 1);
  CHECK(segments_of(0, 0, {.longest = 12, .shortest = 1}).size() == most_geo_segments);
  CHECK(segments_of(30, 0, {.longest = 1, .shortest = 1}).size() == 9 + 1);
  const auto east = segments_of(10, 180), west = segments_of(10, -180);
  const auto has = [](const auto& segments, std::uint64_t key) {
    return std::ranges::find(segments, key, &popular_segment::key) != segments.end();
  };
  CHECK(has(east, geo_segment(10, -180, 5)));
  CHECK(has(west, geo_segment(10, 180, 5)));
  std::set<std::uint64_t> keys;
  for (std::size_t length = 1; length <= 12; ++length) keys.insert(geo_segment(-90, -180, length));
  CHECK(keys.size() == 12);
  CHECK(*keys.begin() == std::uint64_t{1} << 60);
}

TEST_CASE("popular near a place") {
  popular_items by({.half_life = 10, .smoothing = 1});
  const auto add = [&](double latitude, double longitude, item_id item, int events) {
    for (int e = 0; e < events; ++e) {
      for (std::size_t length = 3; length <= 5; ++length)
        by.add(geo_segment(latitude, longitude, length), item, 0);
      by.add(0, item, 0);
    }
  };
  add(52.52, 13.40, 1, 20);    // Berlin
  add(52.52, 13.45, 2, 15);    // next to it
  add(48.14, 11.58, 3, 1000);  // Munich
  std::vector<popular_segment> near(most_geo_segments);
  std::vector<scored_item> found(3);
  const auto search = [&](double latitude, double longitude) {
    near.resize(most_geo_segments);
    near.resize(geo_segments(latitude, longitude, near));
    std::vector<item_id> items;
    const std::size_t count = by.search(near, 0, found, [](item_id) { return true; });
    for (std::size_t i = 0; i < count; ++i) items.push_back(found[i].item);
    return items;
  };
  CHECK(search(52.52, 13.40) == std::vector<item_id>{1, 2, 3});
  CHECK(search(48.14, 11.58) == std::vector<item_id>{3, 1, 2});
  CHECK(search(-30, 100) == std::vector<item_id>{3, 1, 2});  // nobody is there
}

TEST_CASE("what geo_segments refuse") {
  constexpr double nan = std::numeric_limits<double>::quiet_NaN();
  CHECK(refuses([] { segments_of(91, 0); }, "funnel::geohash", "latitude is 91"));
  CHECK(refuses([] { segments_of(0, nan); }, "funnel::geohash", "longitude is nan"));
  CHECK(refuses([] { geo_segment(0, 0, 13); }, "funnel::geohash", "length is 13"));
  const char* name = "funnel::geo_segments";
  CHECK(refuses([] { segments_of(0, 0, {.longest = 13}); }, name, "longest is 13"));
  CHECK(refuses([] { segments_of(0, 0, {.longest = 0}); }, name, "longest is 0"));
  CHECK(refuses([] { segments_of(0, 0, {.longest = 5, .shortest = 6}); }, name, "shortest is 6"));
  CHECK(refuses([] { segments_of(0, 0, {.shortest = 0}); }, name, "shortest is 0"));
  std::vector<popular_segment> out(20);
  CHECK(refuses([&] { geo_segments(0, 0, out); }, name, "the size of out is 20"));
}
