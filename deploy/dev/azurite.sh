#!/usr/bin/env bash
# Azurite, Azure's own emulator of Blob storage, on a free port of 127.0.0.1.
#
#   azurite.sh start DIR [--secure]   starts it with its data in DIR and waits until it answers; the
#                                     port of a former start is taken again where it is free
#   azurite.sh stop DIR               stops it and waits until it is gone
#   azurite.sh status DIR             prints DIR/env and exits 0 while it runs, 1 otherwise
#   azurite.sh fetch                  only installs the npm package
#
# DIR/env then holds AZURITE_BLOB_STORAGE_URL (delta-rs and DuckDB look for it), the account, its
# key (published with the emulator, the same everywhere) and PID.
#
# A secure one speaks TLS, and takes bearer tokens besides the key: it checks their times, issuer and
# audience, not their signature. Its certificate names 127.0.0.1 and the hosts of Azure for which
# servers here may stand, and is signed by DIR/secrets/ca.pem. There are the accounts acct and onelake,
# too, with the same key; they are those that a host name begins with.
. "$(dirname "$0")/common.sh"

azurite_version="$(sed -n 's/.*"azurite": "\(.*\)".*/\1/p' "$dev_dir/azurite/package.json")"
install_dir="$deps_dir/azurite-$azurite_version"
account=devstoreaccount1
account_key='Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=='
secure_names="IP:127.0.0.1,DNS:*.blob.core.windows.net,DNS:*.blob.fabric.microsoft.com,\
DNS:login.microsoftonline.com,DNS:api.powerbi.com"
start_limit_s=60
stop_limit_s=15

usage() { sed -n '2,17s/^# \{0,1\}//p' "$0"; }

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
answers() { # PORT SCHEME
  python3 - "$1" "$2" <<'PY'
import http.client, ssl, sys
if sys.argv[2] == "https":
    unchecked = ssl._create_unverified_context()
    c = http.client.HTTPSConnection("127.0.0.1", int(sys.argv[1]), timeout=2, context=unchecked)
else:
    c = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]), timeout=2)
c.request("GET", "/devstoreaccount1?comp=list")
c.getresponse()
PY
}

# Makes DIR/secrets unless it is there; good for nothing but this server.
make_secrets() { # DIR
  local dir="$1/secrets" new="$1/secrets.new"
  [ -d "$dir" ] && return 0
  need_command openssl "Azurite with TLS"
  rm -rf "$new"
  mkdir -m 700 "$new"
  (
    cd "$new"
    umask 077
    make_authority ca
    make_certificate server 127.0.0.1 "subjectAltName=$secure_names"
  ) >"$1/secrets.log" 2>&1 || {
    show_log "$1/secrets.log"
    die "the certificates could not be made"
  }
  mv "$new" "$dir"
}

start_once() { # DIR SECURE
  local dir="$1" port pid scheme=http options=() accounts=("$account")
  if [ "$2" = 1 ]; then
    scheme=https
    accounts+=(acct onelake)
    options=(--oauth basic --cert "$dir/secrets/server.pem" --key "$dir/secrets/server.key")
  fi
  port="$(cat "$dir/ports" 2>/dev/null || free_ports 1)"
  : >"$dir/azurite.log"
  (AZURITE_ACCOUNTS="$(printf "%s:$account_key;" "${accounts[@]}")" exec node "$install_dir/node_modules/azurite/dist/src/blob/main.js" --silent \
    --blobHost 127.0.0.1 --blobPort "$port" --location "$dir/data" --skipApiVersionCheck \
    --disableTelemetry "${options[@]}") >"$dir/azurite.log" 2>&1 </dev/null &
  pid=$!
  if wait_until "$pid" "$start_limit_s" answers "$port" "$scheme" && kill -0 "$pid" 2>/dev/null; then
    cat >"$dir/env.new" <<ENV
AZURITE_BLOB_STORAGE_URL=$scheme://127.0.0.1:$port
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

start() { # DIR SECURE
  local dir try status
  mkdir -p "$1/data"
  dir="$(cd "$1" && pwd)"
  if is_ours "$(pid_of "$dir")" "$dir/data"; then
    say "already runs in $dir"
    return 0
  fi
  need_command node "Azurite"
  with_lock azurite fetch_package
  [ "$2" = 0 ] || make_secrets "$dir"
  for try in 1 2 3; do
    status=0
    start_once "$dir" "$2" || status=$?
    [ "$status" = 0 ] && return 0
    say "the port was taken by another process; try $try of 3 failed"
  done
  die "no free port after 3 tries"
}

main() {
  local verb="${1:-}" dir="${2:-}" secure=0
  case "$verb" in
    -h | --help) usage; exit 0 ;;
    fetch) with_lock azurite fetch_package; exit 0 ;;
    start | stop | status) ;;
    *) usage >&2; die "unknown command \"$verb\"" ;;
  esac
  [ -n "$dir" ] || die "$verb needs Azurite's folder"
  if [ "$verb" = start ]; then
    case "${3:-}" in
      --secure) secure=1 ;;
      "") ;;
      *) usage >&2; die "unknown option \"$3\"" ;;
    esac
    start "$dir" "$secure"
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
