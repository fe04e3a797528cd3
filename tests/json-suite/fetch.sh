#!/usr/bin/env bash
# Gets the official JSON-Schema-Test-Suite: the source package of PyPI's jsonschema carries it under
# json/. usage: fetch.sh TARGET_DIR. Does nothing when it is there already.
set -euo pipefail
target=${1:?usage: fetch.sh TARGET_DIR}
version=4.26.0
[ -e "$target/.complete-$version" ] && exit 0
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m pip download --quiet --disable-pip-version-check --no-deps --no-binary jsonschema \
  --dest "$work" "jsonschema==$version"
tar -xzf "$work/jsonschema-$version.tar.gz" -C "$work"
rm -rf "$target"
mkdir -p "$target"
cp -R "$work/jsonschema-$version/json/tests" "$work/jsonschema-$version/json/remotes" "$target/"
touch "$target/.complete-$version"
