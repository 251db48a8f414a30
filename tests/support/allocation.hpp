// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <new>

// Replaces operator new and delete by ones that count: include it in one source of a program only.

inline std::atomic<std::size_t> allocation_count{0};

/// A compiler may leave out an allocation that nobody looks at, but not one whose address is here.
inline const void* volatile needed = nullptr;

/// How often `call` asked for memory.
template <class Call>
std::size_t allocations_of(Call&& call) {
  const std::size_t before = allocation_count;
  call();
  return allocation_count - before;
}

inline void* counted_memory(std::size_t size, std::align_val_t alignment) noexcept {
  ++allocation_count;
  const auto step = static_cast<std::size_t>(alignment);
  return std::aligned_alloc(step, (size / step + 1) * step);
}
inline void* counted_memory_or_throw(std::size_t size, std::align_val_t alignment) {
  if (void* p = counted_memory(size, alignment)) return p;
  throw std::bad_alloc();
}

// All forms, since the address sanitizer brings its own of each. Not inlined: g++ would take free()
// for the wrong way to release what new gave.
inline constexpr std::align_val_t usual{__STDCPP_DEFAULT_NEW_ALIGNMENT__};
using nothrow = const std::nothrow_t&;

[[gnu::noinline]] void* operator new(std::size_t n) {
  return counted_memory_or_throw(n, usual);
}
[[gnu::noinline]] void* operator new[](std::size_t n) {
  return counted_memory_or_throw(n, usual);
}
[[gnu::noinline]] void* operator new(std::size_t n, std::align_val_t a) {
  return counted_memory_or_throw(n, a);
}
[[gnu::noinline]] void* operator new[](std::size_t n, std::align_val_t a) {
  return counted_memory_or_throw(n, a);
}
[[gnu::noinline]] void* operator new(std::size_t n, nothrow) noexcept {
  return counted_memory(n, usual);
}
[[gnu::noinline]] void* operator new[](std::size_t n, nothrow) noexcept {
  return counted_memory(n, usual);
}
[[gnu::noinline]] void* operator new(std::size_t n, std::align_val_t a, nothrow) noexcept {
  return counted_memory(n, a);
}
[[gnu::noinline]] void* operator new[](std::size_t n, std::align_val_t a, nothrow) noexcept {
  return counted_memory(n, a);
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
