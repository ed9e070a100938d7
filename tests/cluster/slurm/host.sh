#!/usr/bin/env bash
# Process 1 of a host of the test cluster: host.sh __host FOLDER NAME, started by test-cluster.sh in new namespaces.
# It gives the host its own files and network, starts its daemons, and waits; with it ends everything on the host.
# The first words are how test-cluster.sh finds the processes of its own cluster.
set -euo pipefail

NAME=$3
RUN=$CLUSTER_DIR/run
LOG=$CLUSTER_DIR/log
CONF=$CLUSTER_DIR/etc

own_folders() { # private /run, /dev/shm and /tmp; what is shared of /tmp comes from a mount kept aside
  local shared=() path
  IFS=: read -ra shared <<<"$CLUSTER_SHARE"
  shared+=("$CLUSTER_DIR")
  mount -t tmpfs -o mode=0755 tmpfs /run
  mkdir /run/outside /run/munge
  mount --rbind /tmp /run/outside
  mount -t tmpfs -o mode=1777 tmpfs /tmp
  for path in "${shared[@]}"; do
    case $path in
      /tmp/?*)
        mkdir -p "$path"
        mount --rbind "/run/outside/${path#/tmp/}" "$path"
        ;;
    esac
  done
  umount -l /run/outside
  mount -t tmpfs -o mode=1777 tmpfs /dev/shm
}

own_files() { # names, users and Slurm's settings
  local name pmix=/usr/lib/x86_64-linux-gnu/pmix2/lib
  mount --bind "$CONF/hosts.names" /etc/hosts
  for name in passwd group resolv.conf; do
    if [ -e "/etc/$name" ]; then mount --bind "$CONF/$name" "/etc/$name"; fi
  done
  mount --bind "$CONF" /etc/slurm
  # Slurm's plugin opens libpmix.so, a name that only the package for developers brings.
  if [ -e "$pmix/libpmix.so.2" ] && [ ! -e "$pmix/libpmix.so" ]; then
    mkdir /run/pmix
    cp -a "$pmix/." /run/pmix/
    ln -s libpmix.so.2 /run/pmix/libpmix.so
    mount --bind /run/pmix "$pmix"
  fi
}

plug_in() { # the cable comes from outside
  local tries=400
  until ip link show eth0 >/dev/null 2>&1; do
    ((tries-- > 0)) || { echo "$NAME got no cable" >&2; exit 1; }
    sleep 0.02
  done
  ip address add "$(awk -v name="$NAME" '$2 == name { print $1 }' /etc/hosts)/24" dev eth0
  ip link set eth0 up
}

start_daemons() {
  install -m 0600 "$CONF/munge.key" /run/munge.key
  munged --force --key-file=/run/munge.key --seed-file=/run/munge.seed --log-file="$LOG/munged-$NAME.log"
  if [ "$NAME" = ctl ]; then slurmctld; else slurmd -N "$NAME"; fi
}

read -r outer _ </proc/self/stat # /proc is still the machine's
echo "$outer" >"$RUN/$NAME.new"
mv "$RUN/$NAME.new" "$RUN/$NAME.pid"
mount -t proc proc /proc
hostname "$NAME"
ip link set lo up
if [ "$NAME" = switch ]; then
  ip link add bridge type bridge forward_delay 0
  ip link set bridge up
else
  own_folders
  own_files
  plug_in
  start_daemons
fi
: >"$RUN/$NAME.ready"

trap : TERM INT HUP
while :; do # bash, as process 1, also reaps what was left behind
  if [ -n "$CLUSTER_LOCK" ]; then
    flock --shared "$CLUSTER_LOCK" true &
    wait $! && exit # nobody holds the lock any more
    sleep 1
  else
    sleep 3600 &
    wait $! || true
  fi
done
