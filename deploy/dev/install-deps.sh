#!/usr/bin/env bash
# Installs what sluice needs on Debian 12, and does nothing, quickly, when all of it is there.
#
#   install-deps.sh build   compiler, make and the libraries that sluice links (make, make demo)
#   install-deps.sh test    (default) the same, and what tests, checks and servers for them need
#
# A tool that is already on the PATH in another form (a JDK or Node of one's own) is left alone.
. "$(dirname "$0")/common.sh"

build_packages=(libuv1-dev librdkafka-dev libcjson-dev libsimdjson-dev libzstd-dev libsnappy-dev
  liblz4-dev zlib1g-dev check libpcre2-dev libxxhash-dev libssl-dev libmimalloc-dev
  libcurl4-openssl-dev libexpat1-dev libmicrohttpd-dev libgnutls28-dev pkg-config)
test_packages=(libclang-rt-14-dev)
# command=package: installed only when the command is missing
build_commands=(gcc=gcc g++=g++ make=make)
test_commands=(clang=clang clang-format=clang-format kcat=kafkacat java=openjdk-17-jre-headless
  mvn=maven node=nodejs npm=npm python3=python3 flock=util-linux chromium=chromium)

usage() { sed -n '2,8s/^# \{0,1\}//p' "$0"; }

missing_packages() {
  local p
  for p in "$@"; do
    case "$(dpkg-query -W -f='${db:Status-Abbrev}' "$p" 2>/dev/null || true)" in
      ii*) ;;
      *) echo "$p" ;;
    esac
  done
}

missing_commands() {
  local pair
  for pair in "$@"; do
    command -v "${pair%%=*}" >/dev/null 2>&1 || echo "${pair#*=}"
  done
}

# A python3 that cannot make virtual environments: Debian's, without its venv package.
missing_venv() {
  command -v python3 >/dev/null 2>&1 && python3 -c 'import ensurepip, venv' 2>/dev/null ||
    echo python3-venv
}

as_root() {
  if [ "$(id -u)" = 0 ]; then
    "$@"
  elif command -v sudo >/dev/null 2>&1; then
    sudo "$@"
  else
    die "not root, and there is no sudo. As root: apt-get install ${missing[*]}"
  fi
}

main() {
  local mode="${1:-test}"
  missing=()
  case "$mode" in
    build | test) ;;
    -h | --help) usage; exit 0 ;;
    *) usage >&2; die "unknown mode \"$mode\"; there are: build, test" ;;
  esac
  command -v dpkg-query >/dev/null 2>&1 ||
    die "this is no Debian system; install the equivalents of: ${build_packages[*]}"
  mapfile -t missing < <(
    missing_packages "${build_packages[@]}"
    missing_commands "${build_commands[@]}"
    if [ "$mode" = test ]; then
      missing_packages "${test_packages[@]}"
      missing_commands "${test_commands[@]}"
      missing_venv
    fi
  )
  if [ "${#missing[@]}" = 0 ]; then
    say "everything for \"$mode\" is there"
    return 0
  fi
  say "installing ${missing[*]}"
  as_root apt-get -qq update
  as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends install \
    "${missing[@]}" >/dev/null
  say "installed ${#missing[@]} packages"
}

main "$@"
