// SPDX-License-Identifier: MIT
#include "libtorch.hpp"

#include <funnel/nn/embedding.hpp>
#include <funnel/sequence/target_attention.hpp>

#include <memory>
#include <sstream>
#include <torch/script.h>

// Each case in several ways that a user of LibTorch has: scripted and frozen, and that with
// optimize_for_inference; experts one by one and joined into batched products. The fastest of them,
// found before the measurement, is what is measured.

namespace {

using namespace bench;

/// One of the ways to do a case, and what it gave last.
struct way {
  task run;
  std::shared_ptr<Tensor> result;
};

/// The fastest of several ways, after a warm-up of each that also checks it.
task fastest(const std::string& name, std::span<const float> ours, const std::vector<way>& ways) {
  double least = INFINITY;
  task best;
  for (const way& w : ways) {
    for (int i = 0; i < 10; ++i) w.run();  // the profiling executor compiles in its first runs
    if (!ours.empty()) compare(name, ours, values(w.result->contiguous()), 1e-3);
    int runs = 0;
    const double begin = now();
    while (now() - begin < .03 || runs < 3) w.run(), ++runs;
    const double seconds = (now() - begin) / runs;
    if (seconds < least) best = w.run;
    least = std::min(least, seconds);
  }
  return best;
}

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
    funnel::inference<float> context;
    const std::vector<float> ours = logits_of(model, context, tensor_view(x));
    std::vector<way> ways;
    const auto scripted = [&](const std::string& script, const std::vector<constant>& constants) {
      if (request)
        add_script(ways, request_of(script), constants, {user, items});
      else
        add_script(ways, script, constants, {x});
    };
    if (!layers) scripted(joined_script, joined_constants(w));
    scripted(separate_script(), separate_constants(w));
    return fastest(name, ours, ways);
  });
}

// embeddings

task make_bag(const std::string& name) {
  const auto data = std::make_shared<const bag_data>();
  const Tensor table = tensor(data->table);
  funnel::embedding_bag<float> layer(bag_data::rows, bag_data::dim);
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
    compare(name, {ours.data(), ours.size()}, values(*result));
    ways.push_back({[=] { run((*batch)++ % static_cast<long>(bag_data::batches)); }, result});
  }
  return fastest(name, {}, ways);
}

// attention and towers

task make_attention(const std::string& name) {
  const attention_data data;
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

task make_towers(const std::string& name) {
  const tower_model model;
  const tower_data data;
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
    for (const bool layers : {false, true})
      for (const std::size_t n : size_list{1, 16, 128, 512, 2048}) add_mmoe(n, request, layers);
  const auto named = [](const std::string& name, auto make) {
    add(name, [=] { return make(name); });
  };
  named("embedding_bag/1000000x64/bags:512/len:50", make_bag);
  named("target_attention/500x200x64", make_attention);
  named("three_tower/5000", make_towers);
  return true;
}();

}  // namespace
