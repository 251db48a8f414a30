// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/features/detail/event_counters.hpp>
#include <funnel/features/detail/feature_plan.hpp>
#include <funnel/features/detail/fill_batch.hpp>
#include <funnel/features/detail/key_sums.hpp>
#include <funnel/features/detail/row_features.hpp>
#include <funnel/features/row_batch.hpp>
#include <funnel/features/schema.hpp>
#include <funnel/simd/detail/prefetch.hpp>

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

namespace funnel::detail {

/// The keys of the rows of a request: of each side a block of [rows, keys]. The user and the context
/// have one row.
using request_keys = std::array<std::vector<std::uint64_t>, sides>;

/// Writes the numbers that counters give the rows of a request, counter by counter: each reads a
/// table of its own, and so the reads of many rows are under way at once.
///
/// The numbers of items and crosses are kept, scaled, as far as a budget allows. The candidates of a
/// request share tags and authors, and many are candidates of the next request as well. A row of the
/// sums has one place, where it replaces another; windows, which depend on the time, are not kept.
class counter_columns {
 public:
  /// `budget`: most bytes that may be kept.
  counter_columns(const schema& features, std::size_t budget) {
    const feature_plan& plan = features.plan();
    std::size_t bytes = 0;  // of a place in each group
    for (std::size_t side = 0; side < sides; ++side) {
      const std::vector<counter_plan>& all = plan.of[side].counters;
      for (std::size_t c = 0; c < all.size(); ++c) {
        std::vector<group>& groups = groups_[side];
        const bool window = all[c].kind == counter_kind::window;
        if (groups.empty() || window || groups.back().counts != all[c].counts ||
            groups.back().window)
          groups.push_back(
              {.window = window, .counts = all[c].counts, .begin = c, .offset = all[c].offset});
        groups.back().end = c + 1;
        groups.back().width = all[c].offset + all[c].width - groups.back().offset;
      }
      for (group& g : groups_[side]) {
        g.keeps = !g.window && !is_by_request(side);
        if (g.keeps) bytes += sizeof(std::uint32_t) + g.width * sizeof(float);
      }
    }
    most_places_ = bytes == 0 ? 0 : std::bit_floor(budget / bytes);
  }

  /// Forgets what is kept, and makes room: call it first, and when the counters have changed.
  void start(const event_counters& counters) {
    for (std::vector<group>& groups : groups_)
      for (group& g : groups) {
        g.keeps = g.keeps && most_places_ > 0;
        if (!g.keeps) continue;
        const std::size_t places =
            std::min(most_places_, std::bit_ceil(counters.sums(g.counts).rows()));
        g.numbers.resize(places * g.width);
        g.rows.assign(places, no_row);
      }
  }

  /// Writes the numbers and the activity classes of a side, whose columns have their size.
  void write(const schema& features, std::size_t side, const event_counters& counters,
             const request_keys& keys, std::int64_t time, std::span<const float> limits,
             side_values& to) {
    const side_plan& of = features.plan().of[side];
    for (std::size_t begin = 0; begin < to.rows; begin += block) {
      const std::size_t size = std::min(block, to.rows - begin);
      const std::span<std::uint64_t> joined = std::span(joined_).first(size);
      for (group& g : groups_[side]) {
        const std::vector<counts_plan>& all =
            g.window ? features.plan().windows : features.plan().sums;
        join_keys(features.plan(), keys, all[g.counts].keys, begin, joined);
        if (!g.window) find_rows(g, counters.sums(g.counts), joined);
        for (std::size_t i = 0; i < size; ++i) {
          const std::span<float> row(to.numbers.data() + (begin + i) * of.width, of.scaled_width);
          if (g.has(joined[i]))
            std::copy_n(g.numbers_of(joined[i]), g.width, row.data() + g.offset);
          else
            compute(features, side, counters, g, joined[i], time, limits, row);
        }
      }
      for (const activity_plan& a : of.activities) {
        join_keys(features.plan(), keys, features.plan().windows[a.counts].keys, begin, joined);
        for (std::size_t i = 0; i < size; ++i)
          to.categories[a.category][begin + i] =
              counters.activity_class(features, a, joined[i], time);
      }
    }
  }

 private:
  static constexpr std::size_t block = 256;
  static constexpr std::uint32_t no_row = std::numeric_limits<std::uint32_t>::max();

  /// Counters of a side that read the same sums, whose numbers are neighbors.
  struct group {
    bool window = false;
    std::size_t counts = 0;             // index among sums or windows
    std::size_t begin = 0, end = 0;     // of the side's counters
    std::size_t offset = 0, width = 0;  // of the side's numbers
    bool keeps = false;
    std::vector<std::uint32_t> rows = {};  // whose numbers are kept, by place; a power of two
    std::vector<float> numbers = {};       // [places, width]

    std::size_t place_of(std::uint64_t row) const { return row & (rows.size() - 1); }
    bool has(std::uint64_t row) const { return keeps && rows[place_of(row)] == row; }
    float* numbers_of(std::uint64_t row) { return numbers.data() + place_of(row) * width; }
  };

  /// Writes the numbers of a group for a row of its sums or a key of its window, and keeps them.
  static void compute(const schema& features, std::size_t side, const event_counters& counters,
                      group& g, std::uint64_t place, std::int64_t time,
                      std::span<const float> limits, std::span<float> numbers) {
    for (std::size_t c = g.begin; c < g.end; ++c) {
      const counter_plan& counter = features.plan().of[side].counters[c];
      counters.write(features, counter, place, time, numbers);
      take_logarithms(numbers, counter.logarithms);
    }
    const std::span<float> written = numbers.subspan(g.offset, g.width);
    scale_numbers(written, std::span(features.values().means[side]).subspan(g.offset),
                  std::span(features.values().factors[side]).subspan(g.offset),
                  limits.subspan(g.offset));
    if (!g.keeps) return;
    g.rows[g.place_of(place)] = static_cast<std::uint32_t>(place);
    std::ranges::copy(written, g.numbers_of(place));
  }

  /// The keys of rows [begin, begin + joined.size()) that some keys make together.
  static void join_keys(const feature_plan& plan, const request_keys& keys,
                        std::span<const key_part> parts, std::size_t begin,
                        std::span<std::uint64_t> joined) {
    for (std::size_t p = 0; p < parts.size(); ++p) {
      const std::size_t side = parts[p].side;
      const std::size_t stride = is_by_request(side) ? 0 : plan.of[side].keys.size();
      const std::uint64_t* from = keys[side].data() + parts[p].key + begin * stride;
      for (std::size_t i = 0; i < joined.size(); ++i)
        joined[i] = p == 0 ? from[i * stride] : joined_key(joined[i], from[i * stride]);
    }
  }
  /// Turns keys into rows of the sums, and asks for the memory that is read next.
  static void find_rows(group& g, const key_sums& sums, std::span<std::uint64_t> joined) {
    for (const std::uint64_t key : joined) sums.prefetch_key(key);
    for (std::uint64_t& key : joined) {
      key = sums.find_row(key);
      if (!g.keeps) continue;
      prefetch_bytes<false>(g.rows.data() + g.place_of(key), sizeof(std::uint32_t));
      prefetch_bytes<false>(g.numbers_of(key), g.width * sizeof(float));
    }
    for (const std::uint64_t row : joined)
      if (!g.has(row)) sums.prefetch_sums(static_cast<std::uint32_t>(row));
  }

  std::array<std::vector<group>, sides> groups_;
  std::size_t most_places_ = 0;  // of a group
  std::array<std::uint64_t, block> joined_{};
};

}  // namespace funnel::detail
