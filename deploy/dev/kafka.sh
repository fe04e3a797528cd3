#!/usr/bin/env bash
# A real Apache Kafka broker (KRaft, one node) on free ports of 127.0.0.1, for tests and trials.
#
#   kafka.sh start DIR [--set KEY=VALUE]... [--heap SIZE] [--secure] [--version VERSION]
#                           starts a broker whose data is in DIR and waits until it is ready. One
#                           that runs there already is left as it is; a stopped one goes on with
#                           its data, and on its old ports where nobody else has taken them.
#                           --secure: with further listeners for TLS, mutual TLS and SASL over TLS
#                           --version: of another Kafka, 3.9 say; it has no command "topic"
#   kafka.sh stop DIR       stops it and waits until it is gone
#   kafka.sh kill DIR       kills it at once, as a power cut would
#   kafka.sh status DIR     prints DIR/env and exits 0 while it runs, 1 otherwise
#   kafka.sh topic DIR NAME PARTITIONS [KEY=VALUE]...
#                           creates a topic
#   kafka.sh token DIR SUBJECT SECONDS
#                           prints a token for SASL OAUTHBEARER (--secure)
#   kafka.sh fetch [VERSION]  only downloads the jars
#
# DIR/env then holds BOOTSTRAP=127.0.0.1:PORT and PID=N; the broker's log is DIR/broker.log.
# KEY is any broker property, for example --set message.max.bytes=67108864. With --secure there are
# also BOOTSTRAP_TLS, BOOTSTRAP_MTLS, BOOTSTRAP_SASL and SECRETS, a folder (see kafka/secure.sh).
. "$(dirname "$0")/common.sh"
. "$dev_dir/kafka/secure.sh"

usual_version="$(sed -n 's/.*<kafka.version>\(.*\)<.*/\1/p' "$dev_dir/kafka/pom.xml")"
ready_line="Kafka Server started"
start_limit_s="${SLUICE_KAFKA_START_LIMIT:-120}"
stop_limit_s=30

choose_version() { # VERSION
  kafka_version="$1"
  libs_dir="$deps_dir/kafka-$kafka_version"
}
choose_version "$usual_version"

usage() { sed -n '2,24s/^# \{0,1\}//p' "$0"; }

fetch_jars() {
  [ -e "$libs_dir/.complete" ] && return 0
  need_command mvn "fetching Kafka"
  say "fetching Apache Kafka $kafka_version into $libs_dir"
  local other=()
  [ "$kafka_version" = "$usual_version" ] || other=("-Dkafka.version=$kafka_version" -Dkafka.bare)
  run_quiet mvn -q -B -f "$dev_dir/kafka/pom.xml" dependency:copy-dependencies \
    -DoutputDirectory="$libs_dir" ${other[@]+"${other[@]}"}
  touch "$libs_dir/.complete"
}

kafka_java() { # HEAP LOG_LEVEL DIR CLASS ARGS...
  local heap="$1" level="$2" dir="$3"
  shift 3
  exec java -Xmx"$heap" -Xms"$heap" -XX:+UseG1GC -Djava.awt.headless=true \
    -Dsluice.log.level="$level" \
    -Dlog4j2.configurationFile="$dev_dir/kafka/log4j2.properties" \
    -Djava.io.tmpdir="$dir/tmp" \
    -Dorg.apache.kafka.sasl.oauthbearer.allowed.urls="file://$dir/secrets/jwks.json" -cp "$libs_dir/*" "$@"
}

# Properties of --set come last: in a properties file the last one of a name holds.
write_properties() { # DIR CLIENT_PORT CONTROLLER_PORT SECURE_LISTENERS PROPERTY...
  local dir="$1" client="$2" controller="$3" secure="$4"
  shift 4
  {
    cat <<PROPERTIES
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$controller
controller.listener.names=CONTROLLER
listeners=CLIENT://127.0.0.1:$client,CONTROLLER://127.0.0.1:$controller$secure
advertised.listeners=CLIENT://127.0.0.1:$client$secure
listener.security.protocol.map=\
  CLIENT:PLAINTEXT,CONTROLLER:PLAINTEXT,TLS:SSL,MTLS:SSL,SASL:SASL_SSL
inter.broker.listener.name=CLIENT
log.dirs=$dir/data
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=8
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=8
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
# after a kill the controller lets the broker back in only when its old session has run out
broker.session.timeout.ms=6000
broker.heartbeat.interval.ms=1000
PROPERTIES
    [ -z "$secure" ] || secure_properties "$dir"
    [ "$#" = 0 ] || printf '%s\n' "$@"
  } >"$dir/server.properties"
}

new_cluster_id() {
  python3 -c 'import base64, os; print(base64.urlsafe_b64encode(os.urandom(16)).decode()[:22])'
}

format_storage() { # DIR
  local scram=()
  [ -e "$1/data/meta.properties" ] && return 0
  [ ! -d "$1/secrets" ] || mapfile -t scram < <(scram_options "$1")
  (kafka_java 256m info "$1" kafka.tools.StorageTool format "--cluster-id=$(new_cluster_id)" \
    -c "$1/server.properties" ${scram[@]+"${scram[@]}"}) >"$1/format.log" 2>&1 || {
    show_log "$1/format.log"
    die "the storage folder could not be formatted"
  }
}

is_ready() { grep -qF "$ready_line" "$1/broker.log"; }

# One try at starting. 3: the ports were taken between picking and binding them.
start_once() { # DIR HEAP PROPERTY...
  local dir="$1" heap="$2" ports pid secure=
  shift 2
  # A broker that comes back has to be found where its clients left it.
  read -r -a ports < <(cat "$dir/ports" 2>/dev/null || free_ports 5)
  [ ! -d "$dir/secrets" ] || secure="$(secure_listeners "${ports[@]:2}")"
  write_properties "$dir" "${ports[@]:0:2}" "$secure" "$@"
  format_storage "$dir"
  : >"$dir/broker.log"
  (kafka_java "$heap" info "$dir" kafka.Kafka "$dir/server.properties") \
    >"$dir/broker.log" 2>&1 </dev/null &
  pid=$!
  if wait_until "$pid" "$start_limit_s" is_ready "$dir"; then
    printf 'BOOTSTRAP=127.0.0.1:%s\nPID=%s\n' "${ports[0]}" "$pid" >"$dir/env.new"
    [ -z "$secure" ] || secure_env "$dir" "${ports[@]:2}" >>"$dir/env.new"
    mv "$dir/env.new" "$dir/env"
    echo "${ports[*]}" >"$dir/ports"
    say "ready on 127.0.0.1:${ports[0]} (pid $pid, data in $dir)"
    return 0
  fi
  kill -KILL "$pid" 2>/dev/null || true
  rm -f "$dir/ports"
  grep -q 'Address already in use' "$dir/broker.log" && return 3
  show_log "$dir/broker.log"
  die "the broker did not get ready within $start_limit_s s"
}

start() { # DIR [--set KEY=VALUE]... [--heap SIZE] [--secure] [--version VERSION]
  local dir heap=1g properties=() try status secure=
  mkdir -p "$1/tmp"
  dir="$(cd "$1" && pwd)"
  shift
  while [ "$#" -gt 0 ]; do
    case "$1" in
      --set) [[ "${2:-}" == ?*=* ]] || die "--set needs KEY=VALUE"; properties+=("$2"); shift 2 ;;
      --heap) [ -n "${2:-}" ] || die "--heap needs a size, for example 1g"; heap="$2"; shift 2 ;;
      --secure) secure=1; shift ;;
      --version) [ -n "${2:-}" ] || die "--version needs a version, for example 3.9.1"
        choose_version "$2"; shift 2 ;;
      *) die "unknown argument \"$1\"" ;;
    esac
  done
  if is_ours "$(pid_of "$dir")" "$dir/server.properties"; then
    say "already runs in $dir"
    return 0
  fi
  need_command java "Kafka"
  with_lock kafka fetch_jars
  if [ -n "$secure" ]; then
    [ -d "$dir/secrets" ] || [ ! -d "$dir/data" ] ||
      die "$dir is a broker's that was first started without --secure"
    make_secrets "$dir"
  fi
  for try in 1 2 3; do
    status=0
    start_once "$dir" "$heap" ${properties[@]+"${properties[@]}"} || status=$?
    [ "$status" = 0 ] && return 0
    say "a port was taken by another process; try $try of 3 failed"
  done
  die "no free ports after 3 tries"
}

kill_now() { # DIR
  local pid mark="$1/server.properties"
  pid="$(pid_of "$1")"
  is_ours "$pid" "$mark" || die "not running in $1"
  kill -KILL "$pid"
  wait_gone "$pid" "$mark" 10 || die "pid $pid survives SIGKILL"
  rm -f "$1/env"
  say "killed (pid $pid)"
}

create_topic() { # DIR NAME PARTITIONS [KEY=VALUE]...
  local dir="$1" name="$2" partitions="$3" options=() option bootstrap
  shift 3
  for option in "$@"; do
    options+=(--config "$option")
  done
  bootstrap="$(sed -n 's/^BOOTSTRAP=//p' "$dir/env")"
  (kafka_java 128m warn "$dir" org.apache.kafka.tools.TopicCommand --bootstrap-server "$bootstrap" \
    --create --topic "$name" --partitions "$partitions" --replication-factor 1 \
    ${options[@]+"${options[@]}"}) >&2
}

main() {
  local verb="${1:-}" dir="${2:-}"
  case "$verb" in
    -h | --help) usage; exit 0 ;;
    fetch) choose_version "${2:-$usual_version}"; with_lock kafka fetch_jars; exit 0 ;;
    start | stop | kill | status | topic | token) ;;
    *) usage >&2; die "unknown command \"$verb\"" ;;
  esac
  [ -n "$dir" ] || die "$verb needs the broker's folder"
  if [ "$verb" = start ]; then
    start "${@:2}"
    return
  fi
  [ -d "$dir" ] || die "there is no folder $dir"
  dir="$(cd "$dir" && pwd)"
  case "$verb" in
    stop) stop_server "$dir" "$dir/server.properties" "$stop_limit_s" ;;
    kill) kill_now "$dir" ;;
    status)
      is_ours "$(pid_of "$dir")" "$dir/server.properties" || die "not running in $dir"
      cat "$dir/env"
      ;;
    topic)
      [ "$#" -ge 4 ] || die "topic needs DIR NAME PARTITIONS"
      create_topic "$dir" "${@:3}"
      ;;
    token)
      [ "$#" = 4 ] || die "token needs DIR SUBJECT SECONDS"
      [ -d "$dir/secrets" ] || die "the broker of $dir was not started with --secure"
      make_token "$dir" "$3" "$4"
      ;;
  esac
}

main "$@"
