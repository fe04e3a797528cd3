#!/usr/bin/env bash
# The Python side of the tests, in build/venv, and the data that they need, in build/deps.
#
#   python-env.sh           what tests/requirements.txt names (pytest and the Delta readers)
#   python-env.sh spark     also PySpark, and the jars with which it reads Delta tables
#   python-env.sh suite     only the official JSON-Schema-Test-Suite, in
#                           build/deps/json-schema-test-suite/{tests,remotes}
#   python-env.sh all       everything
#
# What is there already, from the same requirements, is not touched.
. "$(dirname "$0")/common.sh"

suite_dir="$deps_dir/json-schema-test-suite"
# The source archive of this package carries the official suite; its wheel does not.
suite_package="jsonschema==4.26.0"

usage() { sed -n '2,10s/^# \{0,1\}//p' "$0"; }

make_venv() {
  [ -x "$venv_dir/bin/python" ] && "$venv_dir/bin/python" -c 'import pip' 2>/dev/null && return 0
  say "creating $venv_dir"
  rm -rf "$venv_dir"
  python3 -m venv "$venv_dir"
}

# A stamp with the requirements' own text says what is installed.
install_requirements() { # FILE
  local stamp
  stamp="$venv_dir/.$(basename "$1")"
  if cmp -s "$1" "$stamp"; then
    say "$(basename "$1") is installed"
    return 0
  fi
  say "installing $(basename "$1")"
  run_quiet "$venv_dir/bin/python" -m pip install -q --disable-pip-version-check -r "$1"
  cp "$1" "$stamp"
}

fetch_spark_jars() {
  local jars="$deps_dir/spark-jars"
  if cmp -s "$dev_dir/spark/pom.xml" "$jars/.complete"; then
    say "Spark's Delta jars are there"
    return 0
  fi
  need_command mvn "fetching Spark's Delta jars"
  say "fetching Spark's Delta jars into $jars"
  rm -rf "$jars"
  run_quiet mvn -q -B -f "$dev_dir/spark/pom.xml" dependency:copy-dependencies \
    -DoutputDirectory="$jars"
  cp "$dev_dir/spark/pom.xml" "$jars/.complete"
}

fetch_suite() {
  local work archive
  if [ "$(cat "$suite_dir/.complete" 2>/dev/null)" = "$suite_package" ]; then
    say "the JSON-Schema-Test-Suite is there"
    return 0
  fi
  say "fetching the JSON-Schema-Test-Suite into $suite_dir"
  rm -rf "$suite_dir"
  mkdir -p "$suite_dir"
  work="$(mktemp -d)"
  run_quiet "$venv_dir/bin/python" -m pip download -q --disable-pip-version-check --no-deps \
    --no-binary :all: -d "$work" "$suite_package"
  archive="$(ls "$work"/*.tar.gz)"
  tar -xzf "$archive" -C "$suite_dir" --strip-components=2 --wildcards \
    '*/json/tests' '*/json/remotes' '*/json/LICENSE'
  rm -rf "$work"
  echo "$suite_package" >"$suite_dir/.complete"
}

main() {
  case "${1:-core}" in
    core)
      make_venv
      install_requirements "$root_dir/tests/requirements.txt"
      ;;
    spark)
      make_venv
      install_requirements "$root_dir/tests/requirements.txt"
      install_requirements "$root_dir/tests/requirements-spark.txt"
      fetch_spark_jars
      ;;
    suite)
      make_venv
      fetch_suite
      ;;
    all)
      make_venv
      install_requirements "$root_dir/tests/requirements.txt"
      install_requirements "$root_dir/tests/requirements-spark.txt"
      fetch_spark_jars
      fetch_suite
      ;;
    -h | --help) usage; exit 0 ;;
    *) usage >&2; die "unknown argument \"$1\"" ;;
  esac
}

if [ "${SLUICE_LOCKED:-}" = 1 ]; then
  main "$@"
else
  with_lock python env SLUICE_LOCKED=1 bash "$0" "$@"
fi
