// SPDX-License-Identifier: MIT
#include "libtorch.hpp"

#include <funnel/nn/embedding.hpp>
#include <funnel/nn/inference_context.hpp>
#include <funnel/sequence/target_attention.hpp>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <sstream>
#include <string>
#include <torch/script.h>

// Each case in several ways that a user of LibTorch has: scripted and frozen, and that with
// optimize_for_inference; experts one by one and joined into batched products. The fastest of them,
// found before the measurement, is what is measured.

namespace {

using namespace bench;

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

// How a layer reads its input. `x` is one tensor; of a request, `user` (one row) and `items`: put side
// by side, or the user's product is what the items' product is added to.
enum class reading { rows, side_by_side, user_once };

std::string head(reading how) {
  switch (how) {
  case reading::rows:
    return "def forward(self, x):\n";
  case reading::side_by_side:
    return "def forward(self, user, items):\n"
           "    x = torch.cat([user.expand(items.size(0), -1), items], 1)\n";
  default:
    return "def forward(self, user, items):\n";
  }
}

/// The first product of a layer with the weights w and, where there is one, the bias b.
std::string first(reading how, const std::string& w, const std::string& b) {
  const std::string bias = b.empty() ? "" : ", self." + b;
  if (how == reading::user_once)
    return "torch.addmm(torch.linear(user, self." + w + "_user" + bias + "), items, self." + w +
           "_items)";
  return "torch.linear(x, self." + w + bias + ")";
}

/// Experts, gates and towers as batched products.
std::string joined_script(reading how) {
  return head(how) + "    a = torch.relu(" + first(how, "w1", "b1") + R"()
    n = a.size(0)
    h = a.view(n, 4, 128).transpose(0, 1)
    experts = torch.relu(torch.baddbmm(self.b2, h, self.w2)).transpose(0, 1)
    g = torch.softmax()" +
         first(how, "gates", "") + R"(.view(n, 4, 4), 2)
    mixed = torch.bmm(g, experts).transpose(0, 1)
    return torch.baddbmm(self.b4, torch.relu(torch.baddbmm(self.b3, mixed, self.w3)), self.w4)
)";
}

/// Experts, gates and towers one by one: the model as it is usually written.
std::string separate_script(reading how) {
  std::string s = head(how);
  for (const char k : std::string("0123")) {
    s += std::string("    e") + k + " = torch.relu(" +
         first(how, std::string("w1_") + k, std::string("b1_") + k) + ")\n    e" + k +
         " = torch.relu(torch.linear(e" + k + ", self.w2_" + k + ", self.b2_" + k + "))\n";
  }
  s += "    e = torch.stack([e0, e1, e2, e3], 1)\n";
  for (const char t : std::string("0123")) {
    s += "    g = torch.softmax(" + first(how, std::string("g_") + t, "") +
         ", 1)\n    m = torch.bmm(g.unsqueeze(1), e).squeeze(1)\n    h = "
         "torch.relu(torch.linear(m, self.w3_" +
         t + ", self.b3_" + t + "))\n    y" + t + " = torch.linear(h, self.w4_" + t + ", self.b4_" +
         t + ")\n";
  }
  return s + "    return torch.stack([y0, y1, y2, y3])\n";
}

std::vector<constant> joined_constants(const mmoe_weights& w) {
  return {{"w1", w.w1}, {"b1", w.b1}, {"w2", w.w2}, {"b2", w.b2}, {"gates", w.gates},
          {"w3", w.w3}, {"b3", w.b3}, {"w4", w.w4}, {"b4", w.b4}};
}

/// Adds the user's and the items' part of the weights [out, in] that read the input.
std::vector<constant> with_parts(std::vector<constant> constants) {
  for (std::size_t i = 0, size = constants.size(); i < size; ++i) {
    const auto [name, w] = constants[i];
    if (w.dim() != 2 || w.size(1) != mmoe_model::in) continue;
    constexpr long user_in = mmoe_model::user_in;
    constants.push_back({name + "_user", w.narrow(1, 0, user_in).contiguous()});
    constants.push_back(
        {name + "_items", w.narrow(1, user_in, mmoe_model::in - user_in).t().contiguous()});
  }
  return constants;
}

/// The fastest script; `layers` is the model as it is usually written.
void add_mmoe(std::size_t n, bool request, bool layers) {
  const std::string name = (request ? "mmoe_request/n:" : "mmoe/n:") + std::to_string(n);
  add(name + (layers ? "@layers" : ""), [=]() -> task {
    const mmoe_model model;
    const mmoe_batch batch(n);
    const mmoe_weights w(model);
    Tensor x = tensor(batch.x.view());
    const Tensor user = x.narrow(1, 0, 160)[0].unsqueeze(0).contiguous(),
                 items = x.narrow(1, 160, 96).contiguous();
    if (request) x = at::cat({user.expand({items.size(0), -1}), items}, 1);
    funnel::inference_context<float> context;
    const std::vector<float> ours = logits_of(model, context, tensor_view(x));
    std::vector<way> ways;
    const auto separate = with_parts(separate_constants(w)),
               joined = with_parts(joined_constants(w));
    using enum reading;
    for (const reading how : request ? std::vector{side_by_side, user_once} : std::vector{rows}) {
      const std::vector<Tensor> arguments = request ? std::vector{user, items} : std::vector{x};
      if (!layers) add_script(ways, joined_script(how), joined, arguments);
      add_script(ways, separate_script(how), separate, arguments);
    }
    return fastest(ours, ways);
  });
}

// embeddings

task make_bag() {
  const auto data = std::make_shared<const bag_data>();
  const Tensor table = tensor(data->table);
  funnel::embedding_bag<float> layer(bag_data::rows, bag_data::dim);
  layer.table.value = data->table;
  funnel::inference_context<float> context;
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
    compare({ours.data(), ours.size()}, values(*result));
    ways.push_back({[=] { run((*batch)++ % static_cast<long>(bag_data::batches)); }, result});
  }
  return fastest({}, ways);
}

// attention and towers

task make_attention() {
  const attention_data data;
  const Tensor q = tensor(data.candidates), events = tensor(data.events);
  funnel::inference_context<float> context;
  const auto ours =
      funnel::target_attention(context, data.candidates.view(), data.events.view(), data.offsets);
  std::vector<way> ways;
  add_script(ways, R"(
def forward(self, q, x):
    return torch.matmul(torch.softmax(torch.matmul(q, x.t()) * 0.125, 1), x)
)",
             {}, {q, events});
  add_eager(ways, [=] { return at::mm(at::softmax(at::mm(q, events.t()).mul_(.125), 1), events); });
  return fastest({ours.data(), ours.size()}, ways);
}

task make_towers() {
  const tower_model model;
  const tower_data data;
  funnel::inference_context<float> context;
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
  const std::string user = layers("user", model.user, "user"),
                    cross = layers("cross", model.cross, "crosses"),
                    head = "def forward(self, user, items, crosses):\n    u = " + user;
  std::vector<way> ways;
  const auto add_way = [&](const std::string& script) {
    add_script(ways, script, constants, {tensor(data.user), tensor(vectors), tensor(data.crosses)});
  };
  std::string top = layers("top", model.top, "x");
  add_way(head + ".expand(items.size(0), -1)\n    c = " + cross +
          "\n    x = torch.cat([u, items, c], 1)\n    return " + top + "\n");
  // The first layer of the top: the user's product is what the others' is added to.
  const Tensor w = tensor(model.top.layers[0].weight.value);
  const long users = model.user.layers.back().weight.value.cols();
  constants.push_back({"w_top_user", w.narrow(0, 0, users).t().contiguous()});
  constants.push_back({"w_top_items", w.narrow(0, users, w.size(0) - users).contiguous()});
  const std::string whole = "torch.linear(x, self.w_top0, self.b_top0)";
  top.replace(top.find(whole), whole.size(),
              "torch.addmm(torch.linear(u, self.w_top_user, self.b_top0), x, self.w_top_items)");
  add_way(head + "\n    c = " + cross + "\n    x = torch.cat([items, c], 1)\n    return " + top +
          "\n");
  return fastest({ours.data(), ours.size()}, ways);
}

/// The reference BLAS, which Debian installs where no other is chosen, is slower by an order of
/// magnitude: nobody who measures LibTorch means that.
void refuse_reference_blas() {
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);)
    if (line.find("/blas/libblas.so") != std::string::npos) {
      std::fputs("libtorch_bench: LibTorch runs on the reference BLAS, expected OpenBLAS "
                 "(libopenblas0-pthread)\n",
                 stderr);
      std::exit(1);
    }
}

const bool added = [] {
  refuse_reference_blas();
  at::set_num_threads(1);
  // Of its long description what says which kernels it runs on.
  std::string description = "LibTorch " TORCH_VERSION;
  std::istringstream config(at::show_config());
  for (std::string line; std::getline(config, line);)
    for (const char* part : {"MKL-DNN", "Math Kernel", "CPU capability"})
      if (line.find(part) != std::string::npos) description += "," + line.substr(3);
  benchmark::AddCustomContext("peer", description);
  for (const bool request : {false, true})
    for (const bool layers : {false, true})
      for (const std::size_t n : mmoe_rows) add_mmoe(n, request, layers);
  add("embedding_bag/1000000x64/bags:512/len:50", make_bag);
  add("target_attention/500x200x64", make_attention);
  add("three_tower/5000", make_towers);
  return true;
}();

}  // namespace
