# SPDX-License-Identifier: MIT
# cmake -D compiler=... -D source=... -D folders=<include folders> -P pair.cmake
cmake_minimum_required(VERSION 3.25)

list(TRANSFORM folders PREPEND -I)
set(command ${compiler} -std=c++20 -fsyntax-only ${folders} ${source})

execute_process(COMMAND ${command} RESULT_VARIABLE failed ERROR_VARIABLE said)
if(failed)
  message(FATAL_ERROR "${source} does not compile as it is:\n${said}")
endif()

file(STRINGS ${source} expected REGEX "^// error: ")
string(REGEX REPLACE "^// error: " "" expected "${expected}")
if(NOT expected)
  message(FATAL_ERROR "${source} has no line `// error: <regular expression>`")
endif()
execute_process(COMMAND ${command} -DMUST_FAIL RESULT_VARIABLE failed ERROR_VARIABLE said)
if(NOT failed)
  message(FATAL_ERROR "${source} compiles with -DMUST_FAIL")
elseif(NOT said MATCHES "${expected}")
  message(FATAL_ERROR "${source} fails with other words than `${expected}`:\n${said}")
endif()

# A source with the line `// one error` must fail with nothing else.
file(STRINGS ${source} alone REGEX "^// one error$")
string(REGEX MATCHALL "[0-9]: error: " errors "${said}")
list(LENGTH errors count)
if(alone AND NOT count EQUAL 1)
  message(FATAL_ERROR "${source} fails with ${count} errors, expected 1:\n${said}")
endif()
