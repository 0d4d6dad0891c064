#!/usr/bin/env bash
# Redis: a master with replicas and three sentinels that watch them; COUNT 1 is one server without sentinels.
#
#   redis.sh start DIR [SERVERS=2]   programs redis-1 (the first master), redis-2 …, sentinel-1 to sentinel-3
#   redis.sh stop DIR | kill DIR NAME | restart DIR NAME
#
# DIR/env: REDIS_URL, as Anser's `cache.url` takes it; REDIS_SENTINELS and REDIS_NODES, host:port lists.
# REDIS_PASSWORD sets a password for the servers; REDIS_DOWN_MS is how long a master is silent before the sentinels
# take another one (1000).
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

COUNT_DEFAULT=2
MASTER_NAME=anser
REDIS_DOWN_MS=${REDIS_DOWN_MS:-1000}
SENTINELS_COUNT=3

install() {
  need redis-server redis-server
  need redis-cli redis-tools
}

sentinels() { (($1 == 1)) || seq -f 'sentinel-%g' "$SENTINELS_COUNT"; }
servers() { seq -f 'redis-%g' "$1"; }
names() { servers "$1"; sentinels "$1"; }

# The servers and sentinels rewrite their configuration when roles change, so it is written once.
prepare() {
  local name nodes="" sentinels="" secret="" master
  local password=${REDIS_PASSWORD:-}
  port redis-1; master=$REPLY
  for name in $(servers "$1"); do
    port "$name"; nodes+="${nodes:+,}127.0.0.1:$REPLY"
    [[ -e $DIR/$name.conf ]] || server_configuration "$name" "$REPLY" "$master" >"$DIR/$name.conf"
  done
  for name in $(sentinels "$1"); do
    port "$name"; sentinels+="${sentinels:+,}127.0.0.1:$REPLY"
    [[ -e $DIR/$name.conf ]] || sentinel_configuration "$name" "$REPLY" "$master" >"$DIR/$name.conf"
  done
  if [[ -n $password ]]; then secret=:$password@; fi
  env_line REDIS_NODES "$nodes"
  env_line REDIS_SENTINELS "$sentinels"
  if (($1 == 1)); then
    env_line REDIS_URL "redis://$secret$nodes"
  else
    env_line REDIS_URL "redis-sentinel://$secret$sentinels/$MASTER_NAME"
  fi
}

server_configuration() { # name port master
  mkdir -p "$DIR/$1"
  cat <<P
bind 127.0.0.1
port $2
dir $DIR/$1
daemonize no
appendonly yes
appendfsync everysec
repl-diskless-sync yes
repl-diskless-sync-delay 0
maxmemory 256mb
maxmemory-policy volatile-lru
P
  if [[ -n ${REDIS_PASSWORD:-} ]]; then printf 'requirepass %s\nmasterauth %s\n' "$REDIS_PASSWORD" "$REDIS_PASSWORD"; fi
  [[ $1 == redis-1 ]] || echo "replicaof 127.0.0.1 $3"
}

sentinel_configuration() { # name port master
  mkdir -p "$DIR/$1"
  cat <<P
bind 127.0.0.1
port $2
dir $DIR/$1
daemonize no
sentinel monitor $MASTER_NAME 127.0.0.1 $3 2
sentinel down-after-milliseconds $MASTER_NAME $REDIS_DOWN_MS
sentinel failover-timeout $MASTER_NAME 10000
sentinel parallel-syncs $MASTER_NAME 1
P
  if [[ -n ${REDIS_PASSWORD:-} ]]; then echo "sentinel auth-pass $MASTER_NAME $REDIS_PASSWORD"; fi
}

run() {
  if [[ $1 == sentinel-* ]]; then
    spawn "$1" redis-server "$DIR/$1.conf" --sentinel
  else
    spawn "$1" redis-server "$DIR/$1.conf"
  fi
}

# Of a server that loads its data every other command is refused.
serve() { port "$1"; wait_for 60 "$1" answers "$REPLY"; }
answers() { ask "$1" ping | grep -q -e PONG; }

ask() { # port command...
  local port=$1; shift
  REDISCLI_AUTH=$(password_of "$port") redis-cli -h 127.0.0.1 -p "$port" "$@" 2>/dev/null
}

# The password of a server; sentinels have none.
password_of() { grep -l "^port $1$" "$DIR"/redis-*.conf | head -n 1 | xargs -r sed -n 's/^requirepass "\{0,1\}\([^"]*\)"\{0,1\}$/\1/p'; }

# Until a failover could be agreed on: all sentinels know each other and every replica, and each replica follows.
join_all() {
  local name
  (($1 > 1)) || return 0
  for name in $(sentinels "$1"); do
    port "$name"; wait_for 30 "$name" agrees "$REPLY" "$(($1 - 1))"
  done
}

agrees() { # sentinel's port, replicas
  local master
  ask "$1" sentinel ckquorum "$MASTER_NAME" | grep -q "^OK $SENTINELS_COUNT" || return 1
  (($(ask "$1" sentinel replicas "$MASTER_NAME" | grep -c '^name$') >= $2)) || return 1
  master=$(ask "$1" sentinel get-master-addr-by-name "$MASTER_NAME" | tail -n 1)
  (($(ask "$master" wait "$2" 100) >= $2))
}

main "$@"
