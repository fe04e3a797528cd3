# Shared by the scripts of this folder; sourced, never run. Knows where downloads are cached
# (build/deps, or SLUICE_DEPS), how a port is picked, and how a server is stopped: by its own
# process id, after a look at its command line, never by name.

set -euo pipefail

dev_dir="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
root_dir="$(cd "$dev_dir/../.." && pwd)"
deps_dir="${SLUICE_DEPS:-$root_dir/build/deps}"
venv_dir="${SLUICE_VENV:-$root_dir/build/venv}"

say() { printf '%s: %s\n' "$(basename "$0" .sh)" "$*" >&2; }
die() { say "$*"; exit 1; }

need_command() { # COMMAND WHAT_FOR
  command -v "$1" >/dev/null 2>&1 ||
    die "the command $1 is not there; $2 needs it. Run deploy/dev/install-deps.sh test"
}

# Prints COUNT different free ports of 127.0.0.1. All are held while they are picked.
free_ports() { # COUNT
  python3 - "$1" <<'PY'
import socket, sys
held = [socket.socket() for _ in range(int(sys.argv[1]))]
for s in held:
    s.bind(("127.0.0.1", 0))
print(*[s.getsockname()[1] for s in held])
PY
}

# Runs a command while holding the lock of one cached thing, so that two tests that start at the
# same moment download it once.
with_lock() { # NAME COMMAND...
  local name="$1"
  shift
  mkdir -p "$deps_dir"
  (
    exec 9>"$deps_dir/.$name.lock"
    flock 9
    "$@" 9>&-
  )
}

# Is PID alive and started with MARK (a path of ours) on its command line?
is_ours() { # PID MARK
  [ -n "${1:-}" ] && [ -r "/proc/$1/cmdline" ] &&
    tr '\0' ' ' <"/proc/$1/cmdline" 2>/dev/null | grep -qF -- "$2"
}

pid_of() { # DIR
  sed -n 's/^PID=//p' "$1/env" 2>/dev/null || true
}

# TERM, wait up to LIMIT_S, KILL if it is still there. Removes DIR/env.
stop_server() { # DIR MARK LIMIT_S
  local pid
  pid="$(pid_of "$1")"
  if ! is_ours "$pid" "$2"; then
    rm -f "$1/env"
    say "not running in $1"
    return 0
  fi
  kill -TERM "$pid"
  if wait_gone "$pid" "$2" "$3"; then
    say "stopped (pid $pid)"
  else
    say "pid $pid did not end within $3 s of SIGTERM; killing it"
    kill -KILL "$pid" 2>/dev/null || true
    wait_gone "$pid" "$2" 10 || die "pid $pid survives SIGKILL"
  fi
  rm -f "$1/env"
}

wait_gone() { # PID MARK LIMIT_S
  local end=$((SECONDS + $3))
  while is_ours "$1" "$2"; do
    [ "$SECONDS" -lt "$end" ] || return 1
    sleep 0.1
  done
}

# Waits until COMMAND succeeds. Gives up when PID ends or after LIMIT_S.
wait_until() { # PID LIMIT_S COMMAND...
  local pid="$1" end=$((SECONDS + $2))
  shift 2
  until "$@" >/dev/null 2>&1; do
    kill -0 "$pid" 2>/dev/null || return 1
    [ "$SECONDS" -lt "$end" ] || return 2
    sleep 0.1
  done
}

# Runs a chatty command; its output is shown only when it fails.
run_quiet() { # COMMAND...
  local log status=0
  log="$(mktemp)"
  "$@" >"$log" 2>&1 </dev/null || status=$?
  [ "$status" = 0 ] || show_log "$log"
  rm -f "$log"
  [ "$status" = 0 ] || die "failed with exit code $status: $*"
}

show_log() { # FILE
  say "the last lines of $1:"
  tail -n 20 "$1" >&2 || true
}

# NAME.key and NAME.pem in the current folder: an authority, and what the authority "ca" has signed.
make_authority() { # NAME
  openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj "/CN=sluice test authority $1" \
    -keyout "$1.key" -out "$1.pem"
}

make_certificate() { # NAME COMMON_NAME EXTENSION
  openssl req -newkey rsa:2048 -nodes -subj "/CN=$2" -keyout "$1.key" -out "$1.csr"
  openssl x509 -req -in "$1.csr" -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 \
    -extfile <(echo "$3") -out "$1.pem"
}
