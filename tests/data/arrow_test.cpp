// SPDX-License-Identifier: MIT
#include <funnel/data/arrow.hpp>

#include "data/files.hpp"
#include "support/catch.hpp"
#include "support/errors.hpp"

#include <funnel/core/random.hpp>

#include <cstdint>
#include <cstring>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

using funnel::column;
using funnel::value_kind;

namespace {

/// How often each structure was released.
struct releases {
  int schemas = 0, arrays = 0;
};

/// A schema and an array as a library would export them: their memory is theirs until the release,
/// and is overwritten then.
struct exported {
  std::string format = {}, name = {};
  std::vector<std::vector<std::uint8_t>> buffers = {};
  std::vector<bool> missing_buffer = {};
  std::vector<exported> children = {};
  std::vector<exported> dictionary = {};
  std::int64_t length = 0, offset = 0, null_count = -1;
};

struct schema_memory {
  std::string format, name;
  std::vector<std::unique_ptr<schema_memory>> parts;
  std::vector<ArrowSchema*> children;
  ArrowSchema made{};
  releases* count = nullptr;
};

struct array_memory {
  std::vector<std::unique_ptr<std::uint8_t[]>> owned;
  std::vector<const void*> buffers;
  std::vector<std::unique_ptr<array_memory>> parts;
  std::vector<ArrowArray*> children;
  ArrowArray made{};
  releases* count = nullptr;
};

std::unique_ptr<schema_memory> schema_of(const exported& from) {
  auto memory = std::make_unique<schema_memory>();
  memory->format = from.format;
  memory->name = from.name;
  for (const exported& child : from.children) memory->parts.push_back(schema_of(child));
  for (auto& part : memory->parts) memory->children.push_back(&part->made);
  memory->made = {.format = memory->format.c_str(),
                  .name = memory->name.c_str(),
                  .metadata = nullptr,
                  .flags = 2,
                  .n_children = static_cast<std::int64_t>(memory->children.size()),
                  .children = memory->children.data(),
                  .dictionary = nullptr,
                  .release = nullptr,
                  .private_data = memory.get()};
  if (!from.dictionary.empty()) {
    memory->parts.push_back(schema_of(from.dictionary[0]));
    memory->made.dictionary = &memory->parts.back()->made;
  }
  return memory;
}

std::unique_ptr<array_memory> array_of(const exported& from) {
  auto memory = std::make_unique<array_memory>();
  for (std::size_t i = 0; i < from.buffers.size(); ++i) {
    // Exactly as long as needed, so that the sanitizer sees a byte too many, and not aligned.
    const auto& bytes = from.buffers[i];
    memory->owned.push_back(std::make_unique<std::uint8_t[]>(1 + bytes.size()));
    std::uint8_t* const begin = memory->owned.back().get() + 1;
    if (!bytes.empty()) std::memcpy(begin, bytes.data(), bytes.size());
    const bool missing = i < from.missing_buffer.size() && from.missing_buffer[i];
    memory->buffers.push_back(missing ? nullptr : begin);
  }
  for (const exported& child : from.children) memory->parts.push_back(array_of(child));
  for (auto& part : memory->parts) memory->children.push_back(&part->made);
  memory->made = {.length = from.length,
                  .null_count = from.null_count,
                  .offset = from.offset,
                  .n_buffers = static_cast<std::int64_t>(memory->buffers.size()),
                  .n_children = static_cast<std::int64_t>(memory->children.size()),
                  .buffers = memory->buffers.data(),
                  .children = memory->children.data(),
                  .dictionary = nullptr,
                  .release = nullptr,
                  .private_data = memory.get()};
  if (!from.dictionary.empty()) {
    memory->parts.push_back(array_of(from.dictionary[0]));
    memory->made.dictionary = &memory->parts.back()->made;
  }
  return memory;
}

ArrowSchema export_schema(const exported& from, releases& count) {
  auto memory = schema_of(from);
  memory->count = &count;
  ArrowSchema schema = memory->made;
  schema.release = [](ArrowSchema* self) {
    auto* of = static_cast<schema_memory*>(self->private_data);
    ++of->count->schemas;
    self->release = nullptr;
    delete of;
  };
  static_cast<void>(memory.release());
  return schema;
}

ArrowArray export_array(const exported& from, releases& count) {
  auto memory = array_of(from);
  memory->count = &count;
  ArrowArray array = memory->made;
  array.release = [](ArrowArray* self) {
    auto* of = static_cast<array_memory*>(self->private_data);
    ++of->count->arrays;
    self->release = nullptr;
    delete of;
  };
  static_cast<void>(memory.release());
  return array;
}

template <class T>
std::vector<std::uint8_t> bytes_of(const std::vector<T>& values) {
  std::vector<std::uint8_t> bytes(values.size() * sizeof(T));
  if (!bytes.empty()) std::memcpy(bytes.data(), values.data(), bytes.size());
  return bytes;
}

std::vector<std::uint8_t> bits_of(const std::vector<int>& flags) {
  std::vector<std::uint8_t> bytes((flags.size() + 7) / 8);
  for (std::size_t i = 0; i < flags.size(); ++i)
    if (flags[i] != 0) bytes[i / 8] = static_cast<std::uint8_t>(bytes[i / 8] | 1u << i % 8);
  return bytes;
}

/// An array of fixed-width values; `present` may be empty.
template <class T>
exported fixed(std::string format, std::string name, const std::vector<T>& values,
               const std::vector<int>& present = {}) {
  return {.format = std::move(format),
          .name = std::move(name),
          .buffers = {bits_of(present), bytes_of(values)},
          .missing_buffer = {present.empty()},
          .length = static_cast<std::int64_t>(values.size())};
}

exported flags(std::string name, const std::vector<int>& values,
               const std::vector<int>& present = {}) {
  return {.format = "b",
          .name = std::move(name),
          .buffers = {bits_of(present), bits_of(values)},
          .missing_buffer = {present.empty()},
          .length = static_cast<std::int64_t>(values.size())};
}

template <class Offset>
exported texts_as(std::string format, std::string name, const std::vector<std::string>& values,
                  const std::vector<int>& present = {}) {
  std::vector<Offset> offsets{0};
  std::string all;
  for (const std::string& value : values) {
    all += value;
    offsets.push_back(static_cast<Offset>(all.size()));
  }
  return {.format = std::move(format),
          .name = std::move(name),
          .buffers = {bits_of(present), bytes_of(offsets), {all.begin(), all.end()}},
          .missing_buffer = {present.empty()},
          .length = static_cast<std::int64_t>(values.size())};
}

template <class Offset>
exported lists(std::string format, std::string name, const std::vector<Offset>& offsets,
               exported child, const std::vector<int>& present = {}) {
  return {.format = std::move(format),
          .name = std::move(name),
          .buffers = {bits_of(present), bytes_of(offsets)},
          .missing_buffer = {present.empty()},
          .children = {std::move(child)},
          .length = static_cast<std::int64_t>(offsets.size()) - 1};
}

exported batch(std::vector<exported> fields) {
  const std::int64_t rows = fields.empty() ? 0 : fields[0].length;
  return {.format = "+s",
          .name = "",
          .buffers = {{}},
          .missing_buffer = {true},
          .children = std::move(fields),
          .length = rows,
          .null_count = 0};
}

funnel::column_table read(const exported& from, const funnel::arrow_options& options = {}) {
  releases count;
  ArrowSchema schema = export_schema(from, count);
  ArrowArray array = export_array(from, count);
  std::optional<funnel::column_table> table;
  try {
    table = funnel::read_arrow(schema, array, options);
  } catch (...) {
    CHECK((count.schemas == 1 && count.arrays == 1));
    CHECK((schema.release == nullptr && array.release == nullptr));
    throw;
  }
  CHECK((count.schemas == 1 && count.arrays == 1));
  CHECK((schema.release == nullptr && array.release == nullptr));
  return std::move(*table);
}

std::string complaint(const exported& from, const funnel::arrow_options& options = {}) {
  return format_error_of([&] { read(from, options); });
}

/// The values of a column; "-" for a missing one.
std::vector<std::string> texts(const column& c) {
  std::vector<std::string> all;
  for (std::size_t j = 0; j < c.values(); ++j) {
    if (!c.has_value(j))
      all.emplace_back("-");
    else if (c.kind() == value_kind::text)
      all.emplace_back(c.text(j));
    else if (c.kind() == value_kind::integer)
      all.push_back(std::to_string(c.integers()[j]));
    else
      all.push_back(funnel::detail::join_text(c.number(j)));
  }
  return all;
}

std::vector<std::size_t> sizes(const column& c) {
  std::vector<std::size_t> all;
  for (std::size_t i = 0; i < c.rows(); ++i) all.push_back(c.end(i) - c.begin(i));
  return all;
}

using strings = std::vector<std::string>;
using i32 = std::vector<std::int32_t>;
using i64 = std::vector<std::int64_t>;

}  // namespace

TEST_CASE("read_arrow: a worked example") {
  const auto table = read(batch({
      fixed<std::int64_t>("l", "user", {7, -8, 9}),
      fixed<float>("f", "price", {1.5f, 0, -2.5f}, {1, 0, 1}),
      texts_as<std::int32_t>("u", "title", {"one", "", "three"}, {1, 1, 0}),
      flags("click", {1, 0, 1}, {1, 1, 0}),
      lists<std::int32_t>("+l", "genres", {0, 2, 2, 3},
                          texts_as<std::int32_t>("u", "item", {"a", "b", "a"})),
  }));
  const funnel::columns c = table;
  REQUIRE(c.size() == 5);
  CHECK(c.rows() == 3);
  CHECK((c.name(0) == "user" && c.name(4) == "genres"));
  CHECK(texts(c["user"]) == strings{"7", "-8", "9"});
  CHECK(c["price"].kind() == value_kind::number);
  CHECK(texts(c["price"]) == strings{"1.5", "-", "-2.5"});
  CHECK(texts(c["title"]) == strings{"one", "", "-"});
  CHECK(c["click"].kind() == value_kind::integer);
  CHECK(texts(c["click"]) == strings{"1", "0", "-"});
  CHECK(texts(c["genres"]) == strings{"a", "b", "a"});
  CHECK(sizes(c["genres"]) == std::vector<std::size_t>{2, 0, 1});
}

TEST_CASE("read_arrow reads every integer and floating-point type to its ends") {
  const auto ends = [](auto zero, const char* format) {
    using type = decltype(zero);
    using limits = std::numeric_limits<type>;
    const auto table =
        read(batch({fixed<type>(format, "x", {limits::min(), type(1), limits::max()})}));
    CHECK(table.view()["x"].kind() == value_kind::integer);
    CHECK(texts(table.view()["x"]) ==
          strings{std::to_string(limits::min()), "1", std::to_string(limits::max())});
  };
  ends(std::int8_t{}, "c");
  ends(std::uint8_t{}, "C");
  ends(std::int16_t{}, "s");
  ends(std::uint16_t{}, "S");
  ends(std::int32_t{}, "i");
  ends(std::uint32_t{}, "I");
  ends(std::int64_t{}, "l");
  const std::uint64_t most = std::uint64_t{1} << 63;
  CHECK(texts(read(batch({fixed<std::uint64_t>("L", "x", {0, most - 1})})).view()["x"]) ==
        strings{"0", "9223372036854775807"});
  CHECK(complaint(batch({fixed<std::uint64_t>("L", "x", {0, most})})) ==
        "funnel::read_arrow: column \"x\": row 1 is 9223372036854775808, expected below 2^63: cast "
        "the column to int64 or text first");
  CHECK(read(batch({fixed<std::uint64_t>("L", "x", {0, most}, {1, 0})})).rows() == 2);  // null

  const auto half = read(batch({fixed<std::uint16_t>("e", "x", {0x3e00, 0xc000, 0x7c00, 0x7e00})}));
  CHECK(texts(half.view()["x"]) == strings{"1.5", "-2", "inf", "-"});
  const auto twice = read(batch({fixed<double>("g", "x", {.1, 1e300})}));
  CHECK((twice.view()["x"].number(0) == .1 && twice.view()["x"].number(1) == 1e300));
  CHECK(read(batch({fixed<float>("f", "x", {.1f})})).view()["x"].number(0) == double{.1f});
  const auto nothing = read(batch(
      {fixed<int>("i", "a", {1, 2}), {.format = "n", .name = "x", .length = 2, .null_count = 2}}));
  CHECK(texts(nothing.view()["x"]) == strings{"-", "-"});
}

TEST_CASE("read_arrow reads slices: offsets of arrays, of lists and of the batch") {
  exported from = batch({
      fixed<std::int32_t>("i", "x", {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10},
                          {1, 1, 1, 1, 0, 1, 1, 1, 1, 0, 1}),
      flags("b", {0, 0, 0, 1, 1, 1, 0, 1, 0, 1, 1}, {1, 1, 1, 1, 1, 1, 1, 1, 0, 1, 1}),
      texts_as<std::int64_t>("U", "t", {"a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k"}),
      lists<std::int64_t>("+L", "l", {0, 1, 1, 3, 4, 6, 6, 7, 9, 9, 9, 10},
                          fixed<std::int16_t>("s", "", {0, 1, 2, 3, 4, 5, 6, 7, 8, 9},
                                              {1, 1, 1, 0, 1, 1, 1, 1, 1, 1})),
      {.format = "+w:2",
       .name = "v",
       .buffers = {bits_of({1, 1, 1, 1, 1, 0, 1, 1, 1, 1, 1})},
       .children = {fixed<double>("g", "", {0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10,
                                            11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21})},
       .length = 11},
  });
  // Rows 3 to 8: the arrays begin at 2, the batch at 1 more.
  for (exported& field : from.children) field.offset = 2, field.length = 9;
  from.offset = 1;
  from.length = 6;
  const auto table = read(from);
  const funnel::columns c = table;
  CHECK(c.rows() == 6);
  CHECK(texts(c["x"]) == strings{"3", "-", "5", "6", "7", "8"});
  CHECK(texts(c["b"]) == strings{"1", "1", "1", "0", "1", "-"});
  CHECK(texts(c["t"]) == strings{"d", "e", "f", "g", "h", "i"});
  CHECK(texts(c["l"]) == strings{"-", "4", "5", "6", "7", "8"});
  CHECK(sizes(c["l"]) == std::vector<std::size_t>{1, 2, 0, 1, 2, 0});
  CHECK(texts(c["v"]) == strings{"6", "7", "8", "9", "12", "13", "14", "15", "16", "17"});
  CHECK(sizes(c["v"]) == std::vector<std::size_t>{2, 2, 0, 2, 2, 2});

  // The child of a list may be a slice too.
  exported shifted = batch(
      {lists<std::int32_t>("+l", "l", {0, 1, 3}, fixed<std::int32_t>("i", "", {9, 8, 7, 6, 5}))});
  shifted.children[0].children[0].offset = 2;
  shifted.children[0].children[0].length = 3;
  CHECK(texts(read(shifted).view()["l"]) == strings{"7", "6", "5"});
}

TEST_CASE("read_arrow decodes dictionaries of every index type") {
  const auto with = [](auto zero, const char* format) {
    using type = decltype(zero);
    exported column = fixed<type>(format, "t", {2, 0, 1, 2, 0}, {1, 1, 1, 1, 0});
    column.dictionary = {texts_as<std::int32_t>("u", "", {"no", "x", "y", "z"}, {1, 0, 1, 1})};
    column.dictionary[0].offset = 1;
    column.dictionary[0].length = 3;
    const auto table = read(batch({column}));
    CHECK(table.view()["t"].kind() == value_kind::text);
    // The entry 0 is null, and so is the last index.
    CHECK(texts(table.view()["t"]) == strings{"z", "-", "y", "z", "-"});
    column.buffers[1] = bytes_of<type>({2, 0, 3, 2, 0});
    CHECK(
        complaint(batch({column})) ==
        "funnel::read_arrow: column \"t\": index 3 of row 2 is not in the dictionary, which has 3 "
        "values");
  };
  with(std::int8_t{}, "c");
  with(std::uint8_t{}, "C");
  with(std::int16_t{}, "s");
  with(std::uint16_t{}, "S");
  with(std::int32_t{}, "i");
  with(std::uint32_t{}, "I");
  with(std::int64_t{}, "l");
  with(std::uint64_t{}, "L");
  exported numbers = fixed<std::int8_t>("c", "x", {1, 0});
  numbers.dictionary = {fixed<double>("g", "", {.5, 1.5})};
  CHECK(texts(read(batch({numbers})).view()["x"]) == strings{"1.5", "0.5"});
  exported in_lists = fixed<std::int8_t>("c", "", {1, 0, 1});
  in_lists.dictionary = {texts_as<std::int64_t>("U", "", {"a", "b"})};
  const auto table = read(batch({lists<std::int32_t>("+l", "x", {0, 1, 3}, in_lists)}));
  CHECK(texts(table.view()["x"]) == strings{"b", "a", "b"});
  exported negative = fixed<std::int8_t>("c", "x", {-1});
  negative.dictionary = numbers.dictionary;
  CHECK(complaint(batch({negative})).find("index -1 of row 0") != std::string::npos);
}

TEST_CASE("read_arrow turns dates and timestamps into ticks") {
  const exported from = batch({
      fixed<std::int32_t>("tdD", "day", {1, -1}),
      fixed<std::int64_t>("tdm", "date", {86'400'000, -1}),
      fixed<std::int64_t>("tss:", "s", {5, -5}),
      fixed<std::int64_t>("tsm:UTC", "m", {5999, -1}),
      fixed<std::int64_t>("tsu:Europe/Paris", "u", {5'999'999, -1'000'001}),
      fixed<std::int64_t>("tsn:", "n", {5'999'999'999, -1'000'000'000}),
  });
  const auto all = [&](std::int64_t ticks) {
    std::vector<strings> read_as;
    const auto table = read(from, {.ticks_per_second = ticks});
    const funnel::columns c = table;
    for (std::size_t j = 0; j < c.size(); ++j) read_as.push_back(texts(c[j]));
    return read_as;
  };
  CHECK(all(1) == std::vector<strings>{{"86400", "-86400"},
                                       {"86400", "-1"},
                                       {"5", "-5"},
                                       {"5", "-1"},
                                       {"5", "-2"},
                                       {"5", "-1"}});
  CHECK(all(1000) == std::vector<strings>{{"86400000", "-86400000"},
                                          {"86400000", "-1"},
                                          {"5000", "-5000"},
                                          {"5999", "-1"},
                                          {"5999", "-1001"},
                                          {"5999", "-1000"}});
  CHECK(complaint(batch({fixed<std::int64_t>("tss:", "s", {0, 10'000'000'000})}),
                  {.ticks_per_second = 1'000'000'000}) ==
        "funnel::read_arrow: column \"s\": row 1 is the time 10000000000 in 1/1 s, which is "
        "outside 64 "
        "bits in 1/1000000000 s");
}

TEST_CASE("read_arrow puts batches one after another") {
  releases count;
  exported one =
      batch({fixed<std::int32_t>("i", "x", {1, 2}), fixed<std::int8_t>("c", "t", {1, 0})});
  one.children[1].dictionary = {texts_as<std::int32_t>("u", "", {"a", "b"})};
  exported two =
      batch({fixed<std::int32_t>("i", "x", {3}, {0}), fixed<std::int8_t>("c", "t", {0})});
  two.children[1].dictionary = {texts_as<std::int32_t>("u", "", {"b"})};
  exported none = batch({fixed<std::int32_t>("i", "x", {}), fixed<std::int8_t>("c", "t", {})});
  none.children[1].dictionary = {texts_as<std::int32_t>("u", "", {})};
  ArrowSchema schema = export_schema(one, count);
  std::vector<ArrowArray> batches;
  for (const exported* from : {&one, &none, &two, &one})
    batches.push_back(export_array(*from, count));
  const auto table = funnel::read_arrow(schema, batches);
  CHECK((count.schemas == 1 && count.arrays == 4));
  CHECK(texts(table.view()["x"]) == strings{"1", "2", "-", "1", "2"});
  CHECK(texts(table.view()["t"]) == strings{"b", "a", "b", "b", "a"});
  CHECK(table.view()["t"].dictionary().size() == 2);

  ArrowSchema alone = export_schema(one, count);
  const auto empty = funnel::read_arrow(alone, std::span<ArrowArray>());
  CHECK((empty.rows() == 0 && empty.view().size() == 2));
  CHECK(empty.view()["t"].kind() == value_kind::text);
  CHECK(read(batch({})).rows() == 0);
}

TEST_CASE("read_arrow chooses columns, so that others may have any type") {
  const exported from =
      batch({fixed<std::int32_t>("i", "x", {1}), fixed<std::int64_t>("d:10,2", "money", {1}),
             fixed<std::int32_t>("i", "y", {2})});
  CHECK(complaint(from) ==
        "funnel::read_arrow: column \"money\": the type \"d:10,2\" is not supported, expected "
        "integers, floating-point numbers, bool, utf8, dates, timestamps, dictionaries or lists of "
        "these");
  const auto table = read(from, {.columns = {"y", "x"}});
  CHECK(table.view().size() == 2);
  CHECK(texts(table.view()["y"]) == strings{"2"});
  CHECK(complaint(from, {.columns = {"z"}}) ==
        "funnel::read_arrow: column \"z\" is missing; the batch has \"money\", \"x\", \"y\"");
}

TEST_CASE("read_arrow refuses what it cannot read, and releases it") {
  const auto type = [](const char* format) {
    return complaint(batch({fixed<std::int64_t>(format, "x", {1})}));
  };
  for (const char* format :
       {"",     "z",  "Z",  "vu", "w:4",   "d:5", "ttm", "tDs", "tiM", "ts",  "tss",
        "tsx:", "+s", "+m", "+r", "+ud:0", "ii",  "tdd", "+v",  "+w",  "\x01"}) {
    CAPTURE(format);
    CHECK(type(format).find("is not supported") != std::string::npos);
  }
  CHECK(type("\x01").find("\\x01") != std::string::npos);
  CHECK(type("+l").find("a list has 0 children, expected 1") != std::string::npos);
  exported nested = batch({lists<std::int32_t>(
      "+l", "x", {0, 1},
      lists<std::int32_t>("+l", "", {0, 1}, fixed<std::int32_t>("i", "", {1})))});
  CHECK(complaint(nested).find("the type \"+l\" is not supported") != std::string::npos);
  for (const char* length : {"+w:", "+w:x", "+w:-1", "+w:99999999999999999999"})
    CHECK(complaint(batch({{.format = length,
                            .name = "x",
                            .buffers = {{}},
                            .missing_buffer = {true},
                            .children = {fixed<std::int32_t>("i", "", {1})},
                            .length = 1}}))
              .find("has no length of lists") != std::string::npos);

  exported top = batch({fixed<std::int32_t>("i", "x", {1})});
  top.format = "+l";
  CHECK(complaint(top) ==
        "funnel::read_arrow: the schema has the type \"+l\", expected \"+s\", the "
        "type of a record batch");
  CHECK(complaint(batch({fixed<int>("i", "x", {1}), fixed<int>("i", "x", {1})})) ==
        "funnel::read_arrow: there are two columns \"x\"");

  const auto changed = [](exported from, auto change) {
    change(from);
    return complaint(from);
  };
  const exported good = batch({fixed<std::int32_t>("i", "x", {1, 2, 3})});
  CHECK(changed(good, [](exported& e) { e.length = 4; }) ==
        "funnel::read_arrow: column \"x\": has 3 rows, expected 4");
  CHECK(changed(good, [](exported& e) { e.offset = 1; }) ==
        "funnel::read_arrow: column \"x\": has 3 rows, expected 4");
  CHECK(changed(good, [](exported& e) { e.length = -1; }) ==
        "funnel::read_arrow: batches[0] has -1 rows from row 0 on");
  CHECK(changed(good, [](exported& e) { e.offset = -1; }) ==
        "funnel::read_arrow: batches[0] has 3 rows from row -1 on");
  CHECK(changed(good, [](exported& e) {
          e.children[0].offset = -1;
        }).find("the array has 3 values from value -1 on") != std::string::npos);
  CHECK(changed(good, [](exported& e) {
          e.children[0].buffers.pop_back();
        }).find("the array has 1 buffers, expected 2") != std::string::npos);
  CHECK(changed(good, [](exported& e) {
          e.children[0].missing_buffer = {true, true};
        }).find("buffer 1 is missing") != std::string::npos);
  CHECK(changed(good, [](exported& e) {
          e.null_count = 1;
          e.buffers[0] = bits_of({1, 0, 1});
          e.missing_buffer = {};
        }) == "funnel::read_arrow: batches[0] has no row 1: it is null");

  const exported listed =
      batch({lists<std::int32_t>("+l", "x", {0, 1, 3}, fixed<std::int32_t>("i", "", {1, 2, 3}))});
  for (const i32& offsets : {i32{0, 1, 4}, i32{0, 2, 1}, i32{-1, 0, 1}, i32{0, 1, -5}})
    CHECK(changed(listed, [&](exported& e) {
            e.children[0].buffers[1] = bytes_of(offsets);
          }).find("is not in the values, of which there are 3") != std::string::npos);
  exported vectors = batch({{.format = "+w:2",
                             .name = "x",
                             .buffers = {{}},
                             .missing_buffer = {true},
                             .children = {fixed<std::int32_t>("i", "", {1, 2, 3})},
                             .length = 2}});
  CHECK(complaint(vectors).find("the list of row 1 is not in the values") != std::string::npos);

  const exported text = batch({texts_as<std::int32_t>("u", "x", {"ab", "c"})});
  for (const i32& offsets : {i32{0, 2, 1}, i32{-1, 2, 3}})
    CHECK(changed(text, [&](exported& e) {
            e.children[0].buffers[1] = bytes_of(offsets);
          }).find("the text of row") != std::string::npos);
  CHECK(changed(text, [](exported& e) {
          e.children[0].missing_buffer = {true, false, true};
        }).find("the text of row 0") != std::string::npos);
  // Without any byte of text the last buffer may be missing, and without rows all of them.
  exported nothing = batch({texts_as<std::int32_t>("u", "x", {"", ""})});
  nothing.children[0].missing_buffer = {true, false, true};
  CHECK(texts(read(nothing).view()["x"]) == strings{"", ""});
  nothing.length = nothing.children[0].length = 0;
  nothing.children[0].missing_buffer = {true, true, true};
  CHECK(read(nothing).rows() == 0);

  exported coded = batch({fixed<float>("f", "x", {1})});
  coded.children[0].dictionary = {fixed<double>("g", "", {.5, 1.5})};
  CHECK(complaint(coded).find("the indices of a dictionary have the type \"f\"") !=
        std::string::npos);
  coded = batch({fixed<std::int8_t>("c", "x", {1})});
  coded.children[0].dictionary = {fixed<std::int8_t>("c", "", {0, 1})};
  coded.children[0].dictionary[0].dictionary = {fixed<double>("g", "", {.5, 1.5})};
  CHECK(complaint(coded).find("has a dictionary itself") != std::string::npos);
}

TEST_CASE("read_arrow checks its arguments, and releases what it was given") {
  const exported from = batch({fixed<std::int32_t>("i", "x", {1})});
  releases count;
  {
    ArrowSchema schema = export_schema(from, count);
    ArrowArray array = export_array(from, count);
    CHECK(refuses([&] { funnel::read_arrow(schema, array, {.ticks_per_second = 7}); },
                  "funnel::read_arrow", "ticks_per_second is 7"));
    CHECK((count.schemas == 1 && count.arrays == 1));
    // Both are released now.
    CHECK(refuses([&] { funnel::read_arrow(schema, array); }, "funnel::read_arrow",
                  "schema is released, expected one that is not"));
  }
  ArrowSchema schema = export_schema(from, count);
  std::vector<ArrowArray> batches{export_array(from, count), export_array(from, count)};
  batches[1].release(&batches[1]);
  CHECK(count.arrays == 2);
  CHECK(refuses([&] { funnel::read_arrow(schema, batches); }, "funnel::read_arrow",
                "batches[1] is released, expected one that is not"));
  CHECK((count.schemas == 2 && count.arrays == 3));
  // A batch of another schema.
  ArrowSchema again = export_schema(from, count);
  ArrowArray wider = export_array(batch({from.children[0], from.children[0]}), count);
  CHECK(format_error_of([&] { funnel::read_arrow(again, wider); }) ==
        "funnel::read_arrow: batches[0] has 2 columns, expected 1");
  CHECK((count.schemas == 3 && count.arrays == 4));
}

TEST_CASE("read_arrow reads random slices as the whole") {
  funnel::random_generator bits(6);
  for (int round = 0; round < 200; ++round) {
    const std::size_t n = 1 + funnel::uniform_below(bits, 40);
    std::vector<std::int64_t> numbers(n);
    std::vector<int> present(n), flag(n);
    strings words(n);
    std::vector<std::int64_t> offsets{0};
    for (std::size_t i = 0; i < n; ++i) {
      numbers[i] = static_cast<std::int64_t>(bits());
      present[i] = funnel::bernoulli(bits, .7);
      flag[i] = funnel::bernoulli(bits, .5);
      words[i] = std::string(funnel::uniform_below(bits, 4), static_cast<char>('a' + i % 26));
      offsets.push_back(offsets.back() + static_cast<std::int64_t>(funnel::uniform_below(bits, 3)));
    }
    const auto elements = static_cast<std::size_t>(offsets.back());
    exported from = batch(
        {fixed("l", "l", numbers, present), flags("b", flag, present),
         texts_as<std::int64_t>("U", "t", words, present),
         lists("+L", "x", offsets, fixed("g", "", std::vector<double>(elements, 2)), present)});
    const auto whole = read(from);
    const std::size_t begin = funnel::uniform_below(bits, n);
    const std::size_t count = funnel::uniform_below(bits, n - begin + 1);
    const std::size_t of_batch = funnel::uniform_below(bits, begin + 1);
    for (exported& field : from.children) {
      field.offset = static_cast<std::int64_t>(begin - of_batch);
      field.length = static_cast<std::int64_t>(of_batch + count);
    }
    from.offset = static_cast<std::int64_t>(of_batch);
    from.length = static_cast<std::int64_t>(count);
    const auto part = read(from);
    REQUIRE(part.rows() == count);
    const funnel::columns a = whole, b = part;
    for (std::size_t i = 0; i < count; ++i) {
      for (const char* name : {"l", "b", "t"}) {
        const column of = a[name], in = b[name];
        REQUIRE(of.has_value(begin + i) == in.has_value(i));
        CHECK(of.has_value(begin + i) == (present[begin + i] != 0));
        if (in.has_value(i)) CHECK(of.key(begin + i) == in.key(i));
      }
      const column of = a["x"], in = b["x"];
      CHECK(of.end(begin + i) - of.begin(begin + i) == in.end(i) - in.begin(i));
    }
  }
}
