#!/usr/bin/env bash
# Azurite, Azure's own emulator of Blob storage, on a free port of 127.0.0.1.
#
#   azurite.sh start DIR    starts it with its data in DIR and waits until it answers; the port of a
#                           former start is taken again where it is free
#   azurite.sh stop DIR     stops it and waits until it is gone
#   azurite.sh status DIR   prints DIR/env and exits 0 while it runs, 1 otherwise
#   azurite.sh fetch        only installs the npm package
#
# DIR/env then holds AZURITE_BLOB_STORAGE_URL (delta-rs and DuckDB look for it), the account, its
# key (published with the emulator, the same everywhere) and PID.
. "$(dirname "$0")/common.sh"

azurite_version="$(sed -n 's/.*"azurite": "\(.*\)".*/\1/p' "$dev_dir/azurite/package.json")"
install_dir="$deps_dir/azurite-$azurite_version"
account=devstoreaccount1
account_key='Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=='
start_limit_s=60
stop_limit_s=15

usage() { sed -n '2,11s/^# \{0,1\}//p' "$0"; }

fetch_package() {
  [ -e "$install_dir/.complete" ] && return 0
  need_command npm "installing Azurite"
  say "installing Azurite $azurite_version into $install_dir"
  mkdir -p "$install_dir"
  cp "$dev_dir/azurite/package.json" "$install_dir/"
  run_quiet npm --prefix "$install_dir" install --no-audit --no-fund --no-package-lock \
    --ignore-scripts --omit=dev --loglevel=error
  touch "$install_dir/.complete"
}

# Any HTTP answer will do: an unsigned request is refused with 403 by a server that works.
answers() { # PORT
  python3 - "$1" <<'PY'
import http.client, sys
c = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]), timeout=2)
c.request("GET", "/devstoreaccount1?comp=list")
c.getresponse()
PY
}

start_once() { # DIR
  local dir="$1" port pid
  port="$(cat "$dir/ports" 2>/dev/null || free_ports 1)"
  : >"$dir/azurite.log"
  (exec node "$install_dir/node_modules/azurite/dist/src/blob/main.js" --silent \
    --blobHost 127.0.0.1 --blobPort "$port" --location "$dir/data" --skipApiVersionCheck \
    --disableTelemetry) >"$dir/azurite.log" 2>&1 </dev/null &
  pid=$!
  if wait_until "$pid" "$start_limit_s" answers "$port" && kill -0 "$pid" 2>/dev/null; then
    cat >"$dir/env.new" <<ENV
AZURITE_BLOB_STORAGE_URL=http://127.0.0.1:$port
AZURE_STORAGE_ACCOUNT=$account
AZURE_STORAGE_KEY=$account_key
PID=$pid
ENV
    mv "$dir/env.new" "$dir/env"
    echo "$port" >"$dir/ports"
    say "ready on 127.0.0.1:$port (pid $pid, data in $dir)"
    return 0
  fi
  kill -KILL "$pid" 2>/dev/null || true
  rm -f "$dir/ports"
  grep -q EADDRINUSE "$dir/azurite.log" && return 3
  show_log "$dir/azurite.log"
  die "Azurite did not answer within $start_limit_s s"
}

start() { # DIR
  local dir try status
  mkdir -p "$1/data"
  dir="$(cd "$1" && pwd)"
  if is_ours "$(pid_of "$dir")" "$dir/data"; then
    say "already runs in $dir"
    return 0
  fi
  need_command node "Azurite"
  with_lock azurite fetch_package
  for try in 1 2 3; do
    status=0
    start_once "$dir" || status=$?
    [ "$status" = 0 ] && return 0
    say "the port was taken by another process; try $try of 3 failed"
  done
  die "no free port after 3 tries"
}

main() {
  local verb="${1:-}" dir="${2:-}"
  case "$verb" in
    -h | --help) usage; exit 0 ;;
    fetch) with_lock azurite fetch_package; exit 0 ;;
    start | stop | status) ;;
    *) usage >&2; die "unknown command \"$verb\"" ;;
  esac
  [ -n "$dir" ] || die "$verb needs Azurite's folder"
  if [ "$verb" = start ]; then
    start "$dir"
    return
  fi
  [ -d "$dir" ] || die "there is no folder $dir"
  dir="$(cd "$dir" && pwd)"
  if [ "$verb" = stop ]; then
    stop_server "$dir" "$dir/data" "$stop_limit_s"
  else
    is_ours "$(pid_of "$dir")" "$dir/data" || die "not running in $dir"
    cat "$dir/env"
  fi
}

main "$@"
