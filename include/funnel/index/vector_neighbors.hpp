// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>
#include <funnel/core/detail/cosine.hpp>
#include <funnel/core/error.hpp>
#include <funnel/core/executor.hpp>
#include <funnel/core/ids.hpp>
#include <funnel/core/matrix.hpp>
#include <funnel/index/flat_index.hpp>
#include <funnel/index/neighbor_table.hpp>
#include <funnel/index/scored_item.hpp>
#include <funnel/simd/arch.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string_view>
#include <vector>

namespace funnel {

/// How similar two vectors are.
enum class vector_similarity : std::uint8_t {
  cosine,         ///< <x, y> / (|x| |y|)
  inner_product,  ///< <x, y>
};

/// Options of `vector_neighbors`.
struct vector_neighbors_options {
  vector_similarity similarity = vector_similarity::cosine;
  /// Most neighbors of an item, 1 or more. k.
  std::size_t neighbors = 100;
  /// Items with a lower similarity are not neighbors; any number, or -infinity: all are.
  float min_score = 0;
};

/// Similar items by their vectors (I2I), such as those of a two-tower model or of the content: for each
/// item the k items with the largest cosine or inner product, by exact search.
///
///     neighbors(i) = the k items j != i with the largest sim(i, j) >= min_score
///
/// A vector of zeros stands for an item without a vector: it has no neighbors and is none. The lists
/// have the same bits on any number of threads.
///
/// Shapes      vectors [items, d]; returns a list for each item.
/// Order       by similarity; of equal ones the lower item first.
/// Errors      std::invalid_argument if an option is out of range, a value is not finite, or, with
///             inner_product, the square of a vector's length is not.
/// Cost        2 d operations for each pair of items; memory for two copies of the vectors (one with
///             inner_product), the lists, and 64 of them per thread.
/// Numerics    a cosine is the inner product of two vectors that were scaled to length 1 in float:
///             the cosine of a vector with itself may differ from 1 in the last place.
/// Source      docs/formulas.md#neighbors-by-vectors.
template <class Arch = default_arch, Executor E>
neighbor_table vector_neighbors(E& executor, matrix_view<const float> vectors,
                                const vector_neighbors_options& options = {}) {
  constexpr std::string_view name = "vector_neighbors";
  if (options.similarity > vector_similarity::inner_product)
    detail::fail("funnel::vector_neighbors: similarity is ", static_cast<int>(options.similarity),
                 ", expected below 2");
  detail::check_at_least_one(name, "neighbors", options.neighbors);
  detail::check_that(name, "min_score", options.min_score,
                     options.min_score <= std::numeric_limits<float>::max(),
                     "a number or -infinity");
  const bool cosine = options.similarity == vector_similarity::cosine;
  const std::size_t items = vectors.rows();
  // Searches are for items with a direction alone.
  std::vector<std::uint8_t> has_vector(items);
  matrix<float> units;
  if (cosine) units.assign(items, vectors.cols());
  for (std::size_t i = 0; i < items; ++i) {
    const std::span<const float> row = vectors.row(i);
    for (const float value : row)
      if (!(value - value == 0))
        detail::fail("funnel::vector_neighbors: vectors has the value ", value, " in row ", i,
                     ", expected finite numbers");
    const double squares = detail::plain_products::squares(row, 1);
    has_vector[i] = squares > 0 ? 1 : 0;
    // No product of two rows, nor a part of its sum, is then beyond float.
    if (!cosine && squares > static_cast<double>(std::numeric_limits<float>::max()))
      detail::fail("funnel::vector_neighbors: vectors has a row ", i, " whose squares add up to ",
                   squares, ", expected at most ", std::numeric_limits<float>::max());
    if (cosine) detail::write_unit_vector(row, units.row(i));
  }
  const matrix_view<const float> queries = cosine ? units.view() : vectors;
  const flat_index<Arch> index(queries);

  std::vector<std::vector<scored_item>> lists(items);
  // The item itself may be the best; then it is left out.
  const std::size_t most = std::min(options.neighbors, items) + 1;
  const auto admit = [&](item_id item) { return has_vector[item] != 0; };
  for_blocks(executor, items, 64, [&](std::size_t begin, std::size_t end) {
    matrix<scored_item> found(end - begin, most);
    const std::size_t count =
        index.search(queries.middle_rows(begin, end - begin), found.view(), admit);
    for (std::size_t i = begin; i < end; ++i) {
      if (has_vector[i] == 0) continue;
      std::size_t n = 0;
      const std::span<scored_item> best = found.row(i - begin).first(count);
      for (const scored_item& s : best)
        if (s.item != i && s.score >= options.min_score && n + 1 < most) best[n++] = s;
      lists[i].assign(best.begin(), best.begin() + static_cast<std::ptrdiff_t>(n));
    }
  });
  return neighbor_table(lists);
}
/// The same on the caller's thread.
template <class Arch = default_arch>
neighbor_table vector_neighbors(matrix_view<const float> vectors,
                                const vector_neighbors_options& options = {}) {
  serial_executor executor;
  return vector_neighbors<Arch>(executor, vectors, options);
}

}  // namespace funnel
