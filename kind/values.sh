#!/usr/bin/env bash
# kind/values.sh: the chart's values for the cluster that kind/up.sh made, on standard output: the images that its nodes
# have, and the kubelets as the source of samples (there is no metrics-server; they sign their own certificates).
#
#   kind/values.sh | helm install plimsoll charts/plimsoll -n plimsoll-system --create-namespace -f -
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/provider.sh"
[ -f "$RUN/cluster.json" ] || die "there is no cluster '$CLUSTER_NAME' yet: run kind/up.sh"
python3 - "$RUN/cluster.json" <<'P'
import json, sys
with open(sys.argv[1]) as file:
    images = json.load(file)["images"]
def image(name):
    path, _, tag = name.rpartition(":")
    registry, _, repository = path.partition("/")
    return {"registry": registry, "repository": repository, "tag": tag}
settings = {"usageSource": "kubelet", "kubeletInsecure": True}
values = {"operator": {"image": image(images["operator"]), "settings": settings}, "agent": {"image": image(images["agent"])}}
if "worker" in images:  # it runs where `worker.enabled` says so
    values["worker"] = {"image": image(images["worker"])}
print(json.dumps(values, indent=1))
P
