// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>
#include <funnel/core/detail/sizes.hpp>
#include <funnel/core/ids.hpp>
#include <funnel/core/matrix.hpp>
#include <funnel/core/row_cache.hpp>
#include <funnel/nn/inference_context.hpp>

#include <cstddef>
#include <cstdint>
#include <span>

namespace funnel {

/// The versions that an item vector was computed from. A vector is valid for one version of the
/// model and one version of the static item features.
struct item_version {
  std::uint32_t model = 0;
  std::uint32_t features = 0;

  friend bool operator==(const item_version&, const item_version&) = default;
};

/// Cache of item-tower vectors, keyed by (item, model version, feature version): a `row_cache` that
/// is told how many vectors it holds.
///
/// It is not thread-safe: each serving thread needs a cache of its own.
template <class T>
class item_tower_cache {
 public:
  /// Room for at least `capacity` vectors of `dim` values.
  /// Errors      std::invalid_argument if `capacity` or `dim` is 0, or `capacity` x `dim` values do
  ///             not fit into an array.
  item_tower_cache(std::size_t capacity, std::size_t dim)
      : rows_(dim, {.budget = budget_of(capacity, dim)}) {}

  std::size_t dim() const { return rows_.width(); }
  std::size_t capacity() const { return rows_.capacity(); }
  std::uint64_t hits() const { return rows_.hits(); }
  std::uint64_t misses() const { return rows_.misses(); }

  /// The cached vector of an item in this version, or an empty span if there is none. Valid until
  /// the next `insert`.
  std::span<const T> find(item_id item, item_version version) {
    return rows_.find(item, key(version));
  }

  /// Stores a vector. It replaces an older version of the same item.
  /// Errors      std::invalid_argument if the vector does not have `dim()` values.
  void insert(item_id item, item_version version, std::span<const T> vector) {
    detail::check_size("item_tower_cache::insert", "vector", vector.size(), dim());
    rows_.insert(item, key(version), vector);
  }

  void clear() { rows_.clear(); }

  /// The cache itself, with its other counters. The version of a row is `key(version)`.
  row_cache<T>& rows() { return rows_; }
  const row_cache<T>& rows() const { return rows_; }
  static constexpr std::uint64_t key(item_version version) {
    return std::uint64_t{version.model} << 32 | version.features;
  }

 private:
  static std::size_t budget_of(std::size_t capacity, std::size_t dim) {
    detail::check_at_least_one("item_tower_cache", "capacity", capacity);
    detail::check_at_least_one("item_tower_cache", "dim", dim);
    detail::array_size<std::uint64_t>("funnel::item_tower_cache: capacity", capacity);
    constexpr std::size_t ways = row_cache<T>::ways;
    detail::array_size<T>("funnel::item_tower_cache: capacity x dim",
                          detail::blocks_of(capacity, ways) * ways, dim);
    return row_cache<T>::budget_of(capacity, dim);
  }

  row_cache<T> rows_;
};

/// Item vectors from the cache; those that are missing are computed by one call of the tower and
/// stored in the cache.
///
/// `inputs_of(missing)` returns the tower's input for a span of items, each of them once; it is called
/// at most once. A vector has the same bits whether it was cached or not.
///
/// Shapes      items [n] -> [n, cache.dim()].
/// Errors      std::invalid_argument if the tower does not return one row of `cache.dim()` values
///             per missing item.
template <class T, class Arch, class ItemTower, class InputsOf>
matrix_view<const T> cached_item_vectors(inference_context<T, Arch>& context,
                                         const ItemTower& tower, item_tower_cache<T>& cache,
                                         std::span<const item_id> items, item_version version,
                                         InputsOf&& inputs_of) {
  const std::size_t dim = cache.dim();
  const matrix_view<T> vectors = context.make(items.size(), dim);
  detail::copy_or_make_rows(
      cache.rows(), items, cache.key(version), vectors,
      [&](std::span<const item_id> missing) {
        const matrix_view<const T> made = tower(context, inputs_of(missing));
        detail::check_shape("cached_item_vectors", "the output of tower", made, missing.size(),
                            dim);
        return made;
      },
      context.scratch());
  return vectors;
}

}  // namespace funnel
