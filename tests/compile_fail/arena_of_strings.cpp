// SPDX-License-Identifier: MIT
// error: an arena destroys nothing
#include <funnel/core/arena.hpp>

#include <string>

#ifdef MUST_FAIL
using piece = std::string;
#else
using piece = float;
#endif

piece* first(funnel::arena& memory) {
  return memory.allocate<piece>(1);
}
