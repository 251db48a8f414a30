// SPDX-License-Identifier: MIT
#include <funnel/index/flat_index.hpp>
#include <funnel/index/vector_index.hpp>

namespace {

// VectorIndex: the smallest model, and two that miss one part each.
struct smallest_index {
  std::size_t size() const { return 0; }
  std::size_t dim() const { return 0; }
  template <class Admit = funnel::all_items>
  std::size_t search(std::span<const float>, std::span<funnel::scored_item>,
                     const Admit& = {}) const {
    return 0;
  }
};
struct index_without_filter {
  std::size_t size() const { return 0; }
  std::size_t dim() const { return 0; }
  std::size_t search(std::span<const float>, std::span<funnel::scored_item>) const { return 0; }
};
struct index_that_changes {
  std::size_t size() const { return 0; }
  std::size_t dim() const { return 0; }
  template <class Admit = funnel::all_items>
  std::size_t search(std::span<const float>, std::span<funnel::scored_item>, const Admit& = {}) {
    return 0;
  }
};
static_assert(funnel::VectorIndex<smallest_index>);
static_assert(funnel::VectorIndex<funnel::flat_index<>>);
static_assert(funnel::VectorIndex<funnel::flat_index<funnel::default_arch, std::int8_t>>);
static_assert(!funnel::VectorIndex<index_without_filter>);
static_assert(!funnel::VectorIndex<index_that_changes>);

}  // namespace
