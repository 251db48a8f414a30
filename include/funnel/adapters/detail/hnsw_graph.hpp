// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/executor.hpp>
#include <funnel/core/matrix.hpp>
#include <funnel/core/random.hpp>
#include <funnel/simd/reduce.hpp>

// Some of hnswlib's vectorized functions are not inline: two sources of a program could not both
// include it. Left out here; hnswlib is given our inner product.
#pragma push_macro("NO_MANUAL_VECTORIZATION")
#undef NO_MANUAL_VECTORIZATION
#define NO_MANUAL_VECTORIZATION
#include <fstream>  // hnswlib 0.6 uses both and includes neither
#include <unordered_map>

#include <hnswlib/hnswlib.h>
#pragma pop_macro("NO_MANUAL_VECTORIZATION")

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace funnel::detail {

/// hnswlib's graph over rows, in slots: built by hnswlib, searched by its caller.
///
/// hnswlib's label of a row is used once, so hnswlib never changes a row in place, and nothing is
/// marked as deleted in it: new rows would get no links to such ones.
template <class Arch>
class hnsw_graph {
 public:
  using slot_id = hnswlib::tableint;

  hnsw_graph(std::size_t dim, std::size_t capacity, std::size_t m, std::size_t ef_construction,
             std::uint64_t seed)
      : space_(dim), links_(&space_, capacity, m, ef_construction), random_(seed) {
    // hnswlib draws numbers of layers from one generator, without a lock. Multiplied by 0 they are 0,
    // and it takes those that it is passed.
    links_.mult_ = 0;
  }
  hnsw_graph(const hnsw_graph&) = delete;
  hnsw_graph& operator=(const hnsw_graph&) = delete;

  /// Number of slots that are taken, also by rows whose `add` failed.
  std::size_t size() const { return links_.cur_element_count; }
  /// The slot in all layers: the first.
  slot_id entry() const { return links_.enterpoint_node_; }
  int top_level() const { return links_.maxlevel_; }
  std::span<const slot_id> links_of(slot_id slot, int level) const {
    hnswlib::linklistsizeint* list = links_.get_linklist_at_level(slot, level);
    return {list + 1, links_.getListCount(list)};
  }
  const float* row(slot_id slot) const {
    return reinterpret_cast<const float*>(links_.getDataByInternalId(slot));
  }

  /// Adds rows to free slots; slots[i] becomes the one of row i.
  template <Executor E>
  void add(matrix_view<const float> rows, std::span<slot_id> slots, E& executor) {
    if (rows.rows() == 0) return;
    const bool empty = size() == 0;
    const double per_level = std::log(static_cast<double>(links_.M_));
    std::vector<int> levels(rows.rows());
    for (int& level : levels) level = static_cast<int>(standard_exponential(random_) / per_level);
    // hnswlib reads its entry without a lock: it is the row with the most layers, added first.
    const auto top = static_cast<std::size_t>(std::ranges::max_element(levels) - levels.begin());
    const std::size_t first_label = labels_;
    labels_ += rows.rows();
    const float nothing = 0;  // hnswlib wants an address
    const auto add_row = [&](std::size_t i) {
      const int level = empty ? levels[i] : std::min(levels[i], links_.maxlevel_);
      slots[i] =
          links_.addPoint(rows.cols() > 0 ? rows.row(i).data() : &nothing, first_label + i, level);
    };
    if (empty) add_row(top);
    for_blocks(executor, rows.rows(), 16, [&](std::size_t begin, std::size_t end) {
      for (std::size_t i = begin; i < end; ++i)
        if (!empty || i != top) add_row(i);
    });
  }

  /// Slots that no chain of links of the bottom layer leads to from the entry.
  std::vector<slot_id> unreachable() const {
    std::vector<bool> reached(size());
    std::vector<slot_id> to_visit;
    const auto visit = [&](slot_id slot) {
      if (reached[slot]) return;
      reached[slot] = true;
      to_visit.push_back(slot);
    };
    if (size() > 0) visit(entry());
    while (!to_visit.empty()) {
      const slot_id from = to_visit.back();
      to_visit.pop_back();
      std::ranges::for_each(links_of(from, 0), visit);
    }
    std::vector<slot_id> missing;
    for (slot_id slot = 0; slot < reached.size(); ++slot)
      if (!reached[slot]) missing.push_back(slot);
    return missing;
  }

 private:
  struct inner_product_space : hnswlib::SpaceInterface<float> {
    explicit inner_product_space(std::size_t dim) : n(dim) {}
    std::size_t get_data_size() override { return n * sizeof(float); }
    hnswlib::DISTFUNC<float> get_dist_func() override { return distance; }
    void* get_dist_func_param() override { return &n; }
    static float distance(const void* a, const void* b, const void* n) {
      return -dot_kernel(Arch{}, static_cast<const float*>(a), static_cast<const float*>(b),
                         *static_cast<const std::size_t*>(n));
    }

    std::size_t n;
  };

  inner_product_space space_;
  hnswlib::HierarchicalNSW<float> links_;
  random_generator random_;
  std::size_t labels_ = 0;
};

}  // namespace funnel::detail
