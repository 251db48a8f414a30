// SPDX-License-Identifier: MIT
#include <funnel/io/model_file.hpp>
#include <funnel/io/model_writer.hpp>
#include <funnel/io/safetensors_writer.hpp>

#include "data/files.hpp"
#include "io/raw_file.hpp"
#include "io/small_parts.hpp"
#include "support/catch.hpp"
#include "support/matrices.hpp"

#include <cmath>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

using funnel::model_file;
using funnel::model_writer;

using namespace small_parts;

namespace {

/// What opening a file of these bytes says, without the path; empty if it is accepted.
std::string error_of(const temporary_folder& folder, std::string_view bytes) {
  const std::string path = folder.write("damaged", bytes);
  const std::string text = format_error_of([&] { const model_file file(path); });
  if (text.empty()) return text;
  REQUIRE(text.starts_with(path + ": "));
  return text.substr(path.size() + 2);
}

bool contains(std::string_view text, std::string_view words) {
  INFO(text);
  const bool found = text.find(words) != text.npos;
  CHECK(found);
  return found;
}

/// A file with parameters, state, text and golden values.
std::string written(const temporary_folder& folder) {
  const std::string path = folder.path() + "/m";
  const auto model = trained_model<float>(1);
  const small_state state = filled_state();
  model_writer()
      .parameters("model", model)
      .state("schema", state)
      .text("trained on", "2026-11-25")
      .golden("scores", std::vector<float>{.5f, 100})
      .write(path);
  return path;
}

/// Shows fields that differ from those of `small_list`.
template <class F>
struct other_list {
  F sums{};
  void visit_state(auto&& visit) { visit("sums", sums); }
};
struct longer_list {
  std::vector<double> sums{1}, more{2};
  void visit_state(auto&& visit) {
    visit("sums", sums);
    visit("mores", more);
  }
};
struct empty_list {
  void visit_state(auto&&) {}
};
struct twice_list {
  std::vector<double> sums;
  void visit_state(auto&& visit) {
    visit("sums", sums);
    visit("sums", sums);
  }
};

}  // namespace

TEST_CASE("model_file: what was saved is loaded") {
  const temporary_folder folder;
  const model_file file(written(folder));
  CHECK(file.parts() == std::vector<std::string>{"model", "schema"});
  CHECK(file.text("trained on") == "2026-11-25");
  CHECK(file.find_text("funnel.format") == nullptr);
  small_model<float> model;
  const auto report = file.load_parameters("model", model);
  CHECK(report.loaded == 3);
  CHECK(values_of(model) == values_of(trained_model<float>(1)));
  small_model<double> wide;
  file.load_parameters("model", wide);
  CHECK(wide.table.value(1, 1) == static_cast<double>(model.table.value(1, 1)));

  small_state state;
  state.option = 3;  // the constructor's, not the file's
  state.ids.resize(100);
  file.load_state("schema", state);
  CHECK(state.loads == 1);
  state.loads = 0;
  CHECK(state == filled_state());
  CHECK(file.golden<float>("scores")(0, 1) == 100);
}

TEST_CASE("model_file: a model without parameters, a state without fields, nothing at all") {
  const temporary_folder folder;
  const std::string path = folder.path() + "/m";
  model_writer().write(path);
  CHECK(model_file(path).parts().empty());
  empty_list nothing;
  model_writer().state("nothing", nothing).write(path);
  model_file(path).load_state("nothing", nothing);
}

TEST_CASE("model_file: a file cut anywhere is refused") {
  const temporary_folder folder;
  const std::string whole = bytes_of_file(written(folder));
  REQUIRE(error_of(folder, whole).empty());
  for (std::size_t n = 0; n < whole.size(); ++n) {
    INFO("cut at " << n);
    if (error_of(folder, std::string_view(whole).substr(0, n)).empty()) FAIL("accepted");
  }
  CHECK(!error_of(folder, whole + '\0').empty());
}

TEST_CASE("model_file: a changed bit anywhere is refused") {
  const temporary_folder folder;
  std::string bytes = bytes_of_file(written(folder));
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    for (int bit = 0; bit < 8; ++bit) {
      bytes[i] = static_cast<char>(bytes[i] ^ (1 << bit));
      INFO("byte " << i << ", bit " << bit);
      if (error_of(folder, bytes).empty()) FAIL("accepted");
      bytes[i] = static_cast<char>(bytes[i] ^ (1 << bit));
    }
  }
  // The text says where.
  const std::size_t values = header_size(bytes);
  bytes[values + 5] ^= 4;
  CHECK(contains(error_of(folder, bytes),
                 "the 48 bytes of \"model.table\" and their checksum differ"));
  bytes[values + 5] ^= 4;
  bytes[values + 50] = 1;
  CHECK(
      contains(error_of(folder, bytes), "the 16 bytes of \"a filler\" and their checksum differ"));
  bytes[values + 50] = 0;
  const std::size_t name = bytes.find("trained on");
  bytes[name] = 'T';
  CHECK(contains(error_of(folder, bytes), "the header and its checksum differ"));
}

TEST_CASE("model_file: other files and newer formats are refused") {
  const temporary_folder folder;
  const std::string path = folder.path() + "/t";
  const std::vector<float> x{1};
  const auto error = [&](funnel::safetensors_writer& writer) {
    writer.write(path);
    return format_error_of([&] { const model_file file(path); });
  };
  funnel::safetensors_writer plain, newer, strange, unchecked;
  plain.add("x", x);
  CHECK(contains(error(plain), "it is not a model file of funnel"));
  newer.add("x", x).text("funnel.format", "2");
  CHECK(contains(error(newer),
                 "the file has format 2, this version of funnel reads formats up to 1"));
  for (const std::string version : {"", "x", "1x", "0", "-1", "99999999999999999999999"}) {
    funnel::safetensors_writer writer;
    writer.add("x", x).text("funnel.format", version);
    CHECK(contains(error(writer), "funnel.format is \"" + version + "\", expected a number"));
  }
  unchecked.add("x", x).text("funnel.format", "1");
  CHECK(contains(error(unchecked), "the last tensor is not _checksums"));
  CHECK(contains(error_of(folder, ""), "the file is empty"));
  // Checksums that are of another type or number.
  const std::string format = "\"__metadata__\":{\"funnel.format\":\"1\"},";
  CHECK(contains(
      error_of(folder, raw_file("{" + format + raw_entry("_checksums", "I64", "[2]", 0, 16) + "}",
                                std::string(16, '\0'))),
      "it has 2 values, expected 1"));
  CHECK(contains(
      error_of(folder, raw_file("{" + format + raw_entry("_checksums", "F64", "[1]", 0, 8) + "}",
                                std::string(8, '\0'))),
      "the file has F64 [1], expected I64"));
  CHECK(contains(
      error_of(folder, raw_file("{" + format + raw_entry("_checksums", "I64", "[2]", 0, 16) + "," +
                                    raw_entry("a", "U8", "[1]", 16, 17) + "}",
                                std::string(17, '\0'))),
      "the last tensor is not _checksums"));
}

TEST_CASE("model_file: parts and texts that are not there are named") {
  const temporary_folder folder;
  const model_file file(written(folder));
  small_model<float> model;
  small_list list;
  const auto error = [&](auto&& call) { return format_error_of(call); };
  CHECK(error([&] { file.load_parameters("models", model); }) ==
        file.path() + ": there is no part \"models\"; it has \"model\", \"schema\"");
  CHECK(error([&] { file.load_parameters("schema", model); }) ==
        file.path() + ": part \"schema\" holds state, expected parameters");
  CHECK(
      contains(error([&] { file.load_state("model", list); }), "holds parameters, expected state"));
  CHECK(error([&] { file.text("trained"); }) ==
        file.path() + ": there is no text \"trained\"; did you mean \"trained on\"?");
  CHECK(
      contains(error([&] { file.golden<float>("score"); }),
               "tensor \"golden.score\": it is not in the file; did you mean \"golden.scores\"?"));
  CHECK(contains(error([&] { file.golden<double>("scores"); }),
                 "the file has F32 [2], expected F64"));
}

TEST_CASE("model_file: a model that does not fit is unchanged") {
  const temporary_folder folder;
  const model_file file(written(folder));
  const auto check = [&](auto change, std::string_view words) {
    auto model = trained_model<float>(50);
    change(model);
    const auto before = values_of(model);
    CHECK(contains(format_error_of([&] { file.load_parameters("model", model); }), words));
    CHECK(values_of(model) == before);
  };
  check(
      [](auto& m) {
        m.layers.back() = {2, 2};
      },
      "parameter \"layers.1\": the file has F32 [1, 2], expected F32 [2, 2]");
  check([](auto& m) { m.layers.emplace_back(1, 2); },
        "the model's parameter \"layers.2\" is not in the file, which has no tensor "
        "\"model.layers.2\"");
  check([](auto& m) { m.layers.pop_back(); },
        "the model has no parameter for tensor \"model.layers.1\": was it constructed");
  check([](auto& m) { m.table = {3, 4}; }, "it may have to be transposed");

  small_model<float> more = trained_model<float>(50);
  more.layers.emplace_back(1, 2);
  const auto report = file.load_parameters("model", more, {.allow_missing = true});
  CHECK(report.missing == std::vector<std::string>{"layers.2"});
  CHECK(more.table.value(0, 0) == trained_model<float>(1).table.value(0, 0));
}

TEST_CASE("model_file: an object that does not fit is unchanged") {
  const temporary_folder folder;
  const std::string path = folder.path() + "/m";
  const small_list saved{.sums = {1, 2}};
  model_writer().state("list", saved).write(path);
  const model_file file(path);
  const auto error = [&](auto object) {
    auto before = object;
    const std::string text = format_error_of([&] { file.load_state("list", object); });
    if constexpr (requires { object.sums; }) CHECK(object.sums == before.sums);
    return text;
  };
  CHECK(contains(error(other_list<std::vector<float>>{{3}}),
                 "tensor \"list.sums\": the file has F64 [2], expected F32"));
  CHECK(contains(error(other_list<double>{3}), "the file has F64 [2], expected a number"));
  CHECK(contains(error(longer_list{}), "tensor \"list.mores\": it is not in the file"));
  CHECK(contains(error(empty_list{}), "tensor \"list.sums\": the object has no field for it"));
  CHECK(contains(error(twice_list{{9}}), "the object reads it twice"));

  small_state untouched = filled_state();
  CHECK(contains(format_error_of([&] { model_file(path).load_state("stat", untouched); }),
                 "no part"));
  CHECK(untouched == filled_state());
}

namespace {

/// Refuses, as an object does that finds its numbers to be wrong.
template <class Error>
struct refusing {
  std::vector<double> sums;
  void visit_state(auto&& visit) {
    visit("sums", sums);
    if (funnel::is_loading(visit)) throw Error("sums[0] is 1, expected 0");
  }
};

}  // namespace

TEST_CASE("model_file: what an object refuses is reported with the file and the part") {
  const temporary_folder folder;
  const std::string path = folder.path() + "/m";
  const small_list saved{.sums = {1, 2}};
  model_writer().state("list", saved).write(path);
  const auto check = [&]<class Error>(Error) {
    refusing<Error> object{{7}};
    CHECK(format_error_of([&] { model_file(path).load_state("list", object); }) ==
          path + ": part \"list\": sums[0] is 1, expected 0");
    CHECK(object.sums == std::vector<double>{7});
  };
  check(std::invalid_argument(""));
  check(std::length_error(""));
  check(funnel::format_error(""));
}

TEST_CASE("model_file: golden values are compared") {
  const temporary_folder folder;
  const std::string path = folder.path() + "/m";
  constexpr float nan = std::numeric_limits<float>::quiet_NaN();
  funnel::matrix<float> scores(2, 2);
  scores(0, 0) = .5f;
  scores(0, 1) = 1000;
  scores(1, 0) = nan;
  model_writer().golden("scores", scores).write(path);
  const model_file file(path);
  const auto error = [&](const auto& got, const funnel::golden_options& options = {}) {
    return format_error_of([&] { file.check_golden("scores", got, options); });
  };
  CHECK(error(scores, {.tolerance = 0}).empty());
  funnel::matrix<float> wide(2, 3, -1.f);
  for (std::size_t i = 0; i < 2; ++i)
    for (std::size_t j = 0; j < 2; ++j) wide(i, j) = scores(i, j);
  CHECK(error(wide.view().middle_cols(0, 2), {.tolerance = 0}).empty());
  CHECK(error(std::vector<float>(scores.flat().begin(), scores.flat().end())).empty());

  auto other = scores;
  other(0, 1) = 1000.009f;  // relative to 1000
  CHECK(error(other).empty());
  CHECK(
      contains(error(other, {.tolerance = 1e-6}), "golden \"scores\": row 0, column 1 is 1000.00"));
  other = scores;
  other(0, 0) = .50002f;
  CHECK(contains(error(other),
                 "row 0, column 0 is 0.500020027, expected 0.5 as the saved model gave"));
  for (const float wrong : {nan, std::numeric_limits<float>::infinity()}) {
    other = scores;
    other(1, 1) = wrong;
    CHECK(contains(error(other), "row 1, column 1 is"));
  }
  other = scores;
  other(1, 0) = 0;
  CHECK(contains(error(other), "row 1, column 0 is 0, expected nan"));
  CHECK(contains(error(std::vector<float>(3)), "golden \"scores\" has 4 values, expected 3"));
}
