// SPDX-License-Identifier: MIT
// Models that PyTorch trained (models.py, write_files.py), loaded by a map of names and scored here;
// then saved as model files, which read_files.py scores in PyTorch.
//
//     model_files [<folder of the files> [<folder to write to>]]
#include <funnel/funnel.hpp>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <exception>
#include <string>
#include <vector>

using namespace funnel;

// The models of models.py.

struct user_tower {
  embedding<float> id{40, 8};
  dense<float> first{8 + 3, 16};
  batch_norm<float> norm{16};
  dense<float> last{16, 8};

  struct input {
    std::span<const std::uint32_t> ids;
    matrix_view<const float> numbers;
  };
  template <Context C>
  value_of<C> operator()(C& context, const input& users) const {
    const auto x = first(context, concat(context, id(context, users.ids), users.numbers));
    return last(context, activate(context, norm(context, x), activation::relu));
  }
  void visit_parameters(auto&& visit) {
    visit("id", id), visit("first", first), visit("norm", norm), visit("last", last);
  }
};

struct item_tower {
  embedding<float> id{60, 8}, category{5, 4};
  mlp<float> tower{8 + 4, {16, 8}};

  struct input {
    std::span<const std::uint32_t> ids, categories;
  };
  template <Context C>
  value_of<C> operator()(C& context, const input& items) const {
    return tower(context,
                 concat(context, id(context, items.ids), category(context, items.categories)));
  }
  void visit_parameters(auto&& visit) {
    visit("id", id), visit("category", category), visit("tower", tower);
  }
};

struct static_item_tower {
  embedding<float> id{50, 8};
  layer_norm<float> norm{8};

  template <Context C>
  value_of<C> operator()(C& context, std::span<const std::uint32_t> items) const {
    return norm(context, id(context, items));
  }
  void visit_parameters(auto&& visit) { visit("id", id), visit("norm", norm); }
};

struct two_tasks {
  mmoe<float, 2> experts{10, {.experts = 3, .expert_sizes = {8}}};
  std::vector<mlp<float>> heads{2, mlp<float>(8, {6, 1})};

  template <Context C>
  value_of<C> operator()(C& context, matrix_view<const float> numbers) const {
    const auto h = experts(context, numbers);
    return materialize(context, concat(context, heads[0](context, h[0]), heads[1](context, h[1])));
  }
  void visit_parameters(auto&& visit) { visit("experts", experts), visit("heads", heads); }
};

struct din {
  embedding<float> items{70, 6};
  din_attention<float> attention{6, {.hidden = {16, 8}, .function = activation::sigmoid}};
  mlp<float> network{6 + 6, {16, 1}};

  struct input {
    std::span<const std::uint32_t> items, events, offsets;
  };
  template <Context C>
  value_of<C> operator()(C& context, const input& rows) const {
    const auto candidates = items(context, rows.items);
    const auto interest = attention(context, candidates, items(context, rows.events), rows.offsets);
    return network(context, concat(context, interest, candidates));
  }
  void visit_parameters(auto&& visit) {
    visit("items", items), visit("attention", attention), visit("network", network);
  }
};

/// PyTorch has ids of 64 bits.
std::vector<std::uint32_t> ids(const safetensors_file& rows, const std::string& name) {
  const auto values = rows.values<std::int64_t>(name);
  return {values.begin(), values.end()};
}

/// Loads a model, compares its scores with those of PyTorch, and saves it with golden values.
/// `score(context, model, rows)` computes the scores of the inputs in a file.
template <class Model>
void convert(const std::string& from, const std::string& to, const std::string& name, Model model,
             const parameter_map& map, auto&& score) {
  load_parameters(safetensors_file(from + "/" + name + ".safetensors"), model, map);
  const safetensors_file rows(from + "/" + name + "_scores.safetensors");
  inference_context<float> context;
  const auto scores = score(context, model, rows);
  const auto expected = rows.view<float>("scores");
  float largest = 0;
  for (std::size_t i = 0; i < expected.rows(); ++i)
    for (std::size_t j = 0; j < expected.cols(); ++j)
      largest = std::max(largest, std::abs(scores(i, j) - expected(i, j)));
  std::printf("%s: the largest difference to the scores of PyTorch is %.1e\n", name.c_str(),
              static_cast<double>(largest));
  if (!(largest <= 1e-5f)) throw std::runtime_error(name + ": other scores than those of PyTorch");

  model_writer writer;
  writer.parameters("model", model).golden("scores", scores);
  for (const tensor& t : rows.tensors())
    if (t.name != "scores") writer.golden(t.name, t);
  const std::string path = to + "/" + name + ".model.safetensors";
  writer.write(path);

  const model_file file(path);
  Model loaded;
  file.load_parameters("model", loaded);
  file.check_golden("scores", score(context, loaded, rows));
}

void convert_all(const std::string& from, const std::string& to) {
  convert(from, to, "two_tower", two_tower<user_tower, item_tower>(),
          parameter_map()
              .same("user.id.table", "user_embedding.weight")
              .linear("user.first", "user_tower.0")
              .batch_norm("user.norm", "user_tower.1")
              .linear("user.last", "user_tower.3")
              .same("item.id.table", "item_embedding.weight")
              .same("item.category.table", "category_embedding.weight")
              .mlp("item.tower", "item_tower", {0, 2}),
          [](auto& context, const auto& model, const auto& rows) {
            const auto users = ids(rows, "user_ids"), items = ids(rows, "item_ids");
            const auto categories = ids(rows, "categories");
            return model(context,
                         user_tower::input{users, rows.template view<float>("user_numbers")},
                         item_tower::input{items, categories});
          });

  // The top network reads [item | user | cross] in PyTorch, [user | item | cross] here.
  parameter_map towers;
  towers.mlp("user", "user_tower", {0, 2})
      .same("item.id.table", "item_tower.0.weight")
      .layer_norm("item.norm", "item_tower.1")
      .mlp("cross", "cross_tower", {0})
      .same("top.layers.0.bias", "top.0.bias")
      .linear("top.layers.1", "top.2");
  const std::string top = "top.layers.0.weight";
  towers.add({.parameter = top, .tensor = "top.0.weight", .transposed = true, .cols = {8, 8}});
  towers.add({.parameter = top,
              .tensor = "top.0.weight",
              .transposed = true,
              .cols = {0, 8},
              .to_row = 8});
  towers.add(
      {.parameter = top, .tensor = "top.0.weight", .transposed = true, .cols = {16}, .to_row = 16});
  using towers_of_three = three_tower<mlp<float>, static_item_tower, mlp<float>, mlp<float>>;
  struct three : towers_of_three {
    three()
        : towers_of_three{mlp<float>(6, {12, 8}), {}, mlp<float>(3, {4}), mlp<float>(20, {16, 1})} {
    }
  };
  convert(from, to, "three_tower", three(), towers,
          [](auto& context, const auto& model, const auto& rows) {
            const std::vector<std::uint32_t> items = ids(rows, "item_ids");
            return model(context, rows.template view<float>("user_numbers"),
                         std::span<const std::uint32_t>(items),
                         rows.template view<float>("cross_numbers"));
          });

  // The experts are stacked: [3, 10, 8]. The gates of the tasks are columns of one layer here.
  parameter_map experts;
  for (std::size_t k = 0; k < 3; ++k) {
    const std::string layer = "experts.experts." + std::to_string(k) + ".layers.0";
    experts.add({.parameter = layer + ".weight", .tensor = "expert_weight", .rows = {10 * k, 10}});
    experts.add({.parameter = layer + ".bias", .tensor = "expert_bias", .rows = {k, 1}});
  }
  for (std::size_t t = 0; t < 2; ++t) {
    const std::string task = std::to_string(t);
    experts.add({.parameter = "experts.gates.weight",
                 .tensor = "gates." + task + ".weight",
                 .transposed = true,
                 .to_col = 3 * t});
    experts.mlp("heads." + task, "heads." + task, {0, 2});
  }
  convert(from, to, "mmoe", two_tasks(), experts,
          [](auto& context, const auto& model, const auto& rows) {
            return model(context, rows.template view<float>("numbers"));
          });

  convert(from, to, "din", din(),
          parameter_map()
              .same("items.table", "item_embedding.weight")
              .mlp("attention.unit", "attention", {0, 2, 4})
              .mlp("network", "dnn", {0, 2}),
          [](auto& context, const auto& model, const auto& rows) {
            // Padded rows become lists that follow one another.
            const auto history = rows.template view<std::int64_t>("history");
            const auto lengths = rows.template values<std::int64_t>("lengths");
            std::vector<std::uint32_t> events, offsets{0};
            for (std::size_t i = 0; i < history.rows(); ++i) {
              const auto list = history.row(i).first(static_cast<std::size_t>(lengths[i]));
              events.insert(events.end(), list.begin(), list.end());
              offsets.push_back(static_cast<std::uint32_t>(events.size()));
            }
            const auto items = ids(rows, "item_ids");
            return model(context, din::input{items, events, offsets});
          });
}

int main(int count, char** words) {
  const std::string from = count > 1 ? words[1] : "files";
  try {
    convert_all(from, count > 2 ? words[2] : ".");
  } catch (const std::exception& error) {
    std::fprintf(stderr, "model_files: %s\n", error.what());
    return 1;
  }
}
