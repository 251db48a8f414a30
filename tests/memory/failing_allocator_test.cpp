// SPDX-License-Identifier: MIT
#include "support/failing_allocator.hpp"

#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

// All forms, since the address sanitizer brings its own of each. Not inlined: g++ would take free()
// for the wrong way to release what new gave.

namespace {

void* memory(std::size_t size, std::align_val_t alignment) noexcept {
  if (failing_allocator::fails()) return nullptr;
  const auto step = static_cast<std::size_t>(alignment);
  return std::aligned_alloc(step, (size / step + 1) * step);
}
void* memory_or_throw(std::size_t size, std::align_val_t alignment) {
  if (void* p = memory(size, alignment)) return p;
  throw std::bad_alloc();
}

constexpr std::align_val_t usual{__STDCPP_DEFAULT_NEW_ALIGNMENT__};
using nothrow = const std::nothrow_t&;

}  // namespace

[[gnu::noinline]] void* operator new(std::size_t n) {
  return memory_or_throw(n, usual);
}
[[gnu::noinline]] void* operator new[](std::size_t n) {
  return memory_or_throw(n, usual);
}
[[gnu::noinline]] void* operator new(std::size_t n, std::align_val_t a) {
  return memory_or_throw(n, a);
}
[[gnu::noinline]] void* operator new[](std::size_t n, std::align_val_t a) {
  return memory_or_throw(n, a);
}
[[gnu::noinline]] void* operator new(std::size_t n, nothrow) noexcept {
  return memory(n, usual);
}
[[gnu::noinline]] void* operator new[](std::size_t n, nothrow) noexcept {
  return memory(n, usual);
}
[[gnu::noinline]] void* operator new(std::size_t n, std::align_val_t a, nothrow) noexcept {
  return memory(n, a);
}
[[gnu::noinline]] void* operator new[](std::size_t n, std::align_val_t a, nothrow) noexcept {
  return memory(n, a);
}

[[gnu::noinline]] void operator delete(void* p) noexcept {
  std::free(p);
}
[[gnu::noinline]] void operator delete[](void* p) noexcept {
  std::free(p);
}
[[gnu::noinline]] void operator delete(void* p, std::size_t) noexcept {
  std::free(p);
}
[[gnu::noinline]] void operator delete[](void* p, std::size_t) noexcept {
  std::free(p);
}
[[gnu::noinline]] void operator delete(void* p, std::align_val_t) noexcept {
  std::free(p);
}
[[gnu::noinline]] void operator delete[](void* p, std::align_val_t) noexcept {
  std::free(p);
}
[[gnu::noinline]] void operator delete(void* p, std::size_t, std::align_val_t) noexcept {
  std::free(p);
}
[[gnu::noinline]] void operator delete[](void* p, std::size_t, std::align_val_t) noexcept {
  std::free(p);
}
[[gnu::noinline]] void operator delete(void* p, nothrow) noexcept {
  std::free(p);
}
[[gnu::noinline]] void operator delete[](void* p, nothrow) noexcept {
  std::free(p);
}
[[gnu::noinline]] void operator delete(void* p, std::align_val_t, nothrow) noexcept {
  std::free(p);
}
[[gnu::noinline]] void operator delete[](void* p, std::align_val_t, nothrow) noexcept {
  std::free(p);
}

TEST_CASE("the allocator of these tests fails at the request it is told") {
  std::vector<std::unique_ptr<int>> kept;
  kept.reserve(5);
  const auto take_five = [&] {
    kept.clear();
    for (int i = 0; i < 5; ++i) kept.push_back(std::make_unique<int>(i));
  };
  for (long served = 0; served < 5; ++served) {
    CHECK(failing_allocator::runs_out(served, true, take_five));
    CHECK(kept.size() == static_cast<std::size_t>(served));
  }
  CHECK_FALSE(failing_allocator::runs_out(5, true, take_five));
  CHECK(failing_allocator::failures == 0);
  CHECK(failing_allocator::runs_out(0, true, [] { std::vector<float> many(100); }));
}
