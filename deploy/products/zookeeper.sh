#!/usr/bin/env bash
# ZooKeeper: one server, or an ensemble that votes.
#
#   zookeeper.sh start DIR [SERVERS=3]   programs zookeeper-1 …
#   zookeeper.sh stop DIR | kill DIR NAME | restart DIR NAME
#
# DIR/env: ZOOKEEPER_URL, as Anser's `discovery.url` takes it; ZOOKEEPER_SERVERS, a host:port list.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

COUNT_DEFAULT=3
# Debian's; its manifest names the jars that it needs.
JAR=/usr/share/java/zookeeper.jar

install() {
  need java default-jre-headless
  need "$JAR" libzookeeper-java
}

names() { seq -f 'zookeeper-%g' "$1"; }

prepare() {
  local name servers="" number
  [[ -e $DIR/log4j.properties ]] || cat >"$DIR/log4j.properties" <<P
log4j.rootLogger=WARN, C
log4j.appender.C=org.apache.log4j.ConsoleAppender
log4j.appender.C.layout=org.apache.log4j.PatternLayout
log4j.appender.C.layout.ConversionPattern=%d %p %c{1} %m%n
P
  for name in $(names "$1"); do
    number=${name#zookeeper-}
    port "$name"; servers+="${servers:+,}127.0.0.1:$REPLY"
    mkdir -p "$DIR/$name"
    echo "$number" >"$DIR/$name/myid"
    [[ -e $DIR/$name.cfg ]] || configuration "$name" "$REPLY" "$1" >"$DIR/$name.cfg"
  done
  env_line ZOOKEEPER_SERVERS "$servers"
  env_line ZOOKEEPER_URL "zookeeper://$servers/anser"
}

# Ticks of half a second let sessions end after a second and more, where the default is four.
configuration() { # name port count
  local other
  cat <<P
tickTime=500
initLimit=20
syncLimit=10
minSessionTimeout=1000
maxSessionTimeout=60000
dataDir=$DIR/$1
clientPort=$2
clientPortAddress=127.0.0.1
4lw.commands.whitelist=ruok,srvr,mntr,stat,cons
autopurge.snapRetainCount=3
autopurge.purgeInterval=1
P
  (($3 > 1)) || return 0
  for other in $(names "$3"); do
    port "$other-quorum"; printf 'server.%s=127.0.0.1:%s' "${other#zookeeper-}" "$REPLY"
    port "$other-election"; printf ':%s\n' "$REPLY"
  done
}

run() {
  spawn "$1" java -Xms32m -Xmx128m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Xss512k \
    -Dzookeeper.admin.enableServer=false -Dlog4j.configuration="file:$DIR/log4j.properties" \
    -cp "$DIR:$JAR" org.apache.zookeeper.server.quorum.QuorumPeerMain "$DIR/$1.cfg"
}

# A server of an ensemble serves once a majority runs, so the first ones are only looked at when all are started.
serve() { port "$1"; wait_port 60 "$1" "$REPLY"; }

join_all() {
  local name
  for name in $(names "$1"); do port "$name"; wait_for 60 "$name" serves "$REPLY"; done
}

# Where no majority runs there is nothing to join.
rejoin() {
  local end=$((SECONDS + 15))
  port "$1"
  until serves "$REPLY" 2>/dev/null; do
    ((SECONDS < end)) || { say "$1 runs, but too few of the others do"; return 0; }
    sleep 0.1
  done
}

serves() {
  exec 3<>"/dev/tcp/127.0.0.1/$1" || return 1
  printf srvr >&3
  timeout 2 cat <&3 | grep -q '^Mode:'
  local code=$?
  exec 3>&-
  return "$code"
}

main "$@"
