#!/usr/bin/env bash
# machine.sh up | sh COMMAND | run NAME COMMAND | put FILE | down: the machine that kind runs in.
#
# A QEMU machine (TCG: no KVM is needed) with its own kernel and cgroup v2, at 10.77.0.11 in the cluster's private network
# namespace, where the namespace's own 10.77.0.1 is all that it reaches. KIND_MACHINE_MB and KIND_MACHINE_CPUS say what it has.
# `run` is for what takes long: the command's output goes to a file in the machine and is shown here as it comes. `put`
# copies a file and prints where it is in the machine.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
D=$RUN/machine; MEMORY_MB=${KIND_MACHINE_MB:-5120}; CPUS=${KIND_MACHINE_CPUS:-2}; UP_SECONDS=180

running() { [ -f "$D/pid" ] && tr '\0' ' ' 2>/dev/null <"/proc/$(cat "$D/pid")/cmdline" | grep -q -- "-name kind-machine "; }
start() {
  local disk kernel; disk=$("$HERE/build-disk.sh"); kernel=$("$VM/build-kernel.sh"); mkdir -p "$D"
  rm -f "$D/disk.qcow2"; qemu-img create -q -f qcow2 -b "$disk" -F raw "$D/disk.qcow2"
  "$VM/control-plane.sh" network
  inside ip link show tap$MACHINE >/dev/null 2>&1 || { inside ip tuntap add tap$MACHINE mode tap; inside ip link set tap$MACHINE master br0; inside ip link set tap$MACHINE up; }
  (exec ip netns exec "$CLUSTER_NAME" setsid nice -n "${KIND_MACHINE_NICE:-0}" qemu-system-x86_64 -name kind-machine -accel tcg,thread=multi -cpu max -m "${MEMORY_MB}M" -smp "$CPUS" \
    -kernel "$kernel/vmlinuz" -initrd "$kernel/initrd" \
    -append "console=ttyS0 quiet loglevel=4 net.ifnames=0 mitigations=off transparent_hugepage=madvise psi=1 cgroup_no_v1=all tsc=reliable no_timer_check random.trust_cpu=on damon_stat.enabled=0 MACHINE_IP=$MACHINE_IP GATEWAY=$HOST_IP" \
    -drive "file=$D/disk.qcow2,if=virtio,format=qcow2,cache=unsafe,discard=unmap" \
    -netdev "tap,id=n0,ifname=tap$MACHINE,script=no,downscript=no" -device "virtio-net-pci,netdev=n0,mac=52:54:00:77:01:01" -device virtio-rng-pci \
    -display none -serial "file:$D/console.log" -monitor none -no-reboot >"$D/qemu.log" 2>&1 </dev/null 8>&- 9>&-) &
  echo $! >"$D/pid"
}
up() {
  running || start
  local started deadline=$((SECONDS + UP_SECONDS)); started=$(now)
  until in_machine true >/dev/null 2>&1; do
    running || die "the machine ended: $(tail -n 3 "$D/qemu.log"; tail -n 5 "$D/console.log")"
    [ $SECONDS -lt $deadline ] || die "the machine does not answer after $UP_SECONDS s: $(tail -n 5 "$D/console.log")"
    sleep 0.5
  done
  log "kind's machine answers after $(since "$started") s"
}
run() { # name command
  local log=/var/log/$1.log shown=0 status size
  in_machine "rm -f $log.status; setsid sh -c '($2) >$log 2>&1; echo \$? >$log.status' >/dev/null 2>&1 </dev/null & sleep 1" >/dev/null   # a shell that ends at once can leave socat waiting
  while true; do
    running || die "the machine ended during '$1': $(tail -n 3 "$D/qemu.log"; tail -n 5 "$D/console.log")"
    status=$(in_machine "cat $log.status 2>/dev/null || true"); size=$(in_machine "stat -c %s $log 2>/dev/null || echo 0")
    [ "$size" -le "$shown" ] || { in_machine "tail -c +$((shown + 1)) $log | head -c $((size - shown))" >&2; shown=$size; }
    [ -z "$status" ] || return "$status"
    sleep 3
  done
}
put() { # file
  local port=2300 target; target=/root/$(basename "$1")
  serve_once "$1" "$port"
  in_machine "socat -u TCP:$HOST_IP:$port,retry=20,interval=0.2 CREATE:$target" || not_taken "the machine did not take $1"
  echo "$target"
}
down() {
  running || { rm -f "$D/pid"; return 0; }
  local pid; pid=$(cat "$D/pid"); kill "$pid"
  for _ in $(seq 50); do kill -0 "$pid" 2>/dev/null || break; sleep 0.1; done
  kill -9 "$pid" 2>/dev/null || true
  rm -f "$D/pid"
}
command=${1:-}; shift || true
case $command in
  up) up ;;
  sh) in_machine "$@" ;;
  run) run "$@" ;;
  put) put "$1" ;;
  down) down ;;
  *) die "usage: machine.sh up | sh COMMAND | run NAME COMMAND | put FILE | down" ;;
esac
