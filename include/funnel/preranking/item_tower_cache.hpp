// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>
#include <funnel/core/detail/sizes.hpp>
#include <funnel/core/ids.hpp>
#include <funnel/core/matrix.hpp>
#include <funnel/nn/inference_context.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace funnel {

/// The versions that an item vector was computed from. A vector is valid for one version of the
/// model and one version of the static item features.
struct item_version {
  std::uint32_t model = 0;
  std::uint32_t features = 0;

  friend bool operator==(const item_version&, const item_version&) = default;
};

/// Cache of item-tower vectors, keyed by (item, model version, feature version).
///
/// The capacity is fixed. The cache is divided into sets of eight slots; a full set replaces its
/// least recently used vector. All memory is allocated at construction. It is not thread-safe: each
/// serving thread needs a cache of its own.
template <class T>
class item_tower_cache {
 public:
  /// Room for at least `capacity` vectors of `dim` values.
  /// Errors      std::invalid_argument if `capacity` or `dim` is 0, or `capacity` x `dim` values do
  ///             not fit into an array.
  item_tower_cache(std::size_t capacity, std::size_t dim) {
    detail::check_at_least_one("item_tower_cache", "capacity", capacity);
    detail::check_at_least_one("item_tower_cache", "dim", dim);
    detail::array_size<slot>("funnel::item_tower_cache: capacity", capacity);
    const std::size_t slots = detail::blocks_of(capacity, ways) * ways;
    detail::array_size<T>("funnel::item_tower_cache: capacity x dim", slots, dim);
    slots_.resize(slots);
    vectors_.assign(slots, dim);
  }
  item_tower_cache(const item_tower_cache&) = default;
  item_tower_cache(item_tower_cache&&) noexcept = default;
  /// Strong guarantee: if memory runs out, this object is unchanged.
  item_tower_cache& operator=(const item_tower_cache& other) {
    *this = item_tower_cache(other);
    return *this;
  }
  item_tower_cache& operator=(item_tower_cache&&) noexcept = default;

  std::size_t dim() const { return vectors_.cols(); }
  std::size_t capacity() const { return slots_.size(); }
  std::uint64_t hits() const { return hits_; }
  std::uint64_t misses() const { return misses_; }

  /// The cached vector of an item in this version, or an empty span if there is none. Valid until
  /// the next `insert`.
  std::span<const T> find(item_id item, item_version version) {
    const std::span<slot> set = set_of(item);
    const auto found = std::ranges::find_if(
        set, [&](const slot& s) { return s.used != 0 && s.item == item && s.version == version; });
    if (found == set.end()) {
      ++misses_;
      return {};
    }
    ++hits_;
    found->used = ++clock_;
    return vectors_.row(static_cast<std::size_t>(&*found - slots_.data()));
  }

  /// Stores a vector. It replaces an older version of the same item.
  /// Errors      std::invalid_argument if the vector does not have `dim()` values.
  void insert(item_id item, item_version version, std::span<const T> vector) {
    detail::check_size("item_tower_cache::insert", "vector", vector.size(), dim());
    const std::span<slot> set = set_of(item);
    auto place =
        std::ranges::find_if(set, [&](const slot& s) { return s.used != 0 && s.item == item; });
    if (place == set.end()) place = std::ranges::min_element(set, {}, &slot::used);
    if (place == set.end()) return;  // a moved-from cache has no slots
    *place = {item, version, ++clock_};
    std::ranges::copy(vector,
                      vectors_.row(static_cast<std::size_t>(&*place - slots_.data())).begin());
  }

  void clear() { std::ranges::fill(slots_, slot{}); }

 private:
  static constexpr std::size_t ways = 8;

  struct slot {
    item_id item = 0;
    item_version version;
    std::uint64_t used = 0;  // time of the last access; 0 means the slot is empty
  };

  std::span<slot> set_of(item_id item) {
    if (slots_.empty()) return {};                              // moved-from
    const std::uint64_t spread = item * 0x9e3779b97f4a7c15ULL;  // Fibonacci hashing
    const std::size_t sets = slots_.size() / ways;
    return std::span<slot>(slots_).subspan((spread >> 32) % sets * ways, ways);
  }

  std::vector<slot> slots_;
  matrix<T> vectors_;
  std::uint64_t clock_ = 0;
  std::uint64_t hits_ = 0;
  std::uint64_t misses_ = 0;
};

/// Item vectors from the cache; those that are missing are computed by one call of the tower and
/// stored in the cache.
///
/// `inputs_of(missing)` returns the tower's input for a span of items; it is called at most once. A
/// vector has the same bits whether it was cached or not.
///
/// Shapes      items [n] -> [n, cache.dim()].
/// Errors      std::invalid_argument if the tower does not return one row of `cache.dim()` values
///             per missing item.
template <class T, class Arch, class ItemTower, class InputsOf>
matrix_view<const T> cached_item_vectors(inference_context<T, Arch>& context,
                                         const ItemTower& tower, item_tower_cache<T>& cache,
                                         std::span<const item_id> items, item_version version,
                                         InputsOf&& inputs_of) {
  const matrix_view<T> vectors = context.make(items.size(), cache.dim());
  item_id* missing = context.scratch().template allocate<item_id>(items.size());
  std::uint32_t* places = context.scratch().template allocate<std::uint32_t>(items.size());
  std::size_t count = 0;
  for (std::size_t i = 0; i < items.size(); ++i) {
    const std::span<const T> kept = cache.find(items[i], version);
    if (kept.empty()) {
      missing[count] = items[i];
      places[count++] = static_cast<std::uint32_t>(i);
    } else {
      std::ranges::copy(kept, vectors.row(i).begin());
    }
  }
  if (count == 0) return vectors;
  const matrix_view<const T> made =
      tower(context, inputs_of(std::span<const item_id>(missing, count)));
  detail::check_shape("cached_item_vectors", "the output of tower", made, count, cache.dim());
  for (std::size_t i = 0; i < count; ++i) {
    std::ranges::copy(made.row(i), vectors.row(places[i]).begin());
    cache.insert(missing[i], version, made.row(i));
  }
  return vectors;
}

}  // namespace funnel
