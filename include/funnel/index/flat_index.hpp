// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/arena.hpp>
#include <funnel/core/detail/checks.hpp>
#include <funnel/core/detail/sizes.hpp>
#include <funnel/core/executor.hpp>
#include <funnel/core/float16.hpp>
#include <funnel/core/ids.hpp>
#include <funnel/core/matrix.hpp>
#include <funnel/index/detail/best_items.hpp>
#include <funnel/index/detail/int8_vectors.hpp>
#include <funnel/index/detail/packed_vectors.hpp>
#include <funnel/index/item_filter.hpp>
#include <funnel/index/scored_item.hpp>
#include <funnel/nn/detail/check_ids.hpp>
#include <funnel/simd/arch.hpp>
#include <funnel/simd/inner_product.hpp>

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string_view>
#include <type_traits>
#include <vector>

namespace funnel {

/// Exact nearest-neighbor search by inner product: finds the k items whose vectors have the largest
/// inner product with a query vector. Items can be added, replaced and removed between searches.
///
/// An item is an id; item i of the vectors that an index is made of is row i. If the vectors and the
/// query are normalized to length 1, scores are cosines.
///
/// `Value` is how vectors are stored. Less memory is read then, which is what a search of one query
/// takes its time for.
///
///     float       4 bytes per value.
///     float16,    2 bytes per value: the vectors are rounded, and everything is as if they had been
///     bfloat16    given rounded.
///     int8_t      5 bytes per value: 1 that a search reads, and the vector in float. Results are those
///                 of `float`, to the bit: a rounded vector gives a bound that the score is not above,
///                 and only items whose bound is high enough are scored
///                 (docs/formulas.md#bounds-from-rounded-vectors).
///
/// Searching is const: several threads can search at the same time, but not while another one changes
/// the index. Either let a lock exclude searches from changes (std::shared_mutex), or change a copy and
/// publish it in a `model_slot`.
///
/// Order       larger scores first; equal scores by lower item id; NaN last.
/// Errors      std::invalid_argument if a query does not have d values, or found does not have one
///             row per query. std::bad_alloc; the index is unchanged then.
/// Cost        a single query is limited by reading the vectors, 4 n d bytes (2 n d, n d + 4 n); from
///             about eight queries on, the limit is arithmetic, 2 n d operations per query. n counts
///             all ids below `end_id`, absent ones too. admit is only called for items that would be
///             among the best k so far; with int8_t, for those that could be. Nothing is allocated.
/// Numerics    a query's scores have the same bits alone, in a batch and with any number of
///             threads.
/// Source      docs/formulas.md#exact-search.
template <class Arch = default_arch, class Value = float>
class flat_index {
  static_assert(std::same_as<Value, float> || std::same_as<Value, float16> ||
                    std::same_as<Value, bfloat16> || std::same_as<Value, std::int8_t>,
                "vectors are stored in float, float16, bfloat16 or std::int8_t");

 public:
  /// How far an item that is set may be behind the last one, if `reserve` did not ask for its id: an id
  /// that is wrong must not ask for the memory of all ids below it.
  static constexpr std::size_t largest_gap = 65536;

  flat_index() = default;
  flat_index(const flat_index&) = default;
  flat_index(flat_index&&) noexcept = default;
  flat_index& operator=(const flat_index& other) {
    *this = flat_index(other);
    return *this;
  }
  flat_index& operator=(flat_index&&) noexcept = default;
  /// An index without items, of vectors of `dim` values.
  ///
  /// Errors      std::invalid_argument if dim is above 16,384 and values are stored as int8_t.
  explicit flat_index(std::size_t dim) : flat_index(matrix_view<const float>(nullptr, 0, dim)) {}
  /// Makes a copy of the vectors, [n, d], packed for `Arch`.
  ///
  /// Errors      std::invalid_argument if n is above 2^32, as ids are of type `item_id`, or if a value
  ///             cannot be stored; with float, all can. As for `dim` above.
  explicit flat_index(matrix_view<const float> vectors) : vectors_(vectors.cols()) {
    if (dim() > vectors_type::most_dim)
      detail::fail("funnel::flat_index: dim is ", dim(), ", expected at most ",
                   vectors_type::most_dim);
    check_room("flat_index", "vectors has ", vectors.rows(), " rows");
    for (std::size_t i = 0; i < vectors.rows(); ++i)
      if (!can_store(vectors.row(i)))
        check_values("flat_index", detail::join_text("vectors[", i, "]"), vectors.row(i));
    resize(vectors.rows());
    for (std::size_t i = 0; i < vectors.rows(); ++i)
      vectors_.set(static_cast<item_id>(i), vectors.row(i));
    std::ranges::fill(present_, ~std::uint64_t{0});
    if (vectors.rows() % 64 != 0) present_.back() >>= 64 - vectors.rows() % 64;
    size_ = end_ = vectors.rows();
  }

  /// Number of items.
  std::size_t size() const { return size_; }
  std::size_t dim() const { return vectors_.dim(); }
  /// One more than the largest id that was ever set. A search takes the time of that many items.
  std::size_t end_id() const { return end_; }
  bool contains(item_id item) const {
    return item < end_ && (present_[item / 64] >> item % 64 & 1) != 0;
  }

  /// Adds an item, or replaces its vector; the next search finds it. Returns whether it is new.
  ///
  /// Ids between the last item and this one stay absent: no search finds them.
  ///
  /// Shapes      vector [d].
  /// Errors      std::invalid_argument if the id is more than `largest_gap` behind the last one and was
  ///             not reserved, or if a value cannot be stored (as in the constructor).
  /// Cost        O(d) amortized, as memory grows by a factor; plus O(d) for each id that is skipped.
  bool set(item_id item, std::span<const float> vector) {
    detail::check_size("flat_index::set", "vector", vector.size(), dim());
    check_values("flat_index::set", "vector", vector);
    if (item >= end_) {
      detail::check_below("flat_index::set", "item", item,
                          std::max<std::size_t>(end_ + largest_gap, reserved_));
      check_room("flat_index::set", "item + 1 is ", std::size_t{item} + 1);
      resize(std::size_t{item} + 1);
    }
    return put(item, vector);
  }
  /// Removes an item; the next search does not find it. Returns false if there is no such item. Its
  /// memory is kept for it.
  bool remove(item_id item) {
    if (!contains(item)) return false;
    present_[item / 64] &= ~(std::uint64_t{1} << item % 64);
    vectors_.clear(item);
    size_ = size_ - 1;
    return true;
  }
  /// Gets memory for the items below `end`, and accepts their ids: setting them in any order allocates
  /// nothing. A copy of the index accepts the ids, but has no memory in advance.
  ///
  /// Errors      std::invalid_argument if that is above 2^32, or more than an array can have.
  void reserve(std::size_t end) {
    check_room("flat_index::reserve", "end is ", end);
    vectors_.reserve(end);
    present_.reserve(detail::blocks_of(end, 64));
    reserved_ = std::max<std::size_t>(reserved_, end);
  }

  /// Writes the vector of an item, as it is stored, to `vector`, [d].
  ///
  /// Errors      std::invalid_argument if there is no such item, or `vector` does not have d
  ///             values.
  void copy_vector(item_id item, std::span<float> vector) const {
    check_present("flat_index::copy_vector", "item", item);
    detail::check_size("flat_index::copy_vector", "vector", vector.size(), dim());
    vectors_.copy(item, vector);
  }

  /// Scores items that are picked by id: out(i, t) = <queries(t), vector of ids[i]>, with the bits
  /// that `search` gives. An id may occur more than once.
  ///
  /// The index keeps the values of a vector apart from each other, for searches that read all items
  /// in order, so that a picked item costs d cache lines; with int8_t, it also keeps rows. `score_items`
  /// on rows takes about a tenth of the time: if every request scores given items, keep the rows for
  /// that.
  ///
  /// Shapes      queries [T, d]; ids [n]; out [n, T].
  /// Errors      std::invalid_argument if an id is not an item, or on other shapes.
  /// Cost        reads n d cache lines, with int8_t n rows. Allocates nothing.
  void scores(matrix_view<const float> queries, std::span<const item_id> ids,
              matrix_view<float> out) const {
    detail::check_size("flat_index::scores", "query", queries.cols(), dim());
    detail::check_shape("flat_index::scores", "out", out, ids.size(), queries.rows());
    detail::check_ids(Arch{}, "flat_index::scores", ids, end_);
    for (std::size_t i = 0; i < ids.size() && size_ < end_; ++i)
      if (!contains(ids[i]))
        detail::fail("funnel::flat_index::scores: ids[", i, "] is ", ids[i],
                     ", which was removed or never set, expected an item");
    vectors_.score(queries, ids, out);
  }
  /// The same for one query.
  ///
  /// Shapes      query [d]; ids [n]; out [n].
  void scores(std::span<const float> query, std::span<const item_id> ids,
              std::span<float> out) const {
    scores(matrix_view<const float>(query.data(), 1, query.size()), ids,
           matrix_view<float>(out.data(), out.size(), 1));
  }

  /// Writes the best items for which `admit(item)` is true, best first, and returns their number:
  /// k, or fewer if fewer items are admitted.
  ///
  /// Shapes      query [d]; found [k].
  template <std::predicate<item_id> Admit = all_items>
  std::size_t search(std::span<const float> query, std::span<scored_item> found,
                     const Admit& admit = {}) const {
    return search(matrix_view<const float>(query.data(), 1, query.size()),
                  matrix_view<scored_item>(found.data(), 1, found.size()), admit);
  }

  /// Searches for several queries at once; the vectors are read once per 64 queries.
  ///
  /// Shapes      queries [q, d]; found [q, k]; the first `count` values of each row are written and
  ///             `count` is returned. It is the same for all queries.
  template <std::predicate<item_id> Admit = all_items>
  std::size_t search(matrix_view<const float> queries, matrix_view<scored_item> found,
                     const Admit& admit = {}) const {
    check(queries, found);
    const std::size_t count = best(queries, found, 0, end_, admit);
    detail::sort_rows(found, count);
    return count;
  }

  /// The same on the threads of an executor, each of which searches a part of the items. `admit` is
  /// called from all threads. Each thread needs q k items of `scratch`.
  template <std::predicate<item_id> Admit, Executor E>
  std::size_t search(matrix_view<const float> queries, matrix_view<scored_item> found,
                     const Admit& admit, E& executor, arena& scratch) const {
    check(queries, found);
    constexpr std::size_t step = item_panel<Arch, float>;
    const std::size_t parts = std::max<std::size_t>(1, executor.concurrency());
    const std::size_t part_size = (end_ / parts / step + 1) * step;
    const std::size_t slots = found.rows() * found.cols();
    auto* of_parts = scratch.allocate<scored_item>(parts, slots);
    auto* counts = scratch.allocate<std::size_t>(parts);
    executor.for_each(parts, [&](std::size_t p) {
      const std::size_t begin = std::min(end_id(), p * part_size);
      const std::size_t end = std::min(end_id(), begin + part_size);
      counts[p] =
          best(queries, {of_parts + p * slots, found.rows(), found.cols()}, begin, end, admit);
    });
    std::size_t count = 0;
    for (std::size_t q = 0; q < found.rows() && found.cols() > 0; ++q) {
      count = 0;
      for (std::size_t p = 0; p < parts; ++p) {
        const scored_item* of_part = of_parts + p * slots + q * found.cols();
        for (std::size_t i = 0; i < counts[p]; ++i)
          detail::add_to_best(found.row(q), count, of_part[i]);
      }
    }
    detail::sort_rows(found, count);
    return count;
  }

 private:
  using vectors_type =
      std::conditional_t<std::same_as<Value, std::int8_t>, detail::int8_vectors<Arch>,
                         detail::packed_vectors<Arch, Value>>;

  /// Throws unless that many vectors are possible, in whole panels.
  void check_room(std::string_view function, std::string_view argument, std::size_t items,
                  std::string_view noun = {}) const {
    if (items > 0 && items - 1 > std::numeric_limits<item_id>::max())
      detail::fail("funnel::", function, ": ", argument, items, noun, ", expected at most 2^32");
    detail::array_size<float>("funnel::flat_index: items x dim", detail::blocks_of(items, 64) * 64,
                              dim());
  }
  static bool can_store(std::span<const float> vector) {
    return std::ranges::all_of(vector, vectors_type::can_store);
  }
  static void check_values(std::string_view function, std::string_view argument,
                           std::span<const float> vector) {
    detail::check_each(function, argument, vector, "a finite number that can be stored",
                       vectors_type::can_store);
  }
  void check_present(std::string_view function, std::string_view argument, item_id item) const {
    detail::check_below(function, argument, item, end_);
    if (!contains(item))
      detail::fail("funnel::", function, ": ", argument, " is ", item,
                   ", which was removed or never set, expected an item");
  }
  void check(matrix_view<const float> queries, matrix_view<scored_item> found) const {
    detail::check_size("flat_index::search", "query", queries.cols(), dim());
    detail::check_rows("flat_index::search", "found", found.rows(), queries.rows(), "queries");
  }

  /// The best of the items in [begin, end) that are there and admitted.
  template <class Admit>
  std::size_t best(matrix_view<const float> queries, matrix_view<scored_item> found,
                   std::size_t begin, std::size_t end, const Admit& admit) const {
    if (size_ == end_) return vectors_.best(queries, found, begin, end, admit);
    return vectors_.best(queries, found, begin, end,
                         [&](item_id item) { return contains(item) && admit(item); });
  }

  void resize(std::size_t end) {
    vectors_.resize(end);
    if (detail::blocks_of(end, 64) > present_.size()) present_.resize(detail::blocks_of(end, 64));
  }
  bool put(item_id item, std::span<const float> vector) {
    end_ = std::max<std::size_t>(end_, std::size_t{item} + 1);
    const bool is_new = !contains(item);
    vectors_.set(item, vector);
    present_[item / 64] |= std::uint64_t{1} << item % 64;
    size_ = size_ + (is_new ? 1 : 0);
    return is_new;
  }

  vectors_type vectors_;
  std::vector<std::uint64_t> present_;  // one bit per item
  detail::owned_size size_;
  detail::owned_size end_;
  detail::owned_size reserved_;
};

}  // namespace funnel
