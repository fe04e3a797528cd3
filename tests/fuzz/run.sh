#!/usr/bin/env bash
# Runs libFuzzer targets one after the other: run.sh FOLDER SECONDS TARGET...
#
# A target fuzz_X starts from what lies in tests/fuzz/seeds/X/ (checked in: small, and what it has
# found before) and from what tests/fuzz/seed_X.py writes, when build/venv is there to run it. What
# it learns is kept in FOLDER/corpus/X. An input that breaks it is left in FOLDER/found and makes
# the run fail.
set -u
cd "$(dirname "$0")/../.." || exit 1
folder=$1 seconds=$2
shift 2
python=build/venv/bin/python
status=0

make_corpus() { # NAME
  mkdir -p "$folder/corpus/$1" "$folder/found"
  [ -d "tests/fuzz/seeds/$1" ] && cp -r "tests/fuzz/seeds/$1/." "$folder/corpus/$1/"
  [ -f "tests/fuzz/seed_$1.py" ] || return 0
  if [ -x "$python" ]; then
    "$python" -m "tests.fuzz.seed_$1" "$folder/corpus/$1" || status=1
  else
    echo "fuzz: without seed_$1.py: $python is missing; deploy/dev/python-env.sh makes it"
  fi
}

for target in "$@"; do
  name=${target##*/fuzz_}
  log="$folder/$name.log"
  options=(-max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048)
  options+=(-artifact_prefix="$folder/found/$name-")
  [ -f "tests/fuzz/fuzz_$name.dict" ] && options+=(-dict="tests/fuzz/fuzz_$name.dict")
  make_corpus "$name"
  if "$target" "${options[@]}" "$folder/corpus/$name" >"$log" 2>&1; then
    echo "fuzz: $name: $(grep -E '^Done [0-9]+ runs' "$log"), nothing found"
  else
    status=1
    echo "fuzz: $name FAILED; the end of $log:"
    tail -40 "$log"
  fi
done
exit $status
