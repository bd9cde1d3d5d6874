#!/usr/bin/env bash
# A real Prometheus on the node of node.sh, at 10.10.0.1:9090 for pods and for the suites. What it scrapes is in prometheus.yml.
# SLIPWAY_E2E_SCRAPE=5s has it scrape less often than every second, as real ones do.
# usage: prometheus.sh up DIR | down DIR    DIR is the node's; `node.sh down` ends Prometheus as well
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
self=$here/$(basename "$0")
# shellcheck source=space.sh
source "$here/space.sh"

boot() {
  cd "$1"
  # Beside the kubeconfig that it names.
  sed "s/{scrape_interval: 1s,/{scrape_interval: ${SLIPWAY_E2E_SCRAPE:-1s},/" "$here/prometheus.yml" > prometheus.yml
  start prometheus prometheus --config.file=prometheus.yml --storage.tsdb.path=prometheus --storage.tsdb.retention.time=1d \
    --web.listen-address="$node_ip:9090" --web.enable-lifecycle --log.level=warn
  wait_for 30 Prometheus curl -sf "$node_ip:9090/-/ready"
}

verb=${1:-}; dir=$(realpath -m "${2:?folder of the cluster}")
case $verb in
  up) inside "$dir" "$self" boot "$dir" || { show_logs "$dir"; exit 1; } ;;
  boot) boot "$dir" ;;
  down) inside "$dir" "$self" halt "$dir" ;;
  halt) cd "$dir"; stop prometheus ;;
  *) die "usage: prometheus.sh up DIR | down DIR" ;;
esac
