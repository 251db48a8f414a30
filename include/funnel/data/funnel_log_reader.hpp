// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/candidates.hpp>
#include <funnel/core/detail/checks.hpp>
#include <funnel/core/error.hpp>
#include <funnel/data/detail/log_record.hpp>
#include <funnel/data/detail/logged_rows_bytes.hpp>
#include <funnel/data/detail/record_source.hpp>
#include <funnel/data/funnel_log.hpp>
#include <funnel/data/funnel_names.hpp>
#include <funnel/features/row_batch.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace funnel {

/// One request of a funnel log. Candidates are numbered by slot, as in `candidates`.
struct logged_request {
  served_request served;
  std::vector<std::int64_t> ids;           ///< [candidates]
  std::vector<std::uint64_t> source_bits;  ///< [candidates]: bit s for source s
  std::vector<candidates::fate> fates;     ///< [candidates]
  std::vector<std::vector<float>> scores;  ///< [stages that score][candidates, outputs]; NaN: none
  std::vector<std::uint32_t> shown;        ///< slots of the page, best first
  std::vector<std::uint32_t> places;       ///< [candidates]: place on the page, from 0, or `none`
  bool has_rows = false;                   ///< whether features were logged
  std::vector<std::uint32_t> row_slots;    ///< [rows]: the candidate of a row
  std::vector<std::uint32_t> row_of;       ///< [candidates]: its row, or `none`
  row_batch rows;                          ///< features as served: one request
};

/// Reads funnel logs request by request: files one after another, or the bytes of a log in memory.
///
///     funnel_log_reader log("monday.log");
///     while (log.next()) count(log.request().shown);
///
/// What follows the last whole record of a file is dropped, as a crash leaves it: see `dropped`.
///
/// Errors      format_error "<file>: byte <n>: ..." for a file that cannot be read or is no funnel
///             log, and for a damaged record before the last one. After an error `next` throws it
///             again.
/// Cost        memory of one request; a checksum of every byte.
class funnel_log_reader {
 public:
  explicit funnel_log_reader(std::vector<std::string> files) : files_(std::move(files)) {
    for (const std::string& file : files_) detail::record_source check(file);
  }
  explicit funnel_log_reader(std::string file)
      : funnel_log_reader(std::vector<std::string>{std::move(file)}) {}
  /// The bytes must live as long.
  explicit funnel_log_reader(std::span<const std::byte> bytes) : source_(bytes) {}
  /// The log must live as long and not change.
  explicit funnel_log_reader(const funnel_log& log) : funnel_log_reader(log.bytes()) {}

  /// Reads the next request; false at the end.
  bool next() {
    for (;;) {
      if (const auto kind = source_.next(dropped_)) {
        try {
          if (*kind == detail::record_kind::names) {
            names_ = detail::read_names({source_.contents()});
            has_names_ = true;
          } else if (*kind == detail::record_kind::request) {
            read({source_.contents()});
            return true;
          } else {
            throw format_error("a record of an unknown kind");
          }
        } catch (const format_error& error) {
          source_.refuse(error.what());
        }
      } else if (next_file_ < files_.size()) {
        detail::record_source opened(files_[next_file_]);
        source_ = std::move(opened);
        ++next_file_;
        has_names_ = false;
      } else {
        return false;
      }
    }
  }

  /// The request that `next` has read.
  const logged_request& request() const { return request_; }
  /// The names of that request's log.
  const funnel_names& names() const { return names_; }
  /// A sentence for each file whose end was dropped.
  const std::vector<std::string>& dropped() const { return dropped_; }

 private:
  void read(detail::byte_reader from) {
    const auto expect = [](bool fits, std::string_view what) {
      if (!fits) throw format_error(std::string(what));
    };
    expect(has_names_, "a request before the names of its log");
    logged_request& to = request_;
    to.served.id = from.value<std::uint64_t>();
    to.served.user = from.value<std::uint64_t>();
    to.served.time = from.value<std::int64_t>();
    to.served.model = from.value<std::uint32_t>();
    from.array(to.ids);
    const std::size_t n = to.ids.size();
    to.source_bits.assign(n, 0);
    for (std::size_t byte = 0; 8 * byte < names_.sources.size(); ++byte) {
      from.array(bytes_, n);
      for (std::size_t i = 0; i < n; ++i)
        to.source_bits[i] |= std::uint64_t{bytes_[i]} << (8 * byte);
    }
    from.array(bytes_, n);
    from.array(stages_, n);
    to.fates.resize(n);
    for (std::size_t i = 0; i < n; ++i) {
      expect(bytes_[i] < detail::cause_names.size(), "a candidate with an unknown cause");
      to.fates[i] = {static_cast<drop_cause>(bytes_[i]), stages_[i]};
      expect(bytes_[i] == 0 || stages_[i] < names_.stages.size(),
             "a candidate that was dropped by an unknown stage");
    }
    to.scores.resize(names_.scores.size());
    for (std::size_t s = 0; s < names_.scores.size(); ++s)
      read_scores(from, names_.scores[s].outputs.size(), n, to.scores[s]);
    from.array(to.shown);
    to.places.assign(n, candidates::none);
    for (std::size_t i = 0; i < to.shown.size(); ++i) {
      expect(to.shown[i] < n && to.places[to.shown[i]] == candidates::none,
             "a page with an unknown candidate, or one twice");
      to.places[to.shown[i]] = static_cast<std::uint32_t>(i);
    }
    to.has_rows = from.value<std::uint8_t>() != 0;
    to.row_slots.clear();
    to.row_of.assign(n, candidates::none);
    if (to.has_rows) {
      from.array(to.row_slots);
      for (std::size_t i = 0; i < to.row_slots.size(); ++i) {
        expect(to.row_slots[i] < n && to.row_of[to.row_slots[i]] == candidates::none,
               "a row of an unknown candidate, or two of one");
        to.row_of[to.row_slots[i]] = static_cast<std::uint32_t>(i);
      }
      detail::read_rows(from, to.row_slots.size(), to.rows);
    } else {
      to.rows = {};
    }
    expect(from.from.empty(), "bytes are left over after a request");
  }
  void read_scores(detail::byte_reader& from, std::size_t outputs, std::size_t n,
                   std::vector<float>& to) {
    from.array(bytes_, (n + 7) / 8);
    const auto is_scored = [&](std::size_t i) { return (bytes_[i / 8] >> (i % 8) & 1) != 0; };
    to.assign(n * outputs, std::numeric_limits<float>::quiet_NaN());
    for (std::size_t i = 0; i < n; ++i)
      if (is_scored(i)) from.values(std::span<float>(to).subspan(i * outputs, outputs));
  }

  std::vector<std::string> files_;
  std::size_t next_file_ = 0;
  detail::record_source source_;
  funnel_names names_;
  bool has_names_ = false;
  logged_request request_;
  std::vector<std::string> dropped_;
  std::vector<std::uint8_t> bytes_;
  std::vector<std::uint16_t> stages_;
};

}  // namespace funnel
