#!/usr/bin/env bash
# node.sh up | wait | down | remove | load | sh | console | kubelet  NUMBER ...: node VM NUMBER (1-9), named node-NUMBER, at 10.77.0.(10+NUMBER).
#
# A QEMU machine (TCG: no KVM is needed) with its own kernel, cgroup v2, two NUMA nodes and zram swap; pods are in
# 10.244.NUMBER.0/24. NODE_MB, NODE_CPUS and NODE_ZRAM_MB say what it has. KUBELET_PATCH (swap, static or none) names what of
# kind/patches is put over its KubeletConfiguration: the last node's is static, of the others none, for with LimitedSwap the
# kubelet refuses to change a container's memory *request* in place. KUBELET_EXTRA names a file with more lines of it, such
# as swap-node.yaml. `remove` is `down`, and takes the machine's disk as well. `load ARCHIVE` imports an image; `sh COMMAND`
# runs it in a root shell; `kubelet` prints the configuration.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
command=${1:?}; N=${2:?}; shift 2
NAME=node-$N; D=$RUN/$NAME; IP=$NODE_NET.$((10 + N))
NODE_MB=${NODE_MB:-2048}; NODE_CPUS=${NODE_CPUS:-2}; NODE_ZRAM_MB=${NODE_ZRAM_MB:-512}
if [ "$N" = "$NODES" ]; then KUBELET_PATCH=${KUBELET_PATCH:-static}; else KUBELET_PATCH=${KUBELET_PATCH:-none}; fi

peer_routes() { local i; for i in 1 2 3 4 5 6 7 8 9; do [ "$i" = "$N" ] || printf '%s.%s.0/24 %s.%s;' "$POD_NET" "$i" "$NODE_NET" "$((10 + i))"; done; }
with() { # file, or none: the lines of the standard input, those of the file in place of settings of the same names
  if [ "$1" = none ]; then cat; return; fi
  awk 'NR == FNR { if (match($0, /^[A-Za-z]+:/)) theirs[substr($0, 1, RLENGTH)]; next }
    match($0, /^[A-Za-z]+:/) { out = substr($0, 1, RLENGTH) in theirs } !out' "$1" -
  cat "$1"
}
patch_file() { if [ "$KUBELET_PATCH" = none ]; then echo none; else echo "$VM/../patches/$KUBELET_PATCH/kubeletconfiguration+strategic.yaml"; fi; }
kubelet_configuration() { own_configuration | with "$(patch_file)" | with "${KUBELET_EXTRA:-none}"; }
own_configuration() {
  cat <<Y
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: /etc/kubernetes/ca.crt}}
authorization: {mode: Webhook}
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
cgroupDriver: cgroupfs
readOnlyPort: 0
clusterDomain: cluster.local
clusterDNS: [$DNS_IP]
resolvConf: /etc/resolv.conf
failSwapOn: false
memorySwap: {swapBehavior: NoSwap}
makeIPTablesUtilChains: false
imageGCHighThresholdPercent: 100
imageMinimumGCAge: 24h
evictionHard: {memory.available: 64Mi, nodefs.available: 1%, nodefs.inodesFree: 1%, imagefs.available: 1%}
staticPodPath: /etc/kubernetes/manifests
nodeStatusUpdateFrequency: 5s
runtimeRequestTimeout: 5m
syncFrequency: 20s
Y
}
proxy_configuration() {
  cat <<Y
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: nftables
clientConnection: {kubeconfig: /etc/kubernetes/kube-proxy.kubeconfig}
clusterCIDR: $POD_NET.0.0/16
bindAddress: 0.0.0.0
conntrack: {maxPerCore: 0}
Y
}
network_configuration() {
  cat <<J
{"cniVersion": "1.0.0", "name": "pods", "plugins": [
 {"type": "bridge", "bridge": "cni0", "isGateway": true, "ipMasq": false, "hairpinMode": true,
  "ipam": {"type": "host-local", "ranges": [[{"subnet": "$POD_NET.$N.0/24"}]], "routes": [{"dst": "0.0.0.0/0"}]}},
 {"type": "loopback"}]}
J
}
configuration() { # the node's own files, as a bare tar that becomes its second disk
  local c=$D/files; rm -rf "$c"; mkdir -p "$c"/{node,etc/kubernetes,etc/cni/net.d,var/lib/kubelet,var/lib/kube-proxy}
  # One thread of Go each for kubelet and containerd: on emulated processors idle ones that look for work are what is costly.
  cat >"$c/node/env" <<S
export GOMAXPROCS=1 GOGC=200
NODE_NAME=$NAME NODE_IP=$IP NODE_GATEWAY=$HOST_IP NODE_SHELL_PORT=$NODE_SHELL_PORT ZRAM_MB=$NODE_ZRAM_MB PEER_ROUTES='$(peer_routes)'
S
  cp "$RUN/pki/ca.crt" "$c/etc/kubernetes/"; cp "$RUN/kube-proxy.kubeconfig" "$c/etc/kubernetes/"
  "$VM/control-plane.sh" node-kubeconfig "$NAME" "$c/etc/kubernetes/kubelet.kubeconfig"
  kubelet_configuration >"$c/var/lib/kubelet/config.yaml"
  proxy_configuration >"$c/var/lib/kube-proxy/config.yaml"
  network_configuration >"$c/etc/cni/net.d/10-bridge.conflist"
  tar -C "$c" -cf "$D/files.tar" .
}
tap() {
  inside ip link show "tap$N" >/dev/null 2>&1 || { inside ip tuntap add "tap$N" mode tap; inside ip link set "tap$N" master br0; inside ip link set "tap$N" up; }
  inside ip route replace "$POD_NET.$N.0/24" via "$IP"
}
running() { [ -f "$D/pid" ] && tr '\0' ' ' 2>/dev/null <"/proc/$(cat "$D/pid")/cmdline" | grep -q -- "-name $NAME "; }
up() {
  if running; then return; fi
  local disk kernel half=$((NODE_MB / 2)); disk=$("$VM/build-disk.sh"); kernel=$("$VM/build-kernel.sh"); mkdir -p "$D"
  # A disk made on another base cannot be read any more.
  [ "$(cat "$D/base" 2>/dev/null)" = "$disk" ] || { rm -f "$D/disk.qcow2"; echo "$disk" >"$D/base"; }
  [ -f "$D/disk.qcow2" ] || qemu-img create -q -f qcow2 -b "$disk" -F raw "$D/disk.qcow2"
  configuration; tap
  (exec ip netns exec "$CLUSTER_NAME" setsid qemu-system-x86_64 -name "$NAME" -accel tcg,thread=multi -cpu max -m "${NODE_MB}M" -smp "$NODE_CPUS" \
    -object "memory-backend-ram,id=m0,size=${half}M" -object "memory-backend-ram,id=m1,size=${half}M" \
    -numa "node,nodeid=0,cpus=0-$((NODE_CPUS / 2 - 1)),memdev=m0" -numa "node,nodeid=1,cpus=$((NODE_CPUS / 2))-$((NODE_CPUS - 1)),memdev=m1" \
    -numa dist,src=0,dst=1,val=20 -kernel "$kernel/vmlinuz" -initrd "$kernel/initrd" \
    -append "console=ttyS0 quiet loglevel=4 net.ifnames=0 mitigations=off transparent_hugepage=madvise psi=1 cgroup_no_v1=all tsc=reliable no_timer_check random.trust_cpu=on damon_stat.enabled=0" \
    -drive "file=$D/disk.qcow2,if=virtio,format=qcow2,cache=unsafe,discard=unmap" -drive "file=$D/files.tar,if=virtio,format=raw,readonly=on" \
    -netdev "tap,id=n0,ifname=tap$N,script=no,downscript=no" -device "virtio-net-pci,netdev=n0,mac=52:54:00:77:00:0$N" -device virtio-rng-pci \
    -display none -serial "file:$D/console.log" -monitor none -no-reboot >"$D/qemu.log" 2>&1 </dev/null 8>&- 9>&-) &
  echo $! >"$D/pid"
}
ready() { # said by this boot's kubelet: a node that was up before is Ready in the API until its lease runs out
  local said; said=$(kubectl get node "$NAME" -o 'jsonpath={range .status.conditions[?(@.type=="Ready")]}{.status} {.lastHeartbeatTime}{end}' 2>/dev/null)
  [ "${said% *}" = True ] && [[ ! ${said#* } < $(date -u -r "$D/pid" +%FT%TZ) ]] && node_sh "$N" "ctr version >/dev/null" >/dev/null 2>&1
}
wait_ready() {
  local started deadline=$((SECONDS + 300)); started=$(now)
  until ready; do
    running || die "the VM of $NAME ended: $(tail -n 3 "$D/qemu.log"; tail -n 5 "$D/console.log")"
    [ $SECONDS -lt $deadline ] || die "$NAME is not Ready after 300 s: $(tail -n 5 "$D/console.log"; node_sh "$N" 'tail -n 5 /var/log/kubelet.log')"
    sleep 0.5
  done
  log "$NAME Ready after $(since "$started") s more"
}
load() { # archive: straight into the node's containerd; nothing where it is there already
  local digest port=$((2300 + N)) out; digest=$(sha256sum "$1" | cut -c1-16)
  ! node_sh "$N" "test -e /var/lib/plimsoll-images/$digest" >/dev/null || return 0
  serve_once "$1" "$port"
  out=$(node_sh "$N" "socat -u TCP:$HOST_IP:$port,retry=20,interval=0.2 - | ctr -n k8s.io images import --local --digests=false --label io.cri-containerd.image=managed - &&
    mkdir -p /var/lib/plimsoll-images && : >/var/lib/plimsoll-images/$digest") || not_taken "$NAME did not take the image $1: $out"
}
down() {
  running || { rm -f "$D/pid"; return 0; }
  local pid; pid=$(cat "$D/pid"); kill "$pid"
  for _ in $(seq 50); do kill -0 "$pid" 2>/dev/null || break; sleep 0.1; done
  kill -9 "$pid" 2>/dev/null || true
  rm -f "$D/pid"
}
remove() { # its disk too: what a killed machine had not written through yet is cut off, a kubelet's certificate for one
  down; rm -f "$D/disk.qcow2"
}
case $command in
  up) up ;;
  wait) wait_ready ;;
  down) down ;;
  remove) remove ;;
  load) load "$1" ;;
  sh) node_sh "$N" "$@" ;;
  console) cat "$D/console.log" ;;
  kubelet) kubelet_configuration ;;
  *) die "usage: node.sh up | wait | down | remove | load | sh | console | kubelet NUMBER ..." ;;
esac
