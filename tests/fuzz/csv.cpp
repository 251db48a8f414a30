// SPDX-License-Identifier: MIT
//
// A file of any bytes, read in blocks of any size, against a reader that goes through the text one
// character at a time. The first byte chooses the size of the blocks, the rest is the file.
#include "fuzz/file.hpp"
#include "fuzz/input.hpp"

#include <funnel/data/csv.hpp>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace {

struct record {
  std::size_t line = 0;
  std::vector<std::string> fields;

  friend bool operator==(const record&, const record&) = default;
};

/// What a file holds: its records, the first of which are the names, up to the first mistake.
struct content {
  std::vector<record> records;
  bool mistake = false;

  friend bool operator==(const content&, const content&) = default;
};

/// A table by its characters: one at a time, in one of four states.
content by_characters(std::string_view text) {
  if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);
  content found;
  enum { before, plain, quoted, after_quote } state = before;
  record now;
  std::string field;
  std::size_t line = 1;
  std::map<char, std::size_t> outside;  // of quotes in the names
  const auto end_field = [&] {
    now.fields.push_back(field);
    field.clear();
    state = before;
  };
  const auto end_record = [&] {
    end_field();
    found.mistake =
        !found.records.empty() && now.fields.size() != found.records.front().fields.size();
    std::vector<std::string> names = now.fields;
    std::ranges::sort(names);
    if (found.records.empty()) {
      found.mistake = std::ranges::adjacent_find(names) != names.end();
      for (const char separator : {'\t', ';', '|'})
        if (outside[separator] >= names.size()) found.mistake = true;
    }
    if (!found.mistake) found.records.push_back(now);
    now = {};
  };
  for (std::size_t i = 0; i < text.size() && !found.mistake; ++i) {
    const char c = text[i];
    const bool starts = state == before && now.fields.empty();
    if (starts) now.line = line;
    if (c == '\0') {
      found.mistake = true;
    } else if (state == quoted) {
      if (c == '"' && i + 1 < text.size() && text[i + 1] == '"') {
        field += text[i++];
      } else if (c == '"') {
        state = after_quote;
      } else {
        field += c;
        if (c == '\n' || (c == '\r' && (i + 1 == text.size() || text[i + 1] != '\n'))) ++line;
      }
    } else if (c == '\r' || c == '\n') {
      if (!starts) end_record();
      if (c == '\r' && i + 1 < text.size() && text[i + 1] == '\n') ++i;
      ++line;
    } else if (c == ',') {
      end_field();
    } else if (state == after_quote) {
      found.mistake = true;
    } else if (c == '"' && state == before) {
      state = quoted;
    } else {
      field += c;
      if (found.records.empty()) ++outside[c];
      state = plain;
    }
  }
  if (found.mistake) return found;
  if (state == quoted) {
    found.mistake = true;
  } else if (state != before || !now.fields.empty()) {
    end_record();
  }
  if (found.records.empty()) found.mistake = true;
  return found;
}

/// A message names the file, a line and a column that are there, and holds no control characters.
void check_message(std::string_view message, std::string_view text) {
  std::string_view rest = message;
  FUZZ_EXPECT(rest.starts_with(fuzz::file_name()));
  rest.remove_prefix(fuzz::file_name().size());
  std::size_t place[2];
  for (std::size_t& number : place) {
    FUZZ_EXPECT(rest.starts_with(':'));
    rest.remove_prefix(1);
    number = std::strtoul(rest.data(), nullptr, 10);
    rest.remove_prefix(std::min(rest.find(':'), rest.size()));
  }
  FUZZ_EXPECT(place[0] >= 1 && place[0] <= text.size() + 1);
  FUZZ_EXPECT(place[1] >= 1 && place[1] <= text.size() + 1);
  FUZZ_EXPECT(rest.starts_with(": "));
  FUZZ_EXPECT(rest.size() < 800);
  FUZZ_EXPECT(std::ranges::none_of(
      rest, [](char c) { return (c >= 0 && c < 0x20) || static_cast<unsigned char>(c) == 0x7f; }));
}

void check_numbers(const funnel::csv_reader& csv, std::size_t column) {
  const std::string field(csv.text(column));
  std::optional<double> value;
  std::optional<float> single;
  try {
    value = csv.number<double>(column);
  } catch (const funnel::format_error&) {
  }
  try {
    single = csv.number<float>(column);
  } catch (const funnel::format_error&) {
  }
  if (single) FUZZ_EXPECT(value.has_value());
  const bool only_digits = field.find_first_not_of("+-.0123456789eE") == field.npos;
  if (value) FUZZ_EXPECT(only_digits && !field.empty());
  // strtod takes more than we do: where it takes all of such text, and we too, we agree.
  char* end = nullptr;
  const double expected = std::strtod(field.c_str(), &end);
  if (value) FUZZ_EXPECT(*end == '\0' && *value == expected);
  if (single) FUZZ_EXPECT(*single == std::strtof(field.c_str(), nullptr));
  if (!value && only_digits && !field.empty() && field[0] != '+' && *end == '\0')
    FUZZ_EXPECT(std::isinf(expected));
  try {
    const auto whole = csv.number<long long>(column);
    FUZZ_EXPECT(whole == std::strtoll(field.c_str(), &end, 10) && *end == '\0');
    FUZZ_EXPECT(value.has_value());
  } catch (const funnel::format_error&) {
  }
}

content by_reader(std::string_view text, std::size_t block) {
  content found;
  std::optional<funnel::csv_reader> csv;
  try {
    csv.emplace(fuzz::file_name(), funnel::csv_options{.block_size = block});
  } catch (const funnel::format_error& error) {
    check_message(error.what(), text);
    found.mistake = true;
    return found;
  }
  const auto none = [&] {
    try {
      csv->text(0);
    } catch (const std::invalid_argument&) {
      return true;
    }
    return false;
  };
  FUZZ_EXPECT(none());
  try {
    csv->column("\x01 no such column");
    FUZZ_EXPECT(std::string(text).find("\x01 no such column") != std::string::npos);
  } catch (const funnel::format_error& error) {
    check_message(error.what(), text);
  }
  std::optional<std::size_t> columns;
  for (;;) {
    try {
      if (!csv->next()) break;
    } catch (const funnel::format_error& error) {
      check_message(error.what(), text);
      found.mistake = true;
      FUZZ_EXPECT(none());
      try {
        csv->next();
        FUZZ_EXPECT(false);
      } catch (const funnel::format_error& again) {
        FUZZ_EXPECT(std::string_view(again.what()) == error.what());
      }
      break;
    }
    record& r = found.records.emplace_back();
    r.line = csv->line();
    for (std::size_t i = 0;; ++i) {
      try {
        r.fields.emplace_back(csv->text(i));
      } catch (const std::invalid_argument&) {
        break;
      }
      check_numbers(*csv, i);
    }
  }
  FUZZ_EXPECT(none());
  return found;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::input in(data, size);
  const std::size_t block = 1 + in.below(64);
  const std::string_view text = in.rest();
  fuzz::write_file(text);
  const content read = by_reader(text, block);
  FUZZ_EXPECT(read == by_reader(text, 4096));
  content expected = by_characters(text);
  if (read.mistake && read.records.empty()) {
    FUZZ_EXPECT(!funnel::detail::foreign_format(text.substr(0, 512)).empty() ||
                (expected.mistake && expected.records.size() <= 1));
    return 0;
  }
  // The reader does not give the names as a record.
  FUZZ_EXPECT(!expected.records.empty());
  expected.records.erase(expected.records.begin());
  FUZZ_EXPECT(read == expected);
  return 0;
}
