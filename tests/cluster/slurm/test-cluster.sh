#!/usr/bin/env bash
# A Slurm cluster for tests on this one machine: real slurmctld, slurmd and munged, no containers, no systemd.
#
#   test-cluster.sh up [NODES]             start host ctl and hosts n1, n2, ... (2 nodes unless told)
#   test-cluster.sh as USER HOST CMD...    run CMD on HOST as USER, who has a home there
#   test-cluster.sh exec HOST CMD...       the same as root
#   test-cluster.sh crash HOST             the power goes: all its processes are killed at once
#   test-cluster.sh boot HOST              start a host that crashed
#   test-cluster.sh cut HOST | mend HOST   pull its network cable; put it back
#   test-cluster.sh status | logs | down
#
# A host is a set of namespaces: its own network, name, processes, shared memory, /tmp, /run, and a monotonic
# clock of its own, as after a boot at another time. The rest of the file system is the machine's, which serves as
# the cluster's shared one. The hosts' cables end at a bridge in one more namespace, `switch`; no cable leads out.
#
# No namespace has a name in /run/netns and no mount is visible outside, so the last process of a host takes
# everything with it. Users exist on the hosts only: the machine's /etc/passwd is not touched.
#
# Environment: CLUSTER_DIR    state, homes (home/USER) and scratch; one folder is one cluster
#              CLUSTER_NET    first three bytes of the addresses; clusters may share them (they never meet)
#              CLUSTER_CPUS   CPUs that a node offers, more than the machine's if need be
#              CLUSTER_MEM    memory that a node offers, in MB
#              CLUSTER_USERS  names of the normal users
#              CLUSTER_SHARE  folders below /tmp that all hosts see nevertheless, separated by colons
#              CLUSTER_LOCK   a file: the cluster ends by itself once nobody holds its lock (flock)
set -euo pipefail
export PATH="$PATH:/usr/sbin:/sbin"

CLUSTER_DIR=$(readlink -m "${CLUSTER_DIR:-/var/tmp/labkit-test-cluster}")
: "${CLUSTER_NET:=10.97.31}" "${CLUSTER_CPUS:=4}" "${CLUSTER_MEM:=4000}" "${CLUSTER_USERS:=labkit-a labkit-b}"
: "${CLUSTER_SHARE:=}" "${CLUSTER_LOCK:=}"
export CLUSTER_DIR CLUSTER_NET CLUSTER_CPUS CLUSTER_MEM CLUSTER_USERS CLUSTER_SHARE CLUSTER_LOCK
SCRIPT=$(readlink -f "${BASH_SOURCE[0]}")
FIRST_UID=47101
RUN=$CLUSTER_DIR/run
LOG=$CLUSTER_DIR/log
CONF=$CLUSTER_DIR/etc
MARKER=$CLUSTER_DIR/.test-cluster

fail() {
  printf 'test-cluster: %s\n' "$*" >&2
  exit 1
}

wait_for() { # SECONDS COMMAND...: until the command succeeds
  local tries=$(($1 * 20))
  shift
  until "$@"; do
    ((tries-- > 0)) || return 1
    sleep 0.05
  done
}

# --- which processes are ours -----------------------------------------------------------------------------------

is_ours() { # PID [HOST]: is it process 1 (or its parent, unshare) of a host of this folder?
  local words=() i
  { mapfile -d '' -t words <"/proc/$1/cmdline"; } 2>/dev/null || return 1
  for i in "${!words[@]}"; do # a zombie has no words, and a process with a recycled number has others
    [ "${words[i]}" = __host ] && [ "${words[i + 1]:-}" = "$CLUSTER_DIR" ] &&
      [ "${2:-${words[i + 2]:-}}" = "${words[i + 2]:-}" ] && return 0
  done
  return 1
}

our_processes() {
  local folder
  for folder in /proc/[0-9]*; do
    if is_ours "${folder#/proc/}"; then echo "${folder#/proc/}"; fi
  done
}

pid_of() { # HOST: its process 1, as the machine numbers it; nothing if the host is down
  local pid
  pid=$(cat "$RUN/$1.pid" 2>/dev/null) && is_ours "$pid" "$1" && echo "$pid"
}

is_down() { ! pid_of "$1" >/dev/null; }
is_ready() { [ -e "$RUN/$1.ready" ]; }
has_pid() { pid_of "$1" >/dev/null; }
none_left() { [ -z "$(our_processes)" ]; }

known() { # HOST
  [ -e "$CLUSTER_DIR/hosts" ] || fail "no cluster in $CLUSTER_DIR; start one: test-cluster.sh up"
  grep -qx -- "$1" "$CLUSTER_DIR/hosts" || fail "no host $1 here; there are: $(xargs <"$CLUSTER_DIR/hosts")"
}

address() { # HOST
  case $1 in
    ctl) echo "$CLUSTER_NET.1" ;;
    n*) echo "$CLUSTER_NET.$((100 + ${1#n}))" ;;
  esac
}

# --- files of a cluster -----------------------------------------------------------------------------------------

write_names() { # NODES: hosts, users, no name server
  local i user uid=$FIRST_UID
  { echo ctl; for ((i = 1; i <= $1; i++)); do echo "n$i"; done; } >"$CLUSTER_DIR/hosts"
  {
    echo "127.0.0.1 localhost"
    while read -r i; do echo "$(address "$i") $i"; done <"$CLUSTER_DIR/hosts"
  } >"$CONF/hosts.names"
  : >"$CONF/resolv.conf"
  cat /etc/passwd >"$CONF/passwd"
  cat /etc/group >"$CONF/group"
  for user in $CLUSTER_USERS; do
    sed -i "/^$user:/d" "$CONF/passwd" "$CONF/group"
    echo "$user:x:$uid:$uid::$CLUSTER_DIR/home/$user:/bin/bash" >>"$CONF/passwd"
    echo "$user:x:$uid:" >>"$CONF/group"
    mkdir -p "$CLUSTER_DIR/home/$user"
    chmod 0700 "$CLUSTER_DIR/home/$user"
    chown "$uid:$uid" "$CLUSTER_DIR/home/$user"
    uid=$((uid + 1))
  done
}

write_slurm() { # NODES
  local i
  # Version 22.05 looks into /sys/fs/cgroup although nothing here uses it, unless a version is named.
  echo "CgroupPlugin=cgroup/v1" >"$CONF/cgroup.conf"
  sed -e "s|@FOLDER@|$CLUSTER_DIR|g" -e "s|@NODES@|n[1-$1]|g" "${SCRIPT%/*}/slurm.conf.in" >"$CONF/slurm.conf"
  for ((i = 1; i <= $1; i++)); do
    echo "NodeName=n$i NodeAddr=$(address "n$i") Sockets=1 CoresPerSocket=$CLUSTER_CPUS ThreadsPerCore=1" \
      "CPUs=$CLUSTER_CPUS RealMemory=$CLUSTER_MEM State=UNKNOWN"
  done >>"$CONF/slurm.conf"
}

write_files() { # NODES
  # The marker says that etc, run and the like are ours to delete.
  [ -e "$MARKER" ] || [ ! -e "$CONF" ] || fail "$CONF is not a test cluster's; name another CLUSTER_DIR"
  mkdir -p "$CLUSTER_DIR"/{etc/plugstack.conf.d,run,log,state,spool,home,scratch}
  : >"$MARKER"
  chmod 0755 "$CLUSTER_DIR" "$CONF" "$CLUSTER_DIR/home"
  chmod 0700 "$RUN" "$CLUSTER_DIR/state"
  chmod 1777 "$CLUSTER_DIR/scratch"
  (umask 077 && head -c 64 /dev/urandom >"$CONF/munge.key")
  write_names "$1"
  write_slurm "$1"
  chmod a+r "$CONF"/{hosts.names,resolv.conf,passwd,group,slurm.conf,cgroup.conf}
}

# --- a host, from outside ---------------------------------------------------------------------------------------

on_switch() {
  local pid
  pid=$(pid_of switch) || fail "the cluster is not up"
  nsenter -t "$pid" -n -- "$@"
}

boot_host() { # HOST
  local name=$1 clock=()
  rm -f "$RUN/$name".{pid,ready}
  if [ -e /proc/self/ns/time ] && [ "${name#n}" != "$name" ]; then
    clock=(--time --monotonic "$((1000 * ${name#n}))")
  fi
  setsid unshare --net --uts --ipc --pid --mount "${clock[@]}" --fork --kill-child \
    bash "${SCRIPT%/*}/host.sh" __host "$CLUSTER_DIR" "$name" </dev/null >"$LOG/boot-$name.log" 2>&1 &
  wait_for 10 has_pid "$name" || fail "$name did not start: $(cat "$LOG/boot-$name.log")"
  if [ "$name" != switch ]; then
    # A killed host's cable may outlive it for a moment: the kernel clears network namespaces later.
    on_switch ip link delete "to-$name" 2>/dev/null || true
    on_switch ip link add "to-$name" type veth peer name eth0 netns "$(pid_of "$name")"
    on_switch ip link set "to-$name" master bridge up
  fi
  wait_for 20 is_ready "$name" || fail "$name did not come up: $(cat "$LOG/boot-$name.log")"
}

enter() { # USER HOST CMD...
  local user=$1 name=$2 pid identity home clock=()
  shift 2
  known "$name"
  pid=$(pid_of "$name") || fail "$name is down; start it: test-cluster.sh boot $name"
  [ -e /proc/self/ns/time ] && clock=(-T)
  home=$(awk -F: -v user="$user" '$1 == user { print $6 }' "$CONF/passwd")
  [ -n "$home" ] || fail "no user $user on the hosts; normal users are: $CLUSTER_USERS"
  identity=(--reuid "$user" --regid "$user" --init-groups)
  # The command runs in this folder, or at home if the user cannot enter it. It dies with nsenter: who kills the
  # process that was started here has killed it there too.
  # shellcheck disable=SC2016
  exec nsenter -t "$pid" -m -u -i -n -p "${clock[@]}" -- setpriv --pdeathsig KILL "${identity[@]}" \
    env -u CLUSTER_DIR -u CLUSTER_NET -u CLUSTER_CPUS -u CLUSTER_MEM -u CLUSTER_USERS -u CLUSTER_SHARE -u CLUSTER_LOCK \
    HOME="$home" USER="$user" LOGNAME="$user" SHELL=/bin/bash \
    /bin/sh -c 'cd "$1" 2>/dev/null || cd || cd /; shift; exec "$@"' sh "$PWD" "$@"
}

idle() { # NODES
  [ "$( (enter root ctl sinfo --noheader --partition=debug --states=idle --format=%D) 2>/dev/null)" = "$1" ]
}

# --- verbs ------------------------------------------------------------------------------------------------------

verb_up() {
  local nodes=${1:-2} name
  [[ $nodes =~ ^[1-9][0-9]?$ ]] || fail "the number of nodes is 1 to 99, not $nodes"
  [ "$(id -u)" = 0 ] || fail "only root can make namespaces"
  verb_down
  write_files "$nodes"
  for name in switch $(cat "$CLUSTER_DIR/hosts"); do boot_host "$name"; done
  wait_for 30 idle "$nodes" || {
    verb_logs >&2
    fail "the nodes did not become idle"
  }
}

verb_as() {
  [ $# -ge 3 ] || fail "as USER HOST CMD..."
  enter "$@"
}

verb_exec() {
  [ $# -ge 2 ] || fail "exec HOST CMD..."
  enter root "$@"
}

verb_crash() {
  local pid
  known "$1"
  pid=$(pid_of "$1") || fail "$1 is down already"
  kill -KILL "$pid"
  wait_for 10 is_down "$1" || fail "$1 does not end"
}

verb_boot() {
  known "$1"
  is_down "$1" || fail "$1 is up already"
  # A disk in memory, as nodes often have it. From one that stays, slurmd would end the steps that ran at the crash by
  # their process numbers, which belong to others here: a host counts them from 1 again.
  rm -rf "${CLUSTER_DIR:?}/spool/$1"
  boot_host "$1"
}

verb_cut() {
  known "$1"
  on_switch ip link set "to-$1" down
}

verb_mend() {
  known "$1"
  on_switch ip link set "to-$1" up
}

verb_status() {
  local name
  [ -e "$CLUSTER_DIR/hosts" ] || fail "no cluster in $CLUSTER_DIR"
  while read -r name; do
    if is_down "$name"; then echo "$name down"; else echo "$name up, process 1 is $(pid_of "$name")"; fi
  done <"$CLUSTER_DIR/hosts"
  if ! is_down ctl; then
    (enter root ctl sinfo --Node --long)
    (enter root ctl squeue --all)
  fi
}

verb_logs() {
  tail -n 40 "$LOG"/*.log
}

verb_down() {
  local pid
  for pid in $(our_processes); do kill -KILL "$pid" 2>/dev/null || true; done
  wait_for 10 none_left || fail "these processes do not end: $(our_processes | xargs)"
  if [ -e "$MARKER" ]; then rm -rf "${CLUSTER_DIR:?}"/{hosts,run,log,state,spool,etc} "$MARKER"; fi
}

verb=${1:-}
shift || true
case $verb in
  up | as | exec | crash | boot | cut | mend | status | logs | down) "verb_$verb" "$@" ;;
  *)
    sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "$SCRIPT"
    exit 2
    ;;
esac
