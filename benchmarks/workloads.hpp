// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/matrix.hpp>
#include <funnel/core/random.hpp>
#include <funnel/loss/bce.hpp>
#include <funnel/loss/total_loss.hpp>
#include <funnel/nn/context.hpp>
#include <funnel/nn/embedding.hpp>
#include <funnel/nn/initialization.hpp>
#include <funnel/nn/mlp.hpp>
#include <funnel/preranking/multi_vector_tower.hpp>
#include <funnel/preranking/three_tower.hpp>
#include <funnel/ranking/mmoe.hpp>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <span>
#include <string>
#include <vector>

// The shapes and the data of every workload, the same for funnel and for its peers.
namespace bench {

using funnel::matrix;

/// Numbers a loop goes through: `for (const std::size_t n : size_list{1, 16})`.
using size_list = std::initializer_list<std::size_t>;

/// Values uniform in [low, high), the same for the same seed.
inline matrix<float> uniform(std::size_t rows, std::size_t cols, std::uint64_t seed,
                             double low = -1, double high = 1) {
  funnel::random_generator bits(seed);
  matrix<float> values(rows, cols);
  for (float& v : values.flat())
    v = static_cast<float>(low + (high - low) * funnel::uniform01(bits));
  return values;
}

/// Ids uniform in [0, below).
inline std::vector<std::uint32_t> uniform_ids(std::size_t count, std::size_t below,
                                              std::uint64_t seed) {
  funnel::random_generator bits(seed);
  std::vector<std::uint32_t> ids(count);
  for (std::uint32_t& id : ids) id = static_cast<std::uint32_t>(funnel::uniform_below(bits, below));
  return ids;
}

/// What `layers` multiply for one row: multiply-adds.
inline double multiply_adds(size_list sizes) {
  double sum = 0;
  for (const std::size_t* in = sizes.begin(); in + 1 < sizes.end(); ++in)
    sum += static_cast<double>(in[0] * in[1]);
  return sum;
}

// dense/INxOUT/n:N: y = relu(x W + b).

struct dense_shape {
  std::size_t in, out, n;

  std::string name() const {
    return "dense/" + std::to_string(in) + "x" + std::to_string(out) + "/n:" + std::to_string(n);
  }
};

inline std::vector<dense_shape> dense_shapes() {
  std::vector<dense_shape> shapes;
  for (const std::size_t in : size_list{64, 256, 512, 1024})
    for (const std::size_t out : size_list{32, 64, 128, 512})
      for (const std::size_t n : size_list{1, 16, 128, 512, 2048}) shapes.push_back({in, out, n});
  return shapes;
}

struct dense_data {
  matrix<float> x, weight, bias;

  explicit dense_data(const dense_shape& s)
      : x(uniform(s.n, s.in, 1)), weight(uniform(s.in, s.out, 2, -.1, .1)),
        bias(uniform(1, s.out, 3)) {}

  funnel::dense<float> layer() const {
    funnel::dense<float> made(weight.rows(), weight.cols(), {.function = funnel::activation::relu});
    made.weight.value = weight;
    made.bias.value = bias;
    return made;
  }
};

// mmoe/n:N: 256 inputs, 4 experts (128, 64), 4 gates, and a tower (32, 1) for each of 4 tasks.
// mmoe_request/n:N: the same where the first 160 inputs are one user's and 96 an item's.

struct mmoe_model {
  static constexpr std::size_t in = 256, user_in = 160, experts = 4, tasks = 4;

  funnel::mmoe<float, tasks> mixture{
      in, {.experts = experts, .expert_sizes = {128, 64}, .gate_dropout = 0}};
  std::vector<funnel::mlp<float>> towers{tasks, funnel::mlp<float>(64, {32, 1})};

  mmoe_model() {
    funnel::random_generator bits(11);
    initialize(*this, bits);
  }

  template <funnel::Context C>
  std::array<funnel::value_of<C>, tasks> operator()(C& context, const auto& x) const {
    auto y = mixture(context, x);
    for (std::size_t t = 0; t < tasks; ++t) y[t] = towers[t](context, y[t]);
    return y;
  }

  void visit_parameters(auto&& visit) {
    visit("mixture", mixture);
    visit("towers", towers);
  }
};

inline constexpr size_list mmoe_rows{1, 16, 20, 50, 100, 128, 512, 2048};

/// Float operations of mmoe for n rows with `rows_of_user` of the user's part.
inline double mmoe_flops(double n, double rows_of_user) {
  const double first = 4.0 * 128 + 4 * 4;  // outputs of what reads the input
  const double rest = 4 * (multiply_adds({128, 64}) + 4 * 64 + multiply_adds({64, 32, 1}));
  return 2 * (rows_of_user * 160 * first + n * 96 * first + n * rest);
}

/// Bytes of its weights, which even one row has to read.
inline constexpr double mmoe_weight_bytes =
    4 * (256 * (4 * 128 + 4 * 4) + 4 * (128 * 64 + 64 * 32 + 32));

/// Float operations of a training step of n rows: forward, gradients of weights, gradients of inputs but
/// those that are data: the items', and unless they are learned the user's.
inline double mmoe_training_flops(double n, double rows_of_user, bool user_learned = false) {
  const double first = 4.0 * 128 + 4 * 4;
  const double fixed = 2 * first * (n * 96 + (user_learned ? 0 : rows_of_user * 160));
  return 3 * mmoe_flops(n, rows_of_user) - fixed;
}
inline double mmoe_training_flops(double n) {
  return mmoe_training_flops(n, n);
}

struct mmoe_batch {
  matrix<float> x;                      ///< [n, 256]
  std::array<matrix<float>, 4> labels;  ///< [n, 1] each, 0 or 1

  explicit mmoe_batch(std::size_t n) : x(uniform(n, mmoe_model::in, 21)) {
    for (std::size_t t = 0; t < labels.size(); ++t) {
      labels[t] = uniform(n, 1, 22 + t, 0, 1);
      for (float& y : labels[t].flat()) y = y < .2f ? 1.0f : 0.0f;
    }
  }
};

/// The loss of a part of a batch: the sum over the tasks, whose labels stand from row `begin` on.
template <funnel::Context C, std::size_t tasks>
funnel::value_of<C> loss_of_part(C& context, const std::array<funnel::value_of<C>, tasks>& logits,
                                 const std::array<matrix<float>, tasks>& labels,
                                 std::size_t begin) {
  std::array<funnel::value_of<C>, tasks> losses;
  for (std::size_t t = 0; t < tasks; ++t) {
    const std::span<const float> all = labels[t].flat();
    losses[t] = bce_with_logits(context, logits[t], all.subspan(begin, logits[t].rows()));
  }
  return funnel::total_loss(context, std::span<const funnel::value_of<C>>(losses));
}

// train_requests/INPUTS/ROWS: the same model on 100 requests of 10 candidates. The user's 160 inputs are
// numbers (`raw`), or 7 embeddings of 16 and the mean of 50 vectors of 48 (`embedded`); they have one
// row per request (`grouped`) or per candidate (`repeated`).

struct request_data {
  static constexpr std::size_t requests = 100, size = 10, rows = requests * size;
  static constexpr std::size_t fields = 7, field_dim = 16, bag = 50, bag_dim = 48, ids = 100000;

  std::size_t copies;  ///< rows that a request has in what belongs to the user: 1 or `size`
  matrix<float> user, items;
  matrix<std::uint32_t> field_ids;
  std::vector<std::uint32_t> bag_ids, bag_offsets{0};
  std::array<matrix<float>, 4> labels = mmoe_batch(rows).labels;

  /// Rows of what belongs to the users.
  static constexpr std::size_t user_rows(bool grouped) { return grouped ? requests : rows; }

  explicit request_data(bool grouped)
      : copies(grouped ? 1 : size), user(requests * copies, mmoe_model::user_in),
        items(uniform(rows, mmoe_model::in - mmoe_model::user_in, 101)),
        field_ids(requests * copies, fields) {
    const matrix<float> users = uniform(requests, mmoe_model::user_in, 102);
    const std::vector<std::uint32_t> of_fields = uniform_ids(requests * fields, ids, 103);
    const std::vector<std::uint32_t> of_bags = uniform_ids(requests * bag, ids, 104);
    for (std::size_t i = 0; i < requests * copies; ++i) {
      const std::size_t r = i / copies;
      std::ranges::copy(users.row(r), user.row(i).begin());
      std::copy_n(of_fields.data() + r * fields, fields, field_ids.row(i).data());
      for (std::size_t k = 0; k < bag; ++k) bag_ids.push_back(of_bags[r * bag + k]);
      bag_offsets.push_back(static_cast<std::uint32_t>(bag_ids.size()));
    }
  }
};

/// The model whose user's inputs are embeddings.
struct embedded_model {
  funnel::embedding<float> fields{request_data::ids, request_data::field_dim};
  funnel::embedding_bag<float> bag{request_data::ids, request_data::bag_dim};
  mmoe_model ranker;

  embedded_model() {
    funnel::random_generator bits(12);
    initialize(*this, bits);
  }

  template <funnel::Context C>
  auto operator()(C& context, funnel::matrix_view<const std::uint32_t> field_ids,
                  const funnel::id_lists& lists, const funnel::value_of<C>& items) const {
    const auto of_fields = fields(context, field_ids);
    return ranker(context, concat(context, of_fields, bag(context, lists), items));
  }
  void visit_parameters(auto&& visit) {
    visit("fields", fields);
    visit("bag", bag);
    visit("ranker", ranker);
  }
};

// target_attention/500x200x64: 500 candidates over the 200 events of one user.

struct attention_data {
  matrix<float> candidates = uniform(500, 64, 31);
  matrix<float> events = uniform(200, 64, 32);
  std::array<std::uint32_t, 2> offsets{0, 200};
};

// three_tower/5000: user (256 -> 256, 128, 64) once, item vectors of 64 from a warm cache,
// cross (32 -> 16), top (144 -> 128, 64, 4).

struct tower_model : funnel::three_tower<funnel::mlp<float>, funnel::mlp<float>, funnel::mlp<float>,
                                         funnel::mlp<float>> {
  static constexpr std::size_t candidates = 5000, item_dim = 64;

  tower_model()
      : three_tower{{256, {256, 128, 64}}, {128, {128, 64}}, {32, {16}}, {144, {128, 64, 4}}} {
    funnel::random_generator bits(41);
    initialize(*this, bits);
  }
  static double flops() {
    const double user = multiply_adds({256, 256, 128, 64}) + 64.0 * 128;
    const double candidate = multiply_adds({32, 16}) + 80.0 * 128 + multiply_adds({128, 64, 4});
    return 2 * (user + candidates * candidate);
  }
};

// multi_vector_tower/N: the same user (256 -> 256, 128, 4 * 64) once, and 4 heads on cosines with N
// vectors of 64 picked from a table of 1,000,000. Each batch picks others.

struct multi_vector_model : funnel::multi_vector_tower<funnel::mlp<float>, funnel::mlp<float>> {
  static constexpr std::size_t items = 1000000, dim = 64, tasks = 4, batches = 64;

  multi_vector_model()
      : multi_vector_tower{
            {256, {256, 128, tasks * dim}}, {128, {128, dim}}, funnel::cosine_heads<float>(tasks)} {
    funnel::random_generator bits(45);
    initialize(*this, bits);
  }
  static double flops(std::size_t n) {
    return 2 * (multiply_adds({256, 256, 128, tasks * dim}) + static_cast<double>(n * tasks * dim));
  }
};

struct tower_data {
  matrix<float> user = uniform(1, 256, 42);
  matrix<float> items = uniform(tower_model::candidates, 128, 43);  ///< static features
  matrix<float> crosses = uniform(tower_model::candidates, 32, 44);
};

// top_k/1000000x64/k:500/queries:Q: exact search by inner product.

struct search_data {
  static constexpr std::size_t items = 1000000, dim = 64, k = 500, queries = 32;

  matrix<float> vectors = uniform(items, dim, 51);
  matrix<float> query = uniform(queries, dim, 52);
};

// score_items/ITEMSxDIM/n:N/queries:T: inner products of T queries with N items at random. Each batch
// picks others, so that rows come from memory or, of 200,000 items, in part from the last cache.

struct score_case {
  std::size_t items, dim, n, queries;

  std::string name() const {
    return std::to_string(items) + "x" + std::to_string(dim) + "/n:" + std::to_string(n) +
           "/queries:" + std::to_string(queries);
  }
};

inline std::vector<score_case> score_cases() {
  std::vector<score_case> cases;
  for (const std::size_t items : size_list{200000, 5000000})
    for (const std::size_t dim : size_list{32, 64, 128})
      for (const std::size_t n : size_list{2000, 5000})
        for (const std::size_t queries : size_list{1, 4}) cases.push_back({items, dim, n, queries});
  return cases;
}

struct score_data {
  static constexpr std::size_t batches = 64;

  score_case shape;
  matrix<float> rows, query, scores;
  std::vector<std::uint32_t> ids;

  explicit score_data(const score_case& s)
      : shape(s), rows(uniform(s.items, s.dim, 53)), query(uniform(s.queries, s.dim, 54)),
        scores(s.n, s.queries), ids(uniform_ids(batches * s.n, s.items, 55)) {}

  std::span<const std::uint32_t> batch(std::size_t i) const {
    return std::span(ids).subspan(i % batches * shape.n, shape.n);
  }
};

// mmr/Nx64/k:K[/window:W][/INPUT], dpp the same: n vectors about 50 topics.

/// What the relevance of the items, or their vectors, are like.
enum class slate_input {
  spread,   ///< relevance uniform in [0, 1), independent of the vectors
  bunched,  ///< the n best of 10 n clicks sigmoid(z - 2), z normal
  tied,     ///< all equally relevant
  copies,   ///< 100 distinct vectors; relevance is spread
  topics,   ///< relevance is mostly the topic's
};

struct slate_case {
  bool by_volume;  ///< DPP, else MMR
  std::size_t n, k, window;
  slate_input input;

  std::string name() const {
    constexpr const char* inputs[] = {"", "/bunched", "/tied", "/copies", "/topics"};
    std::string made =
        (by_volume ? "dpp/" : "mmr/") + std::to_string(n) + "x64/k:" + std::to_string(k);
    if (window > 0) made += "/window:" + std::to_string(window);
    return made + inputs[static_cast<std::size_t>(input)];
  }
};

inline std::vector<slate_case> slate_cases() {
  using enum slate_input;
  constexpr slate_input others[] = {bunched, tied, copies, topics};
  std::vector<slate_case> cases;
  for (const std::size_t n : size_list{1250, 2500, 5000, 10000})
    cases.push_back({false, n, 500, 0, spread});
  for (const std::size_t n : size_list{1250, 2500, 5000, 10000})
    cases.push_back({true, n, 500, 10, spread});
  for (const std::size_t n : size_list{1250, 2500, 5000, 10000})
    cases.push_back({true, n, 60, 0, spread});
  for (const bool by_volume : {false, true}) {
    for (const std::size_t n : size_list{1250, 10000}) {
      if (!by_volume) cases.push_back({by_volume, n, 60, 0, spread});
      for (const slate_input input : others) cases.push_back({by_volume, n, 60, 0, input});
    }
    cases.push_back({by_volume, 10000, 60, 10, spread});
    for (const slate_input input : others) cases.push_back({by_volume, 10000, 60, 10, input});
  }
  return cases;
}

struct slate_data {
  matrix<float> vectors, relevance;

  explicit slate_data(std::size_t n, slate_input input = slate_input::spread)
      : vectors(n, 64), relevance(uniform(1, n, 61, 0, 1)) {
    const matrix<float> topics = uniform(50, 64, 62);
    const matrix<float> noise = uniform(n, 64, 63);
    const std::vector<std::uint32_t> topic = uniform_ids(n, topics.rows(), 64);
    const std::vector<std::uint32_t> original = uniform_ids(n, 100, 65);
    for (std::size_t i = 0; i < n; ++i) {
      const std::size_t from = input == slate_input::copies ? original[i] : i;
      for (std::size_t j = 0; j < 64; ++j) vectors(i, j) = topics(topic[from], j) + noise(from, j);
    }
    if (input == slate_input::bunched) relevance = best_clicks(n);
    if (input == slate_input::tied) std::ranges::fill(relevance.flat(), .5f);
    if (input == slate_input::topics) {
      const matrix<float> of_topic = uniform(1, topics.rows(), 66, 0, .9);
      for (std::size_t i = 0; i < n; ++i)
        relevance(0, i) = of_topic(0, topic[i]) + .1f * relevance(0, i);
    }
  }

 private:
  /// In no order of size.
  static matrix<float> best_clicks(std::size_t n) {
    matrix<float> sums(1, 10 * n);
    for (std::uint64_t seed = 0; seed < 12; ++seed) {  // 12 uniforms: a normal of variance 1
      const matrix<float> u = uniform(1, 10 * n, 600 + seed, -.5, .5);
      for (std::size_t i = 0; i < 10 * n; ++i) sums(0, i) += u(0, i);
    }
    std::vector<float> sorted(sums.flat().begin(), sums.flat().end());
    std::ranges::nth_element(sorted, sorted.begin() + static_cast<std::ptrdiff_t>(n) - 1,
                             std::greater());
    matrix<float> clicks(1, n);
    std::size_t filled = 0;
    for (const float z : sums.flat())
      if (z >= sorted[n - 1] && filled < n) clicks(0, filled++) = 1 / (1 + std::exp(2 - z));
    return clicks;
  }
};
inline constexpr double mmr_relevance_weight = .7, dpp_relevance_weight = .5;

// filter/1000000/..., category_index/1000000/...: histories of a million events, one after another, so that each is read from
// memory. Category and cluster c hold a share of 2^-c of them.

struct history_data {
  static constexpr std::size_t events = 1000000, many = 24;
  static constexpr std::uint32_t category = 7, cluster = 8;  // 0.8 % and 0.4 %

  matrix<std::uint32_t> categories, clusters;

  explicit history_data(std::size_t histories = many)
      : categories(halving_ids(histories, 71)), clusters(halving_ids(histories, 72)) {}

  /// Histories where each of so many categories is as frequent.
  static matrix<std::uint32_t> uniform_categories(std::uint32_t categories) {
    matrix<std::uint32_t> ids(many, events);
    std::ranges::transform(uniform_ids(many * events, categories, 73), ids.flat().begin(),
                           [](std::uint32_t id) { return id + 1; });
    return ids;
  }

  static matrix<std::uint32_t> halving_ids(std::size_t rows, std::uint64_t seed) {
    funnel::random_generator bits(seed);
    matrix<std::uint32_t> ids(rows, events);
    for (std::uint32_t& id : ids.flat())
      id = 1 + static_cast<std::uint32_t>(std::countl_zero(bits() | 1));
    return ids;
  }
};

// embedding_bag/1000000x64/bags:512/len:50: the mean of 50 rows, 512 times. Batches follow one
// another, so that rows come from memory.

struct bag_data {
  static constexpr std::size_t rows = 1000000, dim = 64, bags = 512, length = 50, batches = 64;

  matrix<float> table = uniform(rows, dim, 81);
  std::vector<std::uint32_t> ids = uniform_ids(batches * bags * length, rows, 82);
  std::vector<std::uint32_t> offsets = [] {
    std::vector<std::uint32_t> made(bags + 1);
    for (std::size_t i = 0; i <= bags; ++i) made[i] = static_cast<std::uint32_t>(i * length);
    return made;
  }();

  std::span<const std::uint32_t> batch(std::size_t i) const {
    return std::span(ids).subspan(i % batches * bags * length, bags * length);
  }
};

// train_step_embeddings/batch:1024: 20 ids a row into a table [1000000, 16], side by side into one
// logit, cross-entropy, row-wise Adagrad. Batches follow one another.

struct sparse_data {
  static constexpr std::size_t rows = 1000000, dim = 16, fields = 20, batch = 1024, batches = 32;

  matrix<float> table = uniform(rows, dim, 91, -.05, .05);
  matrix<float> weight = uniform(fields * dim, 1, 92, -.1, .1);
  std::vector<std::uint32_t> ids = uniform_ids(batches * batch * fields, rows, 93);
  matrix<float> labels = [] {
    matrix<float> made = uniform(batches, batch, 94, 0, 1);
    for (float& y : made.flat()) y = y < .2f ? 1.0f : 0.0f;
    return made;
  }();

  funnel::matrix_view<const std::uint32_t> batch_ids(std::size_t i) const {
    return {ids.data() + i % batches * batch * fields, batch, fields};
  }
};

struct sparse_model {
  funnel::embedding<float> ids{sparse_data::rows, sparse_data::dim};
  funnel::dense<float> logit{sparse_data::fields * sparse_data::dim, 1};

  explicit sparse_model(const sparse_data& data) {
    ids.table.value = data.table;
    logit.weight.value = data.weight;
  }

  template <funnel::Context C>
  auto operator()(C& context, funnel::matrix_view<const std::uint32_t> batch) const {
    return logit(context, ids(context, batch));
  }
  void visit_parameters(auto&& visit) {
    visit("ids", ids);
    visit("logit", logit);
  }
};

// elementwise/<function>/n:4096: values in (0, 4], which every function takes; in and out stay in
// the L2 cache.

inline constexpr std::size_t elementwise_size = 4096;

}  // namespace bench
