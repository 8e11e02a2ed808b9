#!/usr/bin/env bash
# A real SLURM on this one machine, for the tests: bash tests/slurm/start.sh FOLDER
#
# Four nodes das1 to das4, a slurmd each, of 2 CPUs, 4000 MiB and one fake GPU, in the partitions
# normal and gpu, and low, whose jobs those of the others preempt; all on loopback. Neither CPUs nor
# memory are enforced. State, settings, logs and
# the munge key lie in FOLDER, which user slurm must be able to reach. Debian's packages are installed
# if they are missing, and /etc/hosts gets a line if this host's name does not lead to loopback.
# Needs root. What runs is left running.
#
# Prints, last, the line that lets sbatch and its like use it:   export SLURM_CONF=FOLDER/slurm.conf
# A SLURM that answers already, and is not in FOLDER, is left alone, and nothing is started, unless
# an empty FOLDER/slurm.conf asks for one beside it.
# Ends with 3, and says why, where it cannot run.
set -euo pipefail

folder=${1:?name a folder for its state}
nodes=(das1 das2 das3 das4)
packages=(munge slurmctld slurmd slurm-client)

say() { printf 'slurm: %s\n' "$*" >&2; }
cannot() { say "$*"; exit 3; }
failed() {
    say "failed: $*"
    tail -n 20 "$folder"/log/* >&2 || true
    exit 1
}
answers() { timeout 5 scontrol ping 2>/dev/null | grep -q ' UP'; }

mkdir -p "$folder"
folder=$(cd "$folder" && pwd -P)
conf=$folder/slurm.conf

if [ ! -e "$conf" ] && command -v scontrol >/dev/null && answers; then
    say "one runs here already; it is left alone"
    exit 0
fi
[ "$(id -u)" = 0 ] || cannot "needs root, to run as several users"
export SLURM_CONF=$conf

# ---------------------------------------------------------------- packages

for package in "${packages[@]}"; do
    if [ "$(dpkg-query -W -f '${Status}' "$package" 2>/dev/null)" != 'install ok installed' ]; then
        command -v apt-get >/dev/null || cannot "needs apt-get, to install ${packages[*]}"
        say "installing ${packages[*]}"
        export DEBIAN_FRONTEND=noninteractive
        install=(timeout 300 apt-get -qq install -y --no-install-recommends "${packages[@]}")
        "${install[@]}" >/dev/null 2>&1 || {
            timeout 120 apt-get -qq update >/dev/null 2>&1 || true
            "${install[@]}" >/dev/null || cannot "apt-get could not install ${packages[*]}"
        }
        break
    fi
done

# ---------------------------------------------------------------- folders, key

chmod 0755 "$folder"
install -d -m 0755 "$folder/spool" "$folder/log"
install -d -m 0755 -o slurm -g slurm "$folder/ctld" "$folder/ctld/log"
install -d -m 0755 -o munge -g munge "$folder/munge"
install -d -m 0700 -o munge -g munge "$folder/munge/private"
runuser -u slurm -- test -w "$folder/ctld" || cannot "user slurm cannot reach $folder"
key=$folder/munge/private/key
[ -s "$key" ] || runuser -u munge -- mungekey --create --keyfile "$key"

# ---------------------------------------------------------------- settings

if [ ! -s "$conf" ]; then
    host=$(hostname -s)
    getent ahostsv4 "$host" | grep -q '^127\.' || echo "127.0.0.1 $host" >>/etc/hosts
    mapfile -t ports < <(python3 - "${#nodes[@]}" <<'PORTS'
import socket, sys
held = [socket.create_server(("127.0.0.1", 0)) for _ in range(1 + int(sys.argv[1]))]
print(*(s.getsockname()[1] for s in held), sep="\n")
PORTS
    )
    # a copy of /dev/null: SLURM wants a device, and CUDA_VISIBLE_DEVICES gets its number
    mknod -m 0666 "$folder/gpu0" c 1 3 || cannot "mknod is not permitted"
    {
        for i in "${!nodes[@]}"; do
            echo "NodeName=${nodes[i]} Name=gpu Type=fake File=$folder/gpu0"
        done
    } >"$folder/gres.conf"
    {
        cat <<CONF
ClusterName=dasdist
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=${ports[0]}
# listen on the addresses above and below, not on all
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
SlurmUser=slurm
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$folder/munge/socket
CredType=cred/munge
StateSaveLocation=$folder/ctld
SlurmctldPidFile=$folder/ctld/pid
SlurmctldLogFile=$folder/ctld/log/slurmctld
SlurmdSpoolDir=$folder/spool/%n
SlurmdPidFile=$folder/spool/%n.pid
SlurmdLogFile=$folder/log/%n
# neither cgroups nor accounting; nodes are as large as this file says
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SlurmdParameters=config_overrides
MpiDefault=none
SwitchType=switch/none
PropagateResourceLimits=NONE
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
DefMemPerCPU=500
GresTypes=gpu
# tests wait for these; and a batch script that is preempted gets the signal that it asks for, instead
# of TERM for its steps
SchedulerType=sched/backfill
SchedulerParameters=bf_interval=2,sched_interval=2,batch_sched_delay=0,preempt_send_user_signal
KillWait=5
OverTimeLimit=0
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
MinJobAge=600
ReturnToService=2
CONF
        for i in "${!nodes[@]}"; do
            echo "NodeName=${nodes[i]} NodeHostname=$host NodeAddr=127.0.0.1" \
                "Port=${ports[i + 1]} CPUs=2 RealMemory=4000 Gres=gpu:fake:1 State=UNKNOWN"
        done
        each='Nodes=das[1-4] MaxTime=60 DefaultTime=10 State=UP'
        echo "PartitionName=normal Default=YES PriorityTier=2 PreemptMode=OFF $each"
        echo "PartitionName=gpu PriorityTier=2 PreemptMode=OFF $each"
        echo "PartitionName=low PriorityTier=1 PreemptMode=REQUEUE GraceTime=180 $each"
    } >"$conf"
fi

# ---------------------------------------------------------------- daemons

runs() { # PIDFILE NAME
    local pid
    pid=$(cat "$1" 2>/dev/null) && [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = "$2" ]
}
cd "$folder"
runs munge/pid munged || runuser -u munge -- munged --force --key-file="$key" \
    --socket="$folder/munge/socket" --pid-file="$folder/munge/pid" \
    --log-file="$folder/munge/private/log" --seed-file="$folder/munge/private/seed" \
    2>log/munged || failed 'munged does not start'
runs ctld/pid slurmctld || slurmctld -c 2>log/slurmctld || failed 'slurmctld does not start'
for node in "${nodes[@]}"; do
    runs "spool/$node.pid" slurmd || slurmd -N "$node" 2>"log/$node.err" ||
        failed "slurmd of $node does not start"
done

end=$((SECONDS + 60))
until [ "$(timeout 5 sinfo -h -N -p normal -o %T 2>/dev/null |
    grep -cE '^(idle|mixed|allocated|completing)$')" = "${#nodes[@]}" ]; do
    [ $SECONDS -lt $end ] || failed "not all nodes are up: $(sinfo -h -N -o '%N %T' | paste -sd ,)"
    sleep 0.2
done
say "ready: $(sinfo -h -p normal -o '%D nodes of %c CPUs, %m MiB, %G')"
printf 'export SLURM_CONF=%q\n' "$conf"
