// SPDX-License-Identifier: MIT
//
// A table of any bytes, read as columns: every value is that of the field that `csv_reader` gives, and
// a column is of text only where a value asks for it. The first bytes choose the options, the rest is
// the file.
#include "fuzz/file.hpp"
#include "fuzz/input.hpp"

#include <funnel/data/csv_columns.hpp>

#include <algorithm>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace {

std::string trimmed(std::string text, bool trim) {
  const auto blank = [](char c) { return c == ' ' || c == '\t'; };
  while (trim && !text.empty() && blank(text.front())) text.erase(0, 1);
  while (trim && !text.empty() && blank(text.back())) text.pop_back();
  return text;
}

/// Records of trimmed fields, the names first; nothing where the reader refuses the file.
std::optional<std::vector<std::vector<std::string>>> fields_of(bool trim) {
  std::vector<std::vector<std::string>> records;
  try {
    funnel::csv_reader csv(fuzz::file_name());
    for (const std::string& name : csv.names()) {
      const std::string text = trimmed(name, trim);
      if (records.empty()) records.emplace_back();
      if (std::ranges::find(records[0], text) != records[0].end()) return std::nullopt;
      records[0].push_back(text);
    }
    while (csv.next()) {
      records.emplace_back();
      for (std::size_t i = 0; i < records[0].size(); ++i)
        records.back().push_back(trimmed(std::string(csv.text(i)), trim));
    }
  } catch (const funnel::format_error&) {
    return std::nullopt;
  }
  return records;
}

bool is_integer(const std::string& text) {
  char* end = nullptr;
  const std::string digits = text.substr(text.starts_with('-') ? 1 : 0);
  if (digits.empty() || digits.find_first_not_of("0123456789") != digits.npos) return false;
  if (digits.size() > 1 && digits[0] == '0') return false;
  errno = 0;
  std::strtoll(text.c_str(), &end, 10);
  return errno == 0;
}

bool is_number(const std::string& text) {
  if (text == "nan" || text == "NaN") return true;
  const std::string digits = text.substr(text.starts_with('-') ? 1 : 0);
  if (digits.empty() || digits.find_first_not_of("+-.0123456789eE") != digits.npos) return false;
  if (digits[0] == '+' || digits[0] == '-') return false;
  if (digits.size() > 1 && digits[0] == '0' && digits[1] >= '0' && digits[1] <= '9') return false;
  const bool whole = digits.find_first_not_of("0123456789") == digits.npos;
  if (whole && !is_integer(text)) return false;
  char* end = nullptr;
  const double value = std::strtod(text.c_str(), &end);
  return *end == '\0' && !std::isinf(value);
}

void check(const funnel::column& c, const std::vector<std::vector<std::string>>& records,
           std::size_t j, std::optional<char> separator) {
  std::vector<std::string> values;
  std::vector<std::size_t> ends;
  for (std::size_t i = 1; i < records.size(); ++i) {
    std::string rest = records[i][j];
    for (bool more = !separator || !rest.empty(); more;) {
      const std::size_t length = separator ? rest.find(*separator) : rest.npos;
      values.push_back(rest.substr(0, length));
      more = length != rest.npos;
      if (more) rest.erase(0, length + 1);
    }
    ends.push_back(values.size());
  }
  FUZZ_EXPECT(c.rows() == ends.size() && c.values() == values.size());
  for (std::size_t i = 0; i < ends.size(); ++i) FUZZ_EXPECT(c.end(i) == ends[i]);
  bool whole = true, numbers = true;
  for (std::size_t k = 0; k < values.size(); ++k) {
    if (values[k].empty()) {
      FUZZ_EXPECT(!c.has_value(k));
      continue;
    }
    whole = whole && is_integer(values[k]);
    numbers = numbers && is_number(values[k]);
    if (c.kind() == funnel::value_kind::text) {
      FUZZ_EXPECT(c.has_value(k) && c.text(k) == values[k]);
    } else if (values[k] == "nan" || values[k] == "NaN") {
      FUZZ_EXPECT(!c.has_value(k));
    } else if (c.kind() == funnel::value_kind::integer) {
      FUZZ_EXPECT(c.integers()[k] == std::strtoll(values[k].c_str(), nullptr, 10));
    } else {
      FUZZ_EXPECT(c.number(k) == std::strtod(values[k].c_str(), nullptr));
    }
  }
  FUZZ_EXPECT(c.kind() == (whole     ? funnel::value_kind::integer
                           : numbers ? funnel::value_kind::number
                                     : funnel::value_kind::text));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::input in(data, size);
  funnel::csv_columns_options options;
  options.block_size = 1 + in.below(64);
  const std::size_t list = in.below(4);
  const std::string_view text = in.rest();
  fuzz::write_file(text);
  // Lists are not trimmed here, so that the reference stays simple.
  options.trim = list != 0;
  const auto records = fields_of(options.trim);
  const std::optional<char> separator = options.trim ? std::optional<char>() : '|';
  if (records && separator) options.lists = {{records->front()[0], *separator}};
  try {
    const funnel::column_table table = funnel::read_csv(fuzz::file_name(), options);
    FUZZ_EXPECT(records.has_value());
    const funnel::columns c = table;
    FUZZ_EXPECT(c.size() == records->front().size());
    for (std::size_t j = 0; j < c.size(); ++j) {
      FUZZ_EXPECT(c.name(j) == records->front()[j]);
      check(c[j], *records, j, j == 0 ? separator : std::nullopt);
    }
  } catch (const funnel::format_error&) {
    FUZZ_EXPECT(!records.has_value());
  }
  // Told types: the values or a message, and nothing else.
  if (!records) return 0;
  for (const auto type :
       {funnel::csv_type::integer, funnel::csv_type::number, funnel::csv_type::time})
    try {
      funnel::read_csv(fuzz::file_name(), {.types = {{records->front()[0], type}}, .trim = false});
    } catch (const funnel::format_error& error) {
      FUZZ_EXPECT(std::string_view(error.what()).starts_with(fuzz::file_name()));
    }
  return 0;
}
