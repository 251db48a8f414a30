// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/error.hpp>
#include <funnel/core/state.hpp>
#include <funnel/features/detail/feature_plan.hpp>
#include <funnel/features/hashing.hpp>
#include <funnel/features/vocabulary.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <vector>

namespace funnel::detail {

inline constexpr std::int64_t no_time = std::numeric_limits<std::int64_t>::min();

/// The encoded columns of one row of a side: categories, lists, keys, raw numbers and times.
struct side_record {
  std::vector<std::uint32_t> codes;
  std::vector<std::uint64_t> keys;
  std::vector<float> numbers;       ///< the simple ones, before they are scaled; NaN: missing
  std::vector<std::int64_t> times;  ///< of the ages; no_time: missing
  std::vector<float> vectors;
  std::vector<std::vector<std::uint32_t>> lists;

  explicit side_record(const side_plan& plan)
      : codes(plan.categories.size()), keys(plan.keys.size(), missing_key),
        numbers(plan.simple_width, std::numeric_limits<float>::quiet_NaN()),
        times(plan.ages.size(), no_time), vectors(plan.width - plan.scaled_width),
        lists(plan.lists.size()) {}
};

/// The encoded columns of users or items by id. A change of categories, lists, keys or vectors makes
/// a new version if the table keeps versions, so that a row of a log can be read as it was at its
/// time.
class entity_table {
 public:
  entity_table() = default;
  explicit entity_table(const side_plan& plan)
      : codes_width_(plan.categories.size()), keys_width_(plan.keys.size()),
        numbers_width_(plan.simple_width), times_width_(plan.ages.size()),
        vectors_width_(plan.width - plan.scaled_width), lists_(plan.lists.size()) {
    const side_record unknown(plan);
    add_version(unknown, no_time, 0);
    append_current(unknown);
  }

  bool keeps_versions = false;

  /// Number of entities, with the unknown one, which is row 0.
  std::size_t rows() const { return ids_.rows(); }
  /// The row of an id; 0 if it is not known.
  std::uint32_t find(std::uint64_t id) const { return ids_.find(id); }
  /// Asks for the memory that `find` reads of an id.
  FUNNEL_INLINE void prefetch(std::uint64_t id) const { ids_.prefetch(id); }
  /// The row of an id; an unknown one is added, and has no values.
  std::uint32_t add(std::uint64_t id) {
    // Room before the row exists, so that no row is ever without values.
    make_room(current_, 1);
    make_room(numbers_, numbers_width_);
    make_room(times_, times_width_);
    const std::uint32_t row = ids_.add(id);
    if (row < current_.size()) return row;
    append_row(current_, 1);
    append_row(numbers_, numbers_width_);
    append_row(times_, times_width_);
    return row;
  }
  std::uint64_t id(std::uint32_t row) const { return row == 0 ? missing_key : ids_.id(row); }

  /// Sets the values of an entity from a time on; true if it had no values before.
  bool set(std::uint32_t row, const side_record& record, std::int64_t time) {
    const std::uint32_t now = current_[row];
    if (now == 0 || !same(now, record)) {
      make_version_room(record);
      if (now != 0 && (!keeps_versions || since_[now] == time)) {
        write_version(now, record);
      } else {
        current_[row] = static_cast<std::uint32_t>(since_.size());
        add_version(record, time, now);
      }
    }
    std::ranges::copy(record.numbers, numbers_.begin() + at(row, numbers_width_));
    std::ranges::copy(record.times, times_.begin() + at(row, times_width_));
    return now == 0;
  }

  std::uint32_t version(std::uint32_t row) const { return current_[row]; }
  /// The version of an entity at a time.
  std::uint32_t version(std::uint32_t row, std::int64_t time) const {
    std::uint32_t version = current_[row];
    while (version != 0 && since_[version] > time) version = previous_[version];
    return version;
  }

  std::span<const std::uint32_t> codes(std::uint32_t version) const {
    return std::span(codes_).subspan(version * codes_width_, codes_width_);
  }
  std::span<const std::uint64_t> keys(std::uint32_t version) const {
    return std::span(keys_).subspan(version * keys_width_, keys_width_);
  }
  std::span<const float> vectors(std::uint32_t version) const {
    return std::span(vectors_).subspan(version * vectors_width_, vectors_width_);
  }
  std::span<const std::uint32_t> list(std::size_t list, std::uint32_t version) const {
    const lists& all = lists_[list];
    return std::span(all.ids).subspan(all.begin[version], all.size[version]);
  }
  std::span<const float> numbers(std::uint32_t row) const {
    return std::span(numbers_).subspan(row * numbers_width_, numbers_width_);
  }
  std::span<const std::int64_t> times(std::uint32_t row) const {
    return std::span(times_).subspan(row * times_width_, times_width_);
  }

  /// The same table with only the current version of each entity.
  entity_table without_versions() const {
    entity_table kept = *this;
    kept.keeps_versions = false;
    kept.clear_versions();
    kept.copy_version(*this, 0, 0);  // that of entities without values
    for (std::uint32_t row = 0; row < current_.size(); ++row) {
      if (current_[row] == 0) continue;
      const auto version = static_cast<std::uint32_t>(kept.since_.size());
      kept.copy_version(*this, current_[row], 0);
      kept.current_[row] = version;
    }
    return kept;
  }

  void visit_state(auto&& visit) {
    visit("ids", ids_);
    visit("current", current_);
    visit("numbers", numbers_);
    visit("times", times_);
    visit("since", since_);
    visit("previous", previous_);
    visit("codes", codes_);
    visit("keys", keys_);
    visit("vectors", vectors_);
    for (std::size_t l = 0; l < lists_.size(); ++l) {
      const std::string path = "list." + std::to_string(l);
      visit(path + ".ids", lists_[l].ids);
      visit(path + ".begin", lists_[l].begin);
      visit(path + ".size", lists_[l].size);
    }
    if (is_loading(visit)) check_loaded();
  }

  /// Errors      format_error if a list of items, of a given history, has one that is not below `items`.
  void refuse_unknown_items(const side_plan& plan, std::size_t items) const {
    for (std::size_t l = 0; l < lists_.size(); ++l)
      if (plan.lists[l].table == no_index)
        for (const std::uint32_t item : lists_[l].ids)
          if (item >= items) damaged();
  }

 private:
  struct lists {
    std::vector<std::uint32_t> ids;
    std::vector<std::uint64_t> begin;  // per version
    std::vector<std::uint32_t> size;
  };

  [[noreturn]] static void damaged() {
    throw format_error("a table of users or items is damaged: its arrays do not fit together");
  }

  static std::ptrdiff_t at(std::size_t row, std::size_t width) {
    return static_cast<std::ptrdiff_t>(row * width);
  }
  template <class V>
  static void make_room(std::vector<V>& values, std::size_t count) {
    const std::size_t needed = values.size() + count;
    if (values.capacity() < needed) values.reserve(2 * needed);
  }
  /// Appends a copy of row 0.
  template <class V>
  static void append_row(std::vector<V>& values, std::size_t width) {
    for (std::size_t j = 0; j < width; ++j) values.push_back(values[j]);
  }
  template <class V>
  static void append(std::vector<V>& to, std::span<const V> values) {
    to.insert(to.end(), values.begin(), values.end());
  }
  void append_current(const side_record& record) {
    current_.push_back(0);
    append<float>(numbers_, record.numbers);
    append<std::int64_t>(times_, record.times);
  }

  bool same(std::uint32_t version, const side_record& record) const {
    if (!std::ranges::equal(codes(version), record.codes)) return false;
    if (!std::ranges::equal(keys(version), record.keys)) return false;
    if (!std::ranges::equal(vectors(version), record.vectors)) return false;
    for (std::size_t i = 0; i < lists_.size(); ++i)
      if (!std::ranges::equal(list(i, version), record.lists[i])) return false;
    return true;
  }
  void make_version_room(const side_record& record) {
    make_room(since_, 1);
    make_room(previous_, 1);
    make_room(codes_, codes_width_);
    make_room(keys_, keys_width_);
    make_room(vectors_, vectors_width_);
    for (std::size_t i = 0; i < lists_.size(); ++i) {
      make_room(lists_[i].begin, 1);
      make_room(lists_[i].size, 1);
      make_room(lists_[i].ids, record.lists[i].size());
    }
  }
  void add_version(const side_record& record, std::int64_t time, std::uint32_t previous) {
    since_.push_back(time);
    previous_.push_back(previous);
    append<std::uint32_t>(codes_, record.codes);
    append<std::uint64_t>(keys_, record.keys);
    append<float>(vectors_, record.vectors);
    for (std::size_t i = 0; i < lists_.size(); ++i) {
      lists_[i].begin.push_back(lists_[i].ids.size());
      lists_[i].size.push_back(static_cast<std::uint32_t>(record.lists[i].size()));
      append<std::uint32_t>(lists_[i].ids, record.lists[i]);
    }
  }
  void write_version(std::uint32_t version, const side_record& record) {
    std::ranges::copy(record.codes, codes_.begin() + at(version, codes_width_));
    std::ranges::copy(record.keys, keys_.begin() + at(version, keys_width_));
    std::ranges::copy(record.vectors, vectors_.begin() + at(version, vectors_width_));
    for (std::size_t i = 0; i < lists_.size(); ++i) {
      lists& all = lists_[i];
      if (record.lists[i].size() > all.size[version]) {
        all.begin[version] = all.ids.size();
        append<std::uint32_t>(all.ids, record.lists[i]);
      } else {
        std::ranges::copy(record.lists[i],
                          all.ids.begin() + static_cast<std::ptrdiff_t>(all.begin[version]));
      }
      all.size[version] = static_cast<std::uint32_t>(record.lists[i].size());
    }
  }
  void clear_versions() {
    since_.clear();
    previous_.clear();
    codes_.clear();
    keys_.clear();
    vectors_.clear();
    for (lists& list : lists_) list = {};
  }
  void copy_version(const entity_table& from, std::uint32_t version, std::uint32_t previous) {
    since_.push_back(from.since_[version]);
    previous_.push_back(previous);
    append(codes_, from.codes(version));
    append(keys_, from.keys(version));
    append(vectors_, from.vectors(version));
    for (std::size_t i = 0; i < lists_.size(); ++i) {
      const auto ids = from.list(i, version);
      lists_[i].begin.push_back(lists_[i].ids.size());
      lists_[i].size.push_back(static_cast<std::uint32_t>(ids.size()));
      append(lists_[i].ids, ids);
    }
  }

  void check_loaded() const {
    const std::size_t rows = ids_.rows();
    const std::size_t versions = since_.size();
    bool fits = current_.size() == rows && versions > 0 &&
                numbers_.size() == rows * numbers_width_ && times_.size() == rows * times_width_ &&
                previous_.size() == versions && codes_.size() == versions * codes_width_ &&
                keys_.size() == versions * keys_width_ &&
                vectors_.size() == versions * vectors_width_;
    for (const std::uint32_t version : current_) fits = fits && version < versions;
    for (std::size_t v = 0; fits && v < versions; ++v) fits = previous_[v] < v || previous_[v] == 0;
    for (const lists& list : lists_) {
      fits = fits && list.begin.size() == versions && list.size.size() == versions;
      for (std::size_t v = 0; fits && v < versions; ++v)
        fits = list.begin[v] <= list.ids.size() && list.size[v] <= list.ids.size() - list.begin[v];
    }
    if (!fits) damaged();
  }

  vocabulary ids_;
  std::size_t codes_width_ = 0, keys_width_ = 0, numbers_width_ = 0, times_width_ = 0,
              vectors_width_ = 0;
  std::vector<std::uint32_t> current_;  // [rows] the version now; 0: no values
  std::vector<float> numbers_;          // [rows, numbers]
  std::vector<std::int64_t> times_;     // [rows, times]
  std::vector<std::int64_t> since_;     // [versions] the time from which a version holds
  std::vector<std::uint32_t> previous_;
  std::vector<std::uint32_t> codes_;  // [versions, codes]
  std::vector<std::uint64_t> keys_;   // [versions, keys]
  std::vector<float> vectors_;        // [versions, vectors]
  std::vector<lists> lists_;
};

}  // namespace funnel::detail
