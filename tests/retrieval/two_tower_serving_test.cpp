// SPDX-License-Identifier: MIT
#include <funnel/index/flat_index.hpp>
#include <funnel/loss/in_batch_softmax.hpp>
#include <funnel/nn/inference_context.hpp>
#include <funnel/nn/training_context.hpp>
#include <funnel/optim/adam.hpp>

#include "retrieval/small_towers.hpp"
#include "support/catch.hpp"
#include "support/tolerance.hpp"

#include <algorithm>
#include <cstddef>
#include <vector>

using funnel::item_id;

TEST_CASE("two_tower: serving by an index ranks as the scores do") {
  constexpr std::size_t n = 300;
  const towers<float> model = random_towers<float>(n);
  std::vector<item_id> items(n);
  for (item_id i = 0; i < n; ++i) items[i] = i;
  const history_batch users = three_users();
  funnel::inference_context<float> context;
  const funnel::flat_index<> index(model.item_vectors(context, items));
  const auto a = model.user_vectors(context, users.lists());
  const auto scores = model(context, users.lists(), items);
  for (std::size_t u = 0; u < 3; ++u) {
    std::vector<funnel::scored_item> found(20);
    REQUIRE(index.search(a.row(u), found) == 20);
    for (const auto& f : found) {
      CHECK(tolerance::within(static_cast<double>(f.score), static_cast<double>(scores(u, f.item)),
                              tolerance::reduction<float>(4, 1)));
    }
    CHECK(tolerance::within(static_cast<double>(found[0].score),
                            static_cast<double>(std::ranges::max(scores.row(u))),
                            tolerance::reduction<float>(4, 1)));
  }
}

TEST_CASE("two_tower: learns which items belong to a user's interest") {
  constexpr std::size_t clusters = 5, items_each = 8, batch = 32;
  constexpr std::size_t items = clusters * items_each;
  funnel::random_generator bits(2);
  towers<float> model = random_towers<float>(items);
  const auto draw_item = [&](std::size_t cluster) {  // item i is of cluster i % clusters
    return static_cast<item_id>(funnel::uniform_below(bits, items_each) * clusters + cluster);
  };
  const auto draw_user = [&](std::size_t cluster) {
    return std::vector<item_id>{draw_item(cluster), draw_item(cluster), draw_item(cluster)};
  };
  // How many of the eight best are of the cluster the user watched.
  const auto found_share = [&] {
    std::vector<item_id> all(items);
    for (item_id i = 0; i < items; ++i) all[i] = i;
    funnel::inference_context<float> context;
    const funnel::flat_index<> index(model.item_vectors(context, all));
    std::size_t right = 0;
    for (std::size_t u = 0; u < 50; ++u) {
      history_batch user;
      user.append(draw_user(u % clusters));
      std::vector<funnel::scored_item> found(items_each);
      index.search(model.user_vectors(context, user.lists()).row(0), found);
      for (const auto& f : found) right += f.item % clusters == u % clusters ? 1 : 0;
    }
    return static_cast<double>(right) / (50 * items_each);
  };
  CHECK(found_share() < .5);
  funnel::adam<float> optimizer({.learning_rate = .02});
  funnel::training_context<float> tape;
  for (int step = 0; step < 300; ++step) {
    history_batch users;
    std::vector<item_id> clicked;
    for (std::size_t i = 0; i < batch; ++i) {
      const std::size_t cluster = funnel::uniform_below(bits, clusters);
      users.append(draw_user(cluster));
      clicked.push_back(draw_item(cluster));
    }
    const auto scores = model(tape, users.lists(), clicked);
    tape.backward(funnel::in_batch_softmax(tape, scores, {.temperature = .1f, .items = clicked}));
    optimizer.step(model, tape);
    tape.clear();
  }
  CHECK(found_share() > .95);
}
