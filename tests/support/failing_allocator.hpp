// SPDX-License-Identifier: MIT
#pragma once

#include "support/catch.hpp"

#include <atomic>
#include <cstddef>
#include <limits>
#include <new>
#include <string>

// Memory that runs out when a test wants it to. The program's operator new is replaced in
// tests/memory/failing_allocator_test.cpp.

namespace failing_allocator {

/// How many more requests are served before some fail; none fail while it is `never`.
inline constexpr long never = std::numeric_limits<long>::max();
inline std::atomic<long> requests_left{never};
/// How many requests have failed.
inline std::atomic<std::size_t> failures{0};
/// Whether the requests after the first that fails are served again.
inline std::atomic<bool> only_one_fails{true};

/// Whether this request is to fail.
inline bool fails() noexcept {
  if (requests_left == never) return false;
  const long left = requests_left--;
  if (left > 0 || (left < 0 && only_one_fails)) return false;
  ++failures;
  return true;
}

/// Runs `call` with memory that runs out after `served` requests; true if that made it throw.
template <class Call>
bool runs_out(long served, bool once, Call&& call) {
  failures = 0;
  only_one_fails = once;
  requests_left = served;
  bool thrown = false;
  try {
    call();
  } catch (const std::bad_alloc&) {
    thrown = true;
  }
  requests_left = never;
  return thrown;
}

/// Runs `operation(object)` on objects of `make()`, with memory that runs out at the first request,
/// the second, and so on until it suffices: one request fails, or all from there on. What
/// `observe(object)` gives is after each failure what it was before, and afterward the operation
/// succeeds, with the result it has where memory never runs out. Where `Fails` is false the operation
/// copes by itself.
template <bool Fails = true, class Make, class Operation, class Observe>
void check_every_failure(const std::string& name, const Make& make, const Operation& operation,
                         const Observe& observe) {
  const auto [before, after] = [&] {
    auto object = make();
    auto first = observe(object);
    operation(object);
    return std::pair(std::move(first), observe(object));
  }();
  for (const bool once : {true, false}) {
    bool enough = false;
    long served = 0;
    for (; !enough; ++served) {
      auto object = make();
      const bool thrown = runs_out(served, once, [&] { operation(object); });
      enough = failures == 0;
      INFO(name << ": " << served << " requests are served" << (once ? ", one fails" : ""));
      if (thrown) {
        if (!(observe(object) == before)) FAIL("changed by a call that failed");
        operation(object);
      }
      if (!(observe(object) == after)) FAIL("not the right result after a failure");
      if (!enough && thrown != Fails) FAIL_CHECK((thrown ? "fails" : "does not fail"));
    }
    CHECK(served > 1);  // else the operation asks for no memory, and nothing was tried
  }
}

}  // namespace failing_allocator
