// SPDX-License-Identifier: MIT
// From a CSV of ratings to a served table of similar items: ItemCF. For a log of your own put the names of
// its columns into `build`; without a rating, each row counts 1.
#include <funnel/core/thread_pool.hpp>
#include <funnel/data/csv_columns.hpp>
#include <funnel/features/vocabulary.hpp>
#include <funnel/io/model_file.hpp>
#include <funnel/io/model_writer.hpp>
#include <funnel/retrieval/item_cf.hpp>
#include <funnel/retrieval/neighbor_expander.hpp>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <stdexcept>

namespace {

/// What is served: the ids of the log by row, and the most similar rows of each.
struct similar_items {
  funnel::vocabulary ids;
  funnel::neighbor_table neighbors;
};

void build(const char* log, const char* file) {
  const funnel::column_table table = funnel::read_csv(log);
  const funnel::column &users = table.view()["userId"], &items = table.view()["movieId"],
                       &times = table.view()["timestamp"], *ratings = table.view().find("rating");
  if (items.kind() != funnel::value_kind::integer)
    throw std::invalid_argument("item_to_item: movieId has other values, expected whole numbers");
  similar_items made;
  funnel::vocabulary rows_of_users;
  std::vector<funnel::sparse_entry> entries;
  for (std::size_t i = 0; i < table.rows(); ++i)
    entries.push_back({.row = rows_of_users.add(users.key(i)),
                       .column = made.ids.add(static_cast<std::uint64_t>(items.integers()[i])),
                       .value = ratings == nullptr ? 1 : static_cast<float>(ratings->number(i)),
                       .time = static_cast<std::int64_t>(times.number(i))});
  funnel::thread_pool pool(2);
  const funnel::sparse_matrix rated(entries);
  made.neighbors = funnel::item_cf(pool, rated, {.neighbors = 50, .shrinkage = 10});
  funnel::model_writer().state("ids", made.ids).state("neighbors", made.neighbors).write(file);
}

/// Prints what resembles the items that a user liked.
void serve(const char* file, std::span<const std::uint64_t> liked) {
  similar_items loaded;
  const funnel::model_file parts(file);
  parts.load_state("ids", loaded.ids);
  parts.load_state("neighbors", loaded.neighbors);
  funnel::neighbor_expander expand(loaded.neighbors);  // each thread has its own
  std::vector<funnel::item_id> seeds;
  for (const std::uint64_t id : liked) seeds.push_back(loaded.ids.find(id));  // row 0: unknown
  std::vector<funnel::scored_item> found(10);
  found.resize(expand.search(seeds, {}, found, [&](funnel::item_id row) {
    return std::find(seeds.begin(), seeds.end(), row) == seeds.end();
  }));
  for (const funnel::scored_item& similar : found)
    std::printf("%8llu %.3f\n", static_cast<unsigned long long>(loaded.ids.id(similar.item)),
                similar.score);
}

}  // namespace

int main(int count, char** arguments) try {
  if (count < 4) return std::puts("item_to_item <ratings.csv> <file for the table> <item>..."), 2;
  build(arguments[1], arguments[2]);
  std::vector<std::uint64_t> liked;
  for (int i = 3; i < count; ++i) liked.push_back(std::strtoull(arguments[i], nullptr, 10));
  serve(arguments[2], liked);  // this may be another program
  return 0;
} catch (const std::exception& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
