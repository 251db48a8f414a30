// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdlib>
#include <new>

#ifdef _WIN32
#include <malloc.h>
#endif

// Replaces operator new and delete: include it in one source of a program only. That source defines
//
//     bool replaced_new::serves(std::size_t bytes) noexcept;
//
// which is asked at every request for memory; where it says false the request fails.

namespace replaced_new {

bool serves(std::size_t bytes) noexcept;

inline void* memory(std::size_t size, std::align_val_t alignment) noexcept {
  if (!serves(size)) return nullptr;
  const auto step = static_cast<std::size_t>(alignment);
#ifdef _WIN32
  return _aligned_malloc(size + 1, step);
#else
  return std::aligned_alloc(step, (size / step + 1) * step);
#endif
}
inline void* memory_or_throw(std::size_t size, std::align_val_t alignment) {
  if (void* p = memory(size, alignment)) return p;
  throw std::bad_alloc();
}
inline void give_back(void* p) noexcept {
#ifdef _WIN32
  _aligned_free(p);
#else
  std::free(p);
#endif
}

inline constexpr std::align_val_t usual{__STDCPP_DEFAULT_NEW_ALIGNMENT__};
using nothrow = const std::nothrow_t&;

}  // namespace replaced_new

// All forms, since the address sanitizer brings its own of each. Not inlined: g++ would take free()
// for the wrong way to release what new gave.
[[gnu::noinline]] void* operator new(std::size_t n) {
  return replaced_new::memory_or_throw(n, replaced_new::usual);
}
[[gnu::noinline]] void* operator new[](std::size_t n) {
  return replaced_new::memory_or_throw(n, replaced_new::usual);
}
[[gnu::noinline]] void* operator new(std::size_t n, std::align_val_t a) {
  return replaced_new::memory_or_throw(n, a);
}
[[gnu::noinline]] void* operator new[](std::size_t n, std::align_val_t a) {
  return replaced_new::memory_or_throw(n, a);
}
[[gnu::noinline]] void* operator new(std::size_t n, replaced_new::nothrow) noexcept {
  return replaced_new::memory(n, replaced_new::usual);
}
[[gnu::noinline]] void* operator new[](std::size_t n, replaced_new::nothrow) noexcept {
  return replaced_new::memory(n, replaced_new::usual);
}
[[gnu::noinline]] void* operator new(std::size_t n, std::align_val_t a,
                                     replaced_new::nothrow) noexcept {
  return replaced_new::memory(n, a);
}
[[gnu::noinline]] void* operator new[](std::size_t n, std::align_val_t a,
                                       replaced_new::nothrow) noexcept {
  return replaced_new::memory(n, a);
}

[[gnu::noinline]] void operator delete(void* p) noexcept {
  replaced_new::give_back(p);
}
[[gnu::noinline]] void operator delete[](void* p) noexcept {
  replaced_new::give_back(p);
}
[[gnu::noinline]] void operator delete(void* p, std::size_t) noexcept {
  replaced_new::give_back(p);
}
[[gnu::noinline]] void operator delete[](void* p, std::size_t) noexcept {
  replaced_new::give_back(p);
}
[[gnu::noinline]] void operator delete(void* p, std::align_val_t) noexcept {
  replaced_new::give_back(p);
}
[[gnu::noinline]] void operator delete[](void* p, std::align_val_t) noexcept {
  replaced_new::give_back(p);
}
[[gnu::noinline]] void operator delete(void* p, std::size_t, std::align_val_t) noexcept {
  replaced_new::give_back(p);
}
[[gnu::noinline]] void operator delete[](void* p, std::size_t, std::align_val_t) noexcept {
  replaced_new::give_back(p);
}
[[gnu::noinline]] void operator delete(void* p, replaced_new::nothrow) noexcept {
  replaced_new::give_back(p);
}
[[gnu::noinline]] void operator delete[](void* p, replaced_new::nothrow) noexcept {
  replaced_new::give_back(p);
}
[[gnu::noinline]] void operator delete(void* p, std::align_val_t, replaced_new::nothrow) noexcept {
  replaced_new::give_back(p);
}
[[gnu::noinline]] void operator delete[](void* p, std::align_val_t,
                                         replaced_new::nothrow) noexcept {
  replaced_new::give_back(p);
}
