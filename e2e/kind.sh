#!/usr/bin/env bash
# Releases a distribution on Kind with its real mesh, as the vendor's pipeline does: needs docker with the image slipway:0.1.0, Go, kubectl
# and openssl, and the network. Where there is no image registry, `e2e/run --only distribution` tells the same story.
# usage: kind.sh kubernetes|istio|linkerd|gateway
set -euo pipefail
cd "$(dirname "$0")/.."
distribution=${1:?kubernetes, istio, linkerd or gateway}

kind=sigs.k8s.io/kind@v0.33.0
helm=helm.sh/helm/v3/cmd/helm@v3.22.0
istio=1.28.0
linkerd_crds=2025.11.1 linkerd=2025.11.1
gateway_api=v1.4.0

bin=$(mktemp -d)
export PATH=$bin:$PATH GOBIN=$bin GOFLAGS=-buildvcs=false

say() { printf '\n==> %s\n' "$*"; }

chart() { helm upgrade --install --wait --timeout 5m --create-namespace "$@"; }

install_gateway_api() {
  kubectl apply --server-side -f "https://github.com/kubernetes-sigs/gateway-api/releases/download/$gateway_api/standard-install.yaml"
}

install_istio() {
  local charts=https://istio-release.storage.googleapis.com/charts
  chart istio-base base --repo "$charts" --version "$istio" --namespace istio-system
  chart istiod istiod --repo "$charts" --version "$istio" --namespace istio-system --set pilot.resources.requests.memory=256Mi
  kubectl create namespace istio-system --dry-run=client -o yaml | kubectl apply -f -
  # A Prometheus under the name that the distribution asks, which scrapes what the sidecars offer.
  kubectl apply -f "https://raw.githubusercontent.com/istio/istio/$istio/samples/addons/prometheus.yaml"
  kubectl --namespace istio-system rollout status deployment/prometheus --timeout=5m
}

install_linkerd() {
  local charts=https://helm.linkerd.io/edge pki=$bin/pki
  mkdir "$pki"
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=root.linkerd.cluster.local \
    -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign -keyout "$pki/ca.key" -out "$pki/ca.crt"
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=identity.linkerd.cluster.local -keyout "$pki/issuer.key" -out "$pki/issuer.csr"
  openssl x509 -req -in "$pki/issuer.csr" -CA "$pki/ca.crt" -CAkey "$pki/ca.key" -CAcreateserial -days 2 -out "$pki/issuer.crt" \
    -extfile <(printf 'basicConstraints=critical,CA:TRUE,pathlen:0\nkeyUsage=critical,keyCertSign,cRLSign\n')
  install_gateway_api
  chart linkerd-crds linkerd-crds --repo "$charts" --version "$linkerd_crds" --namespace linkerd --set installGatewayAPI=false
  chart linkerd-control-plane linkerd-control-plane --repo "$charts" --version "$linkerd" --namespace linkerd \
    --set-file identityTrustAnchorsPEM="$pki/ca.crt" --set-file identity.issuer.tls.crtPEM="$pki/issuer.crt" \
    --set-file identity.issuer.tls.keyPEM="$pki/issuer.key"
  chart linkerd-viz linkerd-viz --repo "$charts" --version "$linkerd" --namespace linkerd-viz
  # Slipway is outside of the mesh, and Linkerd's Prometheus answers whom it knows: here, everybody.
  kubectl --namespace linkerd-viz patch server.policy.linkerd.io prometheus-admin --type=merge --patch '{"spec": {"accessPolicy": "all-unauthenticated"}}'
}

install_mesh() {
  case $distribution in
    kubernetes) ;;
    istio) install_istio ;;
    linkerd) install_linkerd ;;
    gateway) install_gateway_api; install_istio ;;
    *) echo "no distribution is called $distribution" >&2; exit 2 ;;
  esac
}

promoted() {
  local name
  for name in database cache backend frontend; do
    kubectl --namespace app wait "canary/$name" --for=condition=promoted --timeout=10m
    kubectl --namespace app rollout status "deployment/$name-primary" --timeout=2m
  done
}

connected() {
  kubectl --namespace app delete job connectivity --ignore-not-found
  kubectl --namespace app create job --from=cronjob/traffic-tester connectivity
  kubectl --namespace app wait job/connectivity --for=condition=complete --timeout=2m
}

say "a cluster"
go install "$kind"
go install "$helm"
kind create cluster --wait 5m
kind load docker-image slipway:0.1.0
say "the mesh"
install_mesh
say "the distribution"
kubectl apply --server-side -f dist/install/crds.yaml
kubectl wait crd/canaries.flagger.app --for=condition=Established
kubectl apply --server-side -k "dist/app-$distribution"
[[ $distribution != gateway ]] || kubectl label namespace app istio-injection=enabled
for name in ingress tester slipway; do kubectl --namespace app rollout status "deployment/$name" --timeout=2m; done
promoted
connected
say "an update of two services"
for name in backend frontend; do
  kubectl --namespace app patch configmap "$name" --type=merge --patch "$(kubectl --namespace app get configmap "$name" -o json \
    | sed 's/http-client-timeout: 1m/http-client-timeout: 30s/')"
done
for name in backend frontend; do
  kubectl --namespace app wait "canary/$name" --for=jsonpath='{.status.phase}'=Succeeded --timeout=15m
done
promoted
connected
