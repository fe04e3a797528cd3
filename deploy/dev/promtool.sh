#!/usr/bin/env bash
# Fetches promtool, with which the alert rules and /metrics are tested, into build/deps/promtool.
# It is taken out of Debian's package of Prometheus without installing that, since installing it
# would start a server. Does nothing when a promtool is on the PATH or there already.
. "$(dirname "$0")/common.sh"

package=prometheus

fetch() {
  local target="$deps_dir/promtool" work
  [ -x "$target" ] && return 0
  work="$(mktemp -d)"
  say "fetching promtool into $deps_dir"
  (cd "$work" && run_quiet apt-get -qq download "$package")
  dpkg-deb -x "$work/$package"_*.deb "$work/tree"
  install -D -m 755 "$work/tree/usr/bin/promtool" "$target.new"
  mv "$target.new" "$target"
  rm -rf "$work"
}

if command -v promtool >/dev/null 2>&1; then
  say "promtool is there"
elif [ "${SLUICE_LOCKED:-}" = 1 ]; then
  fetch
else
  with_lock promtool env SLUICE_LOCKED=1 bash "$0"
fi
