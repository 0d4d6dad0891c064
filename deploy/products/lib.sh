#!/usr/bin/env bash
# What the scripts of the products share: each sources this file, defines its part, and ends with `main "$@"`.
#
#   SCRIPT start DIR [COUNT]   starts the product below DIR; it serves when this returns. On a folder that was
#                              stopped it goes on with the data and the ports that are there
#   SCRIPT stop DIR            stops all of it and keeps its data
#   SCRIPT kill DIR NAME       ends one program with signal 9
#   SCRIPT restart DIR NAME    starts one program again (a running one is stopped first); it serves when this returns
#
# Everything runs as the calling user, on 127.0.0.1, on free ports below 30000 that are chosen once. DIR holds
#   env           what a client needs: KEY=VALUE lines, to be sourced
#   NAME.pid      the pid of each program itself (NAME is the product and a number from 1: redis-1, sentinel-3)
#   NAME.log      what it wrote
# With OWNER_PID set, all of it is killed and DIR is removed once that process is gone; PRODUCTS_KEEP=1 keeps DIR.
#
# A script defines
#   COUNT_DEFAULT   programs where none are asked for
#   install         makes sure that what it runs is there (see `need`)
#   names COUNT     prints the names of the programs in the order in which they are started
#   prepare COUNT   writes configuration and data below $DIR where they are not there yet, and the env (`env_line`)
#   run NAME        starts one program with `spawn`, and returns at once
#   serve NAME      returns once that program serves (see `wait_for`); it fails when it does not
#   join_all COUNT  returns once the programs work together, such as replicas in sync; optional
#   rejoin NAME     after a restart: returns once the program works with the others, or it is clear that too few of
#                   them run; optional
# and uses `port`, `spawn`, `wait_port`, `wait_for`, `env_line`, `need`, `alive`, `halt`, `say` and `fail`.
set -euo pipefail

# Daemons are not in everybody's path.
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
PORT_MIN=20000
PORT_MAX=29999
# Seconds that a program has for its orderly end before it is killed.
STOP_SECONDS=${STOP_SECONDS:-10}

say() { echo "${0##*/}: $*" >&2; }
fail() { say "$*"; exit 1; }

# need COMMAND_OR_FILE PACKAGE...: installs Debian packages where a command, or a file, is missing.
need() {
  local what=$1; shift
  command -v "$what" >/dev/null 2>&1 || [[ -e $what ]] && return 0
  command -v apt-get >/dev/null 2>&1 || fail "$what is missing: install what Debian calls $*"
  local -a as_root=()
  if [[ $(id -u) != 0 ]]; then
    sudo -n true 2>/dev/null || fail "$what is missing: install the packages $* (this user may not)"
    as_root=(sudo -n)
  fi
  say "installs $*, since $what is missing"
  local log; log=$(mktemp)
  if ! { "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=600 update -qq &&
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=600 install -y -qq \
      --no-install-recommends "$@"; } >"$log" 2>&1 </dev/null; then
    tail -n 20 "$log" >&2; rm -f "$log"; fail "the packages $* cannot be installed"
  fi
  rm -f "$log"; hash -r
  command -v "$what" >/dev/null 2>&1 || [[ -e $what ]] || fail "$what is not there after $* were installed"
}

# port KEY: sets REPLY to the port of that name, the same one for as long as DIR is there.
port() {
  local key=$1 known
  touch "$DIR/ports"
  known=$(sed -n "s/^$key=//p" "$DIR/ports")
  if [[ -z $known ]]; then
    known=$(free_port) || exit 1
    echo "$key=$known" >>"$DIR/ports"
  fi
  REPLY=$known
}

# A port that nobody listens on and that no other folder of this user's has chosen: one file tells who chose which.
free_port() {
  local chosen=${TMPDIR:-/tmp}/anser-ports-$(id -u) candidate port owner taken i
  (
    flock -w 60 9 || fail "$chosen.lock is held by another process"
    touch "$chosen"; taken=" "
    : >"$chosen.next"
    while read -r port owner; do
      if [[ -d $owner ]]; then taken+="$port "; echo "$port $owner" >>"$chosen.next"; fi
    done <"$chosen"
    for ((i = 0; i < 1000; i++)); do
      candidate=$((PORT_MIN + RANDOM % (PORT_MAX - PORT_MIN + 1)))
      [[ $taken == *" $candidate "* ]] && continue
      is_open "$candidate" && continue
      echo "$candidate $DIR" >>"$chosen.next"
      mv "$chosen.next" "$chosen"
      echo "$candidate"
      exit 0
    done
    fail "no free port from $PORT_MIN to $PORT_MAX"
  ) 9>"$chosen.lock"
}

is_open() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# wait_for SECONDS NAME COMMAND...: runs the command every 0.1 s until it succeeds; fails when the time is over or the
# program of that name has ended.
wait_for() {
  local seconds=$1 name=$2 end; shift 2
  end=$((SECONDS + seconds))
  until "$@" >/dev/null 2>&1; do
    alive "$name" || { show_log "$name"; fail "$name has ended"; }
    ((SECONDS < end)) || { show_log "$name"; fail "$name is not ready after $seconds s: $*"; }
    sleep 0.1
  done
}

# wait_port SECONDS NAME PORT: until the program of that name listens.
wait_port() { wait_for "$1" "$2" is_open "$3"; }

show_log() { [[ -e $DIR/$1.log ]] && tail -n 15 "$DIR/$1.log" >&2 || :; }

# env_line KEY VALUE: sets a line of DIR/env; no value has a single quote.
env_line() {
  touch "$DIR/env"
  { grep -v "^$1=" "$DIR/env" || :; echo "$1='$2'"; } >"$DIR/env.next"
  mv "$DIR/env.next" "$DIR/env"
}

# When a process began, in ticks since the machine did: with its pid it names one process for good.
began() {
  local stat; stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 0
  stat=${stat##*) }
  # The rest begins with the third field; the time is the 22nd.
  set -- $stat
  [[ $1 == Z ]] || echo "${20}"
}

# spawn NAME COMMAND...: starts a program in a session of its own, so that what ends the caller does not end it.
# Descriptors of the caller are closed: a daemon that held a lock file's would hold the lock.
spawn() {
  local name=$1; shift
  setsid "$@" >>"$DIR/$name.log" 2>&1 </dev/null 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&- &
  echo $! >"$DIR/$name.pid"
  began $! >"$DIR/$name.began"
}

# alive NAME: whether the program runs, and is not another one that was given its pid.
alive() {
  local pid began_at
  pid=$(cat "$DIR/$1.pid" 2>/dev/null) && began_at=$(cat "$DIR/$1.began" 2>/dev/null) || return 1
  [[ -n $began_at && $(began "$pid") == "$began_at" ]]
}

# signal NAME SIGNAL: to a program that runs.
signal() { ! alive "$1" || kill "-$2" "$(<"$DIR/$1.pid")" 2>/dev/null || :; }

# halt NAME [SIGNAL]: ends a program, and waits until it is gone. One that is paused hears it too.
halt() {
  local name=$1 i
  signal "$name" "${2:-TERM}"; signal "$name" CONT
  for ((i = 0; i < STOP_SECONDS * 20; i++)); do
    alive "$name" || break
    sleep 0.05
  done
  signal "$name" KILL
  while alive "$name"; do sleep 0.02; done
  rm -f "$DIR/$name.pid" "$DIR/$name.began"
}

# The programs of this folder that were started, the last one first.
started() {
  local file
  for file in $(ls -t "$DIR"/*.pid 2>/dev/null); do basename "$file" .pid; done
}

stop_all() {
  local name
  for name in $(started); do signal "$name" TERM; signal "$name" CONT; done
  for name in $(started); do halt "$name"; done
}

# Kills what runs below DIR, and a script that is at work on it, once the owner is gone.
watch_owner() {
  local owner=$1 owner_began=$2 script=$3 script_began=$4 name
  while [[ -d $DIR && $(began "$owner") == "$owner_began" ]]; do sleep 0.5; done
  [[ -d $DIR ]] || return 0
  [[ $(began "$script") == "$script_began" ]] && kill -9 "$script" 2>/dev/null
  for name in $(started); do signal "$name" KILL; done
  for name in $(started); do halt "$name" KILL; done
  [[ ${PRODUCTS_KEEP:-} == 1 ]] || rm -rf "$DIR"
}

# Begins to watch the owner, where there is one and nobody watches it yet.
guard() {
  local watcher
  [[ -n ${OWNER_PID:-} ]] || return 0
  if watcher=$(cat "$DIR/watcher" 2>/dev/null) && [[ $(began "${watcher% *}") == "${watcher#* }" ]]; then
    return 0
  fi
  [[ -n $(began "$OWNER_PID") ]] || fail "the owner, process $OWNER_PID, is gone"
  # It holds none of the caller's descriptors: whoever reads this script's output must see its end.
  (trap '' HUP INT TERM; set +e
    watch_owner "$OWNER_PID" "$(began "$OWNER_PID")" $$ "$(began $$)") >/dev/null 2>&1 </dev/null 3>&- 9>&- &
  echo "$! $(began $!)" >"$DIR/watcher"
}

unguard() {
  local watcher
  watcher=$(cat "$DIR/watcher" 2>/dev/null) || return 0
  if [[ -n ${watcher#* } && $(began "${watcher% *}") == "${watcher#* }" ]]; then kill -9 "${watcher% *}" || :; fi
  rm -f "$DIR/watcher"
}

start_all() {
  local count=$1 name
  install
  mkdir -p "$DIR"; DIR=$(cd "$DIR" && pwd)
  guard
  # What was begun does not outlive a start that failed.
  trap 'code=$?; if ((code != 0)); then stop_all; unguard; fi; exit "$code"' EXIT
  prepare "$count"
  for name in $(names "$count"); do alive "$name" || run "$name"; serve "$name"; done
  if declare -F join_all >/dev/null; then join_all "$count"; fi
  echo "$count" >"$DIR/count"
}

known_folder() {
  [[ -d $1 ]] || fail "folder $1 is not there: begin with ${0##*/} start $1"
  DIR=$(cd "$1" && pwd)
}

main() {
  case ${1:-} in
    start)
      [[ -n ${2:-} ]] || fail "name the folder: ${0##*/} start DIR [COUNT]"
      DIR=$2
      start_all "${3:-$(cat "$2/count" 2>/dev/null || echo "$COUNT_DEFAULT")}"
      cat "$DIR/env"
      ;;
    stop) known_folder "${2:-}"; stop_all; unguard ;;
    kill)
      known_folder "${2:-}"
      alive "${3:-}" || fail "${3:-} does not run below $DIR"
      halt "$3" KILL
      ;;
    restart)
      known_folder "${2:-}"
      [[ " $(names "$(cat "$DIR/count")" | tr '\n' ' ') " == *" ${3:-} "* ]] || fail "$DIR has no program ${3:-}"
      guard; halt "$3"; run "$3"; serve "$3"
      if declare -F rejoin >/dev/null; then rejoin "$3"; fi
      ;;
    *) sed -n '2,/^[^#]/{/^#/s/^# \{0,1\}//p}' "$0" >&2; exit 2 ;;
  esac
}
