// SPDX-License-Identifier: MIT
#include <funnel/io/load_parameters.hpp>
#include <funnel/io/safetensors_writer.hpp>

#include "data/files.hpp"
#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/matrices.hpp"

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

using funnel::load_parameters;
using funnel::matrix;
using funnel::parameter;
using funnel::parameter_map;
using funnel::safetensors_file;
using funnel::safetensors_writer;

namespace {

template <class T>
struct layer {
  parameter<T> weight, bias;
  layer() = default;
  layer(std::size_t in, std::size_t out) : weight(in, out), bias(1, out) {}
  void visit_parameters(auto&& visit) {
    visit("weight", weight);
    visit("bias", bias);
  }
};

/// A model with an embedding, two layers and two experts.
template <class T>
struct model {
  parameter<T> table{5, 4};
  std::vector<layer<T>> layers{{4, 3}, {3, 1}};
  std::vector<parameter<T>> experts{{4, 2}, {4, 2}};
  void visit_parameters(auto&& visit) {
    visit("table", table);
    visit("layers", layers);
    visit("experts", experts);
  }
};

struct one {
  parameter<float> p;
  void visit_parameters(auto&& visit) { visit("p", p); }
};

template <class T>
std::vector<std::vector<T>> values_of(const model<T>& m) {
  std::vector<std::vector<T>> values;
  funnel::for_each_parameter(m, [&](std::string_view, const auto& p) {
    values.emplace_back(p.value.flat().begin(), p.value.flat().end());
  });
  return values;
}

matrix<float> transposed(const matrix<float>& m) {
  matrix<float> t(m.cols(), m.rows());
  for (std::size_t i = 0; i < m.rows(); ++i)
    for (std::size_t j = 0; j < m.cols(); ++j) t(j, i) = m(i, j);
  return t;
}

/// A file such as PyTorch's modules give: Linear is [out, in], experts are stacked, and the table
/// has its columns in two tensors.
struct foreign {
  matrix<float> left = random_matrix<float>(5, 1, 1), right = random_matrix<float>(3, 5, 2);
  matrix<float> first = random_matrix<float>(3, 4, 3), second = random_matrix<float>(1, 3, 4);
  std::vector<float> first_bias = random_values<float>(3, 5), second_bias{.5f};
  std::vector<float> stacked = random_values<float>(16, 6);  // [2, 4, 2]

  void add_to(safetensors_writer& writer) const {
    writer.add("left", left).add("right", right);
    writer.add("net.0.weight", first).add("net.0.bias", first_bias);
    writer.add("net.2.weight", second).add("net.2.bias", second_bias);
    writer.add("experts", funnel::tensor_type::f32, {2, 4, 2}, std::as_bytes(std::span(stacked)));
  }
};

parameter_map foreign_map() {
  parameter_map map;
  map.add({.parameter = "table", .tensor = "left"});
  map.add({.parameter = "table", .tensor = "right", .transposed = true, .to_col = 1});
  map.linear("layers.0", "net.0").linear("layers.1", "net.2");
  for (std::size_t k = 0; k < 2; ++k)
    map.add({.parameter = "experts." + std::to_string(k), .tensor = "experts", .rows = {4 * k, 4}});
  return map;
}

/// What loading says, without the path; the model is unchanged if it says something.
template <class T = float>
std::string error_of(const safetensors_file& file, const parameter_map& map,
                     const funnel::load_options& options = {}) {
  model<T> m;
  const auto before = values_of(m);
  const std::string text = format_error_of([&] { load_parameters(file, m, map, options); });
  CHECK((values_of(m) == before) == !text.empty());
  if (text.empty()) return text;
  REQUIRE(text.starts_with(file.path() + ": "));
  return text.substr(file.path().size() + 2);
}

bool contains(std::string_view text, std::string_view words) {
  INFO(text);
  const bool found = text.find(words) != text.npos;
  CHECK(found);
  return found;
}

}  // namespace

TEST_CASE("load_parameters: transposed, joined and stacked tensors of other names") {
  const temporary_folder folder;
  const foreign f;
  safetensors_writer writer;
  f.add_to(writer);
  writer.write(folder.path() + "/t");
  const safetensors_file file(folder.path() + "/t");
  model<float> m;
  const auto report = load_parameters(file, m, foreign_map());
  CHECK(report.loaded == 7);
  CHECK((report.missing.empty() && report.unused.empty()));
  for (std::size_t i = 0; i < 5; ++i) {
    CHECK(m.table.value(i, 0) == f.left(i, 0));
    for (std::size_t j = 0; j < 3; ++j) CHECK(m.table.value(i, 1 + j) == f.right(j, i));
  }
  CHECK(std::ranges::equal(m.layers[0].weight.value.flat(), transposed(f.first).flat()));
  CHECK(std::ranges::equal(m.layers[0].bias.value.flat(), f.first_bias));
  CHECK(std::ranges::equal(m.layers[1].weight.value.flat(), transposed(f.second).flat()));
  CHECK(m.layers[1].bias.value(0, 0) == .5f);
  for (std::size_t k = 0; k < 2; ++k)
    CHECK(std::ranges::equal(m.experts[k].value.flat(), std::span(f.stacked).subspan(8 * k, 8)));
  // Doubles hold all floats.
  model<double> wide;
  load_parameters(file, wide, foreign_map());
  CHECK(wide.table.value(2, 2) == static_cast<double>(f.right(1, 2)));
  CHECK(wide.experts[1].value(3, 1) == static_cast<double>(f.stacked[15]));
}

TEST_CASE("load_parameters: ranges of rows and columns, before the transposition") {
  const temporary_folder folder;
  const auto source = random_matrix<float>(6, 7, 1);
  safetensors_writer().add("x", source).write(folder.path() + "/t");
  const safetensors_file file(folder.path() + "/t");
  one m{{3, 2}};
  parameter_map map;
  map.add({.parameter = "p", .tensor = "x", .transposed = true, .rows = {4}, .cols = {1, 3}});
  load_parameters(file, m, map);
  for (std::size_t i = 0; i < 3; ++i)
    for (std::size_t j = 0; j < 2; ++j) CHECK(m.p.value(i, j) == source(4 + j, 1 + i));
  map.sources[0] = {.parameter = "p", .tensor = "x", .rows = {2, 3}, .cols = {5}};
  load_parameters(file, m, map);
  for (std::size_t i = 0; i < 3; ++i)
    for (std::size_t j = 0; j < 2; ++j) CHECK(m.p.value(i, j) == source(2 + i, 5 + j));
}

TEST_CASE("load_parameters: half precision becomes float; a smaller type does not take a larger") {
  const temporary_folder folder;
  one m{{2, 2}};
  const std::vector<funnel::float16> halves{{0x3c00}, {0x4000}, {0x4200}, {0x4400}};
  const std::vector<funnel::bfloat16> brain{{0x3f80}, {0x4000}, {0x4040}, {0x4080}};
  const std::vector<double> doubles{1, 2, 3, 4};
  const std::string path = folder.path() + "/t";
  const auto write = [&](const auto& values) {
    using type = std::remove_cvref_t<decltype(values[0])>;
    safetensors_writer().add("p", funnel::matrix_view<const type>(values.data(), 2, 2)).write(path);
  };
  for (const bool transpose : {false, true}) {
    parameter_map map;
    map.add({.parameter = "p", .tensor = "p", .transposed = transpose});
    write(halves);
    load_parameters(safetensors_file(path), m, map);
    CHECK(m.p.value(0, 1) == (transpose ? 3 : 2));
    m = {{2, 2}};
    write(brain);
    load_parameters(safetensors_file(path), m, map);
    CHECK(m.p.value(1, 0) == (transpose ? 2 : 3));
  }
  write(doubles);
  CHECK(contains(format_error_of([&] { load_parameters(safetensors_file(path), m); }),
                 "parameter \"p\": tensor \"p\" has type F64, expected F32"));
}

TEST_CASE("load_parameters: errors name the parameter, what is there and what was expected") {
  const temporary_folder folder;
  const foreign f;
  safetensors_writer writer;
  f.add_to(writer);
  const matrix<float> wrong(4, 5);
  writer.add("table", wrong);
  writer.write(folder.path() + "/t");
  const safetensors_file file(folder.path() + "/t");

  parameter_map map = foreign_map();
  CHECK(contains(error_of(file, map), "the model has no parameter for tensor \"table\": was it"));
  CHECK(error_of(file, map, {.allow_unused = true}).empty());

  map.sources.erase(map.sources.begin(), map.sources.begin() + 2);
  CHECK(error_of(file, map) ==
        "parameter \"table\": the file has F32 [4, 5], expected F32 [5, 4]: it may have to be "
        "transposed, see parameter_map");
  map.same("table", "lefd");
  CHECK(error_of(file, map) ==
        "the model's parameter \"table\" is not in the file, which has no tensor \"lefd\"; did you "
        "mean \"left\"?");
  map.sources.back() = {.parameter = "table", .tensor = "left"};
  CHECK(error_of(file, map) ==
        "parameter \"table\": the map fills 5 values, expected the 20 of [5, 4]");
  map.same("table", "left");
  CHECK(error_of(file, map) ==
        "parameter \"table\": the map fills a value twice, the second time from tensor \"left\"");
  map.sources.back() = {.parameter = "table", .tensor = "right", .to_col = 1};
  CHECK(contains(error_of(file, map),
                 "the file has F32 [3, 5] in tensor \"right\", of which the map "
                 "puts [3, 5] at row 0, column 1, expected to fit [5, 4]"));
  map.sources.back() = {.parameter = "table", .tensor = "right", .rows = {2, 2}};
  CHECK(contains(error_of(file, map),
                 "the map takes rows from 2 on of tensor \"right\", which has 3"));
  map.sources.back() = {.parameter = "table", .tensor = "right", .cols = {6}};
  CHECK(contains(error_of(file, map), "the map takes columns from 6 on"));

  model<float> m;
  map = foreign_map().same("tabel", "left");
  CHECK(refuses([&] { load_parameters(file, m, map); },
                "funnel::load_parameters: the map has parameter \"tabel\"",
                "expected one of the model's; did you mean \"table\"?"));
  CHECK(values_of(m) == values_of(model<float>()));
}

TEST_CASE("load_parameters: what a model has in common with a file") {
  const temporary_folder folder;
  const foreign f;
  safetensors_writer writer;
  const matrix<float> weight = transposed(f.first);
  const std::vector<float> moments(12, 9);
  writer.add("layers.0.weight", weight).add("adam.layers.0.weight", moments);
  writer.write(folder.path() + "/t");
  const safetensors_file file(folder.path() + "/t");
  const parameter_map none;
  CHECK(contains(error_of(file, none),
                 "\"table\" is not in the file, which has no tensor \"table\" "
                 "(and 5 more)"));
  CHECK(contains(error_of(file, none, {.allow_missing = true}),
                 "no parameter for tensor \"adam.layers.0.weight\""));
  model<float> m;
  for (auto& layer : m.layers) layer.bias.value.assign(1, layer.bias.cols(), 7.f);
  const auto report = load_parameters(file, m, none, {.allow_missing = true, .allow_unused = true});
  CHECK(report.loaded == 1);
  CHECK(report.missing == std::vector<std::string>{"table", "layers.0.bias", "layers.1.weight",
                                                   "layers.1.bias", "experts.0", "experts.1"});
  CHECK(report.unused == std::vector<std::string>{"adam.layers.0.weight"});
  CHECK(std::ranges::equal(m.layers[0].weight.value.flat(), weight.flat()));
  CHECK(m.layers[0].bias.value(0, 2) == 7);
  CHECK(m.table.value(0, 0) == 0);
  // A part of a parameter is no parameter: it stays whole as it was.
  parameter_map map;
  map.add({.parameter = "table", .tensor = "layers.0.weight", .rows = {0, 2}, .cols = {0, 1}});
  map.add({.parameter = "table", .tensor = "elsewhere"});
  const auto partly = load_parameters(file, m, map, {.allow_missing = true, .allow_unused = true});
  CHECK(partly.missing.front() == "table");
  CHECK(partly.loaded == 1);
  CHECK(m.table.value(0, 0) == 0);
}

namespace {

/// The parameters of a `batch_norm` and a `layer_norm`.
struct norms {
  struct norm {
    parameter<float> scale{1, 2}, shift{1, 2};
    void visit_parameters(auto&& visit) {
      visit("scale", scale);
      visit("shift", shift);
    }
  };
  struct running {
    norm both;
    parameter<float> running_mean{1, 2}, running_variance{1, 2};
    void visit_parameters(auto&& visit) {
      both.visit_parameters(visit);
      visit("running_mean", running_mean);
      visit("running_variance", running_variance);
    }
  };
  norm layer;
  running batch;
  void visit_parameters(auto&& visit) {
    visit("layer", layer);
    visit("batch", batch);
  }
};

}  // namespace

TEST_CASE("load_parameters: normalizations, and tensors that the map ignores") {
  const temporary_folder folder;
  const std::vector<float> ln_weight{1, 2}, ln_bias{3, 4}, bn_weight{5, 6}, bn_bias{7, 8};
  const std::vector<float> mean{9, 10}, variance{11, 12};
  const std::vector<std::int64_t> batches{300};
  safetensors_writer writer;
  writer.add("ln.weight", ln_weight).add("ln.bias", ln_bias);
  writer.add("bn.weight", bn_weight).add("bn.bias", bn_bias);
  writer.add("bn.running_mean", mean).add("bn.running_var", variance);
  writer.add("bn.num_batches_tracked", batches).write(folder.path() + "/t");
  norms m;
  parameter_map map;
  map.layer_norm("layer", "ln").batch_norm("batch", "bn");
  const auto report = load_parameters(safetensors_file(folder.path() + "/t"), m, map);
  CHECK((report.loaded == 6 && report.unused.empty()));
  CHECK(std::ranges::equal(m.layer.scale.value.flat(), ln_weight));
  CHECK(std::ranges::equal(m.layer.shift.value.flat(), ln_bias));
  CHECK(std::ranges::equal(m.batch.both.scale.value.flat(), bn_weight));
  CHECK(std::ranges::equal(m.batch.both.shift.value.flat(), bn_bias));
  CHECK(std::ranges::equal(m.batch.running_mean.value.flat(), mean));
  CHECK(std::ranges::equal(m.batch.running_variance.value.flat(), variance));
  map.ignored.clear();
  CHECK(contains(
      format_error_of([&] { load_parameters(safetensors_file(folder.path() + "/t"), m, map); }),
      "no parameter for tensor \"bn.num_batches_tracked\""));
  // The parameters of a model that is one layer have no path before their names.
  layer<float> one(2, 1);
  const std::vector<float> weight{1, 2}, bias{3};
  safetensors_writer()
      .add("fc.weight", funnel::matrix_view<const float>(weight.data(), 1, 2))
      .add("fc.bias", bias)
      .write(folder.path() + "/t");
  load_parameters(safetensors_file(folder.path() + "/t"), one, parameter_map().linear("", "fc"));
  CHECK(one.weight.value(1, 0) == 2);
  CHECK(one.bias.value(0, 0) == 3);
}
