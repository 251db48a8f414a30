// SPDX-License-Identifier: MIT
#include <funnel/io/model_writer.hpp>

#include "data/files.hpp"
#include "io/raw_file.hpp"
#include "io/small_parts.hpp"
#include "support/catch.hpp"
#include "support/errors.hpp"

#include <filesystem>
#include <string>
#include <system_error>
#include <vector>

using funnel::model_writer;

using namespace small_parts;

namespace {

/// Shows another number of values at every second visit.
struct restless {
  std::vector<float> values;
  std::size_t* visits;
  void visit_state(auto&& visit) {
    values.assign(1 + ++*visits % 2, 0.f);
    visit("values", values);
  }
};

/// Shows what is gone when `visit_state` returns, as an object does that packs its fields.
struct packed {
  std::size_t n = 0;
  void visit_state(auto&& visit) {
    std::vector<std::uint64_t> values(n, n);
    visit("values", values);
    if (funnel::is_loading(visit)) n = values.size();
  }
};

struct twice {
  float a = 1;
  void visit_state(auto&& visit) {
    visit("a", a);
    visit("a", a);
  }
};

}  // namespace

TEST_CASE("model_writer: tensors have the names of the parts and paths, texts are metadata") {
  const temporary_folder folder;
  const std::string path = folder.path() + "/m";
  const auto model = trained_model<float>(1);
  const small_state state = filled_state();
  const auto golden = random_matrix<double>(2, 3, 9);
  model_writer()
      .parameters("model", model)
      .state("schema", state)
      .text("trained on", "2026-11-25")
      .golden("scores", golden.view().middle_cols(1, 2))
      .golden("ids", std::vector<std::uint32_t>{5})
      .golden(
          "of another file",
          funnel::tensor{"x", funnel::tensor_type::f64, {1, 3, 2}, std::as_bytes(golden.flat())})
      .write(path);
  const funnel::safetensors_file file(path);
  std::vector<std::string> names;
  for (const funnel::tensor& t : file.tensors())
    names.push_back(t.name + " " + funnel::detail::tensor_text(t.type, t.shape));
  CHECK(names ==
        std::vector<std::string>{
            "model.table F32 [4, 3]", "model.layers.0 F32 [3, 2]", "model.layers.1 F32 [1, 2]",
            "schema.time I64 []", "schema.open BOOL []", "schema.rate F32 []", "schema.name U8 [8]",
            "schema.ids U32 [3]", "schema.count U64 []", "schema.lists.0.sums F64 [2]",
            "schema.lists.1.sums F64 [0]", "golden.scores F64 [2, 2]", "golden.ids U32 [1]",
            "golden.of another file F64 [1, 3, 2]", "_checksums I64 [28]"});
  CHECK(file.view<double>("golden.scores")(1, 1) == golden(1, 2));
  CHECK(*file.find_text("trained on") == "2026-11-25");
  CHECK(*file.find_text("funnel.format") == "1");
  CHECK(*file.find_text("funnel.part.model") == "parameters");
  CHECK(*file.find_text("funnel.part.schema") == "state");
  CHECK(file.texts().size() == 4);
}

TEST_CASE("model_writer: the same contents give the same bytes") {
  const temporary_folder folder;
  const auto model = trained_model<float>(1);
  for (const std::string name : {"a", "b"})
    model_writer().parameters("m", model).text("k", "v").write(folder.path() + "/" + name);
  CHECK(bytes_of_file(folder.path() + "/a") == bytes_of_file(folder.path() + "/b"));
}

TEST_CASE("model_writer: an object may show arrays that are gone afterward") {
  const temporary_folder folder;
  const packed state{.n = 5};
  model_writer().state("packed", state).write(folder.path() + "/m");
  packed read;
  funnel::model_file(folder.path() + "/m").load_state("packed", read);
  CHECK(read.n == 5);
}

TEST_CASE("model_writer: bad arguments are refused before a file is made") {
  const temporary_folder folder;
  const auto model = trained_model<float>(1);
  const small_list list;
  model_writer writer;
  writer.parameters("model", model).text("k", "v");
  for (const std::string part : {"", "a.b", "_a", "golden", "model", "\xff"})
    CHECK(refuses([&] { writer.state(part, list); }, "funnel::model_writer: part is", "expected"));
  CHECK(refuses([&] { writer.text("k", "v"); }, "funnel::model_writer::text: key is \"k\"",
                "not there"));
  CHECK(refuses([&] { writer.text("funnel.format", "2"); }, "funnel::model_writer::text: key is",
                "does not begin with funnel."));
  CHECK(refuses([&] { writer.text("x", "\xff"); }, "funnel::model_writer::text: value", "UTF-8"));
  const twice object;
  CHECK(refuses([&] { model_writer().state("s", object).write(folder.path() + "/m"); },
                "funnel::model_writer::write: two tensors have the name \"s.a\"",
                "different names"));
  std::size_t visits = 0;
  const restless other{.values = {}, .visits = &visits};
  CHECK(refuses([&] { model_writer().state("s", other).write(folder.path() + "/m"); },
                "funnel::model_writer::write: s.values changed", "expected the same fields twice"));
  CHECK(std::filesystem::is_empty(folder.path()));
}

TEST_CASE("model_writer: a file that cannot be written is an error of the system") {
  const auto model = trained_model<float>(1);
  CHECK_THROWS_AS(model_writer().parameters("m", model).write("/no folder/m"), std::system_error);
}
