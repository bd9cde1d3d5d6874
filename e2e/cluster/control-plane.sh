# shellcheck shell=bash disable=SC2154
# To be sourced after space.sh, in a space, in the cluster's folder: the part that both tiers share, etcd, kube-apiserver and
# kube-controller-manager, with one certificate authority and a kubeconfig for each user.

# certificate FILE USER GROUP NAMES: USER and GROUP are what Kubernetes reads as the user's name and group
certificate() {
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$2${3:+/O=$3}" -keyout "pki/$1.key" -out "pki/$1.csr" 2>/dev/null
  openssl x509 -req -in "pki/$1.csr" -CA pki/ca.crt -CAkey pki/ca.key -CAcreateserial -days 30 -out "pki/$1.crt" \
    -extfile <(echo "extendedKeyUsage=serverAuth,clientAuth"; [[ -z ${4:-} ]] || echo "subjectAltName=$4") 2>/dev/null
}

# user FILE USER GROUP: a certificate, and FILE.kubeconfig
user() {
  certificate "$1" "$2" "${3:-}"
  cat > "$1.kubeconfig" <<Y
apiVersion: v1
kind: Config
clusters: [{name: e2e, cluster: {server: "https://$node_ip:6443", certificate-authority: $PWD/pki/ca.crt}}]
users: [{name: $1, user: {client-certificate: $PWD/pki/$1.crt, client-key: $PWD/pki/$1.key}}]
contexts: [{name: e2e, context: {cluster: e2e, user: $1}}]
current-context: e2e
Y
}

make_authority() {
  mkdir -p pki
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN=e2e -keyout pki/ca.key -out pki/ca.crt 2>/dev/null
  openssl genrsa -out pki/sa.key 2048 2>/dev/null
  openssl rsa -in pki/sa.key -pubout -out pki/sa.pub 2>/dev/null
  certificate apiserver kube-apiserver "" "IP:$node_ip,IP:127.0.0.1,IP:10.96.0.1,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc"
  certificate api-kubelet kube-apiserver-kubelet-client system:masters
  user admin admin system:masters
  user kcm system:kube-controller-manager
}

# start_api_server FLAG...: also writes audit.log, where the requests of the controllers under test are, each under its user
start_api_server() {
  cat > audit.yaml <<'Y'
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived, ResponseStarted]
rules:
- {level: Metadata, users: [flagger, slipway]}
- {level: None, userGroups: ["system:serviceaccounts:kube-system"]}   # the controller manager's controllers
- {level: Metadata, userGroups: ["system:serviceaccounts"]}
- {level: None}
Y
  start etcd etcd --data-dir etcd --unsafe-no-fsync --log-level=warn --quota-backend-bytes=4294967296
  start apiserver kube-apiserver --etcd-servers=http://127.0.0.1:2379 --advertise-address="$node_ip" --bind-address=0.0.0.0 --secure-port=6443 \
    --client-ca-file=pki/ca.crt --tls-cert-file=pki/apiserver.crt --tls-private-key-file=pki/apiserver.key \
    --kubelet-preferred-address-types=InternalIP --kubelet-client-certificate=pki/api-kubelet.crt --kubelet-client-key=pki/api-kubelet.key \
    --service-account-issuer=https://kubernetes.default.svc --service-account-key-file=pki/sa.pub --service-account-signing-key-file=pki/sa.key \
    --authorization-mode=Node,RBAC --service-cluster-ip-range=10.96.0.0/16 --allow-privileged \
    --max-requests-inflight=2000 --max-mutating-requests-inflight=1000 \
    --audit-policy-file=audit.yaml --audit-log-path=audit.log --audit-log-maxsize=2000 "$@"
  wait_for 60 "kube-apiserver" kubectl get --raw /readyz
}

# start_controller_manager FLAG...
start_controller_manager() {
  start kube-controller-manager kube-controller-manager --kubeconfig=kcm.kubeconfig --authentication-kubeconfig=kcm.kubeconfig \
    --authorization-kubeconfig=kcm.kubeconfig --bind-address=127.0.0.1 --leader-elect=false --use-service-account-credentials \
    --service-account-private-key-file=pki/sa.key --root-ca-file=pki/ca.crt --kube-api-qps=400 --kube-api-burst=800 "$@"
}
