// SPDX-License-Identifier: MIT
#include <funnel/core/executor.hpp>
#include <funnel/core/thread_pool.hpp>
#include <funnel/loss/bce.hpp>
#include <funnel/loss/total_loss.hpp>
#include <funnel/nn/concat.hpp>
#include <funnel/nn/dropout.hpp>
#include <funnel/nn/elementwise.hpp>
#include <funnel/nn/embedding.hpp>
#include <funnel/nn/initialization.hpp>
#include <funnel/nn/mlp.hpp>
#include <funnel/nn/normalization.hpp>
#include <funnel/optim/adagrad.hpp>
#include <funnel/optim/adam.hpp>
#include <funnel/optim/add_gradients.hpp>
#include <funnel/optim/sgd.hpp>
#include <funnel/training/training_step.hpp>
#ifdef FUNNEL_HAS_TBB
#include <funnel/adapters/tbb.hpp>
#endif

#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/matrices.hpp"
#include "support/saved_state.hpp"
#include "support/threads.hpp"
#include "support/tolerance.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <deque>
#include <functional>
#include <limits>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <vector>

using funnel::matrix;
using funnel::training_step;
using funnel::training_step_options;
using ids = std::vector<std::uint32_t>;

namespace {

constexpr std::size_t rows = 96;

/// Rows of ids that repeat in and between leaves, numbers and labels.
struct batch {
  matrix<std::uint32_t> fields{rows, 2};
  ids bags;
  std::vector<std::uint32_t> offsets{0};
  matrix<float> numbers = random_matrix<float>(rows, 5, 3);
  std::vector<float> labels;

  explicit batch(std::uint64_t seed = 1) {
    funnel::random_generator bits(seed);
    const auto id = [&](std::size_t n) {
      return static_cast<std::uint32_t>(funnel::uniform_below(bits, n));
    };
    for (std::uint32_t& field : fields.flat()) field = id(2) == 0 ? id(8) : id(5000);
    for (std::size_t i = 0; i < rows; ++i) {
      for (std::size_t k = id(4); k > 0; --k) bags.push_back(id(30));
      offsets.push_back(static_cast<std::uint32_t>(bags.size()));
      labels.push_back(id(2) == 0 ? 1.f : 0.f);
    }
  }
};

/// Every kind of parameter; `rare` is used by some leaves only.
struct small_model {
  funnel::embedding<float> field{5000, 6};
  funnel::embedding_bag<float> bag{30, 3};
  funnel::mlp<float> tower{20, {70, 9}};
  funnel::batch_norm<float> norm{9};
  funnel::dense<float> head{9, 1};
  funnel::dense<float> rare{9, 1};

  explicit small_model(std::uint64_t seed = 1) {
    funnel::random_generator bits(seed);
    funnel::initialize(*this, bits);
  }
  template <funnel::Context C>
  auto operator()(C& context, funnel::matrix_view<const std::uint32_t> fields,
                  const funnel::id_lists& bags, funnel::matrix_view<const float> numbers,
                  bool is_rare) const {
    const auto x = concat(context, field(context, fields), bag(context, bags), numbers);
    const auto h = dropout(context, norm(context, tower(context, x)), 0.25);
    return is_rare ? rare(context, h) : head(context, h);
  }
  void visit_parameters(auto&& visit) {
    visit("field", field);
    visit("bag", bag);
    visit("tower", tower);
    visit("norm", norm);
    visit("head", head);
    visit("rare", rare);
  }
};

/// Runs a model on the leaves of a batch. The leaves' arrays live as long as this does.
class leaves {
 public:
  leaves(const batch& of, std::size_t count) : batch_(of), count_(count), offsets_(count) {
    for (std::size_t leaf = 0; leaf < count; ++leaf) {
      for (std::size_t i = begin(leaf); i <= begin(leaf + 1); ++i)
        offsets_[leaf].push_back(of.offsets[i] - of.offsets[begin(leaf)]);
    }
  }
  std::size_t size() const { return count_; }

  template <class C>
  funnel::value_of<C> loss(C& context, const small_model& m, std::size_t leaf) const {
    const std::size_t first = begin(leaf), n = begin(leaf + 1) - first;
    const funnel::id_lists lists{
        std::span(batch_.bags).subspan(batch_.offsets[first], offsets_[leaf].back()),
        offsets_[leaf]};
    const bool is_rare = count_ > 2 && leaf % 3 == 1;
    const auto z = m(context, batch_.fields.view().middle_rows(first, n), lists,
                     batch_.numbers.view().middle_rows(first, n), is_rare);
    return funnel::bce_with_logits(context, z, std::span(batch_.labels).subspan(first, n));
  }

 private:
  /// Leaves of different sizes.
  std::size_t begin(std::size_t leaf) const {
    return leaf * (leaf + count_) * rows / (2 * count_ * count_);
  }

  const batch& batch_;
  std::size_t count_;
  std::vector<std::vector<std::uint32_t>> offsets_;
};

struct trained {
  small_model model;
  std::vector<double> losses, norms;
  saved_state optimizer;
};

template <class Optimizer>
Optimizer make_optimizer() {
  auto options = Optimizer().options;
  options.learning_rate = 0.05;
  options.weight_decay = 0.01;
  if constexpr (std::is_same_v<Optimizer, funnel::sgd<float>>) options.momentum = 0.5;
  return Optimizer(options, {{.path = "tower.layers.0", .rate_factor = 0.5}});
}

/// How many leaves a step has: all but one step have `count`.
std::size_t leaves_of(std::uint64_t step, std::size_t count) {
  return step == 3 ? 1 : count;
}

template <class Optimizer, class E>
trained train(E&& executor, std::size_t count, double max_norm) {
  trained result{small_model(), {}, {}, {}};
  auto optimizer = make_optimizer<Optimizer>();
  training_step<float> step;
  for (std::uint64_t i = 0; i < 6; ++i) {
    const batch data(i % 3);
    const leaves parts(data, leaves_of(i, count));
    const auto found = step(
        executor, result.model, optimizer,
        {.leaves = parts.size(), .rows = rows, .seed = 7, .step = i, .max_norm = max_norm},
        [&](auto& context, std::size_t leaf) { return parts.loss(context, result.model, leaf); });
    CHECK(found.updated);
    result.losses.push_back(found.loss);
    result.norms.push_back(found.norm);
  }
  result.optimizer = saved_state(optimizer);
  return result;
}

/// The paths of the parameters whose bits differ.
std::vector<std::string> changes(const small_model& a, const small_model& b) {
  std::vector<const matrix<float>*> others;
  funnel::for_each_parameter(b,
                             [&](std::string_view, const auto& p) { others.push_back(&p.value); });
  std::vector<std::string> found;
  std::size_t i = 0;
  funnel::for_each_parameter(a, [&](std::string_view path, const auto& p) {
    if (!same_bits(p.value, *others[i++])) found.emplace_back(path);
  });
  return found;
}

void check_same(const trained& a, const trained& b) {
  CHECK(changes(a.model, b.model) == std::vector<std::string>{});
  CHECK(a.losses == b.losses);
  CHECK(a.norms == b.norms);
  CHECK(a.optimizer == b.optimizer);
}

std::uint64_t seed_of(std::uint64_t seed, std::uint64_t step, std::uint64_t leaf) {
  return funnel::mix_key(funnel::mix_key(funnel::mix_key(seed) ^ step) ^ leaf);
}

/// The same steps by a context a leaf, gradients added two by two, and the optimizer's plain step.
template <class Optimizer>
trained train_plainly(std::size_t count, double max_norm) {
  trained result{small_model(), {}, {}, {}};
  auto optimizer = make_optimizer<Optimizer>();
  for (std::uint64_t i = 0; i < 6; ++i) {
    const batch data(i % 3);
    const leaves parts(data, leaves_of(i, count));
    std::deque<funnel::training_context<float>> contexts(parts.size());
    std::vector<double> losses;
    for (std::size_t leaf = 0; leaf < parts.size(); ++leaf) {
      contexts[leaf].reseed(seed_of(7, i, leaf));
      contexts[leaf].set_step_rows(rows);
      const auto loss = parts.loss(contexts[leaf], result.model, leaf);
      contexts[leaf].backward(loss);
      losses.push_back(static_cast<double>(view(loss)(0, 0)));
    }
    for (std::size_t apart = 1; apart < parts.size(); apart *= 2) {
      for (std::size_t leaf = 0; leaf + apart < parts.size(); leaf += 2 * apart) {
        funnel::add_gradients(result.model, contexts[leaf], contexts[leaf + apart], 1.f);
        losses[leaf] += losses[leaf + apart];
      }
    }
    double norm = 0;
    if (max_norm > 0) norm = funnel::clip_gradients(result.model, contexts[0], max_norm);
    optimizer.step(result.model, contexts[0]);
    result.losses.push_back(losses[0]);
    result.norms.push_back(norm);
  }
  result.optimizer = saved_state(optimizer);
  return result;
}

struct one_parameter {
  funnel::parameter<double> p{1, 1};
  void visit_parameters(auto&& visit) { visit("p", p); }
};

/// An optimizer that knows only whole gradients.
struct own_optimizer {
  funnel::adam<float> inner = make_optimizer<funnel::adam<float>>();

  template <funnel::HasParameters Model, class Arch>
  void step(Model& model, const funnel::training_context<float, Arch>& context) {
    inner.step(model, context);
  }
};

/// Fails in its loop number `loop`, after some tasks.
struct failing_executor {
  std::size_t loop;
  std::size_t loops = 0;
  bool failed = false;

  static constexpr std::size_t concurrency() { return 3; }
  template <class Task>
  void for_each(std::size_t count, Task&& task) {
    const bool fails = loops++ == loop;
    for (std::size_t i = 0; i < count; ++i) {
      if (fails && i >= count / 2) {
        failed = true;
        throw std::bad_alloc();
      }
      task(i);
    }
  }
};

}  // namespace

TEMPLATE_TEST_CASE("training_step: the same bits with any number of threads", "",
                   funnel::sgd<float>, funnel::adagrad<float>, funnel::adam<float>) {
  for (const std::size_t count : {1u, 2u, 3u, 8u}) {
    for (const double max_norm : {0., 0.05}) {
      INFO(count << " leaves, norm " << max_norm);
      const trained expected = train<TestType>(funnel::serial_executor{}, count, max_norm);
      for (const double norm : expected.norms) CHECK((max_norm == 0 ? norm == 0 : norm > max_norm));
      check_same(train<TestType>(thread_executor{2}, count, max_norm), expected);
      for (const std::size_t threads : {1u, 2u, 4u})
        check_same(train<TestType>(funnel::thread_pool(threads), count, max_norm), expected);
#ifdef FUNNEL_HAS_TBB
      check_same(train<TestType>(funnel::tbb_executor(2), count, max_norm), expected);
#endif
    }
  }
}

TEMPLATE_TEST_CASE("training_step: the sum along the tree, and the optimizer's step", "",
                   funnel::sgd<float>, funnel::adagrad<float>, funnel::adam<float>) {
  for (const std::size_t count : {1u, 2u, 3u, 5u, 8u, 13u}) {
    INFO(count << " leaves");
    funnel::thread_pool pool(3);
    check_same(train<TestType>(pool, count, 0), train_plainly<TestType>(count, 0));
  }
}

TEST_CASE("training_step: clipped by the norm of all gradients") {
  for (const std::size_t count : {1u, 8u}) {
    const trained found = train<funnel::sgd<float>>(funnel::serial_executor{}, count, 0.05);
    const trained plain = train_plainly<funnel::sgd<float>>(count, 0.05);
    // Norms are summed in another order.
    for (std::size_t i = 0; i < found.norms.size(); ++i) {
      CHECK(tolerance::within(found.norms[i], plain.norms[i],
                              tolerance::iterative<float>(100, plain.norms[i])));
    }
  }
}

TEST_CASE("training_step: an optimizer of one's own") {
  const batch data;
  small_model own, usual;
  own_optimizer optimizer;
  auto adam = make_optimizer<funnel::adam<float>>();
  training_step<float> step;
  funnel::thread_pool pool(2);
  for (std::uint64_t i = 0; i < 4; ++i) {
    const leaves parts(data, 5);
    const training_step_options options{
        .leaves = 5, .rows = rows, .step = i, .max_norm = i == 3 ? 1e-3 : 0};
    const auto run = [&](const small_model& m) {
      return [&](auto& context, std::size_t leaf) { return parts.loss(context, m, leaf); };
    };
    const auto found = step(pool, own, optimizer, options, run(own));
    const auto expected = step(pool, usual, adam, options, run(usual));
    CHECK(found.loss == expected.loss);
    if (i < 3) CHECK(changes(own, usual).empty());
    CHECK(tolerance::within(found.norm, expected.norm,
                            tolerance::iterative<float>(100, expected.norm)));
  }
}

TEST_CASE("training_step: a leaf that throws has changed nothing") {
  const batch data;
  const leaves parts(data, 8);
  for (const std::size_t failing : {0u, 3u, 7u}) {
    funnel::thread_pool pool(3);
    small_model m, unbroken;
    auto optimizer = make_optimizer<funnel::adam<float>>(), other = optimizer;
    training_step<float> step, unbroken_step;
    const training_step_options options{.leaves = 8, .rows = rows};
    const auto run_on = [&](const small_model& of, std::size_t fails) {
      return [&, fails](auto& context, std::size_t leaf) {
        const auto loss = parts.loss(context, of, leaf);
        if (leaf == fails) throw std::runtime_error("a leaf's");
        return loss;
      };
    };
    for (int i = 0; i < 3; ++i) {
      const small_model before = m;
      const saved_state state(optimizer);
      CHECK_THROWS_AS(step(pool, m, optimizer, options, run_on(m, failing)), std::runtime_error);
      CHECK(changes(m, before).empty());
      CHECK(saved_state(optimizer) == state);
      step(pool, m, optimizer, options, run_on(m, 99));
      unbroken_step(pool, unbroken, other, options, run_on(unbroken, 99));
      CHECK(changes(m, unbroken).empty());
    }
  }
}

TEST_CASE("training_step: an executor that fails changes nothing, or all is finished without it") {
  const batch data;
  const leaves parts(data, 4);
  const training_step_options options{.leaves = 4, .rows = rows, .max_norm = 0.1};
  std::size_t unchanged = 0, finished = 0;
  for (std::size_t loop = 0; loop < 5; ++loop) {
    small_model m, expected;
    auto optimizer = make_optimizer<funnel::adam<float>>(), other = optimizer;
    training_step<float> step;
    const auto run = [&](const small_model& of) {
      return [&](auto& context, std::size_t leaf) { return parts.loss(context, of, leaf); };
    };
    funnel::serial_executor serial;
    step(serial, expected, other, options, run(expected));
    failing_executor executor{loop};
    try {
      step(executor, m, optimizer, options, run(m));
      finished += executor.failed ? 1 : 0;
    } catch (const std::bad_alloc&) {
      CHECK(changes(m, small_model()).empty());
      CHECK(saved_state(optimizer) == saved_state(make_optimizer<funnel::adam<float>>()));
      ++unchanged;
      step(serial, m, optimizer, options, run(m));
    }
    CHECK(executor.loops >= loop);
    CHECK(changes(m, expected).empty());
  }
  CHECK(unchanged == 3);  // the leaves, the rows of tables, the norm
  CHECK(finished == 1);   // the update
}

TEST_CASE("training_step: a norm that is not finite updates nothing") {
  const batch data;
  const leaves parts(data, 3);
  small_model m;
  auto optimizer = make_optimizer<funnel::adam<float>>();
  training_step<float> step;
  funnel::serial_executor executor;
  const auto run = [&](auto& context, std::size_t leaf) {
    const auto loss = parts.loss(context, m, leaf);
    if (leaf == 1) return affine(context, loss, std::numeric_limits<float>::infinity());
    return loss;
  };
  const auto found = step(executor, m, optimizer, {.leaves = 3, .rows = rows, .max_norm = 1}, run);
  CHECK_FALSE(found.updated);
  CHECK_FALSE(std::isfinite(found.norm));
  CHECK(changes(m, small_model()).empty());
}

TEST_CASE("training_step: random numbers depend on seed, step and leaf alone") {
  one_parameter m;
  funnel::sgd<double> optimizer;
  training_step<double> step;
  const auto draw = [&](auto&& executor, std::uint64_t seed, std::uint64_t number) {
    std::vector<std::uint64_t> found(4);
    step(executor, m, optimizer, {.leaves = 4, .seed = seed, .step = number},
         [&](auto& context, std::size_t leaf) {
           found[leaf] = context.random()();
           context.random()();
           return context.make(1, 1);
         });
    return found;
  };
  const auto first = draw(funnel::serial_executor{}, 1, 0);
  CHECK(first == draw(funnel::thread_pool(3), 1, 0));
  std::vector<std::uint64_t> all = first;
  for (const auto& more :
       {draw(funnel::serial_executor{}, 1, 1), draw(funnel::serial_executor{}, 0, 1),
        draw(funnel::serial_executor{}, 2, 0)})
    all.insert(all.end(), more.begin(), more.end());
  std::ranges::sort(all);
  CHECK(std::ranges::adjacent_find(all) == all.end());
}

TEST_CASE("training_step: memory settles, and no context is made for more than a thread") {
  const batch data;
  const leaves parts(data, 8);
  small_model m;
  funnel::sgd<float> optimizer;
  training_step<float> step;
  funnel::serial_executor executor;
  std::vector<const void*> contexts;
  for (int i = 0; i < 3; ++i) {
    step(executor, m, optimizer, {.leaves = 8, .rows = rows}, [&](auto& context, std::size_t leaf) {
      contexts.push_back(&context);
      return parts.loss(context, m, leaf);
    });
  }
  CHECK(contexts == std::vector<const void*>(24, contexts[0]));
}

TEST_CASE("training_step: errors") {
  small_model m;
  funnel::sgd<float> optimizer;
  training_step<float> step;
  funnel::serial_executor executor;
  const auto run = [](auto& context, std::size_t) { return context.make(2, 1); };
  const auto error = [&](const training_step_options& options, const std::string& words) {
    return refuses([&] { step(executor, m, optimizer, options, run); }, "funnel::training_", words);
  };
  CHECK(error({.leaves = 0}, "training_step: leaves is 0, expected 1 to 64"));
  CHECK(error({.leaves = 65}, "training_step: leaves is 65"));
  CHECK(error({.max_norm = -1}, "training_step: max_norm is -1"));
  CHECK(error({}, "training_context::backward: loss is [2, 1], expected [1, 1]"));
}
