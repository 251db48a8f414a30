// SPDX-License-Identifier: MIT
#include <funnel/nn/training_context.hpp>
#include <funnel/optim/add_gradients.hpp>

#include "optim/small_models.hpp"
#include "support/catch.hpp"
#include "support/errors.hpp"

TEST_CASE("add_gradients: weighted sums of dense values, rows and statistics") {
  small_model m;
  tape a;
  tape b;
  set(a.gradient(m.weight).values().row(0), {1, 2});
  set(b.gradient(m.weight).values().row(0), {10, 20});
  set(a.gradient(m.table).row(0), {1, 1});
  set(b.gradient(m.table).row(3), {4, 8});
  set(b.gradient(m.table).row(0), {2, 2});
  b.gradient(m.mean).values()(0, 0) = 6;
  add_gradients(m, a, b, 0.5);
  CHECK(a.gradient(m.weight).values()(0, 1) == 12);
  CHECK(a.gradient(m.table).row(0)[0] == 2);
  CHECK(a.gradient(m.table).row(3)[1] == 4);
  CHECK(a.gradient(m.table).touched().size() == 2);
  CHECK(a.gradient(m.mean).values()(0, 0) == 3);
  CHECK(b.gradient(m.weight).values()(0, 1) == 20);
}

TEST_CASE("add_gradients: what is added to must fit too") {
  small_model m;
  tape to;
  tape from;
  set(to.gradient(m.weight).values().row(0), {1, 1});
  set(to.gradient(m.table).row(3), {1, 1});
  m.table.value.assign(2, 2);
  set(from.gradient(m.weight).values().row(0), {1, 1});
  set(from.gradient(m.table).row(1), {1, 1});
  CHECK(refuses([&] { add_gradients(m, to, from, 1.); }, "funnel::add_gradients", "table"));
  CHECK(to.gradient(m.weight).values()(0, 0) == 1);
}
