#!/usr/bin/env bash
# A real Istio on the node of node.sh: istiod, and two Envoys that it programs. One is the sidecar of the suites' clients: an HTTP proxy
# on 127.0.0.1:15007 that obeys the VirtualServices of the mesh, and on 127.0.0.1:80 the HTTPRoutes of Services with that port. One is an
# ingress gateway: of VirtualServices that name gateways with `istio: ingressgateway`, and of Gateways whose address is a Service that
# selects that label; it opens their ports.
# What is not here: a sidecar on the side of the servers, mutual TLS, Istio's own build of Envoy (its metrics filter: see prometheus.yml).
# usage: istio.sh up DIR | down DIR         DIR is the node's; `node.sh down` ends Istio as well
#        istio.sh gateway DIR NAMESPACE     in the space: an Envoy more, for the Gateways of one more namespace; one at most, until Istio ends
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
self=$here/$(basename "$0")
# shellcheck source=space.sh
source "$here/space.sh"

boot() {
  cd "$1"; mkdir -p istio
  kubectl apply --server-side -f "$cache/bin/istio-crds.yaml" -f "$cache/bin/gateway-api-crds.yaml" >/dev/null
  kubectl create namespace istio-system --dry-run=client -o yaml | kubectl apply -f - >/dev/null
  start_istiod
  start_envoy sidecar sidecar client default 15000 1 "INTERCEPTION_MODE: NONE, LABELS: {app: client}"
  start_envoy gateway router gateway default 15100 2 "LABELS: {istio: ingressgateway}"
  wait_for 30 "the sidecar's listener" eval 'curl -s 127.0.0.1:15000/listeners | grep -q 15007'
}

start_istiod() {
  cat > istio/mesh.yaml <<'Y'
proxyHttpPort: 15007
enableAutoMtls: false
enablePrometheusMerge: false
Y
  # Off is what only Istio's own build of Envoy understands, and what needs webhooks.
  start istiod env POD_NAMESPACE=istio-system POD_NAME=istiod-0 PILOT_ENABLE_ALPN_FILTER=false PILOT_ENABLE_METADATA_EXCHANGE=false \
    INJECTION_WEBHOOK_CONFIG_NAME= VALIDATION_WEBHOOK_CONFIG_NAME= \
    pilot-discovery discovery --kubeconfig admin.kubeconfig --meshConfig istio/mesh.yaml --domain cluster.local \
    --httpAddr 127.0.0.1:8090 --grpcAddr 127.0.0.1:15010 --secureGRPCAddr "" --httpsAddr 127.0.0.1:15017 --monitoringAddr 127.0.0.1:15014
  wait_for 60 istiod curl -sf 127.0.0.1:8090/ready
}

# A Gateway's Service and its Envoy are in the namespace of the Gateway: there, a class would make both for each Gateway.
gateway() { cd "$1"; start_envoy gateway-more router gateway "$2" 15200 3 "LABELS: {istio: ingressgateway}"; }

# start_envoy NAME KIND POD NAMESPACE ADMIN-PORT BASE-ID METADATA: one Envoy that takes everything from istiod, in plain text over loopback.
# The stats tags make of Envoy's counters what prometheus.yml renames; the short flush is for latencies, which Envoy merges only then.
start_envoy() {
  local name=envoy-$1 id="$2~$node_ip~$3.$4~$4.svc.cluster.local" namespace=$4 admin=$5 base=$6 metadata=$7
  cat > "istio/$name.yaml" <<Y
node:
  id: "$id"
  cluster: $name
  metadata: {NAMESPACE: $namespace, CLUSTER_ID: Kubernetes, ISTIO_VERSION: 1.31.0, NAME: $name, INSTANCE_IPS: $node_ip, PROXY_CONFIG: {}, $metadata}
admin: {address: {socket_address: {address: 127.0.0.1, port_value: $admin}}}
stats_flush_interval: 1s
stats_config:
  use_all_default_tags: false
  stats_tags:
  - {tag_name: response_code, regex: '^cluster\..+\.upstream_rq(_(\d{3}))$'}
  - {tag_name: destination, regex: '^cluster\.((outbound\|\d+\|[^|]*\|[^;]+);\.)'}
dynamic_resources:
  lds_config: {ads: {}, resource_api_version: V3, initial_fetch_timeout: 0s}
  cds_config: {ads: {}, resource_api_version: V3, initial_fetch_timeout: 0s}
  ads_config:
    api_type: GRPC
    transport_api_version: V3
    set_node_on_first_message_only: true
    grpc_services: [{envoy_grpc: {cluster_name: istiod}}]
static_resources:
  clusters:
  - name: istiod
    type: STATIC
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: {http2_protocol_options: {}}
    load_assignment:
      cluster_name: istiod
      endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: 15010}}}}]}]
Y
  start "$name" envoy -c "istio/$name.yaml" --base-id "$base" --concurrency 1 -l error
}

verb=${1:-}; dir=$(realpath -m "${2:?folder of the cluster}")
case $verb in
  up) inside "$dir" "$self" boot "$dir" || { show_logs "$dir"; exit 1; } ;;
  boot) boot "$dir" ;;
  down) inside "$dir" "$self" halt "$dir" ;;
  halt) cd "$dir"; for name in envoy-gateway-more envoy-gateway envoy-sidecar istiod; do stop $name; done ;;
  gateway) gateway "$dir" "${3:?namespace of the Gateways}" ;;
  *) die "usage: istio.sh up DIR | down DIR | gateway DIR NAMESPACE" ;;
esac
