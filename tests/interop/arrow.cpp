// SPDX-License-Identifier: MIT
// What arrow.py calls: reads record batches of the Arrow C data interface and returns the table as
// text, one value a line.
#include <funnel/data/arrow.hpp>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <string>
#include <utility>
#include <vector>

namespace {

std::string value_text(const funnel::column& c, std::size_t j) {
  if (!c.has_value(j)) return "-";
  if (c.kind() == funnel::value_kind::integer) return std::to_string(c.integers()[j]);
  if (c.kind() == funnel::value_kind::text) {
    std::string hex = "'";
    for (const char byte : c.text(j)) {
      char digits[3];
      std::snprintf(digits, sizeof digits, "%02x", static_cast<unsigned char>(byte));
      hex += digits;
    }
    return hex;
  }
  char digits[64];
  std::snprintf(digits, sizeof digits, "%.17g", c.number(j));
  return digits;
}

}  // namespace

/// Takes the schema and the batches over. Returns one line for each column, "column <name> <rows>",
/// one for each row, "row <number of values>", and one for each value; or "error <what>".
extern "C" const char* interop_read_arrow(ArrowSchema* schema, ArrowArray** batches,
                                          std::size_t count, std::int64_t ticks_per_second) {
  static std::string text;
  try {
    std::vector<ArrowArray> moved;
    for (std::size_t b = 0; b < count; ++b) {
      moved.push_back(*batches[b]);
      batches[b]->release = nullptr;
    }
    const funnel::column_table table =
        funnel::read_arrow(*schema, moved, {.columns = {}, .ticks_per_second = ticks_per_second});
    const funnel::columns all = table;
    text.clear();
    for (std::size_t k = 0; k < all.size(); ++k) {
      const funnel::column& c = all[k];
      text += "column " + all.name(k) + ' ' + std::to_string(c.rows()) + '\n';
      for (std::size_t i = 0; i < c.rows(); ++i) {
        text += "row " + std::to_string(c.end(i) - c.begin(i)) + '\n';
        for (std::size_t j = c.begin(i); j < c.end(i); ++j) text += value_text(c, j) + '\n';
      }
    }
  } catch (const std::exception& error) {
    text = std::string("error ") + error.what();
  }
  return text.c_str();
}
