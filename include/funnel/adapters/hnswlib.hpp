// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/adapters/detail/check_rows_finite.hpp>
#include <funnel/adapters/detail/hnsw_graph.hpp>
#include <funnel/core/detail/checks.hpp>
#include <funnel/core/detail/sizes.hpp>
#include <funnel/core/executor.hpp>
#include <funnel/core/ids.hpp>
#include <funnel/core/matrix.hpp>
#include <funnel/index/item_filter.hpp>
#include <funnel/index/scored_item.hpp>
#include <funnel/simd/arch.hpp>
#include <funnel/simd/detail/prefetch.hpp>
#include <funnel/simd/reduce.hpp>

#include <algorithm>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <list>
#include <memory>
#include <mutex>
#include <numeric>
#include <span>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace funnel {

/// Options of `hnsw_index`.
struct hnsw_options {
  /// Links of an item in each layer, 2 to 1024; twice as many in the bottom layer. M in the source.
  std::size_t m = 16;
  /// Number of items that a new item chooses its links from, 1 or more. A larger number makes a
  /// better graph, and takes more time. efConstruction in the source.
  std::size_t ef_construction = 200;
  /// Number of best items that a search keeps while it looks for better ones; at least k are kept.
  /// 0 stands for 4 k. A larger number finds more of the k best, and takes more time. ef in the
  /// source.
  std::size_t ef_search = 0;
  /// Number of slots, at most 2^31 - 1. A vector that is set takes one and never gives it back.
  /// 0 stands for the number of rows that the index is built from.
  std::size_t capacity = 0;
  /// Seed of the items' numbers of layers.
  std::uint64_t seed = 0;
};

/// Approximate nearest-neighbor search by inner product in a hierarchical graph of neighbors (HNSW),
/// which hnswlib builds. Link `funnel::hnswlib` to use it; funnel.hpp does not include this header.
///
/// Items can be added, replaced and removed. A vector that is set takes a new slot. The slot of a
/// replaced or removed item remains in the graph as a way to other items, but is never found and
/// never used again. When `dead_share()` is high or `free_slots()` low, build a new index. Searching
/// is const, so several threads can search at the same time, but not while the index is changed:
/// build the next index in the background and publish it in a `model_slot`.
///
/// Every item can be found. A graph may have items that no links lead to: they are looked up after
/// each change, and each search compares them too. If few items are admitted, or the index is small,
/// a search scores all admitted items instead and is exact.
///
/// Order       larger scores first; equal scores by lower item id; NaN last.
/// Errors      std::invalid_argument for an option outside its range, a vector or query that does
///             not have d values, and values that are not finite. Nothing is changed then.
/// Cost        searches allocate only until each thread has searched once. admit is called for most
///             items that a search comes across.
/// Numerics    a score is an inner product as `dot_kernel` sums it, and may differ from that of
///             `flat_index` by rounding.
/// Source      docs/formulas.md#approximate-search.
template <class Arch = default_arch>
class hnsw_index {
 public:
  hnsw_index() = default;
  /// Builds the index; item i is row i of the vectors, [n, d].
  explicit hnsw_index(matrix_view<const float> vectors, const hnsw_options& options = {}) {
    serial_executor serial;
    build(vectors, options, serial);
  }
  /// The same on the threads of an executor. With more than one thread, the graph depends on their
  /// timing.
  template <Executor E>
  hnsw_index(matrix_view<const float> vectors, const hnsw_options& options, E& executor) {
    build(vectors, options, executor);
  }

  std::size_t size() const { return slot_of_.size(); }
  std::size_t dim() const { return dim_; }
  /// Number of vectors that can still be set.
  std::size_t free_slots() const { return slots_.size() - used(); }
  /// Share of the used slots whose item was replaced or removed, 0 to 1.
  double dead_share() const {
    return used() == 0 ? 0. : 1. - static_cast<double>(size()) / static_cast<double>(used());
  }
  /// Number of slots that no links lead to. If there are many, build the index with a larger m.
  std::size_t unreachable() const { return unreachable_.size(); }

  /// Adds items, or replaces their vectors. If an id occurs twice, the later vector is kept. Each call
  /// reads all links once to look for items that became unreachable, so set many items per call.
  ///
  /// Shapes      items [n]; vectors [n, d].
  /// Errors      std::invalid_argument if there are fewer than n free slots. If memory runs out, some
  ///             of the items may have been set and slots used.
  template <Executor E>
  void set(std::span<const item_id> items, matrix_view<const float> vectors, E& executor) {
    detail::check_rows("hnsw_index::set", "vectors", vectors.rows(), items.size(), "items");
    detail::check_cols("hnsw_index::set", "vectors", vectors.cols(), dim_);
    detail::check_rows_finite("hnsw_index::set", vectors);
    if (items.size() > free_slots())
      detail::fail("funnel::hnsw_index::set: items has ", items.size(),
                   " values, expected at most ", free_slots(), ", the number of free slots");
    add(items, vectors, executor);
  }
  void set(std::span<const item_id> items, matrix_view<const float> vectors) {
    serial_executor serial;
    set(items, vectors, serial);
  }
  void set(item_id item, std::span<const float> vector) {
    set(std::span<const item_id>(&item, 1),
        matrix_view<const float>(vector.data(), 1, vector.size()));
  }

  /// Removes an item; returns false if there is no such item.
  bool remove(item_id item) {
    const auto found = slot_of_.find(item);
    if (found == slot_of_.end()) return false;
    slots_[found->second].live = false;
    slot_of_.erase(found);
    return true;
  }

  /// Writes the best items for which `admit(item)` is true, best first, and returns their number: k,
  /// or fewer if fewer items are admitted.
  ///
  /// Shapes      query [d]; found [k].
  template <std::predicate<item_id> Admit = all_items>
  std::size_t search(std::span<const float> query, std::span<scored_item> found,
                     const Admit& admit = {}) const {
    detail::check_size("hnsw_index::search", "query", query.size(), dim_);
    detail::check_finite("hnsw_index::search", "query", query);
    const std::size_t k = std::min(found.size(), size());
    if (k == 0) return 0;
    const std::size_t wanted = shared_->options.ef_search;
    const std::size_t ef = std::clamp(wanted == 0 ? 4 * k : wanted, k, size());
    const borrowed_workspace work(*shared_);
    if (!walk(query, ef, admit, *work)) scan(query, k, admit, *work);
    std::vector<scored_item>& nearest = work->nearest;
    const std::size_t count = std::min(k, nearest.size());
    std::ranges::partial_sort(nearest, nearest.begin() + static_cast<std::ptrdiff_t>(count),
                              better);
    std::copy_n(nearest.begin(), count, found.begin());
    return count;
  }

 private:
  using graph = detail::hnsw_graph<Arch>;
  using slot_id = typename graph::slot_id;

  struct slot {
    item_id item = 0;
    bool live = false;
  };
  struct unreachable_slot {
    float length;
    slot_id slot;
  };
  /// A slot whose links are to be followed.
  struct candidate {
    float score;
    slot_id slot;
  };
  /// Memory of one search.
  struct workspace {
    std::vector<std::uint16_t> visited;  // number of the search that visited a slot last
    std::uint16_t number = 0;
    std::vector<candidate> frontier;   // heap, the best first
    std::vector<scored_item> nearest;  // heap, the worst first

    void begin(std::size_t slots) {
      if (visited.size() != slots || number == std::numeric_limits<std::uint16_t>::max()) {
        visited.assign(slots, 0);
        number = 0;
      }
      ++number;
      frontier.clear();
      nearest.clear();
    }
    bool is_visited(slot_id s) const { return visited[s] == number; }
  };
  /// What keeps its address when the index is moved.
  struct shared_parts {
    shared_parts(std::size_t dim, const hnsw_options& o)
        : options(o), links(dim, o.capacity, o.m, o.ef_construction, o.seed) {}
    hnsw_options options;
    graph links;
    std::mutex mutex;  // of unused
    std::list<workspace> unused;
  };
  class borrowed_workspace {
   public:
    explicit borrowed_workspace(shared_parts& owner) : owner_(owner) {
      {
        const std::lock_guard lock(owner_.mutex);
        if (!owner_.unused.empty()) own_.splice(own_.begin(), owner_.unused, owner_.unused.begin());
      }
      if (own_.empty()) own_.emplace_back();
    }
    borrowed_workspace(const borrowed_workspace&) = delete;
    borrowed_workspace& operator=(const borrowed_workspace&) = delete;
    ~borrowed_workspace() {
      const std::lock_guard lock(owner_.mutex);
      owner_.unused.splice(owner_.unused.begin(), own_);
    }
    workspace& operator*() const { return own_.front(); }
    workspace* operator->() const { return &own_.front(); }

   private:
    shared_parts& owner_;
    mutable std::list<workspace> own_;
  };

  static bool better(const scored_item& a, const scored_item& b) { return ranks_before(a, b); }
  static bool follows(const candidate& a, const candidate& b) {
    return ranks_before(b.score, b.slot, a.score, a.slot);
  }

  std::size_t used() const { return shared_ == nullptr ? 0 : shared_->links.size(); }

  template <Executor E>
  void build(matrix_view<const float> vectors, hnsw_options options, E& executor) {
    constexpr std::string_view name = "hnsw_index";
    constexpr std::size_t most_slots = std::numeric_limits<std::int32_t>::max();
    detail::check_that(name, "m", options.m, options.m >= 2 && options.m <= 1024, "2 to 1024");
    detail::check_at_least_one(name, "ef_construction", options.ef_construction);
    if (options.capacity == 0) options.capacity = vectors.rows();
    detail::check_that(name, "capacity", options.capacity,
                       options.capacity >= vectors.rows() && options.capacity <= most_slots,
                       "the number of rows, ", vectors.rows(), ", or more, at most ", most_slots);
    const std::size_t d = detail::array_size<float>("funnel::hnsw_index: columns", vectors.cols());
    detail::array_size<float>("funnel::hnsw_index: capacity x values of a slot", options.capacity,
                              d + 2 * options.m + 3);
    detail::check_rows_finite(name, vectors);
    dim_ = d;
    if (options.capacity == 0) return;
    options.ef_construction = std::min(options.ef_construction, options.capacity);
    shared_ = std::make_unique<shared_parts>(d, options);
    slots_.resize(options.capacity);
    std::vector<item_id> items(vectors.rows());
    std::iota(items.begin(), items.end(), item_id{0});
    add(items, vectors, executor);
  }

  template <Executor E>
  void add(std::span<const item_id> items, matrix_view<const float> vectors, E& executor) {
    graph& links = shared_->links;
    std::vector<slot_id> new_slots(items.size());
    links.add(vectors, new_slots, executor);
    unreachable_.clear();
    for (const slot_id s : links.unreachable())
      unreachable_.push_back({length({links.row(s), dim_}), s});
    std::ranges::sort(unreachable_, std::ranges::greater(), &unreachable_slot::length);
    for (std::size_t i = 0; i < items.size(); ++i) {
      const auto [place, added] = slot_of_.try_emplace(items[i], new_slots[i]);
      if (!added) slots_[std::exchange(place->second, new_slots[i])].live = false;
      slots_[new_slots[i]] = {items[i], true};
    }
  }

  static float length(std::span<const float> vector) {
    const double squares = squares_kernel(Arch{}, vector.data(), vector.size());
    constexpr double most = std::numeric_limits<float>::max();
    return static_cast<float>(std::min(std::sqrt(squares), most));
  }
  float score_of(std::span<const float> query, slot_id s) const {
    return dot_kernel(Arch{}, query.data(), shared_->links.row(s), dim_) + 0.f;  // no -0
  }

  /// Adds an item to the best `most` if it is admitted and belongs to them.
  template <class Admit>
  static void keep(std::vector<scored_item>& nearest, std::size_t most, const scored_item& found,
                   const Admit& admit) {
    const bool full = nearest.size() == most;
    if ((full && !better(found, nearest.front())) || !admit(found.item)) return;
    if (full) {
      std::ranges::pop_heap(nearest, better);
      nearest.back() = found;
    } else {
      nearest.push_back(found);
    }
    std::ranges::push_heap(nearest, better);
  }

  /// Scores all admitted items.
  template <class Admit>
  void scan(std::span<const float> query, std::size_t k, const Admit& admit, workspace& w) const {
    w.nearest.clear();
    for (slot_id s = 0; s < used(); ++s)
      if (slots_[s].live && admit(slots_[s].item))
        keep(w.nearest, k, {slots_[s].item, score_of(query, s)}, all_items());
  }

  /// Follows links from item to item until none leads to one of the best `ef`. Returns false if a scan
  /// costs less.
  template <class Admit>
  bool walk(std::span<const float> query, std::size_t ef, const Admit& admit, workspace& w) const {
    const graph& links = shared_->links;
    const std::size_t expected = ef * shared_->options.m;  // visits
    if (used() / 4 <= expected) return false;  // a visit costs more than four rows of a scan
    w.begin(slots_.size());
    std::size_t visits = 0;
    const auto visit = [&](slot_id s) {
      if (w.is_visited(s)) return;
      w.visited[s] = w.number;
      ++visits;
      const scored_item reached{slots_[s].item, score_of(query, s)};
      if (w.nearest.size() == ef && !better(reached, w.nearest.front())) return;
      w.frontier.push_back({reached.score, s});
      std::ranges::push_heap(w.frontier, follows);
      if (slots_[s].live) keep(w.nearest, ef, reached, admit);
    };
    visit(links.entry());  // everything reachable is so from here
    visit(descend(query));
    while (!w.frontier.empty()) {
      const candidate from = w.frontier.front();
      const bool full = w.nearest.size() == ef;
      if (full && from.score < w.nearest.front().score) break;
      if (!full && visits > expected + used() / 8) return false;  // few are admitted
      std::ranges::pop_heap(w.frontier, follows);
      w.frontier.pop_back();
      const std::span<const slot_id> next = links.links_of(from.slot, 0);
      for (const slot_id s : next)
        if (!w.is_visited(s)) detail::prefetch_bytes<false>(links.row(s), dim_ * sizeof(float));
      std::ranges::for_each(next, visit);
    }
    // The longest first: a score is at most the product of both lengths, plus rounding.
    const float most_per_length = length(query) * 1.001f;
    for (const unreachable_slot& u : unreachable_) {
      if (w.nearest.size() == ef && most_per_length * u.length < w.nearest.front().score) break;
      if (slots_[u.slot].live)
        keep(w.nearest, ef, {slots_[u.slot].item, score_of(query, u.slot)}, admit);
    }
    return true;
  }

  /// Goes to the best linked slot while it is better, from layer to layer.
  slot_id descend(std::span<const float> query) const {
    const graph& links = shared_->links;
    slot_id here = links.entry();
    float score = score_of(query, here);
    for (int level = links.top_level(); level > 0; --level) {
      slot_id from;
      do {
        from = here;
        for (const slot_id s : links.links_of(from, level)) {
          const float other = score_of(query, s);
          if (!(other > score)) continue;
          score = other;
          here = s;
        }
      } while (here != from);
    }
    return here;
  }

  std::unique_ptr<shared_parts> shared_;  // null without slots
  std::vector<slot> slots_;               // the used ones first
  detail::owned_size dim_;
  std::unordered_map<item_id, slot_id> slot_of_;
  std::vector<unreachable_slot> unreachable_;  // the longest first
};

}  // namespace funnel
