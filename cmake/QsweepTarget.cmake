# qsweep_precompiled(NAME HEADERS ... LIBS ...): headers that nearly every file of some rooms includes and
# that take longer to parse than the file itself. A room's CMakeLists.txt names the one it uses in
# QSWEEP_PRECOMPILED. Files include what they use all the same: CMAKE_DISABLE_PRECOMPILE_HEADERS builds without any.
function(qsweep_precompiled name)
  cmake_parse_arguments(arg "" "" "HEADERS;LIBS" ${ARGN})
  set(empty ${CMAKE_CURRENT_BINARY_DIR}/precompiled.cc)
  file(TOUCH ${empty})
  add_library(${name} OBJECT ${empty})
  target_link_libraries(${name} PRIVATE ${arg_LIBS})
  target_precompile_headers(${name} PRIVATE ${arg_HEADERS})
endfunction()

# qsweep_library(NAME SOURCES ... LIBS ...): one room, or a part of one.
function(qsweep_library name)
  cmake_parse_arguments(arg "" "" "SOURCES;LIBS" ${ARGN})
  add_library(${name} STATIC ${arg_SOURCES})
  target_include_directories(${name} PUBLIC ${CMAKE_SOURCE_DIR})
  target_link_libraries(${name} PUBLIC ${arg_LIBS})
  target_precompile_headers(${name} REUSE_FROM ${QSWEEP_PRECOMPILED})
endfunction()

# qsweep_binary(NAME SOURCES ... LIBS ...): an installed program, its command line.
function(qsweep_binary name)
  cmake_parse_arguments(arg "" "" "SOURCES;LIBS" ${ARGN})
  add_executable(${name} ${arg_SOURCES})
  target_link_libraries(${name} PRIVATE ${arg_LIBS})
  target_precompile_headers(${name} REUSE_FROM ${QSWEEP_PRECOMPILED})
  install(TARGETS ${name} RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endfunction()

# What makes and drops messages by the hundred thousand spends a fifth of its time in glibc's malloc
# (bench/scale.cc). A sanitizer brings an allocator of its own.
function(qsweep_allocate_by_jemalloc name)
  if(NOT QSWEEP_SANITIZE)
    target_link_libraries(${name} PRIVATE PkgConfig::jemalloc)
  endif()
endfunction()

# What several tests share; as qsweep_library.
function(qsweep_test_library name)
  if(QSWEEP_TESTS)
    qsweep_library(${name} ${ARGN})
  endif()
endfunction()

# qsweep_test(NAME SOURCES ... LIBS ... [STARTS PROGRAM ...] [TIMEOUT SECONDS] [LABELS ...]): NAME is the
# program and its line in ctest. A test that starts fake_qtrain finds its path in QSWEEP_FAKE_QTRAIN.
function(qsweep_test name)
  if(NOT QSWEEP_TESTS)
    return()
  endif()
  cmake_parse_arguments(arg "" "TIMEOUT" "SOURCES;LIBS;STARTS;LABELS" ${ARGN})
  add_executable(${name} ${arg_SOURCES})
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  target_link_libraries(${name} PRIVATE ${arg_LIBS} GTest::gmock GTest::gtest_main)
  target_precompile_headers(${name} REUSE_FROM ${QSWEEP_PRECOMPILED})
  # Half of a build is tests, which run for seconds. From GCC 13 on, headers precompiled at another level
  # are not used.
  if(CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
    target_compile_options(${name} PRIVATE -O1)
  endif()
  target_compile_definitions(${name} PRIVATE QSWEEP_SOURCE_DIR="${CMAKE_SOURCE_DIR}"
                                             QSWEEP_BIN_DIR="${CMAKE_BINARY_DIR}/bin")
  if(arg_STARTS)
    add_dependencies(${name} ${arg_STARTS})
  endif()
  if(fake_qtrain IN_LIST arg_STARTS)
    target_compile_definitions(${name} PRIVATE QSWEEP_FAKE_QTRAIN="$<TARGET_FILE:fake_qtrain>")
  endif()
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 300)
  endif()
  add_test(NAME ${name} COMMAND ${name})
  # Threads that wait sleep soon: tests share the cores, and libgomp would spin.
  set_tests_properties(${name} PROPERTIES TIMEOUT ${arg_TIMEOUT} LABELS "${arg_LABELS}"
                                          ENVIRONMENT "GOMP_SPINCOUNT=4000")
endfunction()

# qsweep_fuzzer(NAME CORPUS CHANGES LIBS ...): what reads bytes from outside, fed with any. The preset
# "fuzz" makes each a libFuzzer:
#   build/fuzz/tests/yaml_fuzzer tests/fuzz/corpus/yaml
# In any other the corpus and some thousand changes of it are a test, NAME_replay.
function(qsweep_fuzzer name corpus changes)
  if(NOT QSWEEP_TESTS)
    return()
  endif()
  cmake_parse_arguments(arg "" "" "LIBS" ${ARGN})
  if(QSWEEP_FUZZ)
    add_executable(${name} ${name}.cc ${CMAKE_SOURCE_DIR}/tests/fuzz/coverage.cc)
    set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
    target_compile_definitions(${name} PRIVATE QSWEEP_SOURCE_DIR="${CMAKE_SOURCE_DIR}")
    target_link_libraries(${name} PRIVATE ${arg_LIBS} ${LIBFUZZER})
    target_link_options(${name} PRIVATE -Wl,--wrap=__sanitizer_cov_trace_pc)
    add_dependencies(fuzzers ${name})
  else()
    qsweep_test(${name}_replay SOURCES ${name}.cc ${CMAKE_SOURCE_DIR}/tests/fuzz/replay.cc LIBS ${arg_LIBS})
    target_compile_definitions(${name}_replay PRIVATE
      QSWEEP_FUZZ_CORPUS="${CMAKE_CURRENT_SOURCE_DIR}/corpus/${corpus}" QSWEEP_FUZZ_CHANGES=${changes})
  endif()
endfunction()
