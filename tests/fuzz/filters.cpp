// SPDX-License-Identifier: MIT
// The filters of a history and its samples against loops over the whole history.
#include <funnel/sequence/category_index.hpp>
#include <funnel/sequence/history_search.hpp>
#include <funnel/sequence/sampling.hpp>

#include "fuzz/input.hpp"

#include <algorithm>
#include <set>
#include <stdexcept>
#include <vector>

namespace {

using funnel::category_id;
using positions = std::vector<std::uint32_t>;

constexpr std::uint32_t untouched = 0xabcdef01;

std::vector<category_id> draw_ids(fuzz::input& in, std::size_t n) {
  // Small ids, ids all over the range, and ids that meet in a table hashed by their high bits.
  const std::size_t kind = in.below(4);
  const std::size_t kinds = 1 + in.below(256);
  std::uint32_t state = static_cast<std::uint32_t>(in.bits(4)) | 1;
  std::vector<category_id> ids(n);
  for (category_id& id : ids) {
    if (in.left() > 0) state = static_cast<std::uint32_t>(in.bits(2)) + state * 3;
    state = state * 1664525 + 1013904223;
    const auto small = static_cast<category_id>((state >> 8) % kinds);
    id = kind == 0 ? small : kind == 1 ? small * 0x9e3779b1u : kind == 2 ? small << 16 : state;
  }
  return ids;
}

/// The newest `most` positions where `holds`, oldest first.
template <class Holds>
positions naive(std::size_t n, std::size_t most, const Holds& holds) {
  positions found;
  for (std::size_t i = n; i-- > 0 && found.size() < most;)
    if (holds(i)) found.push_back(static_cast<std::uint32_t>(i));
  std::reverse(found.begin(), found.end());
  return found;
}

template <class Call>
positions run(std::size_t most, const Call& call) {
  positions kept(most, untouched);
  const std::size_t count = call(kept);
  FUZZ_EXPECT(count <= most);
  for (std::size_t i = count; i < most; ++i) FUZZ_EXPECT(kept[i] == untouched);
  kept.resize(count);
  return kept;
}

void check_searches(fuzz::input& in, funnel::category_index& by_category) {
  const std::size_t n = in.below(in.flag() ? 3000 : 70);
  const std::size_t most = in.flag() ? in.below(n + 5) : in.below(9);
  const category_id missing = in.flag() ? 0 : static_cast<category_id>(in.below(4));
  const auto categories = draw_ids(in, n), clusters = draw_ids(in, n);
  by_category.assign(categories, missing);
  const funnel::category_index by_cluster(clusters, missing);
  for (int round = 0; round < 4; ++round) {
    const category_id c = n > 0 && in.flag() ? categories[in.below(n)] : missing;
    const category_id g = n > 0 && in.flag() ? clusters[in.below(n)] : static_cast<category_id>(7);
    const auto is_c = [&](std::size_t i) { return c != missing && categories[i] == c; };
    const auto is_either = [&](std::size_t i) {
      return is_c(i) || (g != missing && clusters[i] == g);
    };
    const positions of_one = naive(n, most, is_c), of_both = naive(n, most, is_either);
    auto all = naive(n, n, is_c);
    std::reverse(all.begin(), all.end());
    const auto list = by_category.find(c);
    FUZZ_EXPECT(std::equal(list.begin(), list.end(), all.begin(), all.end()));
    using funnel::field_equals;
    FUZZ_EXPECT(of_one == run(most, [&](positions& kept) {
                  return funnel::hard_search(by_category, c, kept);
                }));
    FUZZ_EXPECT(of_one == run(most, [&](positions& kept) {
                  return funnel::hard_search(field_equals{categories, c, missing}, kept);
                }));
    FUZZ_EXPECT(of_both == run(most, [&](positions& kept) {
                  return funnel::filter_union({by_category.find(c), by_cluster.find(g)}, kept);
                }));
    FUZZ_EXPECT(of_both == run(most, [&](positions& kept) {
                  return funnel::filter_union(
                      {field_equals{categories, c, missing}, field_equals{clusters, g, missing}},
                      kept);
                }));
  }
}

/// Lists of any kind: refused, with nothing written, unless they fall.
void check_union_of_lists(fuzz::input& in) {
  const std::size_t most = in.below(12);
  positions lists[2];
  std::set<std::uint32_t> joined;
  bool falls = true;
  for (positions& list : lists) {
    const std::size_t length = in.below(12);
    std::uint32_t next = 40;
    for (std::size_t i = 0; i < length; ++i) {
      next = static_cast<std::uint32_t>(next - in.below(5));
      list.push_back(in.below(16) == 0 ? next + 3 : next);
      if (i > 0 && i < most) falls = falls && list[i] < list[i - 1];
    }
    joined.insert(list.begin(), list.begin() + static_cast<long>(std::min(length, most)));
  }
  positions expected(joined.begin(), joined.end());
  if (expected.size() > most)
    expected.erase(expected.begin(), expected.end() - static_cast<long>(most));
  positions kept(most, untouched);
  try {
    kept.resize(funnel::filter_union({std::span<const std::uint32_t>(lists[0]), lists[1]}, kept));
    FUZZ_EXPECT(falls);
    FUZZ_EXPECT(kept == expected);
  } catch (const std::invalid_argument&) {
    FUZZ_EXPECT(!falls);
    FUZZ_EXPECT(kept == positions(most, untouched));
  }
}

void check_soft_search(fuzz::input& in) {
  const std::size_t n = in.below(90), d = in.below(6), most = in.below(100);
  funnel::matrix<float> history(n, d);
  for (float& value : history.flat()) value = in.usual<float>();
  std::vector<float> candidate(d);
  for (float& value : candidate) value = in.usual<float>();
  std::vector<float> scores(n);
  for (std::size_t i = 0; i < n; ++i) {
    double product = 0;
    for (std::size_t j = 0; j < d; ++j) product += double{history(i, j)} * double{candidate[j]};
    scores[i] = static_cast<float>(product);
  }
  positions order(n);
  for (std::uint32_t i = 0; i < n; ++i) order[i] = i;
  std::stable_sort(order.begin(), order.end(), [&](std::uint32_t a, std::uint32_t b) {
    return funnel::ranks_before(scores[a], a, scores[b], b);
  });
  order.resize(std::min(n, most));
  std::sort(order.begin(), order.end());
  funnel::arena scratch;
  FUZZ_EXPECT(order == run(most, [&](positions& kept) {
                return funnel::soft_search(history, candidate, kept, scratch);
              }));
}

void check_samples(fuzz::input& in) {
  const std::size_t n = in.below(300);
  const auto categories = draw_ids(in, n);
  funnel::sequence_sampling_options options;
  options.recent = in.below(20) == 0 ? in.bits() : in.below(80);
  options.sampled = in.below(20) == 0 ? in.bits() : in.below(80);
  options.balance = in.flag() ? static_cast<double>(in.below(5)) / 4 : in.any<double>();
  const std::size_t recent = std::min(n, options.recent);
  const std::size_t count = recent + std::min(n - recent, options.sampled);
  const std::size_t slots = in.flag() ? count : in.below(200);
  const std::uint64_t seed = in.bits(2);
  funnel::arena scratch;
  for (const bool balanced : {false, true}) {
    const bool fits =
        slots >= count && (!balanced || (options.balance >= 0 && options.balance <= 1));
    positions kept(slots, untouched);
    funnel::random_generator bits(seed);
    try {
      const std::size_t given =
          balanced ? funnel::sample_sequence_balanced(bits, categories, kept, options, scratch)
                   : funnel::sample_sequence(bits, n, kept, options);
      FUZZ_EXPECT(fits && given == count);
      for (std::size_t i = 0; i < count; ++i)
        FUZZ_EXPECT(kept[i] < n && (i == 0 || kept[i - 1] < kept[i]));
      for (std::size_t i = 0; i < recent; ++i) FUZZ_EXPECT(kept[count - 1 - i] == n - 1 - i);
      for (std::size_t i = count; i < slots; ++i) FUZZ_EXPECT(kept[i] == untouched);
    } catch (const std::invalid_argument&) {
      FUZZ_EXPECT(!fits);
      FUZZ_EXPECT(kept == positions(slots, untouched));
      FUZZ_EXPECT(bits() == funnel::random_generator(seed)());
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::input in(data, size);
  funnel::category_index index;
  for (int round = 0; round < 3; ++round) {  // one history after another in the same index
    switch (in.below(5)) {
    case 0:
      check_union_of_lists(in);
      break;
    case 1:
      check_soft_search(in);
      break;
    case 2:
      check_samples(in);
      break;
    default:
      check_searches(in, index);
      break;
    }
    if (in.left() == 0) break;
  }
  return 0;
}
