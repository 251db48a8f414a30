// SPDX-License-Identifier: MIT
#include <funnel/nn/dense.hpp>
#include <funnel/nn/embedding.hpp>
#include <funnel/nn/freeze.hpp>
#include <funnel/nn/inference_context.hpp>
#include <funnel/nn/mlp.hpp>
#include <funnel/nn/normalization.hpp>
#include <funnel/nn/quantized_embedding.hpp>
#include <funnel/nn/training_context.hpp>
#include <funnel/optim/adagrad.hpp>
#include <funnel/optim/adam.hpp>
#include <funnel/optim/add_gradients.hpp>
#include <funnel/optim/sgd.hpp>
#include <funnel/ranking/gate_diagnostics.hpp>

#include "support/failing_allocator.hpp"
#include "support/matrices.hpp"
#include "support/random_parameters.hpp"

#include <memory>
#include <optional>
#include <stdexcept>
#include <utility>
#include <vector>

using failing_allocator::check_every_failure;
using funnel::matrix;
using numbers = std::vector<float>;

namespace {

/// A table, dense layers and a normalization: all ways in which gradients are kept.
struct small_model {
  funnel::embedding<float> table{9, 4};
  funnel::mlp<float> network{4, {6, 1}};
  funnel::layer_norm<float> norm{4};

  template <funnel::Context C>
  funnel::value_of<C> operator()(C& context, funnel::matrix_view<const std::uint32_t> ids) const {
    return network(context, norm(context, table(context, ids)));
  }
  void visit_parameters(auto&& visit) {
    visit("table", table);
    visit("network", network);
    visit("norm", norm);
  }
};

numbers values_of(const small_model& model) {
  numbers all;
  funnel::for_each_parameter(model, [&](std::string_view, const auto& p) {
    all.insert(all.end(), p.value.flat().begin(), p.value.flat().end());
  });
  return all;
}

small_model filled() {
  small_model model;
  return with_random_parameters(model);
}

matrix<std::uint32_t> some_ids() {
  matrix<std::uint32_t> ids(5, 1);
  for (std::uint32_t i = 0; i < 5; ++i) ids(i, 0) = i * 3 % 9;
  return ids;
}

/// Forward and backward of a sum of scores.
void run(funnel::training_context<float>& context, const small_model& model,
         const matrix<std::uint32_t>& ids) {
  const auto scores = model(context, ids.view());
  const auto loss = context.make(1, 1);
  float sum = 0;
  for (std::size_t i = 0; i < scores.rows(); ++i) sum += funnel::view(scores)(i, 0);
  funnel::writable(loss)(0, 0) = sum;
  context.record([scores, loss] {
    for (std::size_t i = 0; i < scores.rows(); ++i) scores.gradient(i, 0) += loss.gradient(0, 0);
  });
  context.backward(loss);
}

}  // namespace

TEST_CASE("out of memory: parameters, layers and tables are copied and made whole or not at all") {
  using parameter = funnel::parameter<float>;
  const auto values = [](const auto& p) {
    numbers all{static_cast<float>(p.rows()), static_cast<float>(p.cols())};
    all.insert(all.end(), p.value.flat().begin(), p.value.flat().end());
    return all;
  };
  parameter large(7, 9, funnel::initial_values::ones);
  check_every_failure(
      "parameter", [] { return parameter(2, 3); }, [&](auto& p) { p = large; }, values);
  check_every_failure(
      "model", [] { return std::optional<small_model>(); }, [](auto& m) { m.emplace(); },
      [](const auto& m) { return m ? values_of(*m) : numbers(); });

  const matrix<float> table = random_matrix<float>(20, 5, 1), wide = random_matrix<float>(30, 9, 2);
  const auto rows = []<class Storage>(const funnel::quantized_table<Storage>& t) {
    numbers all{static_cast<float>(t.rows()), static_cast<float>(t.cols())};
    const auto stored = t.stored();
    const auto* bytes = reinterpret_cast<const unsigned char*>(stored.data);
    all.insert(all.end(), bytes, bytes + t.bytes());
    return all;
  };
  const auto check = [&]<class Storage>(Storage) {
    using quantized = funnel::quantized_table<Storage>;
    const quantized other(wide.view());
    const auto make = [&] { return quantized(table.view()); };
    check_every_failure(
        "quantized copy", make, [&](auto& t) { t = other; }, rows);
    check_every_failure(
        "quantized", make, [&](auto& t) { t = quantized(wide.view()); }, rows);
  };
  check(funnel::float16{});
  check(std::int8_t{});
}

TEST_CASE("out of memory: gate_diagnostics is copied whole or not at all") {
  using gates = funnel::gate_diagnostics<2>;
  const matrix<float> few = random_matrix<float>(4, 2, 1, 0, 1),
                      many = random_matrix<float>(4, 9, 2, 0, 1);
  const auto watch = [](const matrix<float>& weights) {
    gates g(weights.cols());
    g.add<float>({weights.view(), weights.view()});
    return g;
  };
  const gates other = watch(many);
  check_every_failure(
      "copy", [&] { return watch(few); }, [&](auto& g) { g = other; },
      [](const gates& g) {
        numbers all;
        for (std::size_t task = 0; task < 2; ++task)
          for (const double w : g.report(task).utilization) all.push_back(static_cast<float>(w));
        return all;
      });
}

TEST_CASE("out of memory: a request that fails is served the next time") {
  const small_model model = filled();
  const auto frozen = funnel::freeze(model);
  const auto ids = some_ids();
  struct request {
    funnel::inference_context<float> context;
    numbers scores;
  };
  const auto make = [] { return std::make_unique<request>(); };
  const auto observe = [](const auto& r) { return r->scores; };
  const auto serve = [&](const auto& served, auto& r) {
    r->context.reset();
    const auto y = served(r->context, ids.view());
    numbers scores(y.data(), y.data() + y.rows());
    r->scores = std::move(scores);
  };
  check_every_failure(
      "model", make, [&](auto& r) { serve(model, r); }, observe);
  check_every_failure(
      "frozen", make, [&](auto& r) { serve(frozen, r); }, observe);
  using frozen_model = std::optional<funnel::frozen<small_model, funnel::default_arch>>;
  check_every_failure(
      "freeze", [] { return frozen_model(); }, [&](auto& f) { f.emplace(model); },
      [&](const auto& f) {
        auto r = make();
        if (f) serve(*f, r);
        return r->scores;
      });
}

TEST_CASE("out of memory: a frozen model that was copied in part, or moved from, is refused") {
  using network = funnel::mlp<float>;
  // One layer, so that a part of it alone is copied; and two.
  for (const std::size_t layers : {1u, 2u}) {
    const auto sizes = [&](std::size_t n) { return std::vector<std::size_t>(layers, n); };
    const auto small = funnel::freeze(network(4, sizes(6)));
    const auto large = funnel::freeze(network(300, sizes(70)));
    const auto serve = [](const auto& model, std::size_t width) {
      funnel::inference_context<float> context;
      const matrix<float> x = random_matrix<float>(3, width, 1);
      const auto y = model(context, x.view());
      return numbers(y.data(), y.data() + y.size());
    };
    const auto refused_or = [&](const auto& model, std::size_t width, const auto& expected) {
      try {
        return serve(model, width) == serve(expected, width);
      } catch (const std::invalid_argument&) {
        return true;
      }
    };
    for (long served = 0;; ++served) {
      auto model = small;
      if (!failing_allocator::runs_out(served, true, [&] { model = large; })) break;
      CHECK(refused_or(model, 4, small));
      CHECK(refused_or(model, 300, large));
    }
    auto model = small;
    const auto taken = std::move(model);
    CHECK(serve(taken, 4) == serve(small, 4));
    CHECK_THROWS_AS(serve(model, 4), std::invalid_argument);
  }
}

TEST_CASE("out of memory: a training step that fails moves nothing, and goes on after clear") {
  const auto ids = some_ids();
  const auto check = [&](auto optimizer) {
    using optimizer_type = decltype(optimizer);
    struct trainer {
      small_model model = filled();
      funnel::training_context<float> context{1};
      optimizer_type optimizer;
      bool ran = false;

      explicit trainer(const optimizer_type& o) : optimizer(o) {}
    };
    const auto make = [&] { return std::make_unique<trainer>(optimizer); };
    const auto observe = [](const auto& t) { return values_of(t->model); };
    const auto forward = [&](auto& t) {
      t->context.clear();
      run(t->context, t->model, ids);
      t->ran = true;
    };
    const auto make_run = [&] {
      auto t = make();
      forward(t);
      return t;
    };
    // The step alone: nothing moves unless all does.
    check_every_failure(
        "step", make_run, [](auto& t) { t->optimizer.step(t->model, t->context); }, observe);
    // From the start, with the same result as without a failure.
    check_every_failure(
        "forward, backward and step", make,
        [&](auto& t) {
          forward(t);
          t->optimizer.step(t->model, t->context);
        },
        observe);
  };
  check(funnel::sgd<float>({.momentum = .5}));
  check(funnel::adagrad<float>());
  check(funnel::adam<float>());
}

TEST_CASE("out of memory: shards that were not added are added after clear") {
  small_model model = filled();
  const auto ids = some_ids();
  struct shards {
    funnel::training_context<float> to{1}, from{2};
    bool done = false;
  };
  const auto observe = [&](const auto& s) {
    numbers all;
    if (!s->done) return all;
    funnel::for_each_parameter(model, [&](std::string_view, const auto& p) {
      const auto* gradient = s->to.find_gradient(p);
      if (gradient == nullptr) return;
      all.push_back(static_cast<float>(gradient->touched().size()));
      const auto values = gradient->values();
      for (std::size_t i = 0; i < values.rows(); ++i)
        all.insert(all.end(), values.row(i).begin(), values.row(i).end());
    });
    return all;
  };
  const auto make = [&] {
    auto s = std::make_unique<shards>();
    run(s->from, model, ids);
    return s;
  };
  // After clear the sum starts again: what a failure left behind is gone.
  check_every_failure(
      "add_gradients", make,
      [&](auto& s) {
        s->done = false;
        s->to.clear();
        funnel::add_gradients(model, s->to, s->from, .5f);
        s->done = true;
      },
      observe);
}
