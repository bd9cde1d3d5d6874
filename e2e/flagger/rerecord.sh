#!/usr/bin/env bash
# Records the traces anew with a real Flagger, built from its Go module: all stories, or those that are named. About five minutes.
# usage: rerecord.sh [story...]
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd); e2e=$(dirname "$here")
# shellcheck source=../cluster/space.sh
source "$e2e/cluster/space.sh"
version=v1.44.0 module=github.com/fluxcd/flagger at=$cache/mod/flagger dir=$cache/clusters/flagger

build_flagger() {
  mkdir -p "$at"
  printf 'module tools/flagger\n\ngo 1.26\n\nrequire %s %s\n' $module $version > "$at/go.mod"
  printf '//go:build tools\n\npackage tools\n\nimport _ "%s/cmd/flagger"\n' $module > "$at/tools.go"
  go -C "$at" mod tidy
  CGO_ENABLED=0 go -C "$at" build -ldflags "-s -w" -o "$cache/bin/flagger" $module/cmd/flagger
}

[[ -x $cache/bin/flagger ]] || build_flagger
"$e2e/cluster/programs.sh" light
"$e2e/cluster/light.sh" up "$dir"
trap '"$e2e/cluster/light.sh" down "$dir"' EXIT
"$e2e/cluster/light.sh" in "$dir" kubectl apply --server-side -f "$(go -C "$at" list -m -f '{{.Dir}}' $module)/artifacts/flagger/crd.yaml"
# shellcheck disable=SC2016  # these are for the inner shell
PYTHONPATH=$e2e TICK=10 "$e2e/cluster/light.sh" in "$dir" bash -euc '
  python3 "$0/record.py" "$1" "$0/traces" "${@:2}" & recorder=$!
  for _ in $(seq 100); do curl -sf http://127.0.0.1:19090/-/ready >/dev/null && break; sleep 0.2; done
  flagger -kubeconfig="$1/flagger.kubeconfig" -mesh-provider=istio -metrics-server=http://127.0.0.1:19090 -port=18080 \
    -kubeconfig-qps=2000 -kubeconfig-burst=4000 > "$1/logs/flagger.log" 2>&1 & flagger=$!
  wait $recorder
  kill $flagger' "$here" "$dir" "$@"
