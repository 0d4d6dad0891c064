#!/usr/bin/env bash
# MariaDB: one server, or two that replicate to each other (GTID, each writes its own domain).
#
#   mariadb.sh start DIR [SERVERS=2]   programs mariadb-1, mariadb-2
#   mariadb.sh stop DIR | kill DIR NAME | restart DIR NAME
#
# DIR/env: MARIADB_URL, as Anser's `store.url` takes it; MARIADB_NODES, a host:port list; MARIADB_SOCKETS, where the
# calling user is administrator, in the same order. MARIADB_BUFFER_POOL is the memory of each server (256M).
# The account `anser` owns the databases whose names begin with `anser`.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

COUNT_DEFAULT=2
MARIADB_BUFFER_POOL=${MARIADB_BUFFER_POOL:-256M}
MARIADB_USER=anser
MARIADB_PASSWORD=${MARIADB_PASSWORD:-anser}
MARIADB_DATABASE=anser
# The path of a socket has at most 107 bytes.
SOCKET_BYTES_MAX=107

install() {
  need mariadbd mariadb-server
  need mariadb-install-db mariadb-server
  need mariadb mariadb-client
}

names() { seq -f 'mariadb-%g' "$1"; }

prepare() {
  local name nodes="" sockets=""
  (($1 <= 2)) || fail "$1 servers: one, or a pair"
  for name in $(names "$1"); do
    port "$name"; nodes+="${nodes:+,}127.0.0.1:$REPLY"; sockets+="${sockets:+,}$(socket "$name")"
    configuration "$name" "$REPLY" >"$DIR/$name.cnf"
  done
  env_line MARIADB_NODES "$nodes"
  env_line MARIADB_SOCKETS "$sockets"
  env_line MARIADB_URL "mysql://$MARIADB_USER:$MARIADB_PASSWORD@$nodes/$MARIADB_DATABASE"
}

socket() {
  local path=$DIR/$1.sock
  ((${#path} <= SOCKET_BYTES_MAX)) || fail "$path is too long for a socket: choose a folder with a shorter path"
  echo "$path"
}

configuration() { # name port
  local number=${1#mariadb-}
  cat <<P
[mariadbd]
user=$(id -un)
datadir=$DIR/$1
socket=$(socket "$1")
pid-file=$DIR/$1.mariadbd-pid
port=$2
bind-address=127.0.0.1
skip-name-resolve
skip-log-error
character-set-server=utf8mb4
collation-server=utf8mb4_bin
max_connections=500
max_allowed_packet=64M
innodb_buffer_pool_size=$MARIADB_BUFFER_POOL
innodb_log_file_size=128M
innodb_flush_log_at_trx_commit=1
sync_binlog=1
server-id=$number
gtid_domain_id=$number
gtid_strict_mode=ON
log-bin=binlog
log-slave-updates=ON
binlog_format=ROW
expire_logs_days=2
slave_parallel_threads=4
slave_parallel_mode=optimistic
slave_net_timeout=5
relay_log_recovery=ON
P
}

run() {
  if [[ ! -d $DIR/$1/mysql ]]; then
    rm -rf "${DIR:?}/$1"
    mariadb-install-db --no-defaults --user="$(id -un)" --datadir="$DIR/$1" --skip-test-db \
      --auth-root-authentication-method=socket --auth-root-socket-user="$(id -un)" \
      >"$DIR/$1.install.log" 2>&1 </dev/null || { tail -n 20 "$DIR/$1.install.log" >&2; fail "$1 cannot be set up"; }
  fi
  spawn "$1" mariadbd --defaults-file="$DIR/$1.cnf"
}

serve() {
  wait_for 120 "$1" ask "$1" 'SELECT 1'
  # Accounts are made on each side and stay out of the binary log, so that both histories begin empty.
  [[ -n $(ask "$1" "SELECT 1 FROM mysql.user WHERE user = '$MARIADB_USER'") ]] || ask "$1" "
    SET SESSION sql_log_bin = 0;
    CREATE DATABASE $MARIADB_DATABASE CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
    CREATE USER replication@'127.0.0.1' IDENTIFIED BY '$MARIADB_PASSWORD';
    GRANT REPLICATION SLAVE ON *.* TO replication@'127.0.0.1';
    CREATE USER $MARIADB_USER@'%' IDENTIFIED BY '$MARIADB_PASSWORD';
    GRANT ALL ON \`$MARIADB_DATABASE%\`.* TO $MARIADB_USER@'%';
    RESET MASTER;"
}

ask() { # name SQL
  mariadb --no-defaults --user="$(id -un)" --socket="$(socket "$1")" --skip-column-names --batch --execute "$2" 2>>"$DIR/$1.log"
}

# Until each of a pair receives what the other writes.
join_all() {
  (($1 == 2)) || return 0
  follow mariadb-1 mariadb-2
  follow mariadb-2 mariadb-1
  wait_for 30 mariadb-1 follows mariadb-1
  wait_for 30 mariadb-2 follows mariadb-2
}

follow() { # name other
  [[ -z $(ask "$1" 'SHOW SLAVE STATUS') ]] || return 0
  port "$2"
  ask "$1" "
    CHANGE MASTER TO MASTER_HOST = '127.0.0.1', MASTER_PORT = $REPLY, MASTER_USER = 'replication',
      MASTER_PASSWORD = '$MARIADB_PASSWORD', MASTER_USE_GTID = slave_pos, MASTER_CONNECT_RETRY = 1,
      MASTER_HEARTBEAT_PERIOD = 1;
    START SLAVE;"
}

follows() { ask "$1" 'SHOW SLAVE STATUS' | grep -q 'Waiting for master to send event'; }

main "$@"
