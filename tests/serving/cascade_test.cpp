// SPDX-License-Identifier: MIT
#include <funnel/serving/cascade.hpp>

#include "support/catch.hpp"
#include "support/errors.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numeric>
#include <stdexcept>
#include <string>
#include <vector>

using funnel::cascade;
using funnel::cascade_trace;
using funnel::drop_cause;
using funnel::scorer_call;
using funnel::selector_call;
using funnel::source_call;
using funnel::stage_options;
using funnel::when_failed;
using funnel::when_late;
using funnel::when_short;

namespace {

struct request {
  std::int64_t first = 0;
};
using ids = std::vector<std::int64_t>;

/// A cascade on a clock of the test: ids first .. first + 9, scored by -id ("prerank", keeps 6) and by
/// id % 4 ("rank", two outputs, keeps 4); a selector takes every second.
struct fixture {
  double now = 0;
  double source_ms = 1, prerank_ms = 1, rank_ms = 1, select_ms = 1;
  std::vector<std::size_t> sent;  // to prerank, rank, select
  double remaining = 0;           // of rank
  cascade<request> pages;

  explicit fixture(double budget = 0, stage_options prerank = {}, stage_options rank = {},
                   stage_options select = {}, stage_options source = {})
      : pages({.budget_ms = budget, .now_ms = [this] { return now; }}) {
    source.name = "ids";
    pages.add_source(source, [this](const request& r, source_call& to) {
      for (std::int64_t i = 0; i < 10; ++i) to.add(r.first + i, 1);
      now += source_ms;
    });
    prerank.name = "prerank";
    prerank.keeps = 6;
    pages.add_scorer(prerank, [this](const request&, scorer_call& call) {
      sent.push_back(call.size());
      for (std::size_t i = 0; i < call.size(); ++i)
        call.scores()(i, 0) = -static_cast<float>(call.ids()[i]);
      now += prerank_ms;
    });
    rank.name = "rank";
    rank.keeps = 4;
    rank.outputs = {"unused", "modulo"};
    rank.order_by = 1;
    pages.add_scorer(rank, [this](const request&, scorer_call& call) {
      sent.push_back(call.size());
      remaining = call.remaining_ms();
      const auto before = call.scores_of("prerank");
      for (std::size_t i = 0; i < call.size(); ++i) {
        call.scores()(i, 0) = before(i, 0);
        call.scores()(i, 1) = static_cast<float>(call.ids()[i] % 4);
      }
      now += rank_ms;
    });
    select.name = "select";
    select.keeps = 2;
    pages.add_selector(select, [this](const request&, selector_call& call) {
      sent.push_back(call.size());
      for (std::size_t i = 0; i < call.picked().size(); ++i)
        call.picked()[i] = std::min(2 * i, call.size() - 1);
      now += select_ms;
    });
  }

  ids page(std::int64_t first = 0) {
    sent.clear();
    const auto shown = pages(request{first});
    return {shown.begin(), shown.end()};
  }
};

}  // namespace

TEST_CASE("cascade: sources, scorers and a selector in turn") {
  fixture f;
  // prerank: 0 1 2 3 4 5; rank, by id % 4 and then by the order so far: 3, 2, then 1 and 5.
  CHECK(f.page() == ids{3, 1});
  CHECK(f.sent == std::vector<std::size_t>{10, 6, 4});
  const funnel::candidates& all = f.pages.candidates();
  REQUIRE(all.size() == 10);
  CHECK(all.fate_of(9) == funnel::candidates::fate{drop_cause::size, 1});
  CHECK(all.fate_of(0) == funnel::candidates::fate{drop_cause::size, 2});
  CHECK(all.fate_of(2) == funnel::candidates::fate{drop_cause::size, 3});
  CHECK(all.fate_of(1).cause == drop_cause::none);
  CHECK(all.scores(0)(9, 0) == -9);
  CHECK(all.scores(1)(5, 1) == 1);
  CHECK(std::isnan(all.scores(1)(6, 1)));  // was not ranked
  CHECK(f.pages.milliseconds() == 4);
  CHECK(f.pages.milliseconds(2) == 1);
  CHECK(f.page(100) == ids{103, 101});  // nothing of the request before is left
  const auto& counts = f.pages.counts(f.pages.stage_of("rank"));
  CHECK(counts.runs == 2);
  CHECK(counts.sent == 12);
  CHECK(counts.went_on == 8);
  CHECK(counts.milliseconds == 2);
  CHECK(counts.late + counts.failed + counts.skipped + counts.shrunk + counts.empty == 0);
}

TEST_CASE("cascade: what is not sent is dropped") {
  fixture f(0, {.takes = 5});
  f.page();
  CHECK(f.sent == std::vector<std::size_t>{5, 5, 4});
  CHECK(f.pages.candidates().fate_of(5) == funnel::candidates::fate{drop_cause::not_sent, 1});
}

TEST_CASE("cascade: several sources, one that finds too many, one for want of others") {
  cascade<request> pages;
  pages.add_source({.name = "first", .keeps = 3}, [](const request& r, source_call& to) {
    CHECK(to.room() == 3);
    std::int64_t id = 0;
    while (to.add(id, 1)) ++id;
    CHECK(to.full());
    CHECK(id == 3);
    if (r.first == 1) throw std::runtime_error("the store is away");
  });
  pages.add_source({.name = "second"}, [](const request&, source_call& to) {
    to.add(2, 7);
    to.add(50, 8);
  });
  pages.add_source({.name = "popular", .only_below = 4},
                   [](const request&, source_call& to) { to.add(70, 1); });
  CHECK(std::ranges::equal(pages({}), ids{0, 1, 2, 50}));
  CHECK(pages.candidates().source_bits(2) == 3);
  CHECK(pages.counts(2).runs == 0);
  CHECK(pages.counts(2).skipped == 0);
  // What a source found before it threw is used.
  CHECK(std::ranges::equal(pages({1}), ids{0, 1, 2, 50}));
  CHECK(pages.counts(0).failed == 1);
  CHECK(pages.last_error(0) == "the store is away");
}

TEST_CASE("cascade: an empty source is counted, and a fall-back gives the page") {
  cascade<request> pages;
  bool has_popular = true;
  pages.add_source({.name = "none"}, [](const request&, source_call&) {});
  pages.add_source({.name = "popular", .only_below = 1}, [&](const request&, source_call& to) {
    if (has_popular) to.add(9, 1);
  });
  pages.add_scorer({.name = "rank"}, [](const request&, scorer_call&) {});
  CHECK(std::ranges::equal(pages({}), ids{9}));
  CHECK(pages.counts(0).empty == 1);
  CHECK(pages.counts(2).empty == 0);
  has_popular = false;
  CHECK(pages({}).empty());  // no candidates: an empty page, no error
  CHECK(pages.counts(2).runs == 1);
  CHECK(pages.counts(2).empty == 1);
}

TEST_CASE("cascade: filters drop, and one that throws lets the others go on") {
  cascade<request> pages;
  pages.add_source({.name = "ids"}, [](const request&, source_call& to) {
    for (std::int64_t i = 0; i < 6; ++i) to.add(i, 1);
  });
  pages.add_filter({.name = "odd"}, [](const request& r, std::int64_t id) {
    if (id == 4 && r.first == 1) throw std::runtime_error("no filter");
    return id % 2 == 1;
  });
  CHECK(std::ranges::equal(pages({}), ids{1, 3, 5}));
  CHECK(pages.candidates().fate_of(4) == funnel::candidates::fate{drop_cause::filter, 1});
  CHECK(std::ranges::equal(pages({1}), ids{1, 3, 4, 5}));
  CHECK(pages.counts(1).failed == 1);

  cascade<request> strict;
  strict.add_source({.name = "ids"}, [](const request&, source_call& to) { to.add(1, 1); });
  strict.add_filter({.name = "legal", .if_failed = when_failed::raise},
                    [](const request& r, std::int64_t) -> bool {
                      if (r.first == 1) throw std::runtime_error("no filter");
                      return true;
                    });
  CHECK_THROWS_AS(strict({1}), std::runtime_error);
  CHECK(strict.counts(1).failed == 1);
  CHECK(std::ranges::equal(strict({0}), ids{1}));  // the next request is served
}

TEST_CASE("cascade: a stage that throws passes the order so far, or ends the request") {
  for (const std::size_t broken : {1u, 2u, 3u}) {
    cascade<request> pages;
    pages.add_source({.name = "ids"}, [](const request&, source_call& to) {
      for (std::int64_t i = 0; i < 6; ++i) to.add(i, 1);
    });
    const auto fails = [broken](std::size_t stage) {
      if (stage == broken) throw std::runtime_error("stage");
    };
    pages.add_scorer({.name = "one", .keeps = 4}, [&](const request&, scorer_call& call) {
      for (std::size_t i = 0; i < call.size(); ++i)
        call.scores()(i, 0) = static_cast<float>(call.ids()[i]);
      fails(1);
    });
    pages.add_scorer({.name = "two", .keeps = 3}, [&](const request&, scorer_call& call) {
      for (std::size_t i = 0; i < call.size(); ++i)
        call.scores()(i, 0) = static_cast<float>(call.ids()[i] % 2);
      fails(2);
    });
    pages.add_selector({.name = "page", .keeps = 2}, [&](const request&, selector_call& call) {
      call.picked()[0] = 2;
      call.picked()[1] = 1;
      fails(3);
    });
    const auto shown = pages({});
    CAPTURE(broken);
    // one: 5 4 3 2; two: 5 3 4; page: 4 3.
    CHECK(std::ranges::equal(shown, broken == 1 ? ids{0, 3} : broken == 2 ? ids{3, 4} : ids{5, 3}));
    CHECK(pages.counts(broken).failed == 1);
    CHECK(pages.last_error(broken) == "stage");
    if (broken == 1) CHECK(std::isnan(pages.candidates().scores(0)(0, 0)));  // not used
  }
  fixture f(0, {}, {.if_failed = when_failed::raise});
  f.pages.add_scorer({.name = "last", .if_failed = when_failed::raise},
                     [](const request&, scorer_call&) { throw 5; });
  CHECK_THROWS_AS(f.page(), int);
  CHECK(f.pages.last_error(4) == "an exception that is no std::exception");
}

TEST_CASE("cascade: a late stage is counted, and its results are used or not") {
  fixture used(0, {}, {.budget_ms = 5});
  used.rank_ms = 9;
  CHECK(used.page() == ids{3, 1});
  CHECK(used.pages.counts(2).late == 1);
  fixture dropped(0, {}, {.budget_ms = 5, .if_late = when_late::drop});
  dropped.rank_ms = 9;
  CHECK(dropped.page() == ids{0, 2});  // prerank's order
  CHECK(dropped.pages.counts(2).late == 1);
  CHECK(std::isnan(dropped.pages.candidates().scores(1)(0, 1)));
  dropped.rank_ms = 5;  // not late
  CHECK(dropped.page() == ids{3, 1});
  CHECK(dropped.pages.counts(2).late == 1);

  cascade<request> pages({.now_ms = [&] { return used.now; }});
  pages.add_source({.name = "quick"}, [](const request&, source_call& to) { to.add(1, 1); });
  pages.add_source({.name = "slow", .budget_ms = 2, .if_late = when_late::drop},
                   [&](const request&, source_call& to) {
                     to.add(1, 1);
                     to.add(2, 1);
                     used.now += 3;
                   });
  CHECK(std::ranges::equal(pages({}), ids{1}));
  CHECK(pages.candidates().fate_of(1) == funnel::candidates::fate{drop_cause::late, 1});
}

TEST_CASE("cascade: a stage is told what later stages leave it") {
  fixture f(20, {.budget_ms = 4}, {.budget_ms = 10}, {.budget_ms = 3});
  f.page();
  CHECK(f.remaining == 10);  // its own budget
  f.prerank_ms = 9;          // 20 - 1 - 9 - 3 = 7 are left
  f.page();
  CHECK(f.remaining == 7);
  fixture unlimited;
  unlimited.page();
  CHECK(unlimited.remaining == std::numeric_limits<double>::infinity());
}

TEST_CASE("cascade: for want of time, later stages shrink as declared, and a page comes") {
  const stage_options rank{.budget_ms = 10, .takes_at_least = 2};
  fixture f(20, {.budget_ms = 4}, rank, {.budget_ms = 3});
  f.prerank_ms = 11;  // rank has 5 of its 10 ms, and is sent half of 6
  // Ranked: 2 1 0 by modulo; then 3, which would have been sent, up to the 4 that rank keeps.
  CHECK(f.page() == ids{2, 0});
  CHECK(f.sent == std::vector<std::size_t>{10, 3, 4});
  CHECK(f.pages.counts(2).shrunk == 1);
  CHECK(f.pages.counts(2).went_on == 4);
  CHECK(f.pages.candidates().fate_of(3) == funnel::candidates::fate{drop_cause::size, 3});

  // Nothing is left: prerank is skipped, rank is sent its least, the selector is skipped.
  f.source_ms = 1000;
  CHECK(f.page() == ids{1, 0});
  CHECK(f.sent == std::vector<std::size_t>{2});
  CHECK(f.pages.counts(1).skipped == 1);
  CHECK(f.pages.counts(3).skipped == 1);
  CHECK(f.pages.counts(0).late == 1);  // it ended after the request should have

  fixture skip(20, {}, {.budget_ms = 10, .if_short = when_short::skip});
  skip.source_ms = 12;
  CHECK(skip.page() == ids{0, 2});
  CHECK(skip.pages.counts(2).skipped == 1);
  fixture run(20, {}, {.budget_ms = 10, .if_short = when_short::run});
  run.source_ms = 12;
  CHECK(run.page() == ids{3, 1});
  CHECK(run.pages.counts(2).skipped + run.pages.counts(2).shrunk == 0);
}

TEST_CASE("cascade: when the time is over, a stage without a budget of its own is skipped, too") {
  fixture f(20);
  f.source_ms = 21;
  CHECK(f.page() == ids{0, 1});
  CHECK(f.sent.empty());
  for (const std::size_t s : {1u, 2u, 3u}) CHECK(f.pages.counts(s).skipped == 1);
}

TEST_CASE("cascade: a selector reads no scores of the request before") {
  fixture f(0, {}, {.budget_ms = 5, .if_late = when_late::drop});
  std::vector<float> relevance;
  f.pages.add_selector({.name = "last"}, [&](const request&, selector_call& call) {
    relevance.assign(call.relevance().begin(), call.relevance().end());
    call.shorten(0);
  });
  f.page();
  CHECK(relevance == std::vector<float>{3, 1});  // of rank
  f.rank_ms = 9;
  f.page();
  CHECK(relevance == std::vector<float>{0, -2});  // of prerank
  cascade<request> pages;
  pages.add_source({.name = "ids"}, [](const request&, source_call& to) { to.add(4, 1); });
  pages.add_scorer({.name = "rank"}, [](const request& r, scorer_call& call) {
    if (r.first == 1) throw std::runtime_error("no ranker");
    call.scores()(0, 0) = 7;
  });
  pages.add_selector({.name = "last"}, [&](const request&, selector_call& call) {
    relevance.assign(call.relevance().begin(), call.relevance().end());
    call.picked()[0] = 0;
  });
  pages({0});
  CHECK(relevance == std::vector<float>{7});
  pages({1});
  CHECK(relevance == std::vector<float>{0});
}

TEST_CASE("cascade: a selector that shrinks still gets a whole page") {
  fixture f(20, {}, {}, {.budget_ms = 10});
  f.rank_ms = 15;  // 3 of 10 ms are left: 1 of 4 candidates, but the page has 2
  CHECK(f.page() == ids{3, 2});
  CHECK(f.sent == std::vector<std::size_t>{10, 6, 2});
  CHECK(f.pages.counts(3).shrunk == 1);
}

TEST_CASE("cascade: traces say what each stage did") {
  fixture f(20, {.budget_ms = 4}, {.budget_ms = 10, .takes_at_least = 2}, {.budget_ms = 3});
  f.pages.add_scorer({.name = "broken"}, [](const request&, scorer_call& call) {
    call.note("bytes_read", 512);
    throw std::runtime_error("no memory");
  });
  f.prerank_ms = 11;
  cascade_trace trace;
  f.pages({}, &trace);
  REQUIRE(trace.stages.size() == 5);
  CHECK(trace.stages[0].name == "ids");
  CHECK(trace.stages[0].went_on == 10);
  CHECK(trace.stages[2].sent == 3);
  CHECK(trace.stages[2].went_on == 4);
  CHECK(trace.stages[2].ran);
  CHECK(trace.stages[2].shrunk);
  CHECK_FALSE(trace.stages[2].late);
  CHECK(trace.stages[2].milliseconds == 1);
  CHECK(trace.stages[4].error == "no memory");
  REQUIRE(trace.stages[4].notes.size() == 1);
  CHECK(trace.stages[4].notes[0].first == "bytes_read");
  CHECK(trace.stages[4].notes[0].second == 512);
  CHECK(trace.milliseconds == 14);
  f.source_ms = 1000;
  f.pages({}, &trace);
  CHECK_FALSE(trace.stages[1].ran);
  CHECK(trace.stages[0].late);
  CHECK(trace.stages[4].notes.empty());
}

TEST_CASE("cascade: warns of a selector that can only reorder") {
  CHECK(fixture().pages.warnings().empty());
  cascade<request> pages;
  const auto find = [](const request&, source_call&) {};
  const auto score = [](const request&, scorer_call&) {};
  const auto select = [](const request&, selector_call&) {};
  pages.add_source({.name = "a", .keeps = 6}, find);
  pages.add_source({.name = "b", .keeps = 4}, find);
  pages.add_scorer({.name = "rank", .keeps = 10}, score);
  pages.add_selector({.name = "diversity", .keeps = 10}, select);
  REQUIRE(pages.warnings().size() == 1);
  CHECK(pages.warnings()[0].find("stage \"diversity\" is sent at most 10") == 0);
  cascade<request> wider;
  wider.add_source({.name = "a", .keeps = 11}, find);
  wider.add_selector({.name = "diversity", .keeps = 10}, select);
  CHECK(wider.warnings().empty());
  wider.add_selector({.name = "again", .takes = 3, .keeps = 3}, select);
  CHECK(wider.warnings().size() == 1);
}

TEST_CASE("cascade: picks that are wrong count as a failure") {
  for (const std::size_t wrong : {0u, 4u}) {
    fixture f;
    f.pages.add_selector({.name = "wrong", .keeps = 2}, [&](const request&, selector_call& call) {
      call.picked()[0] = 0;
      call.picked()[1] = wrong;
    });
    CHECK(f.page() == ids{3, 1});
    CHECK(f.pages.counts(4).failed == 1);
    CHECK(f.pages.last_error(4).find("funnel::cascade: stage \"wrong\" picked") == 0);
  }
  fixture f;
  f.pages.add_selector({.name = "fewer", .keeps = 2}, [&](const request&, selector_call& call) {
    CHECK(call.relevance().size() == 2);
    CHECK(call.relevance()[0] == 3);  // of rank, by which they were ordered
    call.picked()[0] = 1;
    CHECK(refuses([&] { call.shorten(3); }, "funnel::selector_call::shorten: count is 3",
                  "at most 2"));
    call.shorten(1);
  });
  CHECK(f.page() == ids{1});
}

TEST_CASE("cascade: NaN scores come last, and a request without scores keeps the order") {
  cascade<request> pages;
  pages.add_source({.name = "ids"}, [](const request&, source_call& to) {
    for (std::int64_t i = 0; i < 4; ++i) to.add(i, 1);
  });
  pages.add_scorer({.name = "some"},
                   [](const request&, scorer_call& call) { call.scores()(2, 0) = -5; });
  CHECK(std::ranges::equal(pages({}), ids{2, 0, 1, 3}));
  cascade<request> unscored;
  unscored.add_source({.name = "ids"}, [](const request&, source_call& to) {
    for (std::int64_t i = 0; i < 4; ++i) to.add(i, 1);
  });
  std::vector<float> relevance;
  unscored.add_selector({.name = "page", .keeps = 1}, [&](const request&, selector_call& call) {
    relevance.assign(call.relevance().begin(), call.relevance().end());
    call.picked()[0] = 3;
  });
  CHECK(std::ranges::equal(unscored({}), ids{3}));
  CHECK(relevance == std::vector<float>{0, -1, -2, -3});
}

TEST_CASE("cascade: 100,000 candidates, and the same id twice") {
  cascade<request> pages;
  pages.add_source({.name = "ids"}, [](const request&, source_call& to) {
    for (std::int64_t i = 0; i < 100'000; ++i) to.add(i, 1), to.add(i, 2);
  });
  pages.add_scorer({.name = "rank", .keeps = 3}, [](const request&, scorer_call& call) {
    for (std::size_t i = 0; i < call.size(); ++i)
      call.scores()(i, 0) = static_cast<float>(call.ids()[i]);
  });
  CHECK(std::ranges::equal(pages({}), ids{99'999, 99'998, 99'997}));
  CHECK(pages.candidates().size() == 100'000);
}

TEST_CASE("cascade: wrong options are refused, and the stages are as before") {
  fixture f;
  const auto score = [](const request&, scorer_call&) {};
  const auto refused = [&](stage_options options, std::string words) {
    return refuses([&] { f.pages.add_scorer(options, score); }, "funnel::cascade: ", words);
  };
  CHECK(refused({}, "name of a stage is empty"));
  CHECK(refused({.name = "rank"}, "stage \"rank\" is there already"));
  CHECK(refused({.name = "x", .takes = 0}, "stage \"x\": takes is 0, expected 1 or more"));
  CHECK(refused({.name = "x", .keeps = 0}, "keeps is 0"));
  CHECK(refused({.name = "x", .outputs = {}}, "order_by is 0, expected below 0"));
  CHECK(refused({.name = "x", .order_by = 1}, "order_by is 1, expected below 1"));
  CHECK(refused({.name = "x", .budget_ms = -1}, "budget_ms is -1"));
  CHECK(refused({.name = "x", .budget_ms = std::nan("")}, "budget_ms is"));
  CHECK(refuses([&] { f.pages.add_scorer({.name = "x"}, nullptr); }, "funnel::cascade: stage \"x\"",
                "empty function"));
  CHECK(refuses([&] { f.pages.add_source({.name = "x"}, [](const request&, source_call&) {}); },
                "funnel::cascade: stage \"x\"", "sources first"));
  CHECK(refuses([&] { f.pages.counts(4); }, "funnel::cascade: stage is 4", "below 4"));
  CHECK(refuses([&] { f.pages.stage_of("y"); }, "funnel::cascade::stage_of: name is \"y\"", ""));
  CHECK(
      refuses([] { cascade<request>({.budget_ms = -1}); }, "funnel::cascade: budget_ms is -1", ""));
  CHECK(f.pages.stages() == 4);
  CHECK(f.page() == ids{3, 1});
  cascade<request> empty;
  CHECK(refuses([&] { empty({}); }, "funnel::cascade: there is no source", "expected"));
}

namespace {

/// Three sources of ids 0.., 100.. and 200.., each of which adds as many as it may, and a clock.
struct merging {
  double now = 0;
  std::vector<std::size_t> rooms, quotas;
  std::vector<std::int64_t> most = {1000, 1000, 1000};  // that each has
  std::vector<double> takes_ms = {1, 1, 1};
  std::size_t throws = 9;  // the number of the source that throws after its third
  cascade<request> pages;

  explicit merging(funnel::cascade_options options, std::array<stage_options, 3> sources = {})
      : pages([&] {
          options.now_ms = [this] { return now; };
          return options;
        }()) {
    for (std::size_t c = 0; c < sources.size(); ++c) {
      sources[c].name = "c" + std::to_string(c);
      pages.add_source(sources[c], [this, c](const request& r, source_call& to) {
        rooms.push_back(to.room());
        quotas.push_back(to.quota());
        const auto first = static_cast<std::int64_t>(100 * c) + r.first;
        for (std::int64_t i = 0; i < most[c] && to.add(first + i, 1); ++i)
          if (c == throws && i == 2) throw std::runtime_error("no connection");
        now += takes_ms[c];
      });
    }
  }
};

}  // namespace

TEST_CASE("cascade with a total: sources get quotas by their shares, and are merged") {
  merging m({.total = 10}, {stage_options{.share = 3}, {.share = 1}, {.share = 1}});
  cascade_trace trace;
  const auto page = m.pages({}, &trace);
  CHECK(ids(page.begin(), page.end()) == ids{0, 100, 200, 201, 101, 1, 2, 3, 4, 5});
  CHECK(m.quotas == std::vector<std::size_t>{6, 2, 2});
  CHECK(m.rooms == std::vector<std::size_t>{10, 10, 10});
  CHECK(trace.stages[0].quota == 6);
  CHECK(trace.stages[0].went_on == 6);
  CHECK(trace.stages[2].went_on == 2);
  CHECK(m.pages.counts(0).went_on == 6);
  CHECK(m.pages.counts(0).empty == 0);
  // The second finds only one: what it leaves is split 3 : 1.
  m.most[1] = 1;
  m.pages({});
  CHECK(m.pages.candidates().found_by(0) == 7);
  CHECK(m.pages.candidates().found_by(1) == 1);
  CHECK(m.pages.candidates().found_by(2) == 2);
  CHECK(m.pages.counts(0).went_on == 13);
  // `keeps` limits what a source may add.
  merging kept({.total = 10}, {stage_options{.keeps = 4, .share = 3}, {}, {}});
  kept.pages({});
  CHECK(kept.rooms == std::vector<std::size_t>{4, 10, 10});
  CHECK(kept.pages.candidates().found_by(0) == 4);
  CHECK(kept.pages.candidates().size() == 10);
}

TEST_CASE(
    "cascade with a total: shares by request, and a source that is switched off does not run") {
  merging m({.total = 8});
  m.pages.set_shares([](const request& r, std::span<double> shares) {
    CHECK(shares[0] == 1);
    if (r.first == 7) shares[1] = 0;
    if (r.first == 9) shares[2] = -1;
  });
  m.pages({7});
  CHECK(m.pages.candidates().size() == 8);
  CHECK(m.pages.candidates().found_by(1) == 0);
  CHECK(m.pages.counts(1).runs == 0);
  CHECK(m.pages.counts(1).skipped == 0);
  CHECK(m.pages.counts(1).empty == 0);
  m.pages({0});
  CHECK(m.pages.counts(1).runs == 1);
  CHECK(m.pages.candidates().found_by(1) > 0);
  CHECK(refuses([&] { m.pages({9}); }, "funnel::split_quota: ", "a share is -1"));
  m.pages({0});
  CHECK(m.pages.candidates().size() == 8);
  merging off({.total = 8}, {stage_options{.share = 0}, {.share = 0}, {.share = 0}});
  CHECK(off.pages({}).empty());
}

TEST_CASE("cascade with a total: sources that fail or are late leave their quotas to the others") {
  merging m({.budget_ms = 100, .total = 9},
            {stage_options{.budget_ms = 5, .if_late = when_late::drop}, {}, {}});
  m.takes_ms[0] = 7;
  m.pages({});
  CHECK(m.pages.counts(0).late == 1);
  CHECK(m.pages.candidates().found_by(0) == 0);
  CHECK(m.pages.candidates().size() == 9);
  CHECK(m.pages.counts(0).went_on == 0);
  m.takes_ms[0] = 1;
  m.throws = 1;  // what it found before is used
  m.pages({});
  CHECK(m.pages.counts(1).failed == 1);
  CHECK(m.pages.candidates().found_by(1) == 3);
  CHECK(m.pages.candidates().size() == 9);
  m.throws = 9;
  m.most = {1, 0, 2};
  m.pages({});
  CHECK(m.pages.candidates().size() == 3);
  CHECK(m.pages.counts(1).empty == 1);
}

TEST_CASE("cascade with a total: a fall-back runs if the others together found too few") {
  merging m({.total = 9}, {stage_options{}, {}, {.only_below = 5}});
  m.pages({});
  CHECK(m.pages.counts(2).runs == 0);
  CHECK(m.pages.candidates().size() == 9);
  m.most = {2, 2, 1000};
  m.pages({});
  CHECK(m.pages.counts(2).runs == 1);
  CHECK(m.pages.candidates().size() == 9);
}

TEST_CASE("cascade with a total: wrong options are refused") {
  CHECK(refuses([] { cascade<request> c({.total = (std::size_t{1} << 32) + 1}); },
                "funnel::cascade: ", "total is 4294967297, expected at most 2^32"));
  cascade<request> pages;
  CHECK(refuses([&] { pages.set_shares([](const request&, std::span<double>) {}); },
                "funnel::cascade::set_shares: ", "total is 0, expected"));
  CHECK(refuses(
      [&] { pages.add_source({.name = "a", .share = -1}, [](const request&, source_call&) {}); },
      "funnel::cascade: ", "share of stage \"a\" is -1, expected"));
}
