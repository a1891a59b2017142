#!/usr/bin/env bash
# Installs, builds and runs every test. The last line is "N passed, N failed, N skipped", counted over
# single tests; a test program that ends without a report counts as one failure.
# Usage: ./test.sh [PRESET]   (release, dev, asan-ubsan, tsan)
set -euo pipefail
cd "$(dirname "$0")"
preset=${1:-release}

deploy/install-deps.sh
cmake --preset "$preset"
cmake --build --preset "$preset"

reports=$PWD/build/$preset/reports
rm -rf "$reports"
mkdir -p "$reports"
status=0
GTEST_OUTPUT=xml:$reports/ ctest --preset "$preset" -j "$(nproc)" || status=$?

results() { find "$reports" -name '*.xml' -exec cat {} +; }
# sum NAME: of an attribute over every report's outermost element.
sum() {
  results | sed -nE "s/.*<testsuites .*\b$1=\"([0-9]+)\".*/\1/p" | awk '{n += $1} END {print n + 0}'
}
tests=$(sum tests)
failed=$(sum failures)
skipped=$(results | grep -c 'result="skipped"' || true)
programs=$(ctest --preset "$preset" -N | sed -nE 's/^Total Tests: ([0-9]+)$/\1/p')
silent=$((programs - $(find "$reports" -name '*.xml' | wc -l)))
failed=$((failed + silent))
if [ "$status" -ne 0 ] && [ "$failed" -eq 0 ]; then failed=1; fi

if [ "$skipped" -gt 0 ]; then
  echo "Skipped:"
  results | grep -oE '<skipped message="[^"]*' | sed -E 's/<skipped message="/  /; s/&#x0A;/ /g' | sort | uniq -c
fi
echo "$((tests - failed + silent - skipped)) passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
