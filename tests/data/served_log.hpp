// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/candidates.hpp>
#include <funnel/data/funnel_log.hpp>
#include <funnel/features/feature_state.hpp>
#include <funnel/features/fit_schema.hpp>
#include <funnel/features/request_encoder.hpp>

#include "features/random_log.hpp"

#include <cstddef>
#include <cstdint>
#include <set>
#include <span>
#include <utility>
#include <vector>

/// A random log in which no request has an item twice.
inline std::vector<log_row> log_of_pages(std::uint64_t seed, const random_log_options& options) {
  std::vector<log_row> rows;
  std::set<std::pair<std::int64_t, std::int64_t>> seen;
  for (const log_row& row : random_log(seed, options))
    if (seen.insert({row.request, row.item}).second) rows.push_back(row);
  return rows;
}

/// What a server has for a request: the page is the rows of a log, and as many candidates again were
/// ranked lower, or dropped by the pre-ranker.
struct served_page {
  std::uint64_t request = 0;
  std::int64_t user = 0, time = 0;
  funnel::candidates found{{"popular", "towers"}, {{"prerank"}, {"rank", {"click", "like"}}}};
  std::vector<std::uint32_t> shown, row_slots;
};

inline const std::vector<std::string> stages_of_pages{"popular", "towers", "prerank", "rank",
                                                      "page"};

/// Replays a log as a server sees it: `serve(page, rows)` for each request, with the encoded rows of
/// the slots `page.row_slots`, which are those of the page and `unseen` others.
template <class Serve>
void serve_log(const std::vector<log_row>& rows, const funnel::schema& features,
               const funnel::encoded_log& encoded, std::size_t unseen, const Serve& serve) {
  using namespace funnel;
  feature_state state(features);
  served_page page;
  for (std::size_t r = 0, end = 0; r < encoded.requests(); r = end) {
    const std::int64_t time = encoded.times()[r];
    const auto rows_of = [&](std::size_t i) {
      std::vector<log_row> found;
      for (std::uint32_t k = encoded.offsets()[i]; k < encoded.offsets()[i + 1]; ++k)
        found.push_back(rows[encoded.log_rows()[k]]);
      return found;
    };
    for (; end < encoded.requests() && encoded.times()[end] == time; ++end) {
      const column_table values = table_of(rows_of(end));
      state.tell_users(features, values);
      state.tell_items(features, values);
    }
    state.advance(features, time);
    request_encoder encode(features, state);
    for (std::size_t i = r; i < end; ++i) {
      const std::vector<log_row> shown = rows_of(i);
      page.request = static_cast<std::uint64_t>(shown[0].request);
      page.user = shown[0].user, page.time = time;
      page.found.clear(), page.shown.clear(), page.row_slots.clear();
      std::vector<std::int64_t> items;
      std::vector<double> positions;
      for (std::size_t k = 0; k < unseen; ++k)  // ids that are in no log, some before the page
        page.row_slots.push_back(page.found.add(0, static_cast<std::int64_t>(10'000 + k), 1));
      for (const log_row& row : shown) {
        page.shown.push_back(page.found.add(1, row.item, 2));
        page.row_slots.push_back(page.shown.back());
      }
      for (const std::uint32_t slot : page.row_slots) {
        items.push_back(page.found.id(slot));
        positions.push_back(slot < unseen ? 50. + slot : shown[slot - unseen].position);
        page.found.scores(0)(slot, 0) = slot < unseen ? -static_cast<float>(slot) : 1.f;
      }
      std::vector<std::uint32_t> ranked;  // every second of the unseen ones is dropped before
      for (std::uint32_t slot = 0; slot < page.found.size(); ++slot) {
        if (slot < unseen && slot % 2 == 1) continue;
        ranked.push_back(slot);
        page.found.scores(1)(slot, 0) = slot < unseen ? -static_cast<float>(slot) : 9.f;
        page.found.scores(1)(slot, 1) = static_cast<float>(page.request);
      }
      page.found.keep(ranked, 2, drop_cause::size);
      page.found.keep(page.shown, 4, drop_cause::size);
      serve(page, encode(page.user, items, time, {{"device", shown[0].device}},
                         {{"position", column(std::span<const double>(positions))}}));
    }
    for (std::size_t i = r; i < end; ++i) state.tell(features, table_of(rows_of(i)));
  }
}
