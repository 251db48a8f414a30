// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/matrix.hpp>
#include <funnel/nn/context.hpp>
#include <funnel/nn/mlp.hpp>

#include <string>

/// Tower: a network on the caller's numbers.
template <class T>
struct network_tower {
  funnel::mlp<T> network;

  template <funnel::Context C>
  auto operator()(C& context, funnel::matrix_view<const T> x) const {
    return network(context, context.input(x));
  }
  void visit_parameters(auto&& visit) { visit("network", network); }
};

/// Tower that says when it runs, and returns its input.
struct spoken_tower {
  char name;
  std::string* spoken;

  template <funnel::Context C>
  auto operator()(C& context, funnel::matrix_view<const double> x) const {
    spoken->push_back(name);
    return context.input(x);
  }
  void visit_parameters(auto&&) {}
};
