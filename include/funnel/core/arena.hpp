// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/sizes.hpp>
#include <funnel/core/matrix.hpp>

#include <cstddef>
#include <new>
#include <numeric>
#include <vector>

namespace funnel {

/// Arena allocator (bump allocator): hands out memory piece by piece and releases all of it at
/// once.
///
/// Every piece starts on a cache line. `reset` replaces the blocks that were allocated so far by
/// one block of their total size, so that a second use of the same size allocates nothing. The
/// memory is not initialized, and no destructor runs: T must be trivially destructible.
///
/// Errors      std::invalid_argument if a piece is larger than an array can be; std::bad_alloc if
///             there is no memory for it. The pieces handed out before stay valid.
class arena {
 public:
  static constexpr std::size_t alignment = 64;

  /// Uninitialized room for `count` values; valid until `reset`.
  template <class T>
  T* allocate(std::size_t count) {
    static_assert(std::is_trivially_destructible_v<T>, "an arena destroys nothing");
    static_assert(alignof(T) <= alignment);
    const std::size_t bytes =
        detail::blocks_of(
            detail::array_size<T>("funnel::arena::allocate: count", count) * sizeof(T), alignment) *
        alignment;
    if (blocks_.empty() || used_ + bytes > blocks_.back().size()) grow(bytes);
    std::byte* piece = blocks_.back().data() + used_;
    used_ += bytes;
    return reinterpret_cast<T*>(piece);
  }
  /// Uninitialized room for `rows` * `cols` values; valid until `reset`.
  template <class T>
  T* allocate(std::size_t rows, std::size_t cols) {
    return allocate<T>(detail::array_size<T>("funnel::arena::allocate: rows x cols", rows, cols));
  }

  /// Scope of temporary memory: its destructor releases all pieces that were handed out since its
  /// constructor ran.
  class scope {
   public:
    explicit scope(arena& owner)
        : owner_(owner), blocks_(owner.blocks_.size()), used_(owner.used_) {}
    scope(const scope&) = delete;
    scope& operator=(const scope&) = delete;
    // A block that was added during the scope stays, empty: all earlier pieces are in earlier
    // blocks.
    ~scope() { owner_.used_ = owner_.blocks_.size() == blocks_ ? used_ : 0; }

   private:
    arena& owner_;
    std::size_t blocks_;
    std::size_t used_;
  };

  /// Releases every piece. The memory stays allocated for the next use.
  void reset() noexcept {
    if (blocks_.size() > 1) {
      const std::size_t bytes = capacity();
      blocks_.clear();
      try {
        blocks_.emplace_back(bytes);
      } catch (const std::bad_alloc&) {
        // There is no block now, and the next piece allocates one of its own size.
      }
    }
    used_ = 0;
  }

  /// Number of bytes allocated from the system, in use or not.
  std::size_t capacity() const {
    return std::accumulate(blocks_.begin(), blocks_.end(), std::size_t{0},
                           [](std::size_t sum, const block& b) { return sum + b.size(); });
  }

 private:
  using block = std::vector<std::byte, detail::unfilled_allocator<std::byte>>;

  void grow(std::size_t bytes) {
    constexpr std::size_t smallest = std::size_t{1} << 16;
    blocks_.emplace_back(std::max({bytes, smallest, capacity()}));
    used_ = 0;
  }

  std::vector<block> blocks_;
  std::size_t used_ = 0;
};

}  // namespace funnel
