#!/usr/bin/env bash
# The node tier: a real one-node cluster, its control plane (control-plane.sh), kube-scheduler, CoreDNS, containerd with runc and a
# CNI bridge, kubelet and kube-proxy. The node is 10.10.0.1, pods are 10.244.0.0/24, Services 10.96.0.0/16.
# usage: node.sh up DIR | down DIR | in DIR COMMAND... | load DIR IMAGES.tar      (`load` imports what image.py wrote)
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
self=$here/$(basename "$0")
# shellcheck source=space.sh
source "$here/space.sh"
# shellcheck source=control-plane.sh
source "$here/control-plane.sh"

pod_image=slipway.test/pause:1

boot() {
  cd "$1"
  # Answers between two pods of the bridge must pass kube-proxy's rules too; a kernel without the switch always does it.
  sysctl -qw net.ipv4.ip_forward=1
  [[ ! -e /proc/sys/net/bridge/bridge-nf-call-iptables ]] || sysctl -qw net.bridge.bridge-nf-call-iptables=1
  make_authority
  certificate kubelet-server n0 "" "IP:$node_ip,DNS:n0"
  user scheduler system:kube-scheduler
  user kubelet system:node:n0 system:nodes
  user proxy system:kube-proxy
  favour_pods
  start_containerd          # while the API server starts
  start_api_server
  start_controller_manager
  start kube-scheduler kube-scheduler --kubeconfig=scheduler.kubeconfig --leader-elect=false
  start_dns
  start_proxy
  start_kubelet
  wait_for 60 "the node" kubectl wait node/n0 --for=condition=Ready --timeout=1s
}

start_dns() {
  printf '.:53 {\n errors\n kubernetes cluster.local {\n  kubeconfig %s\n }\n}\n' "$PWD/admin.kubeconfig" > Corefile
  start dns dns -conf Corefile
}

start_proxy() {
  cat > proxy.yaml <<Y
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
clientConnection: {kubeconfig: $PWD/proxy.kubeconfig}
mode: nftables
clusterCIDR: 10.244.0.0/16
hostnameOverride: n0
conntrack: {maxPerCore: 0}
nftables: {minSyncPeriod: 0s}
Y
  start kube-proxy kube-proxy --config=proxy.yaml
}

# All pods together are one of the machine's groups of processes, and would get as much of a busy processor as a single process does.
favour_pods() {
  local folder
  for folder in /sys/fs/cgroup /sys/fs/cgroup/cpu; do
    [[ -e $folder/cgroup.procs ]] || continue   # the other version has its groups elsewhere
    mkdir -p "$folder/k8s.io"
    [[ ! -e $folder/k8s.io/cpu.weight ]] || echo 2000 > "$folder/k8s.io/cpu.weight"
    [[ ! -e $folder/k8s.io/cpu.shares ]] || echo 20480 > "$folder/k8s.io/cpu.shares"
  done
}

start_containerd() {
  mkdir -p cni containerd
  cat > containerd.toml <<Y
version = 3
root = "$PWD/containerd/root"
state = "$PWD/containerd/state"
[grpc]
  address = "$PWD/containerd.sock"
[plugins.'io.containerd.cri.v1.images']
  snapshotter = "overlayfs"
[plugins.'io.containerd.cri.v1.images'.pinned_images]
  sandbox = "$pod_image"
[plugins.'io.containerd.cri.v1.runtime']
  restrict_oom_score_adj = true
[plugins.'io.containerd.cri.v1.runtime'.cni]
  bin_dirs = ["$cache/bin"]
  conf_dir = "$PWD/cni"
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
  BinaryName = "$cache/bin/runc"
  SystemdCgroup = false
Y
  cat > cni/10-bridge.conflist <<Y
{"cniVersion": "1.0.0", "name": "pods", "plugins": [
  {"type": "bridge", "bridge": "cni0", "isGateway": true, "ipMasq": false, "hairpinMode": true,
   "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.244.0.0/24"}]], "routes": [{"dst": "0.0.0.0/0"}], "dataDir": "$PWD/cni-state"}},
  {"type": "portmap", "capabilities": {"portMappings": true}}]}
Y
  start containerd containerd --config containerd.toml --log-level warn
  [[ -x pause ]] || printf 'int pause(void);int main(void){for(;;)pause();}\n' | cc -static -O2 -x c - -o pause
  python3 "$here/image.py" pause.tar "$pod_image" --entrypoint /pause --file pause:/pause
  wait_for 30 containerd ctr --address "$PWD/containerd.sock" version
  load pause.tar
}

load() { ctr --address "$PWD/containerd.sock" --namespace k8s.io images import "$1" > logs/images.log 2>&1 || { cat logs/images.log >&2; return 1; }; }

start_kubelet() {
  # Without cgroups per quality of service there is no hierarchy to prepare, with control groups of either version.
  cat > kubelet.yaml <<Y
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: $PWD/pki/ca.crt}}
authorization: {mode: Webhook}
tlsCertFile: $PWD/pki/kubelet-server.crt
tlsPrivateKeyFile: $PWD/pki/kubelet-server.key
containerRuntimeEndpoint: unix://$PWD/containerd.sock
cgroupDriver: cgroupfs
cgroupRoot: /
cgroupsPerQOS: false
enforceNodeAllocatable: []
failCgroupV1: false
failSwapOn: false
# The disk is the machine's, and may be fuller than a node's should be.
evictionHard: {memory.available: 100Mi, nodefs.available: "0%", nodefs.inodesFree: "0%", imagefs.available: "0%", imagefs.inodesFree: "0%"}
imageGCHighThresholdPercent: 100
clusterDomain: cluster.local
clusterDNS: ["$node_ip"]
resolvConf: ""
podLogsDir: $PWD/pod-logs
volumePluginDir: $PWD/volume-plugins
maxPods: 250
registryPullQPS: 0
serializeImagePulls: false
evictionHard: {memory.available: "100Mi", nodefs.available: "100Mi", imagefs.available: "100Mi", nodefs.inodesFree: "1%"}
imageGCHighThresholdPercent: 100
imageGCLowThresholdPercent: 99
nodeStatusUpdateFrequency: 10s
syncFrequency: 10s
Y
  start kubelet kubelet --kubeconfig=kubelet.kubeconfig --config=kubelet.yaml --hostname-override=n0 --node-ip="$node_ip" --root-dir="$PWD/kubelet"
}

verb=${1:-}; dir=$(realpath -m "${2:?folder of the cluster}")
case $verb in
  up) space_up "$dir"; inside "$dir" "$self" boot "$dir" || { show_logs "$dir"; space_down "$dir"; exit 1; } ;;
  boot) boot "$dir" ;;
  down) space_down "$dir" ;;
  in) inside "$dir" "${@:3}" ;;
  load) images=$(realpath "${3:?archive of images}"); inside "$dir" "$self" load-inside "$dir" "$images" ;;
  load-inside) cd "$dir"; load "$3" ;;
  *) die "usage: node.sh up DIR | down DIR | in DIR COMMAND... | load DIR IMAGES.tar" ;;
esac
