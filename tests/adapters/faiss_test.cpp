// SPDX-License-Identifier: MIT
#include <funnel/adapters/faiss.hpp>
#include <funnel/adapters/hnswlib.hpp>  // beside hnswlib_test.cpp: two sources of a program
#include <funnel/index/flat_index.hpp>
#include <funnel/index/index_recall.hpp>
#include <funnel/index/vector_index.hpp>
#include <funnel/serving/model_slot.hpp>

#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/matrices.hpp"
#include "support/tolerance.hpp"

#include <faiss/IndexFlat.h>
#include <faiss/IndexHNSW.h>
#include <faiss/IndexIDMap.h>
#include <faiss/index_io.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <limits>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

using funnel::item_id;
using funnel::scored_item;

static_assert(funnel::VectorIndex<funnel::faiss_index>);

namespace {

template <class Index, class Admit = funnel::all_items>
std::vector<scored_item> search_for(const Index& index, std::span<const float> query, std::size_t k,
                                    const Admit& admit = {}) {
  std::vector<scored_item> found(k);
  found.resize(index.search(query, found, admit));
  return found;
}

bool same_items(const std::vector<scored_item>& a, const std::vector<scored_item>& b) {
  return std::ranges::equal(a, b, {}, &scored_item::item, &scored_item::item);
}

/// Whether the scores are the inner products, best first.
bool scores_right(const std::vector<scored_item>& found, std::span<const float> query,
                  const funnel::matrix<float>& vectors) {
  bool right = std::ranges::is_sorted(
      found, [](const auto& a, const auto& b) { return funnel::ranks_before(a, b); });
  for (const scored_item& f : found)
    right &= tolerance::is_sum(f.score, query.size(), [&](std::size_t k) {
      return static_cast<double>(query[k]) * static_cast<double>(vectors(f.item, k));
    });
  return right;
}

const char* const descriptions[] = {"Flat",      "HNSW16",   "IVF16,Flat",
                                    "PCA8,Flat", "IVF8,SQ8", "IVF4_HNSW8,Flat"};

}  // namespace

TEST_CASE("faiss_index: a worked example") {
  const float rows[] = {1, 0, 0, 1, 2, 2, -1, 0};
  const funnel::matrix_view<const float> vectors(rows, 4, 2);
  const float query[] = {1, 2};
  for (const std::string description : {"Flat", "HNSW4"}) {
    const funnel::faiss_index index(vectors, {.description = description});
    CHECK((index.size() == 4 && index.dim() == 2));
    const auto found = search_for(index, query, 10);
    REQUIRE(found.size() == 4);
    CHECK((found[0].item == 2 && found[0].score == 6));
    CHECK((found[1].item == 1 && found[1].score == 2));
    CHECK((found[2].item == 0 && found[2].score == 1));
    CHECK((found[3].item == 3 && found[3].score == -1));
    CHECK(search_for(index, query, 0).empty());
    CHECK(search_for(index, query, 1, [](item_id item) { return item == 3; })[0].item == 3);
  }
}

TEST_CASE("faiss_index: admits what an exact search admits, whatever the kind of index") {
  const auto vectors = random_matrix<float>(600, 16, 1), queries = random_matrix<float>(20, 16, 2);
  const funnel::flat_index<> exact(vectors);
  for (const std::string description : descriptions) {
    CAPTURE(description);
    const bool ivf = description.starts_with("IVF");
    const funnel::faiss_index index(
        vectors, {.description = description, .parameters = ivf ? "nprobe=16" : ""});
    for (std::size_t q = 0; q < 20; ++q)
      for (const unsigned every : {1u, 2u, 50u, 700u}) {
        const auto admit = [&](item_id item) { return item % every == every - 1; };
        for (const std::size_t k : size_list{1, 10, 600, 1000}) {
          const auto found = search_for(index, queries.row(q), k, admit);
          const auto best = search_for(exact, queries.row(q), k, admit);
          for (const scored_item& f : found) CHECK(admit(f.item));
          if (description == "HNSW16") {
            // No links lead to some of the items: an index of Faiss never finds these.
            CHECK(found.size() <= best.size());
            continue;
          }
          CHECK(found.size() == best.size());
          if (description.ends_with("Flat") && !description.starts_with("PCA")) {
            CHECK(same_items(found, best));
            CHECK(scores_right(found, queries.row(q), vectors));
          }
        }
      }
  }
}

TEST_CASE("faiss_index: a search of the graph finds most, with scores that are inner products") {
  const auto vectors = random_matrix<float>(2000, 12, 3), queries = random_matrix<float>(30, 12, 4);
  const funnel::flat_index<> exact(vectors);
  const funnel::faiss_index index(
      vectors, {.description = "HNSW16", .parameters = "efConstruction=80,efSearch=200"});
  CHECK(funnel::index_recall(index, exact, queries, 100) > .98);
  const auto even = [](item_id item) { return item % 2 == 0; };
  CHECK(funnel::index_recall(index, exact, queries, 20, even) > .98);
  for (std::size_t q = 0; q < 30; ++q)
    CHECK(scores_right(search_for(index, queries.row(q), 50), queries.row(q), vectors));
  // Without the parameter it finds fewer of them.
  const funnel::faiss_index narrow(vectors,
                                   {.description = "HNSW16", .parameters = "efConstruction=80"});
  CHECK(funnel::index_recall(narrow, exact, queries, 20) <
        funnel::index_recall(index, exact, queries, 20));
}

TEST_CASE("faiss_index: returns no more than the probed lists have") {
  const auto vectors = random_matrix<float>(1000, 8, 5);
  const funnel::faiss_index index(vectors, {.description = "IVF20,Flat", .parameters = "nprobe=1"});
  const auto all = search_for(index, vectors.row(0), 1000);
  CHECK((all.size() > 0 && all.size() < 1000));
  const auto even = [](item_id item) { return item % 2 == 0; };
  const auto some = search_for(index, vectors.row(0), 1000, even);
  CHECK(some.size() ==
        static_cast<std::size_t>(std::ranges::count_if(all, even, &scored_item::item)));
}

TEST_CASE("faiss_index: ids of the caller's") {
  const auto vectors = random_matrix<float>(300, 8, 6), queries = random_matrix<float>(5, 8, 7);
  std::vector<item_id> items(300);
  for (std::size_t i = 0; i < 300; ++i) items[i] = static_cast<item_id>(4294967295u - 7 * i);
  const funnel::flat_index<> exact(vectors);
  for (const std::string description : {"IDMap,Flat", "IVF4,Flat"}) {
    const funnel::faiss_index index(
        vectors, items,
        {.description = description, .parameters = description == "IVF4,Flat" ? "nprobe=4" : ""});
    for (std::size_t q = 0; q < 5; ++q) {
      const auto found = search_for(index, queries.row(q), 20);
      const auto best = search_for(exact, queries.row(q), 20);
      REQUIRE(found.size() == 20);
      for (std::size_t i = 0; i < 20; ++i) CHECK(found[i].item == items[best[i].item]);
    }
  }
  CHECK(refuses([&] { funnel::faiss_index index(vectors, items, {.description = "Flat"}); },
                "funnel::faiss_index", "Faiss accepts"));
  CHECK(refuses([&] { funnel::faiss_index index(vectors, std::span(items).first(3), {}); },
                "funnel::faiss_index", "items has 3 values, expected 300"));
  items[7] = items[200];
  CHECK(refuses([&] { funnel::faiss_index index(vectors, items, {.description = "IDMap,Flat"}); },
                "funnel::faiss_index", " twice, expected distinct ids"));
}

TEST_CASE("faiss_index: takes an index that Faiss made") {
  const auto vectors = random_matrix<float>(50, 4, 8);
  auto made = std::make_unique<faiss::IndexFlat>(4, faiss::METRIC_INNER_PRODUCT);
  made->add(50, vectors.row(0).data());
  const funnel::faiss_index index(std::move(made));
  CHECK(same_items(search_for(index, vectors.row(1), 5),
                   search_for(funnel::flat_index<>(vectors), vectors.row(1), 5)));
  CHECK(refuses([&] { funnel::faiss_index none(std::unique_ptr<faiss::Index>{}); },
                "funnel::faiss_index", "index is null"));
  // Distances would be scores of which the smallest is best.
  CHECK(refuses([&] { funnel::faiss_index l2(std::make_unique<faiss::IndexFlat>(4)); },
                "funnel::faiss_index", "expected METRIC_INNER_PRODUCT"));
  // An id that is no item id is not cut off to one.
  for (const std::int64_t id : {std::int64_t{1} << 32, std::int64_t{1} << 62}) {
    auto flat = std::make_unique<faiss::IndexFlat>(4, faiss::METRIC_INNER_PRODUCT);
    auto map = std::make_unique<faiss::IndexIDMap>(flat.get());
    map->own_fields = true;
    static_cast<void>(flat.release());
    map->add_with_ids(1, vectors.row(0).data(), &id);
    const funnel::faiss_index wide(std::move(map));
    CHECK(refuses([&] { search_for(wide, vectors.row(0), 1); }, "funnel::faiss_index::search",
                  "expected 0 to 2^32 - 1"));
  }
}

TEST_CASE("faiss_index: is written and read by Faiss") {
  const auto vectors = random_matrix<float>(400, 8, 9);
  const auto path = std::filesystem::temp_directory_path() / "funnel_faiss_test.index";
  const funnel::faiss_index index(vectors, {.description = "IVF8,Flat", .parameters = "nprobe=3"});
  faiss::write_index(&index.index(), path.c_str());
  const funnel::faiss_index read(std::unique_ptr<faiss::Index>(faiss::read_index(path.c_str())));
  std::filesystem::remove(path);
  CHECK(read.size() == 400);
  for (std::size_t i = 0; i < 400; i += 40)
    CHECK(same_items(search_for(read, vectors.row(i), 20), search_for(index, vectors.row(i), 20)));
}

TEST_CASE("faiss_index: is replaced while threads search") {
  const auto vectors = random_matrix<float>(800, 8, 10);
  const auto build = [&] {
    return funnel::faiss_index(vectors, {.description = "HNSW8", .parameters = "efSearch=30"});
  };
  funnel::model_slot<funnel::faiss_index> slot;
  slot.publish(build());
  std::atomic<std::size_t> wrong{0};
  std::vector<std::thread> readers;
  for (int t = 0; t < 2; ++t)
    readers.emplace_back([&] {
      for (int request = 0; request < 100; ++request) {
        const auto index = slot.get();
        for (item_id i = 0; i < 800; i += 80)
          if (search_for(*index, vectors.row(i), 3).size() != 3) ++wrong;
      }
    });
  for (int version = 2; version < 4; ++version) slot.publish(build());
  for (std::thread& reader : readers) reader.join();
  CHECK(wrong == 0);
}

TEST_CASE("faiss_index: rows with gaps between them, no rows, no index") {
  const auto wide = random_matrix<float>(40, 6, 11);
  const funnel::matrix_view<const float> part(wide.row(0).data(), 40, 4, 6);
  const funnel::faiss_index index(part, {.description = "Flat"});
  CHECK(same_items(search_for(index, part.row(3), 5),
                   search_for(funnel::flat_index<>(part), part.row(3), 5)));
  const funnel::matrix_view<const float> nothing(wide.row(0).data(), 0, 4);
  for (const std::string description : {"Flat", "HNSW4", "IVF16,Flat"}) {
    const funnel::faiss_index empty(nothing, {.description = description});
    CHECK((empty.size() == 0 && empty.dim() == 4));
    CHECK(search_for(empty, part.row(0), 3).empty());
  }
  funnel::faiss_index none;
  CHECK((none.size() == 0 && none.dim() == 0 && search_for(none, {}, 3).empty()));
  CHECK(refuses([&] { none.index(); }, "funnel::faiss_index::index", "index is null"));
  funnel::faiss_index source(part, {.description = "Flat"});
  none = std::move(source);
  CHECK((none.size() == 40 && source.size() == 0));
}

TEST_CASE("faiss_index: refuses what Faiss refuses, other shapes and values that are not finite") {
  const auto vectors = random_matrix<float>(50, 4, 12);
  const auto refused = [&](const funnel::faiss_options& options) {
    return refuses([&] { funnel::faiss_index index(vectors, options); }, "funnel::faiss_index",
                   "expected what Faiss accepts, which says: ");
  };
  CHECK(refused({.description = "no such index"}));
  CHECK(refused({.description = ""}));
  CHECK(refused({.description = "IVF1000,Flat"}));  // more lists than vectors
  CHECK(refused({.description = "HNSW16", .parameters = "efsearch=3"}));
  CHECK(refused({.description = "Flat", .parameters = "nprobe=3"}));
  const funnel::matrix_view<const float> without_columns(vectors.row(0).data(), 5, 0);
  CHECK(refuses([&] { funnel::faiss_index index(without_columns); }, "funnel::faiss_index",
                "number of columns is 0, expected 1 to "));
  const funnel::faiss_index index(vectors, {.description = "Flat"});
  std::vector<scored_item> found(3);
  const std::vector<float> longer(5);
  CHECK(refuses([&] { index.search(longer, found); }, "funnel::faiss_index::search",
                "query has 5 values, expected 4"));
  for (const float bad :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    const std::vector<float> query{0, 0, bad, 0};
    CHECK(refuses([&] { index.search(query, found); }, "funnel::faiss_index::search",
                  "query[2] is "));
    funnel::matrix<float> rows(3, 4);
    rows(2, 1) = bad;
    CHECK(refuses([&] { funnel::faiss_index other(rows, {.description = "Flat"}); },
                  "funnel::faiss_index", "vectors, row 2: value[1] is "));
  }
}
