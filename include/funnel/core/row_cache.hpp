// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/arena.hpp>
#include <funnel/core/detail/checks.hpp>
#include <funnel/core/detail/element_of.hpp>
#include <funnel/core/detail/hashed_bucket.hpp>
#include <funnel/core/detail/sizes.hpp>
#include <funnel/core/matrix.hpp>

#include <algorithm>
#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <type_traits>
#include <vector>

namespace funnel {

/// Options of `row_cache`.
struct row_cache_options {
  /// Most bytes that the cache may take, rows and what is kept about them together: room for eight
  /// rows or more. All of it is allocated at construction.
  std::size_t budget = std::size_t{64} << 20;
};

/// Cache of rows of `width` values, such as item features from a remote store or item vectors. A row
/// has an id and a version, and is found only under both.
///
/// The memory is fixed: as many rows as fit into a budget in bytes. The cache is divided into sets of
/// eight rows; a full set replaces its least recently used row. It is not thread-safe: each serving
/// thread needs a cache of its own.
///
/// Errors      std::bad_alloc at construction and in copies; an object that is assigned to is
///             unchanged then.
/// Cost        `find` and `insert` look at the eight rows of one set, and allocate nothing.
template <class T>
class row_cache {
  static_assert(std::is_trivially_copyable_v<T>, "a row is copied as it is");

 public:
  /// Number of rows in a set.
  static constexpr std::size_t ways = 8;

  /// Errors      std::invalid_argument if `width` is 0, or the budget is below that of eight rows or
  ///             more than an array can have.
  explicit row_cache(std::size_t width, const row_cache_options& options = {}) {
    constexpr std::string_view name = "row_cache";
    detail::check_at_least_one(name, "width", width);
    const std::size_t set = budget_of(1, width);
    detail::check_that(name, "budget", options.budget,
                       set <= options.budget && options.budget <= detail::most_values<std::byte>,
                       set, " bytes (", ways, " rows of ", width, " values) to ",
                       detail::most_values<std::byte>);
    slots_.resize(options.budget / set * ways);
    rows_.assign(slots_.size(), width);
  }
  row_cache(const row_cache&) = default;
  row_cache(row_cache&&) noexcept = default;
  row_cache& operator=(const row_cache& other) {
    *this = row_cache(other);
    return *this;
  }
  row_cache& operator=(row_cache&&) noexcept = default;

  /// The smallest budget with room for `rows` rows; they are rounded up to a multiple of eight.
  /// Errors      std::invalid_argument if rows x width values do not fit into an array.
  static std::size_t budget_of(std::size_t rows, std::size_t width) {
    detail::array_size<slot>("funnel::row_cache::budget_of: rows", rows);
    const std::size_t rounded = detail::blocks_of(rows, ways) * ways;
    // Each part is at most half of what a size can be.
    return rounded * sizeof(slot) +
           sizeof(T) *
               detail::array_size<T>("funnel::row_cache::budget_of: rows x width", rounded, width);
  }

  std::size_t width() const { return rows_.cols(); }
  /// Number of rows that there is room for.
  std::size_t capacity() const { return slots_.size(); }
  /// Bytes of memory taken, at most the budget.
  std::size_t bytes() const { return slots_.size() * sizeof(slot) + rows_.size() * sizeof(T); }

  /// How often `find` found a row, and how often it did not.
  std::uint64_t hits() const { return hits_; }
  std::uint64_t misses() const { return misses_; }
  /// How many rows had to make room for one of another id.
  std::uint64_t evictions() const { return evictions_; }
  /// Bytes of all rows that were inserted: what was read from the store because it was missing.
  std::uint64_t bytes_read() const { return inserted_ * width() * sizeof(T); }

  /// The row of an id in this version, or an empty span if it is not in the cache. Valid until the
  /// next `insert` or `clear`.
  std::span<const T> find(std::uint64_t id, std::uint64_t version) {
    const std::span<slot> set = set_of(id);
    const auto found = std::ranges::find_if(
        set, [&](const slot& s) { return s.id == id && s.version == version && s.used != 0; });
    if (found == set.end()) {
      ++misses_;
      return {};
    }
    ++hits_;
    found->used = ++clock_;
    return row_of(*found);
  }

  /// Stores a row. It replaces another version of the same id.
  /// Errors      std::invalid_argument if the row does not have `width()` values.
  void insert(std::uint64_t id, std::uint64_t version, std::span<const T> row) {
    detail::check_size("row_cache::insert", "row", row.size(), width());
    const std::span<slot> set = set_of(id);
    auto place =
        std::ranges::find_if(set, [&](const slot& s) { return s.id == id && s.used != 0; });
    if (place == set.end()) {
      place = std::ranges::min_element(set, {}, &slot::used);
      if (place == set.end()) return;  // a moved-from cache has no slots
      if (place->used != 0) ++evictions_;
    }
    *place = {id, version, ++clock_};
    ++inserted_;
    std::ranges::copy(row, row_of(*place).begin());
  }

  /// Forgets all rows. The counters go on.
  void clear() { std::ranges::fill(slots_, slot{}); }

 private:
  struct slot {
    std::uint64_t id = 0;
    std::uint64_t version = 0;
    std::uint64_t used = 0;  // time of the last access; 0 means the slot is empty
  };

  std::span<slot> set_of(std::uint64_t id) {
    if (slots_.empty()) return {};  // moved-from
    const std::size_t set = detail::hashed_bucket(id, slots_.size() / ways);
    return std::span<slot>(slots_).subspan(set * ways, ways);
  }
  std::span<T> row_of(const slot& s) {
    return rows_.row(static_cast<std::size_t>(&s - slots_.data()));
  }

  std::vector<slot> slots_;
  matrix<T> rows_;
  std::uint64_t clock_ = 0;
  std::uint64_t hits_ = 0;
  std::uint64_t misses_ = 0;
  std::uint64_t evictions_ = 0;
  std::uint64_t inserted_ = 0;
};

namespace detail {

/// Joins equal ids: moves the first of each to the front of `ids`, in their order, and writes to
/// places[i] where ids[i] went. Returns how many differ.
template <std::integral Id>
std::size_t join_equal_ids(std::span<Id> ids, std::uint32_t* places, arena& scratch) {
  constexpr std::uint32_t none = 0xffffffff;
  const std::size_t buckets = std::bit_ceil(2 * ids.size());
  const std::span<std::uint32_t> table(scratch.allocate<std::uint32_t>(buckets), buckets);
  std::ranges::fill(table, none);
  std::uint32_t count = 0;
  for (std::size_t i = 0; i < ids.size(); ++i) {
    const Id id = ids[i];
    std::size_t at = hashed_bucket(static_cast<std::uint64_t>(id), buckets);
    while (table[at] != none && ids[table[at]] != id) at = (at + 1) & (buckets - 1);
    if (table[at] == none) {
      ids[count] = id;
      table[at] = count++;
    }
    places[i] = table[at];
  }
  return count;
}

/// Copies rows to `out`: those that the cache has, and those that `made(missing)`, which is called at
/// most once, returns for the ids that it has not. Stores these.
template <class T, std::integral Id, class Made>
void copy_or_make_rows(row_cache<T>& cache, std::span<const Id> ids, std::uint64_t version,
                       matrix_view<T> out, Made&& made, arena& scratch) {
  std::uint32_t* positions = scratch.allocate<std::uint32_t>(ids.size());
  std::size_t count = 0;
  for (std::size_t i = 0; i < ids.size(); ++i) {
    const std::span<const T> row = cache.find(static_cast<std::uint64_t>(ids[i]), version);
    if (row.empty()) {
      positions[count++] = static_cast<std::uint32_t>(i);
    } else {
      std::ranges::copy(row, out.row(i).begin());
    }
  }
  if (count == 0) return;
  const std::span<Id> missing(scratch.allocate<Id>(count), count);
  std::uint32_t* places = scratch.allocate<std::uint32_t>(count);
  for (std::size_t j = 0; j < count; ++j) missing[j] = ids[positions[j]];
  const std::size_t different = join_equal_ids(missing, places, scratch);
  const matrix_view<const T> rows = made(std::span<const Id>(missing.first(different)));
  for (std::size_t j = 0; j < count; ++j)
    std::ranges::copy(rows.row(places[j]), out.row(positions[j]).begin());
  for (std::size_t j = 0; j < different; ++j)
    cache.insert(static_cast<std::uint64_t>(missing[j]), version, rows.row(j));
}

}  // namespace detail

/// Copies the rows of `ids` to `out`. Those that the cache does not have in this version are fetched
/// by one call of `fetch(missing, rows)` and stored.
///
/// `missing` is a span of ids, each of them once, in the order of `ids`; `fetch` writes row i of
/// `rows` for missing[i]. It is not called if nothing is missing. A row has the same bits whether it
/// was in the cache or not.
///
/// Shapes      ids [n], integers of at most 64 bits; out [n, width]; rows [missing, width], not
///             initialized.
/// Errors      std::invalid_argument if `out` is not [n, width]; nothing has happened then. If
///             `fetch` throws, or memory runs out, nothing is stored, and `out` has some of the
///             rows.
/// Cost        one `find` per id; n numbers of scratch memory, and the missing rows. The memory is
///             taken from `scratch` until that is reset; a warm arena allocates nothing. Without
///             `scratch`, a temporary arena is used.
template <class T, detail::Numbers Ids, class Fetch>
requires std::integral<detail::element_of<const Ids>>
void cached_rows(row_cache<T>& cache, const Ids& ids, std::uint64_t version,
                 std::type_identity_t<matrix_view<T>> out, Fetch&& fetch, arena& scratch) {
  const auto asked = detail::as_span(ids);
  using id = detail::element_of<const Ids>;
  detail::check_size_of_32_bits("cached_rows", "ids", asked.size());
  detail::check_shape("cached_rows", "out", out, asked.size(), cache.width());
  detail::copy_or_make_rows(
      cache, asked, version, out,
      [&](std::span<const id> missing) {
        const std::size_t width = cache.width();
        const matrix_view<T> rows(scratch.allocate<T>(missing.size(), width), missing.size(),
                                  width);
        fetch(missing, rows);
        return matrix_view<const T>(rows);
      },
      scratch);
}

template <class T, detail::Numbers Ids, class Fetch>
requires std::integral<detail::element_of<const Ids>>
void cached_rows(row_cache<T>& cache, const Ids& ids, std::uint64_t version,
                 std::type_identity_t<matrix_view<T>> out, Fetch&& fetch) {
  arena scratch;
  cached_rows(cache, ids, version, out, fetch, scratch);
}

}  // namespace funnel
