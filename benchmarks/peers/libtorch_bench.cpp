// SPDX-License-Identifier: MIT
#include "harness.hpp"
#include "workloads.hpp"

#include <funnel/loss/bce.hpp>
#include <funnel/loss/total_loss.hpp>
#include <funnel/nn/embedding.hpp>
#include <funnel/nn/freeze.hpp>
#include <funnel/nn/optimizer.hpp>
#include <funnel/sequence/target_attention.hpp>

#include <memory>
#include <sstream>
#include <torch/script.h>
#include <torch/torch.h>

// Each case in several ways that a user of LibTorch has: scripted and frozen, and that with
// optimize_for_inference; experts one by one and joined into batched products. The fastest of them,
// found before the measurement, is what is measured.

namespace {

using bench::add;
using bench::matrix;
using torch::Tensor;

Tensor tensor(funnel::matrix_view<const float> m) {
  return torch::from_blob(const_cast<float*>(m.data()),
                          {static_cast<long>(m.rows()), static_cast<long>(m.cols())},
                          {static_cast<long>(m.stride()), 1})
      .clone(at::MemoryFormat::Contiguous);
}
Tensor tensor(std::span<const std::uint32_t> ids, at::ScalarType type) {
  return torch::from_blob(const_cast<std::uint32_t*>(ids.data()), {static_cast<long>(ids.size())},
                          torch::kInt)
      .to(type, false, true);
}
/// A contiguous [n, d] of floats as funnel sees it.
funnel::matrix_view<const float> tensor_view(const Tensor& t) {
  return {t.data_ptr<float>(), static_cast<std::size_t>(t.size(0)),
          static_cast<std::size_t>(t.size(1))};
}
std::span<const float> values(const Tensor& t) {
  return {t.data_ptr<float>(), static_cast<std::size_t>(t.numel())};
}

/// One of the ways to do a case, and what it gave last.
struct way {
  bench::task run;
  std::shared_ptr<Tensor> result;
};

/// The fastest of several ways, after a warm-up of each that also checks it.
bench::task fastest(const std::string& name, std::span<const float> ours,
                    const std::vector<way>& ways) {
  double least = INFINITY;
  bench::task best;
  for (const way& w : ways) {
    for (int i = 0; i < 10; ++i) w.run();  // the profiling executor compiles in its first runs
    if (!ours.empty()) bench::compare(name, ours, values(w.result->contiguous()), 1e-3);
    int runs = 0;
    const double begin = bench::now();
    while (bench::now() - begin < .03 || runs < 3) w.run(), ++runs;
    const double seconds = (bench::now() - begin) / runs;
    if (seconds < least) best = w.run;
    least = std::min(least, seconds);
  }
  return best;
}

struct constant {
  std::string name;
  Tensor value;
};

/// A script with constants and arguments: as it is after freezing, and optimized for inference.
void add_script(std::vector<way>& ways, const std::string& source,
                const std::vector<constant>& constants, const std::vector<Tensor>& arguments) {
  torch::jit::Module module("bench");
  for (const constant& c : constants) module.register_parameter(c.name, c.value, false);
  module.define(source);
  module.eval();
  const auto frozen = std::make_shared<torch::jit::Module>(torch::jit::freeze(module));
  auto copy = torch::jit::freeze(module.deepcopy());
  const auto optimized =
      std::make_shared<torch::jit::Module>(torch::jit::optimize_for_inference(copy));
  for (const auto& m : {frozen, optimized}) {
    const auto result = std::make_shared<Tensor>();
    ways.push_back({[=] {
                      const c10::InferenceMode guard;
                      std::vector<torch::jit::IValue> inputs(arguments.begin(), arguments.end());
                      *result = m->forward(std::move(inputs)).toTensor();
                    },
                    result});
  }
}

template <class Forward>
void add_eager(std::vector<way>& ways, Forward forward) {
  const auto result = std::make_shared<Tensor>();
  ways.push_back({[=] {
                    const c10::InferenceMode guard;
                    *result = forward();
                  },
                  result});
}

// mmoe

/// The weights of the model with the experts side by side, and the same as batches of products.
struct mmoe_weights {
  Tensor w1, b1, w2, b2, gates, w3, b3, w4, b4;

  explicit mmoe_weights(const bench::mmoe_model& m) {
    std::vector<Tensor> first, first_bias, second, second_bias, gate, third, third_bias, last,
        last_bias;
    for (const auto& expert : m.mixture.experts) {
      first.push_back(tensor(expert.layers[0].weight.value).t());
      first_bias.push_back(tensor(expert.layers[0].bias.value).flatten());
      second.push_back(tensor(expert.layers[1].weight.value));
      second_bias.push_back(tensor(expert.layers[1].bias.value));
    }
    for (const auto& g : m.mixture.gates) gate.push_back(tensor(g.weight.value).t());
    for (const auto& tower : m.towers) {
      third.push_back(tensor(tower.layers[0].weight.value));
      third_bias.push_back(tensor(tower.layers[0].bias.value));
      last.push_back(tensor(tower.layers[1].weight.value));
      last_bias.push_back(tensor(tower.layers[1].bias.value));
    }
    w1 = at::cat(first).contiguous(), b1 = at::cat(first_bias), w2 = at::stack(second),
    b2 = at::stack(second_bias), gates = at::cat(gate).contiguous(), w3 = at::stack(third),
    b3 = at::stack(third_bias), w4 = at::stack(last), b4 = at::stack(last_bias);
  }
  std::vector<Tensor*> all() { return {&w1, &b1, &w2, &b2, &gates, &w3, &b3, &w4, &b4}; }

  /// Logits [4, n, 1].
  Tensor joined(const Tensor& x) const {
    const long n = x.size(0);
    const Tensor h = at::linear(x, w1, b1).relu_().view({n, 4, 128}).transpose(0, 1);
    const Tensor experts = at::baddbmm(b2, h, w2).relu_().transpose(0, 1);
    const Tensor g = at::softmax(at::linear(x, gates).view({n, 4, 4}), 2);
    const Tensor mixed = at::bmm(g, experts).transpose(0, 1);
    return at::baddbmm(b4, at::baddbmm(b3, mixed, w3).relu_(), w4);
  }
};

const char* const joined_script = R"(
def forward(self, x):
    n = x.size(0)
    h = torch.relu(torch.linear(x, self.w1, self.b1)).view(n, 4, 128).transpose(0, 1)
    experts = torch.relu(torch.baddbmm(self.b2, h, self.w2)).transpose(0, 1)
    g = torch.softmax(torch.linear(x, self.gates).view(n, 4, 4), 2)
    mixed = torch.bmm(g, experts).transpose(0, 1)
    return torch.baddbmm(self.b4, torch.relu(torch.baddbmm(self.b3, mixed, self.w3)), self.w4)
)";

/// Experts, gates and towers one by one: the model as it is usually written.
std::string separate_script() {
  std::string s = "def forward(self, x):\n";
  for (const char k : std::string("0123")) {
    s += std::string("    e") + k + " = torch.relu(torch.linear(x, self.w1_" + k + ", self.b1_" +
         k + "))\n    e" + k + " = torch.relu(torch.linear(e" + k + ", self.w2_" + k +
         ", self.b2_" + k + "))\n";
  }
  s += "    e = torch.stack([e0, e1, e2, e3], 1)\n";
  for (const char t : std::string("0123")) {
    s += std::string("    g = torch.softmax(torch.linear(x, self.g_") + t +
         "), 1)\n    m = torch.bmm(g.unsqueeze(1), e).squeeze(1)\n    h = "
         "torch.relu(torch.linear(m, self.w3_" +
         t + ", self.b3_" + t + "))\n    y" + t + " = torch.linear(h, self.w4_" + t + ", self.b4_" +
         t + ")\n";
  }
  return s + "    return torch.stack([y0, y1, y2, y3])\n";
}

std::vector<constant> separate_constants(const mmoe_weights& w) {
  std::vector<constant> made;
  for (long k = 0; k < 4; ++k) {
    const std::string of = "_" + std::to_string(k);
    const auto part = [&](const char* name, const Tensor& t) {
      made.push_back({name + of, t.clone(at::MemoryFormat::Contiguous)});
    };
    part("w1", w.w1.narrow(0, 128 * k, 128)), part("b1", w.b1.narrow(0, 128 * k, 128));
    part("w2", w.w2[k].t()), part("b2", w.b2[k][0]), part("g", w.gates.narrow(0, 4 * k, 4));
    part("w3", w.w3[k].t()), part("b3", w.b3[k][0]), part("w4", w.w4[k].t());
    part("b4", w.b4[k][0]);
  }
  return made;
}
std::vector<constant> joined_constants(const mmoe_weights& w) {
  return {{"w1", w.w1}, {"b1", w.b1}, {"w2", w.w2}, {"b2", w.b2}, {"gates", w.gates},
          {"w3", w.w3}, {"b3", w.b3}, {"w4", w.w4}, {"b4", w.b4}};
}

/// The script of a request: the user's row is repeated and put beside the items.
std::string request_of(std::string script) {
  const std::string head = "def forward(self, x):\n";
  script.replace(script.find(head), head.size(),
                 "def forward(self, user, items):\n"
                 "    x = torch.cat([user.expand(items.size(0), -1), items], 1)\n");
  return script;
}

/// Logits of funnel's model, [4, n].
template <class Model, class C>
std::vector<float> logits_of(const Model& model, C& context, const auto& x) {
  std::vector<float> all;
  for (const auto& y : model(context, x)) {
    const auto v = funnel::view(y);
    for (std::size_t i = 0; i < v.rows(); ++i) all.push_back(v(i, 0));
  }
  return all;
}

/// The model scripted, or eager: a name of its own for the latter, as few serve that way.
void add_mmoe(std::size_t n, bool request, bool eager) {
  const std::string name = (request ? "mmoe_request/n:" : "mmoe/n:") + std::to_string(n);
  add(name + (eager ? "@eager" : ""), [=]() -> bench::task {
    const bench::mmoe_model model;
    const bench::mmoe_batch batch(n);
    const mmoe_weights w(model);
    Tensor x = tensor(batch.x.view());
    const Tensor user = x.narrow(1, 0, 160)[0].unsqueeze(0).contiguous(),
                 items = x.narrow(1, 160, 96).contiguous();
    if (request) x = at::cat({user.expand({items.size(0), -1}), items}, 1);
    funnel::inference<float> context;
    const std::vector<float> ours = logits_of(model, context, tensor_view(x));
    std::vector<way> ways;
    const auto scripted = [&](const std::string& script, const std::vector<constant>& constants) {
      if (request)
        add_script(ways, request_of(script), constants, {user, items});
      else
        add_script(ways, script, constants, {x});
    };
    if (eager) {
      add_eager(ways, [=] {
        return w.joined(request ? at::cat({user.expand({items.size(0), -1}), items}, 1) : x);
      });
    } else {
      scripted(joined_script, joined_constants(w));
      scripted(separate_script(), separate_constants(w));
    }
    return fastest(name, ours, ways);
  });
}

void add_training(std::size_t n, int threads) {
  std::string name = "train_step/batch:" + std::to_string(n);
  if (threads > 1) name += "/threads:" + std::to_string(threads);
  add(name, [=]() -> bench::task {
    at::set_num_threads(threads);
    bench::mmoe_model model;
    const bench::mmoe_batch batch(n);
    struct state {
      mmoe_weights w;
      Tensor x, labels;
      std::unique_ptr<torch::optim::Adam> optimizer;

      state(const bench::mmoe_model& m, const bench::mmoe_batch& b) : w(m), x(tensor(b.x)) {
        std::vector<Tensor> columns, parameters;
        for (const auto& l : b.labels) columns.push_back(tensor(l));
        labels = at::stack(columns);
        for (Tensor* p : w.all()) parameters.push_back(p->requires_grad_());
        optimizer =
            std::make_unique<torch::optim::Adam>(parameters, torch::optim::AdamOptions(1e-3));
      }
      void step() {
        optimizer->zero_grad();
        // The mean over tasks and rows, times the tasks: the sum of the tasks' means.
        (4 * at::binary_cross_entropy_with_logits(w.joined(x), labels)).backward();
        optimizer->step();
      }
    };
    const auto s = std::make_shared<state>(model, batch);
    s->step();

    funnel::training<float> context;
    funnel::adam<float> optimizer({.learning_rate = 1e-3});
    const auto y = model(context, context.input(batch.x));
    std::vector<funnel::variable<float>> losses;
    for (std::size_t t = 0; t < 4; ++t)
      losses.push_back(bce_with_logits(context, y[t], batch.labels[t].flat()));
    context.backward(total_loss(context, std::span<const funnel::variable<float>>(losses)));
    optimizer.step(model, context);
    funnel::inference<float> after;
    bench::compare(name, logits_of(model, after, batch.x.view()),
                   values(s->w.joined(s->x).detach().contiguous()), 1e-3);
    return [s, threads] {
      at::set_num_threads(threads);
      s->step();
    };
  });
}

// embeddings

bench::task make_bag(const std::string& name) {
  const auto data = std::make_shared<const bench::bag_data>();
  const Tensor table = tensor(data->table);
  funnel::embedding_bag<float> layer(bench::bag_data::rows, bench::bag_data::dim);
  layer.table.value = data->table;
  funnel::inference<float> context;
  const auto ours = layer(context, {data->batch(0), data->offsets});
  std::vector<way> ways;
  for (const auto type : {torch::kInt, torch::kLong}) {
    const Tensor offsets = tensor(data->offsets, type), ids = tensor(data->ids, type);
    const long length = static_cast<long>(data->batch(0).size());
    const auto result = std::make_shared<Tensor>();
    const auto batch = std::make_shared<long>(0);
    const auto run = [=](long i) {
      const c10::InferenceMode guard;
      constexpr long mean = 1;
      *result = std::get<0>(at::embedding_bag(table, ids.narrow(0, i * length, length), offsets,
                                              false, mean, false, {}, true));
    };
    run(0);
    bench::compare(name, {ours.data(), ours.size()}, values(*result));
    ways.push_back(
        {[=] { run((*batch)++ % static_cast<long>(bench::bag_data::batches)); }, result});
  }
  return fastest(name, {}, ways);
}

/// Row-wise Adagrad is not among torch's optimizers: it is written with its sparse tensors.
bench::task make_sparse_step() {
  struct state {
    Tensor table, weight, bias, sums, weight_sums, bias_sums, ids, labels;
    long batch = 0;

    explicit state(const bench::sparse_data& d)
        : table(tensor(d.table).requires_grad_()),
          weight(tensor(d.weight).t().contiguous().requires_grad_()),
          bias(torch::zeros({1}).requires_grad_()),
          sums(torch::full({static_cast<long>(bench::sparse_data::rows)}, .1f)),
          weight_sums(torch::full_like(weight, .1f)), bias_sums(torch::full_like(bias, .1f)),
          ids(tensor(d.ids, torch::kLong)
                  .view({static_cast<long>(bench::sparse_data::batches), -1,
                         static_cast<long>(bench::sparse_data::fields)})),
          labels(tensor(d.labels)) {}

    void step() {
      const long i = batch++ % ids.size(0);
      const Tensor x = at::embedding(table, ids[i], -1, false, true).flatten(1);
      at::binary_cross_entropy_with_logits(at::linear(x, weight, bias).squeeze(1), labels[i])
          .backward();
      const torch::NoGradGuard guard;
      constexpr float rate = .05f, epsilon = 1e-10f;
      const Tensor g = table.grad().coalesce();
      const Tensor rows = g.indices()[0], of_rows = g.values();
      sums.index_add_(0, rows, of_rows.square().mean(1));
      table.index_add_(
          0, rows, of_rows / (sums.index_select(0, rows).sqrt_() + epsilon).unsqueeze(1), -rate);
      for (const auto& [p, s] : {std::pair(weight, weight_sums), std::pair(bias, bias_sums)}) {
        s.addcmul_(p.grad(), p.grad());
        p.addcdiv_(p.grad(), s.sqrt() + epsilon, -rate);
        p.mutable_grad().reset();
      }
      table.mutable_grad().reset();
    }
  };
  const auto s = std::make_shared<state>(bench::sparse_data());
  return [s] { s->step(); };
}

// attention and towers

bench::task make_attention(const std::string& name) {
  const bench::attention_data data;
  const Tensor q = tensor(data.candidates), events = tensor(data.events);
  funnel::inference<float> context;
  const auto ours =
      funnel::target_attention(context, data.candidates.view(), data.events.view(), data.offsets);
  std::vector<way> ways;
  add_script(ways, R"(
def forward(self, q, x):
    return torch.matmul(torch.softmax(torch.matmul(q, x.t()) * 0.125, 1), x)
)",
             {}, {q, events});
  add_eager(ways, [=] { return at::mm(at::softmax(at::mm(q, events.t()).mul_(.125), 1), events); });
  return fastest(name, {ours.data(), ours.size()}, ways);
}

bench::task make_towers(const std::string& name) {
  const bench::tower_model model;
  const bench::tower_data data;
  funnel::inference<float> context;
  const auto vectors = model.item(context, data.items.view());
  const auto ours =
      model.with_item_vectors(context, data.user.view(), vectors, data.crosses.view());
  std::vector<constant> constants;
  const auto layers = [&](const std::string& tower, const funnel::mlp<float>& m, std::string x) {
    std::string s;
    for (std::size_t i = 0; i < m.layers.size(); ++i) {
      const std::string of = tower + std::to_string(i);
      constants.push_back({"w_" + of, tensor(m.layers[i].weight.value).t().contiguous()});
      constants.push_back({"b_" + of, tensor(m.layers[i].bias.value).flatten()});
      x = "torch.linear(" + x + ", self.w_" + of + ", self.b_" + of + ")";
      if (i + 1 < m.layers.size()) x = "torch.relu(" + x + ")";
    }
    return x;
  };
  const std::string script =
      "def forward(self, user, items, crosses):\n    u = " + layers("user", model.user, "user") +
      ".expand(items.size(0), -1)\n    c = " + layers("cross", model.cross, "crosses") +
      "\n    return " + layers("top", model.top, "torch.cat([u, items, c], 1)") + "\n";
  std::vector<way> ways;
  add_script(ways, script, constants, {tensor(data.user), tensor(vectors), tensor(data.crosses)});
  return fastest(name, {ours.data(), ours.size()}, ways);
}

const bool added = [] {
  at::set_num_threads(1);
  // Of its long description what says which kernels it runs on.
  std::string description = "LibTorch " TORCH_VERSION;
  std::istringstream config(at::show_config());
  for (std::string line; std::getline(config, line);)
    for (const char* part : {"MKL-DNN", "Math Kernel", "CPU capability"})
      if (line.find(part) != std::string::npos) description += "," + line.substr(3);
  benchmark::AddCustomContext("peer", description);
  for (const bool request : {false, true})
    for (const bool eager : {false, true})
      for (const std::size_t n : {1, 16, 128, 512, 2048}) add_mmoe(n, request, eager);
  for (const std::size_t n : {256, 1024})
    for (const int threads : {1, 2}) add_training(n, threads);
  const auto named = [](const std::string& name, auto make) {
    add(name, [=] { return make(name); });
  };
  named("embedding_bag/1000000x64/bags:512/len:50", make_bag);
  add("train_step_embeddings/batch:1024", make_sparse_step);
  named("target_attention/500x200x64", make_attention);
  named("three_tower/5000", make_towers);
  return true;
}();

}  // namespace
