# SPDX-License-Identifier: MIT
# cmake -D root=<the repository> -D folder=<to write in> -P links_test.cmake
#
# What links.cmake says about small repositories made here.
cmake_minimum_required(VERSION 3.25)
include(${CMAKE_CURRENT_LIST_DIR}/../support/mistakes.cmake)

set(made ${folder}/links)

# Checks the small repository, which should be refused with `said`, or pass where that is empty.
function(expect case said)
  execute_process(COMMAND ${CMAKE_COMMAND} -D root=${made} -P ${root}/tests/docs/links.cmake
                  RESULT_VARIABLE result ERROR_VARIABLE text)
  string(REGEX REPLACE "[ \n]+" " " text "${text}")
  if((said AND (result EQUAL 0 OR NOT text MATCHES "${said}")) OR (NOT said AND NOT result EQUAL 0))
    mistake("${case}: should say \"${said}\"; it said: ${text}")
  endif()
endfunction()

# A page with one line more than the headings that others link to.
function(write_page line)
  file(WRITE ${made}/docs/formulas.md
       "# Formulas\n\n## Log loss, `p` and q\n\n### Twice\n\n### Twice\n\n```text\n# No heading\n[no](link.md)\n```\n\n${line}\n")
endfunction()

file(REMOVE_RECURSE ${made})
file(WRITE ${made}/CONTRIBUTING.md "# Contributing\n")
file(WRITE ${made}/README.md "# Readme\n\n[a page](docs/formulas.md), `[](code.md)`\n")
write_page("[up](#formulas), [loss](#log-loss-p-and-q), [second](formulas.md#twice-1), [readme](../README.md#readme)")
expect("links that lead somewhere" "")
write_page("[x](https://example.org/none.md#none)")
expect("an address" "")

write_page("[x](none.md)")
expect("a page that is not there" "formulas.md:14: there is no none.md")
write_page("[x](#three)")
expect("a heading that is not there" "formulas.md:14: there is no heading for #three")
write_page("[x](#twice-2)")
expect("a heading that is not there three times" "there is no heading for #twice-2")
write_page("[x](#no-heading)")
expect("a comment in a code block" "there is no heading for #no-heading")
write_page("[one](#formulas) and [x](../README.md#none)")
expect("a heading of another page" "there is no heading for #none in [^ ]*README.md")
write_page("[`x`](code.hpp)")
expect("a file that is not there" "there is no code.hpp")
write_page("<img src=\"none.svg\">")
expect("a picture that is not there" "there is no none.svg")
write_page("")

# Headers.
function(write_header comment)
  file(WRITE ${made}/include/funnel/core/a.hpp "#pragma once\n\n${comment}\nint a[2];\n")
endfunction()

write_header("/// Says it.\n///\n/// Cost        O(1).\n/// Source      Gini,\n///             1912.")
expect("a paper" "")
write_header("/// Says it. Source: docs/formulas.md#log-loss-p-and-q.")
expect("a heading of the page" "")
write_header("/// Source      RFC 4180\n/// Cost        O(1)")
expect("a standard" "")

write_header("/// Source      the notes, of course.\n///\n/// In 1912.")
expect("no paper" "a.hpp:3: this Source cites no paper and no heading of docs/formulas.md: the notes")
write_header("/// Source      the notes.\n/// Cost        2000 steps")
expect("a year in what follows" "a.hpp:3: this Source cites no paper")
write_header("/// Says it. Source: item 7.\nint year = 1912;")
expect("a year in the code" "a.hpp:3: this Source cites no paper")
write_header("/// Source      docs/formulas.md#none, 1912.")
expect("a heading of the page that is not there" "a.hpp:3: there is no heading for #none")
write_header("/// Source      docs/formulas.md#log-loss-p-and-q.\n///             docs/none.md has figures.")
expect("another page that is not there" "a.hpp:4: there is no docs/none.md")

write_header("/// 5, unless\n/// told.")
expect("an unclear phrase over two lines" "a.hpp: \"5, unless told\" says nothing")
write_header("")
file(WRITE ${made}/CONTRIBUTING.md "As in the notes.\n")
expect("an unclear phrase of a page" "CONTRIBUTING.md: \"As in the notes\" says nothing")

file(REMOVE_RECURSE ${made})
fail_on_mistakes()
