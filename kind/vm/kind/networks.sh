#!/usr/bin/env bash
# networks.sh CLUSTER: what kindnet does where there are workers; run in the machine. The node's image gives the same subnet to
# the pods of every node (build-node-image.sh): here each worker gets one by its number, and each node routes to the others'.
# Nothing of it survives a restart of a node but the subnet; it may be run again.
set -euo pipefail
CNI=/etc/cni/net.d/10-ptp.conflist
subnet() { echo "10.244.$1.0/24"; }                  # the control plane keeps the image's, which is the first
mapfile -t nodes < <(kind get nodes --name "$1" | sort)   # NAME-control-plane, NAME-worker, NAME-worker2
[ "${#nodes[@]}" -gt 0 ] || { echo "there is no cluster '$1'" >&2; exit 1; }
addresses=()
for node in "${nodes[@]}"; do addresses+=("$(podman inspect -f '{{.NetworkSettings.Networks.kind.IPAddress}}' "$node")"); done
for i in "${!nodes[@]}"; do
  podman exec "${nodes[i]}" sed -i "s|$(subnet 0)|$(subnet "$i")|" $CNI
  for j in "${!nodes[@]}"; do
    [ "$i" = "$j" ] || podman exec "${nodes[i]}" ip route replace "$(subnet "$j")" via "${addresses[j]}"
  done
done
