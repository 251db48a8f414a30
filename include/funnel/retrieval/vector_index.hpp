// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/ids.hpp>
#include <funnel/core/matrix.hpp>
#include <funnel/core/top_k.hpp>
#include <funnel/simd/inner_product.hpp>

#include <algorithm>
#include <array>
#include <concepts>
#include <cstddef>
#include <span>
#include <utility>

namespace funnel {

/// One item a search found.
struct scored_item {
  item_id item = 0;
  float score = 0;
};

/// Takes every item.
struct any_item {
  constexpr bool operator()(item_id) const { return true; }
};

/// Exact search of the k items whose vectors have the largest inner product with a query.
///
/// Item i is row i of the vectors. With vectors of length one and a query of length one the scores
/// are cosines. Searching is const: any number of threads may do it.
template <class Arch = default_arch>
class vector_index {
 public:
  vector_index() = default;
  /// Keeps a copy of the vectors, [n, d].
  explicit vector_index(matrix_view<const float> vectors) : vectors_(vectors) {}

  std::size_t size() const { return vectors_.rows(); }
  std::size_t dim() const { return vectors_.cols(); }
  std::span<const float> vector(item_id item) const { return vectors_.row(item); }

  /// Writes the best items for which `admit(item)` holds, best first; gives how many:
  /// `found.size()`, or fewer if fewer are admitted.
  ///
  /// Shapes      query [d]; found [k].
  /// Order       larger score first; of equal scores the lower item; NaN scores last.
  /// Errors      std::invalid_argument if the query has another length.
  /// Cost        n d multiplications, n calls of admit at most; no memory.
  template <std::predicate<item_id> Admit = any_item>
  std::size_t search(std::span<const float> query, std::span<scored_item> found,
                     const Admit& admit = {}) const {
    if (query.size() != dim()) {
      detail::fail("funnel::vector_index::search: query has ", query.size(), " values, expected ",
                   dim());
    }
    const auto before = [](const scored_item& a, const scored_item& b) {
      return ranks_before(a.score, a.item, b.score, b.item);
    };
    std::size_t count = 0;
    std::array<float, block> scores;
    for (std::size_t begin = 0; begin < size() && !found.empty(); begin += block) {
      const std::size_t n = std::min(block, size() - begin);
      inner_products_kernel(Arch{}, query.data(), vectors_.view().middle_rows(begin, n),
                            scores.data());
      for (std::size_t i = 0; i < n; ++i) {
        const scored_item candidate{static_cast<item_id>(begin + i), scores[i]};
        if (count == found.size() && !before(candidate, found.front())) continue;
        if (!admit(candidate.item)) continue;
        if (count == found.size()) {
          std::ranges::pop_heap(found, before);
        } else {
          ++count;
        }
        found[count - 1] = candidate;  // the worst is at the front of the heap
        std::ranges::push_heap(found.first(count), before);
      }
    }
    std::ranges::sort_heap(found.first(count), before);
    return count;
  }

 private:
  static constexpr std::size_t block = 256;  // scores of a block stay in L1

  matrix<float> vectors_;
};

}  // namespace funnel
