// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/candidates.hpp>
#include <funnel/core/detail/checks.hpp>
#include <funnel/core/matrix.hpp>
#include <funnel/data/detail/log_record.hpp>
#include <funnel/data/detail/logged_rows_bytes.hpp>
#include <funnel/data/funnel_names.hpp>
#include <funnel/features/hashing.hpp>
#include <funnel/features/row_batch.hpp>
#include <funnel/features/schema.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace funnel {

/// Options of `funnel_log`.
struct funnel_log_options {
  /// How many of the candidates that a stage drops have their features kept, by chance.
  std::size_t sample_per_stage = 20;
  /// Determines which.
  std::uint64_t seed = 1;
  /// A request that would make the log larger than this is not added, and counted as lost.
  std::size_t most_bytes = std::size_t{64} << 20;
};

/// What a log keeps of a request beside its candidates.
struct served_request {
  std::uint64_t id = 0;     ///< unique: outcomes are joined by it
  std::uint64_t user = 0;   ///< `category_key` of the user's id
  std::int64_t time = 0;    ///< in the unit of the schema's time
  std::uint32_t model = 0;  ///< such as the version of a `model_slot`
};

/// The log of what a server considered and showed, in memory: per request all candidates with their
/// sources, scores and what became of them, and the features, as they were served, of those that
/// were shown and of a sample of those that each stage dropped.
///
///     funnel_log log(features, pages.candidates(), pages.stage_names());
///     log.add({.id = 7, .user = 42, .time = now, .model = model.version()}, pages.candidates(),
///             pages.candidates().kept(), rows, slots);  // rows of the ranker and their slots
///     file.append(log);                                 // now and then: a `funnel_log_file`
///
/// The sample of a stage are those of its dropped candidates with the lowest hash of seed, request
/// and id: the same wherever it is drawn. What a filter refused, or came too late, is not sampled.
///
/// One thread uses a log; each serving thread has its own. After some requests `add` allocates no
/// memory.
///
/// Errors      std::invalid_argument if the schema is not fitted, or what is added does not fit it or
///             the names. The log is unchanged then, and if memory runs out.
/// Cost        per candidate 12 bytes, more with 9 or more sources, and 4 per score that was
///             written; per candidate with features these.
class funnel_log {
 public:
  /// `shape` has the sources and scores of the candidates that are added; `stages` are the names of
  /// the stages that drop them, such as `cascade::stage_names`.
  funnel_log(const schema& features, const candidates& shape, std::vector<std::string> stages,
             const funnel_log_options& options = {})
      : options_(options) {
    features.check_fitted("funnel_log");
    detail::check_that("funnel_log", "the number of stages", stages.size(),
                       stages.size() <= most_stages, most_stages, " or fewer");
    names_ = {.schema = features.label(),
              .fingerprint = features.fingerprint(),
              .sources = shape.sources(),
              .scores = shape.stages(),
              .stages = std::move(stages),
              .causes = {detail::cause_names.begin(), detail::cause_names.end()},
              .sample_per_stage = options.sample_per_stage,
              .seed = options.seed};
    const detail::feature_plan& plan = features.plan();
    for (std::size_t side = 0; side < detail::sides; ++side) {
      columns_.side(side).categories.resize(plan.of[side].categories.size());
      columns_.side(side).lists.resize(plan.of[side].lists.size());
      widths_[side] = plan.of[side].width;
    }
    columns_.histories.resize(plan.histories.size());
    for (std::size_t h = 0; h < plan.histories.size(); ++h)
      columns_.histories[h].fields.resize(plan.histories[h].categories.size());
    const std::size_t begin = detail::begin_record(bytes_);
    detail::write_names(names_, {bytes_});
    detail::end_record(bytes_, begin, detail::record_kind::names);
    names_size_ = bytes_.size();
  }

  const funnel_names& names() const { return names_; }

  /// Slots of the candidates whose features are kept if `add` gets their rows: what is shown, then
  /// the sample of each stage. A server whose ranker does not read all of them can encode these.
  /// Valid until the next call of a function of the log.
  std::span<const std::uint32_t> sample(std::uint64_t request, const candidates& found,
                                        std::span<const std::uint32_t> shown) {
    check(found, shown);
    draw(request, found, shown);
    return chosen_;
  }

  /// Adds a request without features. `shown` are the slots of the page, best first. False if the log
  /// is full.
  bool add(const served_request& request, const candidates& found,
           std::span<const std::uint32_t> shown) {
    check(found, shown);
    detail::clear_like(columns_, rows_);
    row_slots_.clear();
    return write(request, found, shown, false);
  }
  /// The same with features: `rows` are one request, as the ranker read it, and row i is that of slot
  /// row_slots[i]. Rows that are not in the sample are left out.
  bool add(const served_request& request, const candidates& found,
           std::span<const std::uint32_t> shown, const row_batch& rows,
           std::span<const std::uint32_t> row_slots) {
    check(found, shown);
    place_rows(rows, row_slots, found.size());
    draw(request.id, found, shown);
    detail::clear_like(columns_, rows_);
    row_slots_.clear();
    detail::append_request(rows, 0, rows_);
    for (const std::uint32_t slot : chosen_) {
      const std::uint32_t row = row_of_[slot];
      if (row == candidates::none) continue;
      detail::append_rows(rows, row, row + std::size_t{1}, rows_);
      row_slots_.push_back(slot);
    }
    detail::end_request(rows_);
    return write(request, found, shown, true);
  }

  /// Number of requests in the log.
  std::size_t requests() const { return requests_; }
  /// Number of requests that were not added because the log was full.
  std::uint64_t lost() const { return lost_; }
  /// The log as bytes, for `funnel_log_reader`.
  std::span<const std::byte> bytes() const { return bytes_; }
  /// The names alone, with which `bytes` begin.
  std::span<const std::byte> name_bytes() const {
    return std::span<const std::byte>(bytes_).first(names_size_);
  }
  /// Forgets the requests, but not how many were lost.
  void clear() {
    bytes_.resize(names_size_);
    requests_ = 0;
  }

 private:
  static constexpr std::size_t most_stages = 65535;

  struct drawn {
    std::uint64_t hash;
    std::uint32_t slot;
    friend bool operator<(const drawn& a, const drawn& b) {
      return a.hash != b.hash ? a.hash < b.hash : a.slot < b.slot;
    }
  };

  void check(const candidates& found, std::span<const std::uint32_t> shown) {
    if (found.sources() != names_.sources ||
        !std::ranges::equal(found.stages(), names_.scores,
                            [](const score_stage& a, const score_stage& b) {
                              return a.name == b.name && a.outputs == b.outputs;
                            }))
      detail::fail(
          "funnel::funnel_log: candidates have other sources or stages of scores, expected "
          "those that the log was made with");
    for (std::uint32_t slot = 0; slot < found.size(); ++slot)
      if (const auto fate = found.fate_of(slot);
          fate.cause != drop_cause::none && fate.stage >= names_.stages.size())
        detail::fail("funnel::funnel_log: the candidate of slot ", slot, " was dropped by stage ",
                     fate.stage, ", expected below ", names_.stages.size(),
                     ", the number of stages");
    is_shown_.assign(found.size(), 0);
    for (const std::uint32_t slot : shown) {
      detail::check_below("funnel_log", "a slot of shown", slot, found.size());
      if (is_shown_[slot] != 0)
        detail::fail("funnel::funnel_log: shown has slot ", slot, " twice, expected it once");
      is_shown_[slot] = 1;
    }
  }

  void place_rows(const row_batch& rows, std::span<const std::uint32_t> row_slots, std::size_t n) {
    detail::check_that("funnel_log", "rows.requests()", rows.requests(), rows.requests() == 1, 1);
    detail::check_size("funnel_log", "row_slots", row_slots.size(), rows.rows(), "rows");
    for (std::size_t s = 0; s < detail::sides; ++s) {
      const side_values& side = rows.side(s);
      const side_values& expected = columns_.side(s);
      if (side.rows != (detail::is_by_request(s) ? 1 : rows.rows()) ||
          side.categories.size() != expected.categories.size() ||
          side.lists.size() != expected.lists.size() ||
          side.numbers.size() != side.rows * widths_[s])
        detail::fail("funnel::funnel_log: rows have other columns in ", detail::side_names[s],
                     ", expected those of the schema \"", names_.schema, '"');
    }
    detail::check_size("funnel_log", "rows.histories", rows.histories.size(),
                       columns_.histories.size(), "the schema");
    for (std::size_t h = 0; h < rows.histories.size(); ++h)
      detail::check_size("funnel_log", "fields of a history", rows.histories[h].fields.size(),
                         columns_.histories[h].fields.size(), "the schema");
    row_of_.assign(n, candidates::none);
    for (std::size_t i = 0; i < row_slots.size(); ++i) {
      detail::check_below("funnel_log", "a slot of row_slots", row_slots[i], n);
      if (row_of_[row_slots[i]] != candidates::none)
        detail::fail("funnel::funnel_log: row_slots has slot ", row_slots[i],
                     " twice, expected it once");
      row_of_[row_slots[i]] = static_cast<std::uint32_t>(i);
    }
  }

  /// Writes what is shown and the samples to `chosen_`: per stage a heap of those with the lowest
  /// hashes. What was kept to the end and is not shown counts as one more stage.
  void draw(std::uint64_t request, const candidates& found, std::span<const std::uint32_t> shown) {
    const std::size_t stages = names_.stages.size() + 1;
    const std::size_t most = std::min(options_.sample_per_stage, found.size());
    heaps_.resize(stages * most);
    in_heap_.assign(stages, 0);
    const std::uint64_t key = mix_key(mix_key(options_.seed) ^ request);
    for (std::uint32_t slot = 0; slot < found.size() && most > 0; ++slot) {
      const auto fate = found.fate_of(slot);
      if (is_shown_[slot] != 0 || fate.cause == drop_cause::filter ||
          fate.cause == drop_cause::late)
        continue;
      const std::size_t stage = fate.cause == drop_cause::none ? stages - 1 : fate.stage;
      const drawn one{mix_key(key ^ category_key(found.ids()[slot])), slot};
      const auto heap = heaps_.begin() + static_cast<std::ptrdiff_t>(stage * most);
      auto end = heap + static_cast<std::ptrdiff_t>(in_heap_[stage]);
      if (in_heap_[stage] == most) {
        if (!(one < *heap)) continue;
        std::pop_heap(heap, end);
        *(end - 1) = one;
      } else {
        *end++ = one;
        ++in_heap_[stage];
      }
      std::push_heap(heap, end);
    }
    chosen_.assign(shown.begin(), shown.end());
    for (std::size_t stage = 0; stage < stages; ++stage)
      for (std::size_t i = 0; i < in_heap_[stage]; ++i)
        chosen_.push_back(heaps_[stage * most + i].slot);
    std::sort(chosen_.begin() + static_cast<std::ptrdiff_t>(shown.size()), chosen_.end());
  }

  bool write(const served_request& request, const candidates& found,
             std::span<const std::uint32_t> shown, bool has_rows) {
    const std::size_t before = bytes_.size();
    try {
      const std::size_t begin = detail::begin_record(bytes_);
      write_request(request, found, shown, has_rows);
      detail::end_record(bytes_, begin, detail::record_kind::request);
    } catch (...) {
      bytes_.resize(before);
      throw;
    }
    if (bytes_.size() > options_.most_bytes) {
      bytes_.resize(before);
      ++lost_;
      return false;
    }
    ++requests_;
    return true;
  }

  void write_request(const served_request& request, const candidates& found,
                     std::span<const std::uint32_t> shown, bool has_rows) {
    const detail::byte_writer to{bytes_};
    to.value(request.id);
    to.value(request.user);
    to.value(request.time);
    to.value(request.model);
    const std::size_t n = found.size();
    to.size(n);
    to.values(found.ids());
    // Of the sources as many bytes as they need.
    for (std::size_t byte = 0; 8 * byte < names_.sources.size(); ++byte)
      for (std::uint32_t slot = 0; slot < n; ++slot)
        to.value(static_cast<std::uint8_t>(found.source_bits(slot) >> (8 * byte)));
    for (std::uint32_t slot = 0; slot < n; ++slot)
      to.value(static_cast<std::uint8_t>(found.fate_of(slot).cause));
    for (std::uint32_t slot = 0; slot < n; ++slot) to.value(found.fate_of(slot).stage);
    for (std::size_t s = 0; s < names_.scores.size(); ++s) write_scores(found.scores(s), to);
    to.size(shown.size());
    to.values(shown);
    to.value(static_cast<std::uint8_t>(has_rows));
    if (!has_rows) return;
    to.array(row_slots_);
    detail::write_rows(rows_, to);
  }
  /// A bit per candidate: whether it has a score that is a number; then the scores of those.
  void write_scores(matrix_view<const float> scores, const detail::byte_writer& to) {
    const auto is_scored = [&](std::size_t slot) {
      return slot < scores.rows() &&
             std::ranges::any_of(scores.row(slot), [](float x) { return !std::isnan(x); });
    };
    for (std::size_t slot = 0; slot < scores.rows(); slot += 8) {
      unsigned bits = 0;
      for (unsigned i = 0; i < 8; ++i) bits |= static_cast<unsigned>(is_scored(slot + i)) << i;
      to.value(static_cast<std::uint8_t>(bits));
    }
    for (std::size_t slot = 0; slot < scores.rows(); ++slot)
      if (is_scored(slot)) to.values(scores.row(slot));
  }

  funnel_log_options options_;
  funnel_names names_;
  row_batch columns_;  // of the schema, without rows
  std::size_t widths_[detail::sides] = {};
  std::vector<std::byte> bytes_;
  std::size_t names_size_ = 0;
  std::size_t requests_ = 0;
  std::uint64_t lost_ = 0;
  // Memory that requests use again.
  std::vector<std::uint8_t> is_shown_;
  std::vector<std::uint32_t> row_of_, chosen_, row_slots_;
  std::vector<drawn> heaps_;
  std::vector<std::size_t> in_heap_;
  row_batch rows_;
};

}  // namespace funnel
