// SPDX-License-Identifier: MIT
#include <funnel/core/executor.hpp>
#include <funnel/core/matrix.hpp>
#include <funnel/core/random.hpp>
#include <funnel/core/version.hpp>

#include <string_view>
#include <type_traits>
#include <vector>

namespace {

// Executor: the smallest model, and two that miss one half each.
struct smallest_executor {
  std::size_t concurrency() { return 1; }
  void for_each(std::size_t count, void (*task)(std::size_t)) {
    for (std::size_t i = 0; i < count; ++i) task(i);
  }
};
struct executor_without_concurrency {
  void for_each(std::size_t, void (*)(std::size_t)) {}
};
struct executor_of_other_tasks {
  std::size_t concurrency() { return 1; }
  void for_each(std::size_t, void (*)(std::vector<int>)) {}
};
static_assert(funnel::Executor<smallest_executor>);
static_assert(funnel::Executor<funnel::serial_executor>);
static_assert(!funnel::Executor<executor_without_concurrency>);
static_assert(!funnel::Executor<executor_of_other_tasks>);

// RandomGenerator: 64 bits a call, exactly.
struct smallest_bits {
  std::uint64_t operator()() { return 4; }
};
struct bits_of_32 {
  std::uint32_t operator()() { return 4; }
};
static_assert(funnel::RandomGenerator<smallest_bits>);
static_assert(funnel::RandomGenerator<funnel::random_generator>);
static_assert(!funnel::RandomGenerator<bits_of_32>);
static_assert(!funnel::RandomGenerator<std::uint64_t>);

// A view of changeable values is one of constant values, and never the other way.
static_assert(std::is_convertible_v<funnel::matrix_view<float>, funnel::matrix_view<const float>>);
static_assert(!std::is_convertible_v<funnel::matrix_view<const float>, funnel::matrix_view<float>>);
static_assert(!std::is_convertible_v<const funnel::matrix<float>&, funnel::matrix_view<float>>);
static_assert(std::is_trivially_copyable_v<funnel::matrix_view<float>>);

// The version as text, which the build reads, and as numbers.
constexpr bool version_text_agrees() {
  const int numbers[] = {funnel::version_major, funnel::version_minor, funnel::version_patch};
  std::string_view text = FUNNEL_VERSION;
  for (const int number : numbers) {
    int read = 0;
    while (!text.empty() && text.front() != '.') {
      read = 10 * read + (text.front() - '0');
      text.remove_prefix(1);
    }
    if (!text.empty()) text.remove_prefix(1);
    if (read != number) return false;
  }
  return text.empty();
}
static_assert(version_text_agrees());

}  // namespace
