#!/usr/bin/env bash
# control-plane.sh up | network | down | restart PROGRAM | node-kubeconfig NODE FILE
#
# etcd, kube-apiserver, controller manager, scheduler and CoreDNS as processes of this machine, inside a private network
# namespace named after the cluster. Its bridge br0 (10.77.0.1) is what the node VMs' taps join. Processes that run already
# are left alone; `down` ends them by their ids, and removes the namespace.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
P=$RUN/pki; L=$RUN/log; PIDS=$RUN/pids; API=https://127.0.0.1:6443

has_network() { ip netns list | cut -d' ' -f1 | grep -qx "$CLUSTER_NAME"; }   # not one whose name begins with it
network() {
  has_network || ip netns add "$CLUSTER_NAME"
  inside ip link set lo up
  inside ip link show br0 >/dev/null 2>&1 && return
  inside ip link add br0 type bridge stp_state 0 forward_delay 0
  inside ip addr add $HOST_IP/24 dev br0; inside ip link set br0 up
  inside sysctl -qw net.ipv4.ip_forward=1
}
certificate() { # name subject usage alternative-names authority
  local n=$1 authority=${5:-ca}
  [ ! -f "$P/$n.crt" ] || return 0
  openssl ecparam -name prime256v1 -genkey -noout -out "$P/$n.key"
  openssl req -new -key "$P/$n.key" -subj "$2" -out "$P/$n.csr"
  { echo "keyUsage=critical,digitalSignature,keyEncipherment"; echo "extendedKeyUsage=$3"; [ -z "${4:-}" ] || echo "subjectAltName=$4"; } >"$P/$n.ext"
  openssl x509 -req -in "$P/$n.csr" -CA "$P/$authority.crt" -CAkey "$P/$authority.key" -CAcreateserial -days 365 -extfile "$P/$n.ext" -out "$P/$n.crt" 2>/dev/null
  rm -f "$P/$n.csr" "$P/$n.ext"
}
kubeconfig() { # file certificate server
  cat >"$1" <<Y
apiVersion: v1
kind: Config
current-context: $CLUSTER_NAME
clusters: [{name: $CLUSTER_NAME, cluster: {server: "$3", certificate-authority-data: $(base64 -w0 "$P/ca.crt")}}]
users: [{name: $2, user: {client-certificate-data: $(base64 -w0 "$P/$2.crt"), client-key-data: $(base64 -w0 "$P/$2.key")}}]
contexts: [{name: $CLUSTER_NAME, context: {cluster: $CLUSTER_NAME, user: $2}}]
Y
  chmod 600 "$1"
}
authority() { # name
  [ ! -f "$P/$1.crt" ] || return 0
  openssl ecparam -name prime256v1 -genkey -noout -out "$P/$1.key"
  openssl req -x509 -new -key "$P/$1.key" -subj "/CN=$1" -days 365 -addext "keyUsage=critical,keyCertSign,cRLSign" -out "$P/$1.crt"
}
credentials() {
  mkdir -p "$P"; chmod 700 "$P"; authority ca; authority front-proxy-ca
  [ -f "$P/sa.key" ] || { openssl genrsa -out "$P/sa.key" 2048 2>/dev/null; openssl rsa -in "$P/sa.key" -pubout -out "$P/sa.pub" 2>/dev/null; }
  local service=kubernetes.default.svc
  certificate apiserver /CN=kube-apiserver serverAuth "DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,DNS:$service,DNS:$service.cluster.local,IP:127.0.0.1,IP:$HOST_IP,IP:$API_IP"
  certificate apiserver-kubelet-client /O=system:masters/CN=kube-apiserver-kubelet-client clientAuth
  certificate front-proxy-client /CN=front-proxy-client clientAuth "" front-proxy-ca
  certificate admin /O=system:masters/CN=admin clientAuth
  local each; for each in kube-controller-manager kube-scheduler kube-proxy coredns; do certificate $each /CN=system:$each clientAuth; done
  kubeconfig "$RUN/kubeconfig" admin $API
  for each in kube-controller-manager kube-scheduler coredns; do kubeconfig "$RUN/$each.kubeconfig" $each $API; done
  kubeconfig "$RUN/kube-proxy.kubeconfig" kube-proxy https://$HOST_IP:6443
}
running() { [ -f "$PIDS/$1" ] && kill -0 "$(cat "$PIDS/$1")" 2>/dev/null && tr '\0' ' ' <"/proc/$(cat "$PIDS/$1")/cmdline" | grep -q "$1"; }
start() { # program arguments...
  local program=$1; shift
  if running "$program"; then return; fi
  # exec, so that the id is the program's own and not a subshell's.
  (exec ip netns exec "$CLUSTER_NAME" setsid "$BIN/$program" "$@" >>"$L/$program.log" 2>&1 </dev/null 8>&- 9>&-) &
  echo "$!" >"$PIDS/$program"
}
start_etcd() {
  start etcd --data-dir "$RUN/etcd" --listen-client-urls http://127.0.0.1:2379 --advertise-client-urls http://127.0.0.1:2379 \
    --listen-peer-urls http://127.0.0.1:2380 --unsafe-no-fsync=true --log-level warn --quota-backend-bytes 4294967296
}
start_apiserver() {
  start kube-apiserver --etcd-servers=http://127.0.0.1:2379 --bind-address=0.0.0.0 --secure-port=6443 --advertise-address=$HOST_IP \
    --client-ca-file="$P/ca.crt" --tls-cert-file="$P/apiserver.crt" --tls-private-key-file="$P/apiserver.key" \
    --kubelet-client-certificate="$P/apiserver-kubelet-client.crt" --kubelet-client-key="$P/apiserver-kubelet-client.key" \
    --kubelet-preferred-address-types=InternalIP,Hostname --service-account-issuer=https://kubernetes.default.svc.cluster.local \
    --service-account-key-file="$P/sa.pub" --service-account-signing-key-file="$P/sa.key" --service-cluster-ip-range=$SERVICE_NET \
    --authorization-mode=Node,RBAC --enable-admission-plugins=NodeRestriction --allow-privileged=true \
    --requestheader-client-ca-file="$P/front-proxy-ca.crt" --requestheader-allowed-names=front-proxy-client \
    --requestheader-username-headers=X-Remote-User --requestheader-group-headers=X-Remote-Group --requestheader-extra-headers-prefix=X-Remote-Extra- \
    --proxy-client-cert-file="$P/front-proxy-client.crt" --proxy-client-key-file="$P/front-proxy-client.key" \
    --enable-aggregator-routing=true --profiling=false --v=1
}
start_controllers() {
  local config=$RUN/kube-controller-manager.kubeconfig
  start kube-controller-manager --kubeconfig="$config" --authentication-kubeconfig="$config" --authorization-kubeconfig="$config" \
    --service-account-private-key-file="$P/sa.key" --root-ca-file="$P/ca.crt" --cluster-signing-cert-file="$P/ca.crt" --cluster-signing-key-file="$P/ca.key" \
    --use-service-account-credentials=true --allocate-node-cidrs=false --leader-elect=false --bind-address=127.0.0.1 --kube-api-qps=100 --kube-api-burst=200 \
    --node-monitor-grace-period=60s --v=1
  config=$RUN/kube-scheduler.kubeconfig
  start kube-scheduler --kubeconfig="$config" --authentication-kubeconfig="$config" --authorization-kubeconfig="$config" \
    --leader-elect=false --bind-address=127.0.0.1 --kube-api-qps=200 --kube-api-burst=400 --v=1
}
start_dns() { # CoreDNS answers on the bridge; a Service without a selector leads there from every pod
  kubectl apply -f "$VM/cluster.yaml" >/dev/null
  cat >"$RUN/Corefile" <<C
.:53 {
  bind $HOST_IP
  errors
  health $HOST_IP:8053
  ready $HOST_IP:8054
  kubernetes cluster.local in-addr.arpa {
    kubeconfig $RUN/coredns.kubeconfig
    pods insecure
  }
  cache 30
  loadbalance
}
C
  start coredns -conf "$RUN/Corefile"
}
wait_for_api() {
  local deadline=$((SECONDS + 300))
  until [ "$(inside curl -sk --max-time 2 $API/readyz)" = ok ]; do
    [ $SECONDS -lt $deadline ] || die "kube-apiserver is not ready after 300 s; its log is $L/kube-apiserver.log"
    running kube-apiserver || { tail -n 15 "$L/kube-apiserver.log" >&2; die "kube-apiserver ended; its log is $L/kube-apiserver.log"; }
    sleep 0.1
  done
}
wait_for_controllers() { # the first thing that they do for pods
  local deadline=$((SECONDS + 300))
  until kubectl -n default get serviceaccount default >/dev/null 2>&1; do
    running kube-controller-manager && [ $SECONDS -lt $deadline ] || { tail -n 15 "$L/kube-controller-manager.log" >&2; die "kube-controller-manager did not come up; its log is $L/kube-controller-manager.log"; }
    sleep 0.2
  done
}
up() {
  local started; started=$(now); mkdir -p "$L" "$PIDS"
  network; credentials
  start_etcd; start_apiserver; wait_for_api; start_controllers
  wait_for_controllers
  start_dns
  log "control plane: $(since "$started") s"
}
stop() { # program: by its id, only if that is still this program
  running "$1" || { rm -f "$PIDS/$1"; return 0; }
  local pid; pid=$(cat "$PIDS/$1"); kill "$pid"
  for _ in $(seq 100); do kill -0 "$pid" 2>/dev/null || break; sleep 0.1; done
  kill -9 "$pid" 2>/dev/null || true
  rm -f "$PIDS/$1"
}
down() {
  local program; for program in coredns kube-scheduler kube-controller-manager kube-apiserver etcd; do stop $program; done
  if has_network; then ip netns del "$CLUSTER_NAME"; fi
}
case ${1:-} in
  up) up ;;
  network) network ;;
  down) down ;;
  restart) stop "${2:?}"; up ;;
  node-kubeconfig) certificate "node-$2" "/O=system:nodes/CN=system:node:$2" clientAuth; kubeconfig "$3" "node-$2" "https://$HOST_IP:6443" ;;
  *) die "usage: control-plane.sh up | network | down | restart PROGRAM | node-kubeconfig NODE FILE" ;;
esac
