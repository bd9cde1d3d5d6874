#!/usr/bin/env bash
# The light tier: a real etcd, kube-apiserver and kube-controller-manager; pods are kwok's, which says that they are ready after a moment.
# The CRDs of Istio, of Gateway API and of TrafficSplits are there, for a controller's writes; nothing reads them.
# usage: light.sh up DIR | down DIR | in DIR COMMAND...
# DIR/slipway.kubeconfig and DIR/flagger.kubeconfig are for a controller under test: the audit log tells their requests apart.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
self=$here/$(basename "$0")
# shellcheck source=space.sh
source "$here/space.sh"
# shellcheck source=control-plane.sh
source "$here/control-plane.sh"

boot() {
  cd "$1"
  make_authority
  user kwok kwok system:masters
  user slipway slipway system:masters
  user flagger flagger system:masters
  # There are no kubelets that could mount tokens.
  start_api_server --disable-admission-plugins=ServiceAccount
  start_controller_manager --concurrent-deployment-syncs=20 --concurrent-replicaset-syncs=20 \
    --controllers='*,-node-ipam-controller,-node-lifecycle-controller,-cloud-node-lifecycle-controller'
  start kwok kwok --kubeconfig=kwok.kubeconfig --manage-all-nodes=true --config="$here/kwok-stages.yaml"
  kubectl apply --server-side -f "$here/kwok-node.yaml" -f "$here/smi-crd.yaml" -f "$cache/bin/istio-crds.yaml" \
    -f "$cache/bin/gateway-api-crds.yaml" >/dev/null
  wait_for 30 "the fake node" kubectl wait node/n0 --for=condition=Ready --timeout=1s
}

verb=${1:-}; dir=$(realpath -m "${2:?folder of the cluster}")
case $verb in
  up) space_up "$dir"; inside "$dir" "$self" boot "$dir" || { show_logs "$dir"; space_down "$dir"; exit 1; } ;;
  boot) boot "$dir" ;;
  down) space_down "$dir" ;;
  in) inside "$dir" "${@:3}" ;;
  *) die "usage: light.sh up DIR | down DIR | in DIR COMMAND..." ;;
esac
