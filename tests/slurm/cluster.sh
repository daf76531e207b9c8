# shellcheck shell=bash
# A real Slurm for the tests: controller and node daemons on this machine, in namespaces
# of their own. Sourced, after `cluster_or_skip "$@"` by a script that was started plainly.
#
# The whole test runs as the first process of its own process, network, mount, host-name and
# IPC namespaces: whatever it starts ends with it, its ports are its own, and neither the
# machine's Slurm and munge nor other users' processes can be seen, let alone touched. Each
# node is again a set of such namespaces (with a /dev/shm of its own, as Open MPI needs it),
# so that killing its first process is what a power cut is to a machine.
# Slurm itself is taken from the system, or unpacked into build/slurm without installing it.

slurm_packages="slurmctld slurmd slurm-client munge libpmix2 iproute2"

skip() {
    echo "skip: $*"
    exit 77
}

# Debian packages into a folder; nothing of them is run or configured.
unpack_slurm() {
    local to=$1 deb
    command -v apt-get >/dev/null || return 1
    rm -rf "$to.new"
    mkdir -p "$to.new/debs/partial"
    # shellcheck disable=SC2086
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends --download-only \
        -o Dir::Cache::archives="$to.new/debs" $slurm_packages >"$to.new/log" 2>&1 || {
        DEBIAN_FRONTEND=noninteractive apt-get update -qq >"$to.new/log" 2>&1
        # shellcheck disable=SC2086
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends --download-only \
            -o Dir::Cache::archives="$to.new/debs" $slurm_packages >>"$to.new/log" 2>&1 || return 1
    }
    for deb in "$to.new"/debs/*.deb; do dpkg -x "$deb" "$to.new" || return 1; done
    for deb in slurmctld slurmd slurmstepd; do ln -sf "$deb-wlm" "$to.new/usr/sbin/$deb"; done
    rm -rf "$to.new"/{debs,etc,var,lib,usr/share} "$to"
    mv "$to.new" "$to"
}

# Starts the calling script again inside namespaces, or ends it with 77 and a reason.
cluster_or_skip() {
    [ -n "${CX_CLUSTER:-}" ] && return 0
    local top to lib=
    top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
    to=$top/build/slurm
    [ "$(id -u)" = 0 ] || skip "a private Slurm needs root (namespaces)"
    command -v mpirun >/dev/null || skip "no mpirun"
    unshare --pid --net --mount --uts --ipc --fork --mount-proc true 2>/dev/null ||
        skip "no namespaces here (unshare is refused): no private Slurm"
    if ! { command -v slurmctld && command -v slurmd && command -v munged; } >/dev/null; then
        [ -x "$to/usr/sbin/slurmd" ] || unpack_slurm "$to" || skip "Slurm's packages cannot be had ($slurm_packages)"
        for lib in "$to"/usr/lib/*/slurm-wlm; do :; done
        export PATH="$to/usr/bin:$to/usr/sbin:$PATH"
        export LD_LIBRARY_PATH="$lib:${lib%/*}${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
        export CX_SLURM_PLUGINS="$lib" CX_SLURM_STEPD="$to/usr/sbin/slurmstepd"
    fi
    exec env CX_CLUSTER=1 unshare --pid --net --mount --uts --ipc --fork --kill-child --mount-proc "$0" "$@"
}

write_slurm_conf() { # DIR NODES CPUS
    local i
    cat <<C
ClusterName=test
SlurmctldHost=head
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$1/run/munge.sock
CredType=cred/munge
${CX_SLURM_PLUGINS:+PluginDir=$CX_SLURM_PLUGINS}
SlurmctldPort=6817
StateSaveLocation=$1/state
SlurmdSpoolDir=$1/spool/%n
SlurmctldPidFile=$1/run/slurmctld.pid
SlurmdPidFile=$1/run/slurmd-%n.pid
SlurmctldLogFile=$1/log/slurmctld.log
SlurmdLogFile=$1/log/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
TmpFS=$1/tmp/%n
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SchedulerType=sched/backfill
SchedulerParameters=preempt_send_user_signal,batch_sched_delay=0,sched_min_interval=100000,sched_interval=2,bf_interval=2
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
ReturnToService=2
SlurmdTimeout=10
SlurmctldTimeout=20
InactiveLimit=0
KillWait=5
JobRequeue=1
SlurmdParameters=config_overrides
C
    for i in $(seq "$2"); do
        echo "NodeName=n$i NodeHostname=n$i NodeAddr=10.0.0.1 Port=$((7000 + i)) CPUs=$3 RealMemory=4000 State=UNKNOWN"
    done
    echo "PartitionName=low Nodes=ALL Default=YES MaxTime=60 DefaultTime=5 PriorityTier=1 State=UP"
    echo "PartitionName=high Nodes=ALL MaxTime=60 DefaultTime=5 PriorityTier=10 PreemptMode=OFF State=UP"
}

start_node() { # DIR NAME: a process whose death is the node's
    # shellcheck disable=SC2016 # the inner shell's variables
    unshare --pid --mount --uts --ipc --fork --kill-child --mount-proc bash -c '
        hostname "$2"; mount -t tmpfs tmpfs /dev/shm
        slurmd -D ${CX_SLURM_STEPD:+-d "$CX_SLURM_STEPD"} & wait $!' - "$1" "$2" >>"$1/log/$2.out" 2>&1 &
    echo $! >"$1/run/node-$2"
    disown # bash would tell of its death
}
kill_node() { # DIR NAME
    kill -KILL "$(cat "$1/run/node-$2")"
}

all_idle() {
    [ "$(timeout 5 sinfo -h -t idle -p low -o %D 2>/dev/null)" = "$all_nodes" ]
}

# Everything that runs in the test's namespaces, and nothing else.
cluster_down() {
    [ $$ = 1 ] && kill -KILL -1 2>/dev/null
}

job() { # ID FIELD: of `scontrol show job`
    scontrol -o show job "$1" 2>/dev/null | grep -o " $2=[^ ]*" | head -1 | cut -d= -f2
}

# Waits until `condition ID` holds, at most 150 s. Slurm holds a requeued job back for two
# minutes; that is lifted (not at once: "Job credential revoked") unless waited for.
job_until() { # ID CONDITION
    local start=$SECONDS
    until "$2" "$1"; do
        [ $((SECONDS - start)) -lt 150 ] || return 1
        if [ "$2" != job_held ] && job_held "$1"; then
            sleep 1.5
            scontrol update JobId="$1" StartTime=now
        fi
        sleep 0.2
    done
}
job_over() {
    case "$(squeue -h -j "$1" -o %T 2>/dev/null)" in COMPLETED | FAILED | CANCELLED | TIMEOUT | "") true ;; *) false ;; esac
}
job_held() { # after a requeue
    [ "$(squeue -h -j "$1" -o '%T %r' 2>/dev/null)" = "PENDING BeginTime" ]
}

# cluster_up DIR NODES CPUS: returns when all nodes are idle.
cluster_up() {
    local d=$1 i t
    mkdir -p "$d"/state "$d"/log "$d"/run "$d"/spool
    chmod 755 "$d"
    # Only the loopback interface is here, which Open MPI does not use between nodes, and
    # getaddrinfo, as Slurm asks it, does not count as a network.
    { ip link set lo up && ip link add cx0 type veth peer name cx1 && ip addr add 10.0.0.1/24 dev cx0 &&
        ip link set cx0 up && ip link set cx1 up; } || skip "no virtual network interface can be made here"
    echo "10.0.0.1 head $(seq -s ' ' -f 'n%g' "$2")" >"$d/hosts"
    mount --bind "$d/hosts" /etc/hosts
    hostname head
    head -c 128 /dev/urandom >"$d/munge.key"
    chmod 600 "$d/munge.key"
    export SLURM_CONF="$d/slurm.conf"
    write_slurm_conf "$d" "$2" "$3" >"$SLURM_CONF"
    munged --force --key-file="$d/munge.key" --socket="$d/run/munge.sock" --pid-file="$d/run/munged.pid" \
        --log-file="$d/log/munged.log" --seed-file="$d/run/munged.seed" --num-threads=2 || skip "munged does not start"
    slurmctld -c || skip "slurmctld does not start"
    for i in $(seq "$2"); do
        mkdir -p "$d/tmp/n$i" "$d/spool/n$i"
        start_node "$d" "n$i"
    done
    all_nodes=$2
    t=$SECONDS
    while [ $((SECONDS - t)) -lt 40 ]; do
        all_idle && return 0
        sleep 0.1
    done
    sinfo
    tail -n 5 "$d"/log/*
    skip "the private Slurm's nodes do not come up"
}
