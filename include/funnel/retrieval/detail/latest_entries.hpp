// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/error.hpp>
#include <funnel/core/state.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string_view>
#include <vector>

namespace funnel::detail {

/// Makes room for one more value, so that push_back does not fail.
template <class T>
void reserve_one_more(std::vector<T>& values) {
  if (values.size() == values.capacity())
    values.reserve(std::max<std::size_t>(4, 2 * values.size()));
}

/// The entries of a user (or of an item) that are kept, in any order, each with the time of its latest
/// event.
struct latest_entries {
  std::vector<std::uint32_t> rows;
  std::vector<std::int64_t> times;

  std::size_t size() const { return rows.size(); }
  /// The place of an entry; `size()` if it is not there.
  std::size_t find(std::size_t row) const {
    return static_cast<std::size_t>(std::ranges::find(rows, static_cast<std::uint32_t>(row)) -
                                    rows.begin());
  }
  /// The place of the entry that leaves first: the oldest, of equal times the one with the lowest id.
  std::size_t oldest(std::span<const std::uint64_t> ids) const {
    std::size_t found = 0;
    for (std::size_t i = 1; i < size(); ++i)
      if (times[i] < times[found] || (times[i] == times[found] && ids[rows[i]] < ids[rows[found]]))
        found = i;
    return found;
  }
  /// Whether an event would leave before the entry at a place.
  bool is_older(std::int64_t time, std::uint64_t id, std::size_t place,
                std::span<const std::uint64_t> ids) const {
    return time < times[place] || (time == times[place] && id < ids[rows[place]]);
  }
  void reserve_one() {
    reserve_one_more(rows);
    reserve_one_more(times);
  }
  /// After `reserve_one`.
  void push(std::size_t row, std::int64_t time) noexcept {
    rows.push_back(static_cast<std::uint32_t>(row));
    times.push_back(time);
  }
  /// The last entry takes the place of this one.
  void remove(std::size_t place) noexcept {
    rows[place] = rows.back();
    times[place] = times.back();
    rows.pop_back();
    times.pop_back();
  }
};

/// Visits the sizes of the lists of some owners, whose number is known.
template <class Owners>
std::vector<std::uint32_t> visit_sizes(auto&& visit, std::string_view name, Owners& owners) {
  std::vector<std::uint32_t> sizes;
  if (!is_loading(visit))
    for (const auto& owner : owners) sizes.push_back(static_cast<std::uint32_t>(owner.size()));
  visit(name, sizes);
  if (sizes.size() != owners.size())
    throw format_error(join_text("lists are damaged: ", name, " has ", sizes.size(),
                                 " values, expected ", owners.size()));
  return sizes;
}
/// Visits the lists of one member of the owners as one array.
template <class Owner, class Base, class T>
void visit_lists(auto&& visit, std::string_view name, std::span<const std::uint32_t> sizes,
                 std::vector<Owner>& owners, std::vector<T> Base::*member) {
  std::vector<T> values;
  if (!is_loading(visit))
    for (const Owner& owner : owners)
      values.insert(values.end(), (owner.*member).begin(), (owner.*member).end());
  visit(name, values);
  if (!is_loading(visit)) return;
  std::uint64_t sum = 0;
  for (const std::uint32_t size : sizes) sum += size;
  if (sum != values.size())
    throw format_error(
        join_text("lists are damaged: ", name, " has ", values.size(), " values, expected ", sum));
  auto from = values.begin();
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    const auto end = from + static_cast<std::ptrdiff_t>(sizes[i]);
    (owners[i].*member).assign(from, end);
    from = end;
  }
}

/// Throws a format_error unless the entries are below `rows`, each there once, and no more than `most`.
inline void check_loaded_entries(const latest_entries& entries, std::size_t rows,
                                 std::size_t most) {
  std::vector<std::uint32_t> sorted = entries.rows;
  std::ranges::sort(sorted);
  if (sorted.size() > most || (!sorted.empty() && sorted.back() >= rows) ||
      std::ranges::adjacent_find(sorted) != sorted.end())
    throw format_error("a list of entries is damaged: expected known ones, each once");
}

/// Throws a format_error unless all ids have 32 bits.
inline void check_loaded_ids(std::span<const std::uint64_t> ids) {
  for (const std::uint64_t id : ids)
    if (id > std::numeric_limits<std::uint32_t>::max())
      throw format_error(join_text("an id is ", id, ", expected one of 32 bits"));
}

}  // namespace funnel::detail
