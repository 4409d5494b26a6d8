#!/usr/bin/env bash
# kind.sh up TOOL | build TOOL | down: the provider for machines with docker or podman; kind/up.sh and kind/down.sh call it.
# `build` makes the images alone, and prints the names of the operator's and the agent's.
#
# A cluster that is there is brought up again: nodes that do not run are started, its kubeconfig is written anew, images loaded.
#
# For machines that are slow or reach no registry: PLIMSOLL_KIND_CONFIG is read instead of kind/cluster.yaml, PLIMSOLL_KIND_WAIT
# says how long nodes may take to be Ready (5m), each line of PLIMSOLL_BUILD_ARGS is a NAME=VALUE for the Dockerfiles' ARGs.
# PLIMSOLL_SOURCE is the address that the images' labels give for their sources. With PLIMSOLL_WORKER set the image of plimsoll-worker
# is built as well (operator/Dockerfile with EXTRAS=forecast: several times as large), and is the third of the names.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/provider.sh"
REPO=$(cd "$KIND_DIR/.." && pwd)
WAIT=${PLIMSOLL_KIND_WAIT:-5m}
began=$SECONDS
stage() { printf '%5s s  %s\n' "$((SECONDS - began))" "$1" >&2; }
version() { sed -n 's/^version = "\(.*\)"/\1/p' "$REPO/pyproject.toml" | head -1; }
tool() { # name; a name that is empty comes from a search that found none
  [ -n "$1" ] || die "kind needs a docker or podman that answers ('docker info'); there is none here"
  echo "$1"
}
build() { # tool; sets IMAGES: operator, agent and, where it was asked for, worker; and LOAD_IMAGE
  local part tag arguments=() labels=() line
  labels=(--build-arg "SOURCE=${PLIMSOLL_SOURCE:-}" --build-arg "REVISION=$(git -C "$REPO" rev-parse HEAD 2>/dev/null || true)"
    --build-arg "CREATED=$(git -C "$REPO" log -1 --format=%cI 2>/dev/null || true)")
  while read -r line; do [ -z "$line" ] || arguments+=(--build-arg "$line"); done <<<"${PLIMSOLL_BUILD_ARGS:-}"
  tag=$(version)-$(cd "$REPO" && find core operator nodeagent cli proto requirements pyproject.toml .dockerignore -type f -not -path '*/__pycache__/*' -print0 | sort -z | xargs -0 sha256sum | sha256sum | cut -c1-8)
  IMAGES=() LOAD_IMAGE=localhost/load:1
  for part in operator nodeagent; do
    IMAGES+=("localhost/plimsoll/${part#node}:$tag")
    "$1" build --quiet "${labels[@]}" ${arguments[@]+"${arguments[@]}"} -t "localhost/plimsoll/${part#node}:$tag" -f "$REPO/$part/Dockerfile" "$REPO" >/dev/null
    stage "image of $part built"
  done
  if [ -n "${PLIMSOLL_WORKER:-}" ]; then
    IMAGES+=("localhost/plimsoll/worker:$tag")
    "$1" build --quiet "${labels[@]}" ${arguments[@]+"${arguments[@]}"} --build-arg EXTRAS=forecast -t "localhost/plimsoll/worker:$tag" -f "$REPO/operator/Dockerfile" "$REPO" >/dev/null
    stage "image of worker built"
  fi
  "$1" build --quiet ${arguments[@]+"${arguments[@]}"} -t $LOAD_IMAGE -f "$KIND_DIR/vm/images/load.Dockerfile" "$KIND_DIR/vm/images" >/dev/null
  stage "images built"
}
asks() { [ "$1" != podman ] || export KIND_EXPERIMENTAL_PROVIDER=podman; } # tool: whose clusters kind sees
made_by() { # the tool that this cluster was made with, as long as something of it is known; else the one that answers
  cat "$RUN/tool" 2>/dev/null || sed -n 's/.*"tool": "\([^"]*\)".*/\1/p' "$RUN/cluster.json" 2>/dev/null || container_tool || true
}
seconds() { case $1 in *h) echo $((${1%h} * 3600)) ;; *m) echo $((${1%m} * 60)) ;; *) echo "${1%s}" ;; esac; }
create() {
  local config=${PLIMSOLL_KIND_CONFIG:-$KIND_DIR/cluster.yaml}
  case $config in /*) ;; *) config=$PWD/$config ;; esac
  (cd "$REPO" && kind create cluster --name "$CLUSTER_NAME" --config "$config" --kubeconfig "$RUN/kubeconfig" --wait "$WAIT") # mounts in it are relative to the checkout
}
ready() { # node since: Ready, and said so since then; a node that ran before is Ready in the API until its kubelet is missed
  local said; said=$(kubectl --kubeconfig "$RUN/kubeconfig" get node "$1" -o 'jsonpath={range .status.conditions[?(@.type=="Ready")]}{.status} {.lastHeartbeatTime}{end}' 2>/dev/null)
  [ "${said% *}" = True ] && [[ ! ${said#* } < $2 ]]
}
again() { # tool: what is down of a cluster that is there
  local node nodes since started=' ' deadline; since=$(date -u +%FT%TZ)
  nodes=$(kind get nodes --name "$CLUSTER_NAME")
  for node in $nodes; do
    if [ "$("$1" inspect -f '{{.State.Running}}' "$node")" != true ]; then "$1" start "$node" >/dev/null; started+="$node "; fi
    # A NUMA node's memory differs by some pages from boot to boot, and a kubelet with the static memory manager refuses to start then.
    "$1" exec "$node" sh -c 'find /var/lib/kubelet -maxdepth 1 -name "*_manager_state" ! -newermt "@$(sed -n "s/^btime //p" /proc/stat)" -delete'
  done
  kind export kubeconfig --name "$CLUSTER_NAME" --kubeconfig "$RUN/kubeconfig"
  deadline=$((SECONDS + $(seconds "$WAIT")))
  for node in $nodes; do
    until case $started in *" $node "*) ready "$node" "$since" ;; *) ready "$node" "" ;; esac; do
      [ $SECONDS -lt $deadline ] || die "$node is not Ready after $WAIT; see '$1 logs $node', or make the cluster anew: kind/down.sh, kind/up.sh"
      sleep 1
    done
  done
}
up() { # tool
  command -v kind >/dev/null || die "the program 'kind' is not installed"
  command -v kubectl >/dev/null || die "the program 'kubectl' is not installed"
  local several=()
  asks "$1"
  [ "$1" != podman ] || several=(--multi-image-archive) # without it podman takes all but the first for further names of the first
  mkdir -p "$RUN"; echo kind >"$RUN/provider"; echo "$1" >"$RUN/tool"
  build "$1"
  if kind get clusters 2>/dev/null | grep -qx "$CLUSTER_NAME"; then again "$1"; else create; fi
  stage "cluster Ready"
  local minor; minor=$(kubectl --kubeconfig "$RUN/kubeconfig" get --raw /version | sed -n 's/.*"minor": *"\([0-9]*\).*/\1/p')
  [ "${minor:-0}" -ge 35 ] || printf 'this kind has nodes of Kubernetes 1.%s: below 1.35 Plimsoll recommends and does not act; a newer kind has newer nodes\n' "$minor" >&2
  local archive=$RUN/images.tar; "$1" save ${several[@]+"${several[@]}"} -o "$archive" "${IMAGES[@]}" $LOAD_IMAGE
  kind load image-archive --name "$CLUSTER_NAME" "$archive"; rm -f "$archive"
  stage "images loaded"
  python3 - "$CLUSTER_NAME" "$RUN" "$1" "${IMAGES[@]}" $LOAD_IMAGE >"$RUN/cluster.json" <<'P'
import json, subprocess, sys
name, run, tool, *images, load = sys.argv[1:]
nodes = subprocess.run(["kind", "get", "nodes", "--name", name], capture_output=True, text=True, check=True).stdout.split()
nodes = [each for each in nodes if "worker" in each] or nodes
print(json.dumps({"provider": "kind", "name": name, "kubeconfig": f"{run}/kubeconfig", "kubectl": "kubectl", "run": run, "tool": tool, "nodes": nodes,
                  "images": dict(zip(("operator", "agent", "worker"), images)), "load_image": load}))
P
  printf 'kubeconfig: %s\nenter:      KUBECONFIG=%s bash\n' "$RUN/kubeconfig" "$RUN/kubeconfig"
}
down() { asks "$(made_by)"; kind delete cluster --name "$CLUSTER_NAME"; rm -rf "$RUN"; }
case ${1:-} in up) chosen=$(tool "${2:-}"); up "$chosen" ;; build) chosen=$(tool "${2:-}"); build "$chosen"; printf '%s\n' "${IMAGES[@]}" ;; down) down ;; *) die "usage: kind.sh up TOOL | build TOOL | down" ;; esac
