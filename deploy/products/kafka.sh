#!/usr/bin/env bash
# Real Kafka: brokers that are controllers too (KRaft), from the jars of Maven Central.
#
#   kafka.sh start DIR [COUNT=1]       kafka-1 … ; with three, each topic is on three and two must have a record
#   kafka.sh stop DIR | kill DIR NAME | restart DIR NAME
#
# DIR/env says KAFKA_URL (kafka://host:port,…) and KAFKA_BOOTSTRAP (host:port,…). Needs java 17 and, for the first
# start, mvn: both are installed where they are missing. KAFKA_VERSION, KAFKA_JARS (a folder that is kept) and
# KAFKA_HEAP may be set.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

COUNT_DEFAULT=1
KAFKA_VERSION=${KAFKA_VERSION:-4.2.2}
KAFKA_JARS=${KAFKA_JARS:-${XDG_CACHE_HOME:-$HOME/.cache}/anser/kafka-$KAFKA_VERSION}
KAFKA_HEAP=${KAFKA_HEAP:-256m}
# Seconds until a broker serves; a machine that builds beside it is slow.
READY_SECONDS=${READY_SECONDS:-120}
VERB=${1:-}

install() {
  need java default-jre-headless
  [[ -e $KAFKA_JARS/complete ]] && return 0
  need mvn maven
  say "fetches Kafka $KAFKA_VERSION into $KAFKA_JARS"
  mkdir -p "$KAFKA_JARS"
  (
    flock -w 600 9 || fail "$KAFKA_JARS.lock is held by another process"
    [[ -e $KAFKA_JARS/complete ]] || fetch_jars
  ) 9>"$KAFKA_JARS.lock"
}

fetch_jars() {
  local folder; folder=$(mktemp -d)
  # Without a binding for slf4j a broker logs nothing.
  cat >"$folder/pom.xml" <<POM
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>anser.products</groupId><artifactId>kafka</artifactId><version>1</version><packaging>pom</packaging>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>$KAFKA_VERSION</version>
    </dependency>
    <dependency>
      <groupId>org.apache.logging.log4j</groupId><artifactId>log4j-slf4j-impl</artifactId><version>2.24.3</version>
    </dependency>
  </dependencies>
</project>
POM
  if ! mvn -q -B -f "$folder/pom.xml" dependency:copy-dependencies -DincludeScope=runtime \
    -DoutputDirectory="$KAFKA_JARS" >"$folder/log" 2>&1 </dev/null; then
    tail -n 20 "$folder/log" >&2; rm -rf "$folder"; fail "Kafka $KAFKA_VERSION cannot be fetched"
  fi
  rm -rf "$folder"
  touch "$KAFKA_JARS/complete"
}

names() {
  local i
  for ((i = 1; i <= $1; i++)); do echo "kafka-$i"; done
}

prepare() {
  local count=$1 i voters="" servers="" cluster
  local -a client controller
  for ((i = 1; i <= count; i++)); do
    port "kafka-$i"; client[i]=$REPLY
    port "kafka-$i-controller"; controller[i]=$REPLY
    voters+="${voters:+,}$i@127.0.0.1:${controller[i]}"
    servers+="${servers:+,}127.0.0.1:${client[i]}"
  done
  cat >"$DIR/log4j2.xml" <<'XML'
<Configuration status="warn">
  <Appenders><Console name="C"><PatternLayout pattern="%d %p %c{1} %m%n"/></Console></Appenders>
  <Loggers>
    <Root level="warn"><AppenderRef ref="C"/></Root>
    <Logger name="kafka.server.KafkaRaftServer" level="info"/>
  </Loggers>
</Configuration>
XML
  if [[ ! -e $DIR/cluster ]]; then
    # 22 characters of url-safe base64. One that began with "-" would be read as an option.
    cluster=$(head -c 16 /dev/urandom | base64 | tr '+/' '-_' | tr -d =)
    echo "${cluster/#-/A}" >"$DIR/cluster"
  fi
  for ((i = 1; i <= count; i++)); do
    [[ -e $DIR/kafka-$i.properties ]] && continue
    properties "$i" "$count" "$voters" "${client[i]}" "${controller[i]}" >"$DIR/kafka-$i.properties.next"
    mv "$DIR/kafka-$i.properties.next" "$DIR/kafka-$i.properties"
    java_class kafka-$i kafka.tools.StorageTool format -t "$(<"$DIR/cluster")" -c "$DIR/kafka-$i.properties" \
      >>"$DIR/kafka-$i.log" 2>&1 || { show_log "kafka-$i"; rm -f "$DIR/kafka-$i.properties"; fail "kafka-$i cannot be formatted"; }
  done
  env_line KAFKA_BOOTSTRAP "$servers"
  env_line KAFKA_URL "kafka://$servers"
}

# A broker's configuration: small in memory, and quick to notice that another one is gone.
properties() {
  local number=$1 count=$2 voters=$3 client=$4 controller=$5
  local replicas=$((count < 3 ? count : 3))
  local in_sync=$((replicas > 1 ? 2 : 1))
  cat <<P
process.roles=broker,controller
node.id=$number
controller.quorum.voters=$voters
listeners=PLAINTEXT://127.0.0.1:$client,CONTROLLER://127.0.0.1:$controller
advertised.listeners=PLAINTEXT://127.0.0.1:$client
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs=$DIR/kafka-$number.data
auto.create.topics.enable=false
default.replication.factor=$replicas
min.insync.replicas=$in_sync
offsets.topic.replication.factor=$replicas
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=$replicas
transaction.state.log.min.isr=$in_sync
transaction.state.log.num.partitions=2
share.coordinator.state.topic.replication.factor=$replicas
share.coordinator.state.topic.min.isr=$in_sync
group.initial.rebalance.delay.ms=0
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
num.network.threads=2
num.io.threads=2
log.cleaner.dedupe.buffer.size=4194304
P
}

JVM=(-Xms64m "-Xmx$KAFKA_HEAP" -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Xss512k -XX:MaxDirectMemorySize=64m)

java_class() {
  local name=$1; shift
  java "${JVM[@]}" "-Danser.product=$name" "-Dlog4j2.configurationFile=$DIR/log4j2.xml" -cp "$KAFKA_JARS/*" "$@"
}

run() {
  # What a broker said before does not tell that it serves.
  stat -c %s "$DIR/$1.log" >"$DIR/$1.said" 2>/dev/null || echo 0 >"$DIR/$1.said"
  spawn "$1" java "${JVM[@]}" "-Danser.product=$1" "-Dlog4j2.configurationFile=$DIR/log4j2.xml" \
    -cp "$KAFKA_JARS/*" kafka.Kafka "$DIR/$1.properties"
}

# Of several, none serves before most of them run: a start waits for all of them at its end.
serve() { [[ $VERB == start ]] || wait_for "$READY_SECONDS" "$1" serves "$1"; }

# Says so only when the other brokers and the controllers know it.
serves() { tail -c "+$(($(<"$DIR/$1.said") + 1))" "$DIR/$1.log" | grep -q 'Kafka Server started'; }

join_all() {
  local name
  for name in $(names "$1"); do wait_for "$READY_SECONDS" "$name" serves "$name"; done
}

main "$@"
