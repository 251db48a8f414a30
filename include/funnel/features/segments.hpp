// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>
#include <funnel/core/error.hpp>
#include <funnel/core/state.hpp>
#include <funnel/features/columns.hpp>
#include <funnel/features/hashing.hpp>

#include <algorithm>
#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

namespace funnel {

/// Options of `segments`.
struct segment_options {
  /// Number of rows from which on a combination is a segment of its own; 1 or more.
  std::size_t min_rows = 1000;
};

/// Segments: gives each row or request the number of its segment, for calibration, quotas and
/// reports by segment. A segment is a combination of categories, such as the user's activity class
/// and the tab of the app.
///
/// A combination that is frequent in the rows of the fit is a segment. Every other combination
/// belongs to the segment of the same combination without its last category, then without the last
/// two, and so on; at the end of this is segment 0, which is all. So name the categories that
/// matter most first.
///
///     find(activity, tab) = the segment of (activity, tab), else of (activity), else 0
///
/// A missing value (`missing_key`) is never a segment of its own.
///
/// Order       segments are numbered by length, then by their parent, then by the last key as an
///             unsigned number; the order of the rows does not matter. Every segment has a larger
///             number than its parent.
/// Errors      std::invalid_argument if a column is missing or holds lists, a category is named
///             twice, or min_rows is 0; std::bad_alloc. The object is unchanged then.
/// Cost        the fit sorts the rows once per category; a call of `find` is a binary search per
///             category and allocates nothing.
/// Source      docs/formulas.md#segments.
class segments {
 public:
  /// Segment 0 alone.
  segments() = default;
  /// Finds the segments of the rows of a log, by the columns with these names.
  segments(const columns& log, const std::vector<std::string>& categories,
           const segment_options& options = {}) {
    detail::check_at_least_one("segments", "min_rows", options.min_rows);
    for (std::size_t c = 0; c < categories.size(); ++c) {
      if (std::ranges::count(categories, categories[c]) > 1)
        detail::fail("funnel::segments: categories has \"", categories[c],
                     "\" twice, expected each name once");
      names_.add(categories[c]);
      column_of(log, c);
    }
    fit(log, options.min_rows);
  }

  segments(const segments&) = default;
  segments(segments&&) noexcept = default;
  /// Copies the whole object; if memory runs out, this object is unchanged.
  segments& operator=(const segments& other) {
    *this = segments(other);
    return *this;
  }
  segments& operator=(segments&&) noexcept = default;

  /// Number of segments, segment 0 included.
  std::size_t size() const { return parents_.size() + 1; }
  /// Number of categories of the longest combination.
  std::size_t categories() const { return names_.size(); }

  /// The segment of a combination of keys, in the order of the categories. Integers are their own
  /// keys; for a text pass `category_key(text)`. Fewer keys than categories are a shorter
  /// combination.
  ///
  /// Errors      std::invalid_argument if there are more keys than categories.
  std::uint32_t find(std::span<const std::uint64_t> keys) const {
    if (keys.size() > categories())
      detail::fail_check("segments::find", "keys", " has ", keys.size(), " values, expected ",
                         categories(), " or fewer, one per category");
    std::uint32_t segment = 0;
    for (const std::uint64_t key : keys) {
      const std::uint32_t next = child(segment, key);
      if (next == 0) break;
      segment = next;
    }
    return segment;
  }
  /// The same for keys that are passed one by one: `find(activity, tab)`.
  template <std::integral... Keys>
  std::uint32_t find(Keys... keys) const {
    const std::array<std::uint64_t, sizeof...(Keys)> list{static_cast<std::uint64_t>(keys)...};
    return find(std::span<const std::uint64_t>(list));
  }

  /// The segment of each row of a log.
  ///
  /// Errors      std::invalid_argument if the column of a category is missing or holds lists.
  std::vector<std::uint32_t> of_rows(const columns& log) const {
    std::vector<std::uint32_t> found(categories() == 0 ? log.rows() : 0);
    for (std::size_t c = 0; c < categories(); ++c) {
      const column& values = column_of(log, c);
      if (c == 0) found.resize(log.rows());
      for (std::size_t i = 0; i < found.size(); ++i) {
        if (depth(found[i]) != c) continue;  // an earlier category was the last that is known
        const std::uint32_t next = child(found[i], values.key(i));
        if (next != 0) found[i] = next;
      }
    }
    return found;
  }

  /// The segment of the combination without its last category; 0 for segment 0.
  ///
  /// Errors      std::invalid_argument if there is no such segment.
  std::uint32_t parent(std::uint32_t segment) const {
    check_segment("segments::parent", segment);
    return segment == 0 ? 0 : parents_[segment - 1];
  }

  /// The name of a segment, for reports: "all", "activity=3", "activity=3, tab=home".
  ///
  /// Errors      as `parent`.
  std::string name(std::uint32_t segment) const {
    check_segment("segments::name", segment);
    if (segment == 0) return "all";
    std::string own = detail::join_text(names_[depth(segment) - 1u], "=", labels_[segment - 1]);
    const std::uint32_t above = parents_[segment - 1];
    return above == 0 ? own : name(above) + ", " + own;
  }

  /// See `HasState`. Throws a format_error if what was loaded is not a state, and is unchanged then.
  void visit_state(auto&& visit) {
    if (!is_loading(visit)) return visit_fields(visit);
    segments loaded;
    loaded.visit_fields(visit);
    detail::check_loaded([&] { loaded.check(); });
    loaded.index();
    *this = std::move(loaded);
  }

 private:
  /// A list of texts that can be saved.
  struct text_list {
    std::string bytes;
    std::vector<std::uint64_t> ends;

    std::size_t size() const { return ends.size(); }
    std::string_view operator[](std::size_t i) const {
      const std::uint64_t begin = i == 0 ? 0 : ends[i - 1];
      return std::string_view(bytes).substr(begin, ends[i] - begin);
    }
    void add(std::string_view text) {
      bytes += text;
      ends.push_back(bytes.size());
    }
    void visit_state(auto&& visit) { visit("bytes", bytes), visit("ends", ends); }
    void check(std::string_view argument) const {
      for (std::size_t i = 0; i <= ends.size(); ++i) {
        const std::uint64_t least = i == 0 ? 0 : ends[i - 1];
        const std::uint64_t end = i == ends.size() ? bytes.size() : ends[i];
        if (end < least || (i == ends.size() && end != least))
          detail::fail_check("segments", argument, " ends at ", least, " of ", end,
                             " bytes, expected ends that do not decrease up to the last byte");
      }
    }
  };

  /// A row while it is fitted: the segment so far, and the key of the next category.
  struct step {
    std::uint32_t segment = 0;
    std::uint64_t key = 0;
    std::size_t row = 0;
  };

  const column& column_of(const columns& log, std::size_t category) const {
    const column& values = log[names_[category]];
    if (values.is_list())
      detail::fail("funnel::segments: column \"", names_[category],
                   "\" holds lists, expected one value per row");
    return values;
  }

  void fit(const columns& log, std::size_t min_rows) {
    std::vector<step> rows(categories() == 0 ? 0 : log.rows());
    for (std::size_t i = 0; i < rows.size(); ++i) rows[i].row = i;
    for (std::size_t c = 0; c < categories(); ++c) {
      const column& values = column_of(log, c);
      for (step& at : rows) at.key = values.key(at.row);
      std::ranges::sort(rows, {},
                        [](const step& at) { return std::tie(at.segment, at.key, at.row); });
      std::vector<step> longer;  // rows that this category has moved to a new segment
      for (std::size_t begin = 0, end = 0; begin < rows.size(); begin = end) {
        const auto [segment, key, row] = rows[begin];
        while (end < rows.size() && rows[end].segment == segment && rows[end].key == key) ++end;
        if (key == missing_key || end - begin < min_rows) continue;
        parents_.push_back(segment);
        keys_.push_back(key);
        labels_.add(label_of(values, row));
        for (std::size_t i = begin; i < end; ++i)
          longer.push_back({static_cast<std::uint32_t>(parents_.size()), 0, rows[i].row});
      }
      rows.swap(longer);
    }
    index();
  }

  static std::string label_of(const column& values, std::size_t row) {
    switch (values.kind()) {
    case value_kind::text:
      return std::string(values.text(row));
    case value_kind::integer:
      return detail::join_text(values.integers()[row]);
    default:
      return detail::join_text(values.number(row));
    }
  }

  /// Computes what follows from the parents: the first child and the depth of each segment.
  void index() {
    first_children_.assign(size() + 1, static_cast<std::uint32_t>(size()));
    depths_.assign(size(), 0);
    for (std::uint32_t s = static_cast<std::uint32_t>(size()); s-- > 1;)
      first_children_[parents_[s - 1]] = s;
    for (std::size_t s = size(); s-- > 0;)
      first_children_[s] = std::min(first_children_[s], first_children_[s + 1]);
    for (std::size_t s = 1; s < size(); ++s) depths_[s] = depths_[parents_[s - 1]] + 1;
  }

  /// 0 for segment 0, 1 for a combination of one category.
  std::uint32_t depth(std::uint32_t segment) const { return segment == 0 ? 0 : depths_[segment]; }

  /// The segment that is one key longer; 0 if there is none.
  std::uint32_t child(std::uint32_t segment, std::uint64_t key) const {
    if (parents_.empty()) return 0;
    const auto from = keys_.begin() + (std::ptrdiff_t{first_children_[segment]} - 1);
    const auto to = keys_.begin() + (std::ptrdiff_t{first_children_[segment + 1]} - 1);
    const auto found = std::lower_bound(from, to, key);
    if (found == to || *found != key) return 0;
    return static_cast<std::uint32_t>(found - keys_.begin()) + 1;
  }

  void check_segment(std::string_view function, std::uint32_t segment) const {
    detail::check_below(function, "segment", segment, size());
  }

  void visit_fields(auto&& visit) {
    visit("names", names_), visit("parents", parents_), visit("keys", keys_);
    visit("labels", labels_);
  }
  void check() const {
    constexpr std::string_view name = "segments";
    names_.check("names");
    labels_.check("labels");
    detail::check_size_of_32_bits(name, "parents", parents_.size() + 1);
    detail::check_size(name, "keys", keys_.size(), parents_.size(), "parents");
    detail::check_size(name, "labels", labels_.size(), parents_.size(), "parents");
    std::vector<std::size_t> depths(size());
    for (std::size_t i = 0; i < parents_.size(); ++i) {
      if (parents_[i] > i)
        detail::fail_check(name, "parents", "[", i, "] is ", parents_[i], ", expected at most ", i);
      if (i > 0 && std::pair(parents_[i - 1], keys_[i - 1]) >= std::pair(parents_[i], keys_[i]))
        detail::fail_check(name, "parents", "[", i, "] is ", parents_[i], " with key ", keys_[i],
                           ", expected pairs of parent and key that increase");
      depths[i + 1] = depths[parents_[i]] + 1;
      if (depths[i + 1] > categories())
        detail::fail_check(name, "parents", "[", i, "] is at depth ", depths[i + 1],
                           ", expected at most ", categories(), ", the number of names");
    }
  }

  text_list names_;                     // of the categories
  std::vector<std::uint32_t> parents_;  // of segments 1, 2, ...; this and the next are sorted
  std::vector<std::uint64_t> keys_;     // the last key of segments 1, 2, ...
  text_list labels_;                    // the same as text
  // Follow from the parents. Children of s: [first_children_[s], first_children_[s + 1]).
  std::vector<std::uint32_t> first_children_, depths_;
};

}  // namespace funnel
