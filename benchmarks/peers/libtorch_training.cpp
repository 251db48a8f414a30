// SPDX-License-Identifier: MIT
#include "libtorch.hpp"

#include <funnel/loss/bce.hpp>
#include <funnel/loss/total_loss.hpp>
#include <funnel/nn/inference_context.hpp>
#include <funnel/nn/training_context.hpp>
#include <funnel/optim/adagrad.hpp>
#include <funnel/optim/adam.hpp>

#include <memory>
#include <utility>

// The half of the LibTorch peer that trains, in C++.

namespace {

using namespace bench;

/// The model for training: its weights as they are joined, or every layer's for itself.
struct trained {
  mmoe_weights joined;
  std::vector<constant> layers;
  bool by_layers;
  Tensor x, labels;
  std::unique_ptr<torch::optim::Adam> optimizer;

  trained(const mmoe_model& m, const mmoe_batch& b, bool one_by_one)
      : joined(m), by_layers(one_by_one), x(tensor(b.x)) {
    std::vector<Tensor> columns, parameters;
    for (const auto& l : b.labels) columns.push_back(tensor(l));
    labels = at::stack(columns);
    if (by_layers) {
      layers = separate_constants(joined);
      for (const constant& c : layers) parameters.push_back(c.value.requires_grad_());
    } else {
      for (Tensor* p : joined.all()) parameters.push_back(p->requires_grad_());
    }
    optimizer = std::make_unique<torch::optim::Adam>(parameters, torch::optim::AdamOptions(1e-3));
  }

  Tensor forward() const {
    if (!by_layers) return joined.joined(x);
    constexpr std::size_t each = 9;  // of separate_constants: w1 b1 w2 b2 gate w3 b3 w4 b4
    const auto at_layer = [&](std::size_t k, std::size_t i) { return layers[k * each + i].value; };
    std::vector<Tensor> experts, logits;
    for (std::size_t k = 0; k < 4; ++k) {
      const Tensor h = at::relu(at::linear(x, at_layer(k, 0), at_layer(k, 1)));
      experts.push_back(at::relu(at::linear(h, at_layer(k, 2), at_layer(k, 3))));
    }
    const Tensor stacked = at::stack(experts, 1);
    for (std::size_t t = 0; t < 4; ++t) {
      const Tensor g = at::softmax(at::linear(x, at_layer(t, 4)), 1);
      const Tensor mixed = at::bmm(g.unsqueeze(1), stacked).squeeze(1);
      const Tensor h = at::relu(at::linear(mixed, at_layer(t, 5), at_layer(t, 6)));
      logits.push_back(at::linear(h, at_layer(t, 7), at_layer(t, 8)));
    }
    return at::stack(logits);
  }

  void step() {
    optimizer->zero_grad();
    // The mean over tasks and rows, times the tasks: the sum of the tasks' means.
    (4 * at::binary_cross_entropy_with_logits(forward(), labels)).backward();
    optimizer->step();
  }
};

void add_training(std::size_t n, bool layers) {
  add("train_step/batch:" + std::to_string(n) + (layers ? "@layers" : ""), [=]() -> task {
    mmoe_model model;
    const mmoe_batch batch(n);
    const auto peer = std::make_shared<trained>(model, batch, layers);
    peer->step();

    funnel::training_context<float> context;
    funnel::adam<float> optimizer({.learning_rate = 1e-3});
    const auto y = model(context, context.input(batch.x));
    std::vector<funnel::variable<float>> losses;
    for (std::size_t t = 0; t < 4; ++t)
      losses.push_back(bce_with_logits(context, y[t], batch.labels[t].flat()));
    context.backward(total_loss(context, std::span<const funnel::variable<float>>(losses)));
    optimizer.step(model, context);
    funnel::inference_context<float> after;
    compare(logits_of(model, after, batch.x.view()), values(peer->forward().detach().contiguous()),
            1e-3);
    return [peer] { peer->step(); };
  });
}

/// Row-wise Adagrad is not among torch's optimizers: it is written with its operations. Gradients of
/// the rows by its sparse tensors, or summed over the distinct ids.
struct sparse_trainer {
  bool coalesced;
  Tensor table, weight, bias, sums, weight_sums, bias_sums, ids, labels;
  long batch = 0;

  sparse_trainer(const sparse_data& d, bool by_sparse_tensors)
      : coalesced(by_sparse_tensors), table(tensor(d.table).requires_grad_(coalesced)),
        weight(tensor(d.weight).t().contiguous().requires_grad_()),
        bias(torch::zeros({1}).requires_grad_()),
        sums(torch::full({static_cast<long>(sparse_data::rows)}, .1f)),
        weight_sums(torch::full_like(weight, .1f)), bias_sums(torch::full_like(bias, .1f)),
        ids(tensor(d.ids, torch::kLong)
                .view({static_cast<long>(sparse_data::batches), -1,
                       static_cast<long>(sparse_data::fields)})),
        labels(tensor(d.labels)) {}

  Tensor logits(const Tensor& x) const { return at::linear(x, weight, bias).squeeze(1); }
  Tensor read(long i) const { return at::embedding(table, ids[i], -1, false, true).flatten(1); }

  void step() {
    const long i = batch++ % ids.size(0);
    const Tensor x = coalesced ? read(i) : read(i).requires_grad_();
    at::binary_cross_entropy_with_logits(logits(x), labels[i]).backward();
    const torch::NoGradGuard guard;
    constexpr float rate = .05f, epsilon = 1e-10f;
    Tensor rows, of_rows;
    if (coalesced) {
      const Tensor g = table.grad().coalesce();
      rows = g.indices()[0], of_rows = g.values();
    } else {
      const auto [distinct, place, counts] = at::_unique2(ids[i].flatten(), true, true);
      constexpr long dim = sparse_data::dim;
      rows = distinct;
      of_rows = torch::zeros({rows.size(0), dim}).index_add_(0, place, x.grad().reshape({-1, dim}));
    }
    sums.index_add_(0, rows, of_rows.square().mean(1));
    table.index_add_(0, rows, of_rows / (sums.index_select(0, rows).sqrt_() + epsilon).unsqueeze(1),
                     -rate);
    for (const auto& [p, s] : {std::pair(weight, weight_sums), std::pair(bias, bias_sums)}) {
      s.addcmul_(p.grad(), p.grad());
      p.addcdiv_(p.grad(), s.sqrt() + epsilon, -rate);
      p.mutable_grad().reset();
    }
    if (coalesced) table.mutable_grad().reset();
  }
};

task make_sparse_step() {
  const sparse_data data;
  sparse_model model(data);
  funnel::training_context<float> context;
  funnel::adagrad<float> optimizer;
  context.backward(bce_with_logits(context, model(context, data.batch_ids(0)), data.labels.row(0)));
  optimizer.step(model, context);
  funnel::inference_context<float> after;
  const auto ours = model(after, data.batch_ids(0));

  std::vector<way> ways;
  for (const bool coalesced : {false, true}) {
    const auto s = std::make_shared<sparse_trainer>(data, coalesced);
    s->step();
    compare({ours.data(), ours.size()}, values(s->logits(s->read(0)).detach().contiguous()));
    ways.push_back({[s] { s->step(); }, nullptr});
  }
  return fastest({}, ways);
}

const bool added = [] {
  for (const std::size_t n : size_list{256, 1024})
    for (const bool layers : {false, true}) add_training(n, layers);
  add("train_step_embeddings/batch:1024", make_sparse_step);
  return true;
}();

}  // namespace
