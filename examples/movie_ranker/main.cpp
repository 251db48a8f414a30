// SPDX-License-Identifier: MIT
// Which movies will a user rate 4 stars or more, and how many stars? A ranker with two objectives on
// MovieLens: embeddings, genres, and DIN attention over the movies that the user rated before.
//
//     movie_ranker <folder> <file for the model> [din | mean | none] [delay in seconds | midnight]
//
// The folder has ratings.csv and movies.csv of MovieLens (grouplens.org). The model reads the history
// by attention, as a mean or not at all; features see a rating after the delay.
#include <funnel/funnel.hpp>

#include <cstdio>
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

/// Prints how good scores of like and of stars are, and returns AUC - RMSE.
double judge(const char* name, const std::vector<std::vector<float>>& scores, const encoded& part,
             const columns& log) {
  std::vector<user_id> users;
  double squares = 0;
  for (std::size_t i = 0; i < part.rows.rows(); ++i) {
    users.push_back(static_cast<user_id>(log["userId"].integers()[part.rows.log_rows()[i]]));
    squares += std::pow(scores[1][i] - part.rows.label(1)[i], 2);
  }
  const double area = auc(scores[0], part.rows.label(0));
  const double error = std::sqrt(squares / static_cast<double>(users.size()));
  std::printf("%-12s AUC %.4f  GAUC %.4f  RMSE %.4f\n", name, area,
              gauc(users, scores[0], part.rows.label(0)).value, error);
  return area - error;
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
            return judge("validation", score_log(m, validation.rows), validation, validation_log);
          }});
    judge("test", score_log(model, test.rows), test, test_log);
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
  const std::int64_t user = test_log.view()["userId"].integers().back();
  const auto z = serving(context, encode(user, movies.view()["movieId"].integers(), now, {}));
  std::array<std::size_t, 5> best{};
  top_k(std::span(z[0].data(), z[0].rows()), best);
  for (const std::size_t i : best)
    std::printf("%.2f %.1f ", sigmoid(z[0](i, 0)), z[1](i, 0)), std::puts(title.text(i).data());
}
