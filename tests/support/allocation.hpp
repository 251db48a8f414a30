// SPDX-License-Identifier: MIT
#pragma once

#include "support/replaced_new.hpp"

#include <atomic>
#include <cstddef>

// Counts requests for memory: include it in one source of a program only.

inline std::atomic<std::size_t> allocation_count{0};
inline std::atomic<std::size_t> allocated_bytes{0};
inline thread_local std::size_t allocations_of_thread = 0;

/// A compiler may leave out an allocation that nobody looks at, but not one whose address is here.
inline const void* volatile needed = nullptr;

/// How often `call` asked for memory.
template <class Call>
std::size_t allocations_of(Call&& call) {
  const std::size_t before = allocation_count;
  call();
  return allocation_count - before;
}

/// How many bytes `call` asked for in all, whether it gave them back or not.
template <class Call>
std::size_t bytes_of(Call&& call) {
  const std::size_t before = allocated_bytes;
  call();
  return allocated_bytes - before;
}

bool replaced_new::serves(std::size_t bytes) noexcept {
  ++allocation_count;
  ++allocations_of_thread;
  allocated_bytes += bytes;
  return true;
}
