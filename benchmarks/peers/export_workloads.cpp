// SPDX-License-Identifier: MIT
#include "extended_ranker.hpp"
#include "workloads.hpp"
#include "write_npy.hpp"

#include <funnel/diversity/dpp.hpp>
#include <funnel/diversity/mmr.hpp>
#include <funnel/index/flat_index.hpp>
#include <funnel/nn/concat.hpp>
#include <funnel/nn/inference_context.hpp>
#include <funnel/sequence/history_search.hpp>
#include <funnel/sequence/target_attention.hpp>

#include <cstdio>
#include <fstream>

// export_workloads FOLDER: writes the data of the workloads, and what funnel makes of it, as .npy
// files for peers in Python, and the names of cases that come in many sizes, a line each.

namespace {

std::string folder;

template <class T>
void write(const std::string& name, funnel::matrix_view<const T> m) {
  write_npy(folder + "/" + name + ".npy", m);
}
template <class T>
void write(const std::string& name, const funnel::matrix<T>& m) {
  write(name, m.view());
}

std::string with_dots(std::string name) {
  std::ranges::replace(name, '/', '.');
  std::ranges::replace(name, ':', '-');
  return name;
}

void write_picks(const std::string& name, const std::vector<std::size_t>& picks) {
  const std::vector<std::uint32_t> narrow(picks.begin(), picks.end());
  write(name, funnel::matrix_view<const std::uint32_t>(narrow.data(), 1, narrow.size()));
}

template <class Model>
void write_parameters(const std::string& name, const Model& model) {
  funnel::for_each_parameter(model, [&](std::string_view path, const auto& p) {
    write(name + "." + std::string(path), p.value);
  });
}

/// Logits [n, 1] of each task as [n, tasks].
void write_logits(const std::string& name, const auto& y) {
  bench::matrix<float> all(y[0].rows(), y.size());
  for (std::size_t i = 0; i < all.rows(); ++i)
    for (std::size_t t = 0; t < all.cols(); ++t) all(i, t) = y[t](i, 0);
  write(name, all);
}

void write_mmoe() {
  const bench::mmoe_model model;
  const bench::mmoe_batch batch(2048);
  write_parameters("mmoe", model);
  write("mmoe.x", batch.x);
  funnel::inference_context<float> context;
  const funnel::matrix_view<const float> x = std::as_const(batch.x).view();
  write_logits("mmoe.y", model(context, x));
  write_logits("mmoe.y_request",
               model(context, concat(context, x.middle_cols(0, 160).middle_rows(0, 1),
                                     x.middle_cols(160, 96))));
}

void write_ranker() {
  const bench::extended_ranker model;
  write_parameters("ranker", model);
  funnel::inference_context<float> context;
  for (const std::size_t n : bench::extended_ranker::candidates) {
    const bench::extended_data data(1, n);
    const std::string name = "ranker." + std::to_string(n);
    write(name + ".user", data.user);
    write(name + ".items", data.items);
    write(name + ".events", data.events);
    write_logits(name + ".y", model(context, data.user.view(), data.items.view(), data.vectors(),
                                    data.events.view(), data.offsets));
  }
}

void write_towers() {
  const bench::tower_model model;
  const bench::tower_data data;
  write_parameters("tower", model);
  write("tower.user_inputs", data.user);
  write("tower.cross_inputs", data.crosses);
  funnel::inference_context<float> context;
  const auto vectors = model.item(context, data.items.view());
  write("tower.item_vectors", vectors);
  write("tower.y",
        model.with_item_vectors(context, data.user.view(), vectors, data.crosses.view()));
}

void write_attention() {
  const bench::attention_data data;
  write("attention.candidates", data.candidates);
  write("attention.events", data.events);
  funnel::inference_context<float> context;
  write("attention.y", funnel::target_attention(context, data.candidates.view(), data.events.view(),
                                                data.offsets));
}

void write_search() {
  using bench::search_data;
  const search_data data;
  write("search.vectors", data.vectors);
  write("search.queries", data.query);
  const funnel::flat_index<> index(data.vectors);
  bench::matrix<std::uint32_t> found(search_data::queries, search_data::k);
  std::vector<funnel::scored_item> best(search_data::k);
  for (std::size_t q = 0; q < found.rows(); ++q) {
    index.search(data.query.row(q), best);
    for (std::size_t i = 0; i < found.cols(); ++i) found(q, i) = best[i].item;
  }
  write("search.found", found);
}

void write_slates() {
  for (const bench::slate_case& c : bench::slate_cases()) {
    const bench::slate_data data(c.n, c.input);
    const std::string name = "slate." + with_dots(c.name());
    write(name + ".vectors", data.vectors);
    write(name + ".relevance", data.relevance);
    std::vector<std::size_t> picks(c.k);
    if (c.by_volume) {
      funnel::dpp(data.relevance.flat(), data.vectors, picks,
                  {.relevance_weight = bench::dpp_relevance_weight, .window = c.window});
    } else {
      funnel::mmr(data.relevance.flat(), data.vectors, picks,
                  {.relevance_weight = bench::mmr_relevance_weight, .window = c.window});
    }
    write_picks(name + ".picks", picks);
  }
}

void write_histories() {
  const bench::history_data data;
  write("history.categories", data.categories);
  write("history.clusters", data.clusters);
  using bench::history_data;
  std::vector<std::uint32_t> found(1 << 16);
  const auto write_found = [&](const std::string& name, std::size_t count) {
    write(name, funnel::matrix_view<const std::uint32_t>(found.data(), 1, count));
  };
  const funnel::field_equals category{data.categories.row(0), history_data::category};
  write_found("history.category", funnel::hard_search(category, found));
  write_found(
      "history.union",
      funnel::filter_union({category, {data.clusters.row(0), history_data::cluster}}, found));
  write("history.uniform", bench::history_data::uniform_categories(5000));
}

void write_names() {
  std::ofstream out(folder + "/cases.txt");
  for (const std::size_t n : bench::mmoe_rows)
    out << "mmoe/n:" << n << "\nmmoe_request/n:" << n << '\n';
  for (const std::size_t n : bench::extended_ranker::candidates)
    out << "ranker_request/n:" << n << '\n';
  for (const bench::slate_case& c : bench::slate_cases()) out << c.name() << '\n';
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc != 2) {
    std::fprintf(stderr, "use: export_workloads FOLDER\n");
    return 2;
  }
  folder = argv[1];
  write_names();
  write_mmoe();
  write_ranker();
  write_towers();
  write_attention();
  write_search();
  write_slates();
  write_histories();
} catch (const std::exception& error) {
  std::fprintf(stderr, "export_workloads: %s\n", error.what());
  return 1;
}
