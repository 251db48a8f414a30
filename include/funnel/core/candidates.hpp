// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>
#include <funnel/core/detail/hashed_bucket.hpp>
#include <funnel/core/error.hpp>
#include <funnel/core/matrix.hpp>

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

/// Why a candidate is no longer among the kept ones.
enum class drop_cause : std::uint8_t {
  none,      ///< it is kept
  size,      ///< others were ahead of it, and the stage keeps fewer
  filter,    ///< a filter refused it
  not_sent,  ///< it was not sent to the stage, which takes fewer
  late,      ///< its source was late, and what is late is not used
};

/// The scores that one stage writes for each candidate.
struct score_stage {
  std::string name;
  /// Names of the scores, such as the heads of a ranker; 1 or more.
  std::vector<std::string> outputs = {"score"};
};

/// The candidates of one request: their ids, which sources found them, the scores of each stage, and
/// which are kept.
///
/// A candidate has a slot, the number with which it was added: 0, 1, 2, ... A slot does not change
/// while others are dropped, so that rows of features and scores keep their places. `kept()` lists
/// the slots of the candidates that are still in, best first.
///
///     candidates found({"towers", "popular"}, {{"rank", {"click", "like"}}});
///     found.add(0, 17, .9f);           // by source 0
///     found.add(1, 17, 1200);          // by source 1, too: the same slot
///     found.scores(0)(found.find(17), 0) = .2f;
///
/// After `clear` it is used for the next request; after some requests it allocates no memory. One
/// thread uses it.
///
/// Errors      std::invalid_argument for a source, stage or slot that there is not, or a candidate
///             that is kept twice. Nothing has changed then, nor if memory runs out.
/// Cost        `add` and `find`: one look-up by hash. Per candidate about 32 bytes, 16 per source
///             that found it, and 4 per score.
class candidates {
 public:
  /// The slot that `find` returns for an id that is not among the candidates.
  static constexpr std::uint32_t none = std::numeric_limits<std::uint32_t>::max();
  /// Upper limit of the number of sources.
  static constexpr std::size_t most_sources = 64;

  /// One source that found a candidate.
  struct find_record {
    std::uint32_t slot = 0;
    std::uint32_t source = 0;
    float score = 0;         ///< that the source gave to it
    std::uint32_t rank = 0;  ///< its place among what this source returned, from 0
  };
  /// What became of a candidate.
  struct fate {
    drop_cause cause = drop_cause::none;
    std::uint16_t stage = 0;  ///< the number that was passed when it was dropped
    friend bool operator==(const fate&, const fate&) = default;
  };

  candidates() = default;
  /// Errors      std::invalid_argument if there are more than 64 sources, or a stage without outputs.
  explicit candidates(std::vector<std::string> sources, std::vector<score_stage> stages = {})
      : sources_(std::move(sources)), stages_(std::move(stages)) {
    detail::check_that("candidates", "the number of sources", sources_.size(),
                       sources_.size() <= most_sources, most_sources, " or fewer");
    for (const score_stage& stage : stages_)
      detail::check_not_empty("candidates", "outputs of stage " + stage.name, stage.outputs.size());
    scores_.resize(stages_.size());
    found_by_.resize(sources_.size());
  }

  candidates(const candidates&) = default;
  candidates(candidates&&) noexcept = default;
  candidates& operator=(const candidates& other) {
    *this = candidates(other);
    return *this;
  }
  candidates& operator=(candidates&&) noexcept = default;

  const std::vector<std::string>& sources() const { return sources_; }
  const std::vector<score_stage>& stages() const { return stages_; }

  /// Begins the next request.
  void clear() {
    ids_.clear();
    masks_.clear();
    fates_.clear();
    finds_.clear();
    kept_.clear();
    for (std::vector<float>& scores : scores_) scores.clear();
    std::ranges::fill(found_by_, 0u);
    if (++request_ == 0) {  // after 2^32 requests
      std::ranges::fill(table_, place{});
      request_ = 1;
    }
  }

  /// Adds what a source found, and returns its slot. An id that is there already keeps its slot, and
  /// gets one more source; a source that finds it again changes nothing. A new one is kept, after all
  /// others, with scores of NaN.
  std::uint32_t add(std::size_t source, std::int64_t id, float score) {
    detail::check_below("candidates::add", "source", source, sources_.size());
    return add(source, id, score, found_by_[source]);
  }
  /// The same with its rank among all that the source returned, where not all of it is added.
  std::uint32_t add(std::size_t source, std::int64_t id, float score, std::uint32_t rank) {
    detail::check_below("candidates::add", "source", source, sources_.size());
    detail::check_that("candidates::add", "the number of candidates", size(), size() < none / 2,
                       "below ", none / 2);
    reserve_one();
    place& of_id = place_of(id);
    const bool is_new = of_id.request != request_;
    const std::uint32_t slot = is_new ? static_cast<std::uint32_t>(size()) : of_id.slot;
    const std::uint64_t bit = std::uint64_t{1} << source;
    if (is_new) {
      of_id = {request_, slot};
      ids_.push_back(id);
      masks_.push_back(0);
      fates_.emplace_back();
      kept_.push_back(slot);
      for (std::size_t s = 0; s < stages_.size(); ++s)
        scores_[s].insert(scores_[s].end(), stages_[s].outputs.size(),
                          std::numeric_limits<float>::quiet_NaN());
    }
    if ((masks_[slot] & bit) != 0) return slot;
    masks_[slot] |= bit;
    finds_.push_back({slot, static_cast<std::uint32_t>(source), score, rank});
    ++found_by_[source];
    return slot;
  }

  /// Number of candidates, dropped ones included.
  std::size_t size() const { return ids_.size(); }
  /// Ids by slot.
  std::span<const std::int64_t> ids() const { return ids_; }
  std::int64_t id(std::uint32_t slot) const {
    detail::check_below("candidates::id", "slot", slot, size());
    return ids_[slot];
  }
  /// The slot of an id; `none` if it is not among the candidates.
  std::uint32_t find(std::int64_t id) const {
    if (table_.empty()) return none;
    const place& of_id = const_cast<candidates*>(this)->place_of(id);
    return of_id.request == request_ ? of_id.slot : none;
  }

  /// The sources that found a candidate: bit s for source s.
  std::uint64_t source_bits(std::uint32_t slot) const {
    detail::check_below("candidates::source_bits", "slot", slot, size());
    return masks_[slot];
  }
  /// All that was found, in the order in which it was added.
  std::span<const find_record> finds() const { return finds_; }
  /// Number of candidates that a source found.
  std::size_t found_by(std::size_t source) const {
    detail::check_below("candidates::found_by", "source", source, sources_.size());
    return found_by_[source];
  }

  /// Scores of a stage, [size(), outputs]: row s is that of slot s; NaN where there is none. Valid
  /// until `add`.
  matrix_view<float> scores(std::size_t stage) {
    detail::check_below("candidates::scores", "stage", stage, stages_.size());
    return {scores_[stage].data(), size(), stages_[stage].outputs.size()};
  }
  matrix_view<const float> scores(std::size_t stage) const {
    return const_cast<candidates*>(this)->scores(stage);
  }
  /// The number of a score stage by its name.
  ///
  /// Errors      std::invalid_argument if there is none of that name.
  std::size_t stage(std::string_view name) const {
    const auto found = std::ranges::find(stages_, name, &score_stage::name);
    if (found == stages_.end())
      detail::fail("funnel::candidates::stage: name is \"", name,
                   "\", expected a stage that writes scores");
    return static_cast<std::size_t>(found - stages_.begin());
  }

  /// Slots of the candidates that are still in, best first.
  std::span<const std::uint32_t> kept() const { return kept_; }
  fate fate_of(std::uint32_t slot) const {
    detail::check_below("candidates::fate_of", "slot", slot, size());
    return fates_[slot];
  }

  /// Keeps these slots, in this order, and drops the other kept ones.
  ///
  /// `at` is the number that their `fate` gets as its stage.
  void keep(std::span<const std::uint32_t> slots, std::size_t at, drop_cause cause) {
    check_kept(slots);
    for (const std::uint32_t slot : kept_)
      if (fates_[slot].cause == drop_cause::none && !marked_[slot])
        fates_[slot] = {cause, static_cast<std::uint16_t>(at)};
    kept_.assign(slots.begin(), slots.end());  // never longer than before
  }
  /// Drops the kept candidates for which `refuses(slot)` is true; the others keep their order.
  template <class Refuses>
  void drop_if(std::size_t at, drop_cause cause, const Refuses& refuses) {
    std::erase_if(kept_, [&](std::uint32_t slot) {
      const bool drops = refuses(slot);
      if (drops) fates_[slot] = {cause, static_cast<std::uint16_t>(at)};
      return drops;
    });
  }

 private:
  /// Memory for one more candidate and one more find, so that nothing is half done without it.
  void reserve_one() {
    const auto grow = [](auto& values, std::size_t more) {
      if (values.size() + more > values.capacity())
        values.reserve(std::max<std::size_t>(64, 2 * (values.size() + more)));
    };
    grow(ids_, 1);
    grow(masks_, 1);
    grow(fates_, 1);
    grow(kept_, 1);
    grow(finds_, 1);
    grow(marked_, 1);
    for (std::size_t s = 0; s < stages_.size(); ++s) grow(scores_[s], stages_[s].outputs.size());
    if (2 * (size() + 1) <= table_.size()) return;
    std::vector<place> larger(std::max<std::size_t>(128, 2 * table_.size()));
    table_.swap(larger);
    for (std::uint32_t slot = 0; slot < size(); ++slot) place_of(ids_[slot]) = {request_, slot};
  }

  /// Where an id is in the table: the place of its slot, or a free one.
  struct place {
    std::uint32_t request = 0;  // places of earlier requests are free
    std::uint32_t slot = 0;
  };
  place& place_of(std::int64_t id) {
    const std::size_t last = table_.size() - 1;
    std::size_t at = detail::hashed_bucket(static_cast<std::uint64_t>(id), table_.size());
    while (table_[at].request == request_ && ids_[table_[at].slot] != id) at = (at + 1) & last;
    return table_[at];
  }

  /// Marks the slots; throws if one is not kept or there twice.
  void check_kept(std::span<const std::uint32_t> slots) {
    marked_.assign(size(), 0);  // room for it was made by `add`
    for (const std::uint32_t slot : kept_) marked_[slot] = 1;
    for (std::size_t i = 0; i < slots.size(); ++i) {
      detail::check_below("candidates::keep", "a slot", slots[i], size());
      if (marked_[slots[i]] != 1)
        detail::fail("funnel::candidates::keep: slots[", i, "] is ", slots[i],
                     marked_[slots[i]] == 2 ? " for the second time" : ", which was dropped",
                     ", expected kept slots, each once");
      marked_[slots[i]] = 2;
    }
    for (const std::uint32_t slot : kept_) marked_[slot] = marked_[slot] == 2;
  }

  std::vector<std::string> sources_;
  std::vector<score_stage> stages_;
  std::vector<std::int64_t> ids_;
  std::vector<std::uint64_t> masks_;
  std::vector<fate> fates_;
  std::vector<find_record> finds_;
  std::vector<std::uint32_t> kept_;
  std::vector<std::vector<float>> scores_;
  std::vector<std::uint32_t> found_by_;
  std::vector<place> table_;  // by hash of the id
  std::uint32_t request_ = 1;
  std::vector<std::uint8_t> marked_;
};

}  // namespace funnel
