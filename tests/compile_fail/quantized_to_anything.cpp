// SPDX-License-Identifier: MIT
// error: a table is stored in float16, bfloat16 or std::int8_t
#include <funnel/nn/quantized_embedding.hpp>

#ifdef MUST_FAIL
using storage = std::uint8_t;
#else
using storage = std::int8_t;
#endif

std::size_t bytes(const funnel::quantized_table<storage>& table) {
  return table.bytes();
}
