// SPDX-License-Identifier: MIT
// Which movies will a user rate 4 stars or more, and how many stars? A ranker with two objectives on
// MovieLens: embeddings, genres, and DIN attention over the movies that the user rated before.
//
//     movie_ranker <folder> <file for the model> [din | mean | none] [delay in seconds | midnight]
//
// The folder has ratings.csv and movies.csv of MovieLens (grouplens.org). The model reads the history
// by attention, as a mean or not at all; features see a rating after the delay. In the end it serves a
// page: popular movies that the user has not rated, ranked, then made diverse.
#include <funnel/funnel.hpp>

#include <cstdio>
#include <map>
#include <set>
#include <unordered_map>
using namespace funnel;

template <class T>
struct ranker {
  feature_inputs<T> inputs;
  std::vector<din_attention<T>> attention;  // over the liked and over the disliked movies
  mlp<T> shared, like, stars;

  ranker(const schema& features, const std::string& reads)
      : inputs(features, {.dim = 16, .mean_of_histories = reads == "mean"}) {
    const std::size_t dim = reads == "din" ? inputs.history_width("liked") : 0;
    if (dim > 0) attention.assign(2, din_attention<T>(dim, {.hidden = {32}, .normalize = true}));
    shared = mlp<T>(inputs.width() + 2 * dim, {64}, {.output = activation::relu});
    like = stars = mlp<T>(64, {32, 1}, {.dropout = 0.3});
  }
  auto operator()(auto& context, const row_batch& rows) const {
    const auto x = inputs(context, rows);
    const auto heads = [&](const auto& all) {
      const auto h = shared(context, all);
      const auto z = like(context, h);
      return std::array{z, stars(context, h)};
    };
    if (attention.empty()) return heads(concat(context, x.user, x.item));
    const auto attend = [&](std::size_t i, const char* history) {
      const auto h = inputs.history(context, rows, history);
      return attention[i](context, h.candidates, h.events, h.offsets);
    };
    const auto liked = attend(0, "liked");
    return heads(concat(context, x.user, x.item, liked, attend(1, "disliked")));
  }
  void visit_parameters(auto&& v) {
    v("inputs", inputs), v("attention", attention), v("shared", shared);
    v("like", like), v("stars", stars);
  }
};

schema_options features_of(const std::string& reads, const event_delay& delay) {
  const auto stars = [](const char* name, name_list keys) {
    return rate{name, std::move(keys), {"rating", "like"}, {}, 5, rate_as::value};
  };
  schema_options options{
      .user = "userId",
      .item = "movieId",
      .time = "timestamp",
      .of_user = {category{.column = "userId", .drop_rate = 0.5}, stars("user_stars", "userId")},
      .of_item = {category{.column = "movieId", .min_count = 10, .drop_rate = 0.1},
                  category{.column = "genre", .dim = 8}, category_list{"genres"}, number{"year"},
                  stars("movie_stars", "movieId")},
      .of_cross = {stars("user_genre_stars", {"userId", "genre"})},
      .labels = {"like", "rating"},
      .delay = delay};
  if (reads == "none") return options;
  const name_list fields{"movieId", "genre"};
  options.of_user.push_back(history{.name = "liked", .action = "like", .fields = fields});
  options.of_user.push_back(history{.name = "disliked", .action = "dislike", .fields = fields});
  return options;
}

/// Prints how good the scores of a model are, and returns AUC - RMSE.
double judge(const char* name, const ranker<float>& model, const encoded& part,
             const columns& log) {
  report numbers;
  evaluate_heads(numbers, name, {{"like", score_kind::logit}, {"stars", score_kind::amount}},
                 score_log(model, part.rows), part.rows,
                 row_users(part.rows.log_rows(), log["userId"]));
  const auto n = [&](const char* metric) { return numbers[std::string(name) + '.' + metric]; };
  std::printf("%-12s AUC %.4f  GAUC %.4f  RMSE %.4f\n", name, n("like.auc"), n("like.gauc"),
              n("stars.rmse"));
  return n("like.auc") - n("stars.rmse");
}

struct page_request {
  std::int64_t user, time;
};

/// Who rated what, and the movies with the most ratings first.
struct seen_movies {
  std::set<std::pair<std::int64_t, std::int64_t>> pairs;
  std::vector<std::pair<std::size_t, std::int64_t>> popular;

  explicit seen_movies(const columns& log) {
    std::map<std::int64_t, std::size_t> ratings;
    for (std::size_t i = 0; i < log.rows(); ++i) {
      pairs.emplace(log["userId"].integers()[i], log["movieId"].integers()[i]);
      ++ratings[log["movieId"].integers()[i]];
    }
    for (const auto& [movie, count] : ratings) popular.emplace_back(count, movie);
    std::ranges::sort(popular, std::greater());
  }
};

/// A row for each movie, with a 1 for each of its genres: two movies are alike by their genres.
matrix<float> genre_vectors(const column& genres) {
  std::map<std::string, std::size_t, std::less<>> columns;
  for (std::size_t i = 0; i < genres.end(genres.rows() - 1); ++i)
    columns.try_emplace(std::string(genres.text(i)), columns.size());
  matrix<float> vectors(genres.rows(), columns.size());
  for (std::size_t movie = 0; movie < genres.rows(); ++movie)
    for (std::size_t i = genres.begin(movie); i < genres.end(movie); ++i)
      vectors(movie, columns.find(genres.text(i))->second) = 1;
  return vectors;
}

int main(int count, char** arguments) {
  if (count < 3) return std::puts("movie_ranker <folder> <model file> [reads] [delay]"), 2;
  const std::string folder = arguments[1];
  const std::string reads = count > 3 ? arguments[3] : "din", wait = count > 4 ? arguments[4] : "0";
  const auto delay = wait == "midnight" ? to_midnight : event_delay{.ticks = std::stoll(wait)};

  column_table movies = read_csv(folder + "/movies.csv", {.lists = {{"genres", '|'}}});
  const column title = movies.view()["title"], genres = movies.view()["genres"];
  movies.add("genre", movies.rows(), [&](std::size_t i) {  // the first one, for counters
    return genres.begin(i) == genres.end(i) ? std::string_view() : genres.text(genres.begin(i));
  });
  movies.add("year", movies.rows(), [&](std::size_t i) -> std::optional<int> {
    const std::string text(title.text(i));  // as in "Toy Story (1995)"
    const int year = std::atoi(text.c_str() + (text.rfind('(') + 1));
    return year > 1800 ? std::optional(year) : std::nullopt;
  });
  column_table log = read_csv(folder + "/ratings.csv");
  const column rating = log.view()["rating"];
  log.add("like", log.rows(), [&](std::size_t i) { return rating.number(i) >= 4; });
  log.add("dislike", log.rows(), [&](std::size_t i) { return rating.number(i) < 4; });
  const row_split parts = split_by_time(log.view()["timestamp"].integers(), split_fractions{});
  const column_table validation_log = select_rows(log, parts.validation);
  const column_table test_log = select_rows(log, parts.test);

  schema features(features_of(reads, delay));
  const side_tables tables{.items = movies};
  const fitted past = fit_schema(features, select_rows(log, parts.training), tables);
  const encoded validation = encode_log(features, past.state, validation_log, tables);
  const encoded test = encode_log(features, validation.state, test_log, tables);

  const auto loss = [](auto& context, const auto& m, const row_batch& rows) {
    const auto z = m(context, rows);
    const auto like = bce_with_logits(context, z[0], rows.label(0));
    return total_loss(context, {like, mse_loss(context, z[1], rows.label(1))});
  };
  thread_pool pool(2);
  for (std::uint64_t seed = 1; seed <= 3; ++seed) {
    ranker<float> model(features, reads);
    initialize(model, seed);
    model.stars.layers.back().bias.value(0, 0) = 3.5f;  // stars start at their mean
    train(pool, model, past.rows, loss,
          {.epochs = 6, .batch_rows = 512, .seed = seed, .patience = 2},
          {.validate = [&](const auto& m) {
            return judge("validation", m, validation, validation_log);
          }});
    judge("test", model, test, test_log);
    save_model(arguments[2], model, features, test);
  }

  const saved_model file(arguments[2]);  // from here on it may be another program
  ranker<float> loaded(file.features(), reads);
  file.load(loaded);
  const auto serving = freeze(loaded);
  feature_state state = file.state();
  const std::int64_t now = state.time() + 86400;
  state.advance(file.features(), now);  // counts the last ratings, too
  request_encoder encode(file.features(), state);
  inference_context<float> context;
  const seen_movies seen(log.view());
  const matrix<float> looks = genre_vectors(genres);
  const column ids = movies.view()["movieId"];
  std::unordered_map<std::int64_t, std::size_t> row_of;
  for (std::size_t i = 0; i < movies.rows(); ++i) row_of[ids.integers()[i]] = i;

  cascade<page_request> pages({.budget_ms = 50});
  pages.add_source({.name = "popular", .keeps = 1000}, [&](const page_request&, source_call& to) {
    for (const auto& [ratings, movie] : seen.popular)
      if (!to.add(movie, static_cast<float>(ratings))) break;
  });
  pages.add_filter({.name = "not rated yet"}, [&](const page_request& r, std::int64_t movie) {
    return !seen.pairs.contains({r.user, movie});
  });
  pages.add_scorer({.name = "rank", .keeps = 50, .outputs = {"like", "stars"}, .budget_ms = 30},
                   [&](const page_request& r, scorer_call& call) {
                     score_rows(context, serving, encode(r.user, call.ids(), r.time),
                                call.scores());
                   });
  pages.add_selector({.name = "mmr", .keeps = 5}, [&](const page_request&, selector_call& call) {
    matrix<float> vectors(call.size(), looks.cols());
    for (std::size_t i = 0; i < call.size(); ++i)
      std::ranges::copy(looks.row(row_of.at(call.ids()[i])), vectors.row(i).begin());
    mmr(call.relevance(), vectors.view(), call.picked(), {.relevance_weight = .8}, call.scratch());
  });
  const page_request last{test_log.view()["userId"].integers().back(), now};
  for (const std::int64_t movie : pages(last)) {
    const auto scores = pages.candidates().scores(0).row(pages.candidates().find(movie));
    std::printf("%.2f %.1f %s\n", sigmoid(scores[0]), scores[1],
                std::string(title.text(row_of.at(movie))).c_str());
  }
}
