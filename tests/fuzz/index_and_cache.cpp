// SPDX-License-Identifier: MIT
// flat_index against all inner products in double, and against itself: alone, in a batch, in parts,
// with every kind of predicate, stored as int8. item_tower_cache against a map.
#include <funnel/core/executor.hpp>
#include <funnel/core/top_k.hpp>
#include <funnel/index/flat_index.hpp>
#include <funnel/preranking/item_tower_cache.hpp>

#include "fuzz/input.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <map>
#include <stdexcept>
#include <vector>

namespace {

using funnel::item_id;
using funnel::matrix;
using funnel::scored_item;

/// As many parts as it is told, one after another.
struct parts {
  std::size_t count;

  std::size_t concurrency() const { return count; }
  template <class Task>
  void for_each(std::size_t n, Task&& task) const {
    for (std::size_t i = n; i-- > 0;) task(i);
  }
};

bool same(const scored_item& a, const scored_item& b) {
  return a.item == b.item &&
         std::bit_cast<std::uint32_t>(a.score) == std::bit_cast<std::uint32_t>(b.score);
}

void check_index(fuzz::input& in) {
  const std::size_t n = in.below(in.flag() ? 1400 : 60), d = in.below(9);
  const std::size_t queries = in.below(in.flag() ? 70 : 4), k = in.below(in.flag() ? 50 : 6);
  const bool whole = in.flag();  // whole numbers: sums are exact in any order, and many are equal
  matrix<float> vectors(n, d), asked(queries, d);
  std::uint32_t state = static_cast<std::uint32_t>(in.bits(3));
  for (matrix<float>* m : {&vectors, &asked}) {
    for (float& value : m->flat()) {
      state = state * 1664525 + 1013904223;
      value = whole           ? static_cast<float>(static_cast<int>(state >> 29) - 3)
              : in.left() > 0 ? in.usual<float>()
                              : static_cast<float>(state >> 8) / 16777216.f - .5f;
    }
  }
  const funnel::flat_index<> index(vectors);
  FUZZ_EXPECT(index.size() == n && index.dim() == d);
  std::vector<float> kept(d);
  for (item_id i = 0; i < n; ++i) {
    index.copy_vector(i, kept);
    FUZZ_EXPECT(d == 0 || std::memcmp(kept.data(), vectors.row(i).data(), d * sizeof(float)) == 0);
  }
  try {
    index.copy_vector(static_cast<item_id>(n), kept);
    FUZZ_EXPECT(false);
  } catch (const std::invalid_argument&) {
  }

  std::vector<std::uint64_t> words(in.below(n / 64 + 3));
  for (std::uint64_t& word : words)
    word = in.left() > 0 ? in.bits() : 0x123456789abcdef1ULL * ++state;
  const funnel::item_bitmap bitmap{words};
  const std::size_t kind = in.below(3);
  const auto admit = [&](item_id i) {
    FUZZ_EXPECT(i < n);
    return kind == 0 || (kind == 1 ? bitmap(i) : !bitmap(i));
  };
  std::vector<item_id> admitted;
  for (item_id i = 0; i < n; ++i)
    if (admit(i)) admitted.push_back(i);

  const scored_item untouched{77, -7};
  matrix<scored_item> found(queries, k, untouched), in_parts(queries, k, untouched);
  const std::size_t count = index.search(asked, found, admit);
  parts executor{1 + in.below(5)};
  funnel::arena scratch;
  FUZZ_EXPECT(index.search(asked, in_parts, admit, executor, scratch) == count);
  FUZZ_EXPECT(count == (queries == 0 ? 0 : std::min(k, admitted.size())));
  try {
    const funnel::flat_index<funnel::default_arch, std::int8_t> small(vectors);
    matrix<scored_item> of_small(queries, k, untouched);
    FUZZ_EXPECT(small.search(asked, of_small, admit) == count);
    for (std::size_t i = 0; i < found.flat().size(); ++i)
      FUZZ_EXPECT(same(found.flat()[i], of_small.flat()[i]));
  } catch (const std::invalid_argument&) {
    FUZZ_EXPECT(std::ranges::any_of(vectors.flat(), [](float v) { return !std::isfinite(v); }));
  }
  for (std::size_t q = 0; q < queries; ++q) {
    std::vector<scored_item> alone(k, untouched);
    FUZZ_EXPECT(index.search(asked.row(q), alone, admit) == count);
    std::vector<bool> taken(n);
    for (std::size_t i = 0; i < k; ++i) {
      const scored_item& f = found(q, i);
      FUZZ_EXPECT(same(f, alone[i]) && same(f, in_parts(q, i)));
      if (i >= count) {
        FUZZ_EXPECT(same(f, untouched));
        continue;
      }
      FUZZ_EXPECT(f.item < n && admit(f.item) && !taken[f.item]);
      taken[f.item] = true;
      if (i > 0)
        FUZZ_EXPECT(
            funnel::ranks_before(found(q, i - 1).score, found(q, i - 1).item, f.score, f.item));
    }
    // Against products in double: nothing left out is better than the last one found.
    for (const item_id i : admitted) {
      double exact = 0, size = 0;
      for (std::size_t j = 0; j < d; ++j) {
        const double term = double{asked(q, j)} * double{vectors(i, j)};
        exact += term;
        size += std::abs(term);
      }
      if (!(size < 3e38)) continue;  // a sum of floats may overflow, or be no number
      const double error = 2 * double(d + 1) * 1.2e-7 * size + 1e-44 * double(d);
      for (std::size_t r = 0; r < count; ++r)
        if (found(q, r).item == i)
          FUZZ_EXPECT(std::abs(double{found(q, r).score} - exact) <= error);
      if (taken[i] || count == 0) continue;
      const float last = found(q, count - 1).score;
      if (whole) {
        const bool better =
            exact > double{last} || (exact == double{last} && i < found(q, count - 1).item);
        FUZZ_EXPECT(!better);
      } else {
        FUZZ_EXPECT(last == last && double{last} >= exact - error);
      }
    }
  }
}

void check_cache(fuzz::input& in) {
  const std::size_t capacity = in.below(40), dim = in.below(4);
  try {
    funnel::item_tower_cache<float> cache(capacity, dim);
    FUZZ_EXPECT(capacity > 0 && dim > 0);
    FUZZ_EXPECT(cache.capacity() >= capacity && cache.dim() == dim);
    struct entry {
      funnel::item_version version;
      std::vector<float> vector;
    };
    std::map<item_id, entry> last;  // what was put in last for each item
    std::uint64_t hits = 0, misses = 0;
    while (in.left() > 0) {
      const auto item = static_cast<item_id>(in.below(64) * (in.flag() ? 1 : 0x1000001));
      const funnel::item_version version{static_cast<std::uint32_t>(in.below(3)), 0};
      switch (in.below(8)) {
      case 0:
        if (in.below(8) == 0) {
          cache.clear();
          last.clear();
        }
        break;
      case 1:
        try {
          cache.insert(item, version, std::vector<float>(dim + 1));
          FUZZ_EXPECT(false);
        } catch (const std::invalid_argument&) {
        }
        break;
      case 2:
      case 3: {
        std::vector<float> vector(dim);
        for (float& value : vector) value = in.usual<float>();
        cache.insert(item, version, vector);
        last[item] = {version, vector};
        const auto kept = cache.find(item, version);
        ++hits;
        FUZZ_EXPECT(kept.size() == dim);
        break;
      }
      default: {
        const auto kept = cache.find(item, version);
        ++(kept.empty() ? misses : hits);
        if (kept.empty()) break;
        const auto known = last.find(item);
        FUZZ_EXPECT(known != last.end() && known->second.version == version);
        FUZZ_EXPECT(std::memcmp(kept.data(), known->second.vector.data(), dim * sizeof(float)) ==
                    0);
        break;
      }
      }
      FUZZ_EXPECT(cache.hits() == hits && cache.misses() == misses);
    }
  } catch (const std::invalid_argument&) {
    FUZZ_EXPECT(capacity == 0 || dim == 0);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::input in(data, size);
  if (in.below(3) == 0) {
    check_cache(in);
  } else {
    check_index(in);
  }
  return 0;
}
