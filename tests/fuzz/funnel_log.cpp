// SPDX-License-Identifier: MIT
//
// A funnel log of any bytes. The first byte says how they are put into records: as they are, or with
// right heads and checksums, so that names and requests of any contents are met.
#include "fuzz/input.hpp"

#include <funnel/data/funnel_log_reader.hpp>
#include <funnel/data/logged_rows.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace {

using funnel::candidates;

/// What the reader promises of a request, whatever the bytes.
void check(const funnel::logged_request& r, const funnel::funnel_names& names) {
  const std::size_t n = r.ids.size();
  FUZZ_EXPECT(r.fates.size() == n && r.places.size() == n && r.row_of.size() == n);
  FUZZ_EXPECT(r.source_bits.size() == n && r.scores.size() == names.scores.size());
  for (std::size_t s = 0; s < r.scores.size(); ++s)
    FUZZ_EXPECT(r.scores[s].size() == n * names.scores[s].outputs.size());
  for (std::size_t i = 0; i < r.shown.size(); ++i) FUZZ_EXPECT(r.places[r.shown[i]] == i);
  for (std::size_t i = 0; i < r.row_slots.size(); ++i) FUZZ_EXPECT(r.row_of[r.row_slots[i]] == i);
  if (!r.has_rows) return;
  FUZZ_EXPECT(r.rows.requests() == 1 && r.rows.rows() == r.row_slots.size());
  funnel::row_batch copy;  // reads every value
  funnel::detail::clear_like(r.rows, copy);
  funnel::detail::append_request(r.rows, 0, copy);
  for (std::size_t i = 0; i < r.rows.rows(); ++i)
    funnel::detail::append_rows(r.rows, i, i + 1, copy);
  funnel::detail::end_request(copy);
  FUZZ_EXPECT(copy.rows() == r.rows.rows());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::input in(data, size);
  std::vector<std::byte> bytes;
  if (in.flag()) {
    const std::string_view text = in.rest();
    const auto* const first = reinterpret_cast<const std::byte*>(text.data());
    bytes.assign(first, first + text.size());
  } else {
    // Simple names, then records of the input's bytes.
    using namespace funnel;
    std::size_t begin = detail::begin_record(bytes);
    detail::write_names({.schema = "s", .sources = {"a"}, .scores = {{"rank"}}, .stages = {"a"}},
                        {bytes});
    detail::end_record(bytes, begin, detail::record_kind::names);
    for (int records = 0; records < 4 && in.left() > 0; ++records) {
      const auto kind = in.flag() ? detail::record_kind::request : detail::record_kind::names;
      begin = detail::begin_record(bytes);
      for (std::size_t left = in.bits(2); left > 0 && in.left() > 0; --left)
        bytes.push_back(static_cast<std::byte>(in.bits(1)));
      detail::end_record(bytes, begin, kind);
    }
  }
  const auto read = [&](const auto& call) {
    funnel::funnel_log_reader reader{std::span<const std::byte>(bytes)};
    try {
      call(reader);
    } catch (const funnel::format_error& error) {
      FUZZ_EXPECT(std::string_view(error.what()).starts_with("log: byte "));
    } catch (const std::invalid_argument&) {  // no stage of that name
    }
  };
  read([](auto& reader) {
    while (reader.next()) check(reader.request(), reader.names());
  });
  read([](auto& reader) { funnel::distillation_lists(reader); });
  read([](auto& reader) {
    funnel::hard_negatives(reader, {.dropped_by = {"a"}, .ranked_by = "rank"});
  });
  return 0;
}
