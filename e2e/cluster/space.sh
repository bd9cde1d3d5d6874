# shellcheck shell=bash
# To be sourced. A *space* is one set of network, process and mount namespaces that a whole cluster lives in: its ports collide with
# nothing, nothing outside reaches it, and ending its first process ends every process, mount and address in it, containers included.
# Two spaces never meet, so two clusters of the same addresses can stand side by side; a space is known by its folder.
# Only root can make one.

cache=${SLIPWAY_E2E_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/slipway/e2e}
# A control plane that is on the machine already is preferred to the one that programs.sh builds.
export PATH="${KUBEBUILDER_ASSETS:+$KUBEBUILDER_ASSETS:}$cache/bin:$PATH"
# The address of the node in its space: the API server, DNS and Prometheus are here, in both tiers.
node_ip=10.10.0.1

die() { echo "$(basename "$0"): $*" >&2; exit 1; }

# wait_for SECONDS WHAT COMMAND...: until the command succeeds; every wait here is bounded.
wait_for() {
  local seconds=$1 what=$2; shift 2
  for _ in $(seq $((seconds * 10))); do
    "$@" >/dev/null 2>&1 && return
    sleep 0.1
  done
  echo "gave up after ${seconds} s: $what" >&2
  return 1
}

# in a space: start NAME COMMAND...: a process that outlives this script; its output is in logs/NAME.log, its pid in NAME.pid
start() {
  local name=$1; shift
  # From a subshell that ends at once, so that the space's first process is the parent: Envoy ends when its parent does.
  (nohup "$@" > "logs/$name.log" 2>&1 & echo $! > "$name.pid")
}

# in a space: stop NAME: asks, waits 10 s, insists
stop() {
  [[ -f $1.pid ]] || return 0
  local pid; pid=$(< "$1.pid")
  kill "$pid" 2>/dev/null && { wait_for 10 "the end of $1" eval "! kill -0 $pid" || kill -9 "$pid"; }
  rm -f "$1.pid"
}

# The first process of a space: gives it folders of its own where programs leave things behind, then reaps orphans until it is killed.
# shellcheck disable=SC2016
first_process='
set -euo pipefail
mount -t proc proc /proc
for folder in /run /var/lib /var/log; do mount -t tmpfs tmpfs "$folder"; done
mount --bind "$1/resolv.conf" /etc/resolv.conf
touch "$1/space.ready"
while :; do sleep 3600 & wait || true; done'

space_is_up() { [[ -f $1/init.pid ]] && tr '\0' ' ' 2>/dev/null < "/proc/$(< "$1/init.pid")/cmdline" | grep -qF "space $1 "; }

# space_up DIR: makes the folder anew and a space with its bridge and its loopback
space_up() {
  local dir=$1
  ((EUID == 0)) || die "only root can make the namespaces of a cluster"
  case $dir in /run/* | /var/lib/* | /var/log/*) die "$dir: a cluster's folder cannot be there, its space hides that folder" ;; esac
  space_is_up "$dir" && die "$dir: this cluster is up already"
  rm -rf "$dir"; mkdir -p "$dir/logs"
  printf 'nameserver %s\nsearch svc.cluster.local cluster.local\noptions ndots:3\n' $node_ip > "$dir/resolv.conf"
  setsid nohup unshare --net --pid --mount --fork --kill-child -- bash -c "$first_process" space "$dir" > "$dir/logs/space.log" 2>&1 &
  local parent=$!
  wait_for 10 "the space of $dir (see $dir/logs/space.log)" test -f "$dir/space.ready"
  tr -d ' ' < "/proc/$parent/task/$parent/children" > "$dir/init.pid"
  inside "$dir" bash -euc "
    ip link set lo up
    ip link add node0 type bridge; ip addr add $node_ip/24 dev node0; ip link set node0 up
    ip route add default dev node0   # the API server, kube-proxy and the kubelet look for the address of a default route"
}

# inside DIR COMMAND...: runs a command in the space, as the cluster's administrator
inside() {
  local dir=$1; shift
  space_is_up "$dir" || die "$dir: no cluster is up there"
  KUBECONFIG="$dir/admin.kubeconfig" nsenter --target "$(< "$dir/init.pid")" --net --pid --mount --wd="$PWD" -- "$@"
}

# space_down DIR: ends the space and waits until all of it is gone; the folder with its logs stays
space_down() {
  local dir=$1
  if space_is_up "$dir"; then
    local pid; pid=$(< "$dir/init.pid")
    kill -9 "$pid"
    # a first process is gone only when the last process of its space is
    wait_for 30 "the end of the space of $dir" eval "! kill -0 $pid"
  fi
  rm -f "$dir"/*.pid "$dir/space.ready"
  cgroups_down "$dir"
}

# Control groups are the one thing that no namespace holds. Those of containers that containerd has not ended itself are known by its
# state; a group is busy for a moment after its last process has gone.
cgroups_down() {
  local container
  for container in "$1"/containerd/state/io.containerd.runtime.v2.task/k8s.io/*; do
    [[ -e $container ]] || continue   # there was none
    wait_for 10 "the end of the control group of $container" remove_cgroup "$(basename "$container")" || true
  done
  find /sys/fs/cgroup -maxdepth 2 -type d -name k8s.io -exec rmdir --ignore-fail-on-non-empty {} +
}
remove_cgroup() {
  local groups
  mapfile -t groups < <(find /sys/fs/cgroup -depth -type d -path "*/k8s.io/$1*")
  ((${#groups[@]} == 0)) || rmdir "${groups[@]}"
}

# in a space, after a failure: what the programs last said
show_logs() { tail -n 5 "$1"/logs/*.log >&2; }
