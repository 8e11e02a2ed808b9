#!/usr/bin/env bash
#
# Run dasdist on all nodes of this job: run.sh COMMAND ARGUMENTS...
#
#     node 1   scheduler, client (dasdist COMMAND), workers
#     node n                                        workers
#
# SLURM sends TERM before the end of the job. It goes to the client, which begins no new blocks, lets
# running ones finish, and ends. If blocks are left, the job is queued again and resumes.
# The exit code is that of the client. classify.sbatch explains the variables.
#
# In a job array, task n is month n of DASDIST_YEAR: it gets --from and --to, and {month} in its
# arguments becomes, for instance, 2024-03.
set -euo pipefail

say() { printf 'dasdist: %s\n' "$*" >&2; }
runs() { kill -0 "$1" 2>/dev/null; }

export PYTHONSAFEPATH=1 # nothing is imported from the folder of the job, where data lie
python=${DASDIST_PYTHON:-python3}
restarts=${SLURM_RESTART_COUNT:-0}
cpus=${SLURM_CPUS_PER_TASK:-$SLURM_CPUS_ON_NODE}
job=$SLURM_JOB_ID
arguments=("$@")

# ---------------------------------------------------------------- a month of an array

if [ -n "${SLURM_ARRAY_TASK_ID:-}" ]; then
    : "${DASDIST_YEAR:?is not set; a job array needs a year, such as DASDIST_YEAR=2024}"
    first=$((DASDIST_YEAR * 12 + SLURM_ARRAY_TASK_ID - 1))
    month=$(printf '%04d-%02d' $((first / 12)) $((first % 12 + 1)))
    next=$(printf '%04d-%02d' $(((first + 1) / 12)) $(((first + 1) % 12 + 1)))
    arguments=("${arguments[@]//\{month\}/$month}")
    if [ "${arguments[*]}" = "$*" ]; then
        say 'all tasks of the array would write the same output; put {month} into its name'
        exit 1
    fi
    job=${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID # the number of one task is that of the array, too
    arguments+=(--from "$month-01" --to "$next-01")
fi

# ---------------------------------------------------------------- a folder of this start alone

# a scheduler file of an earlier start would mislead the workers
folder=${DASDIST_FOLDER:-$PWD}/dasdist-$SLURM_JOB_ID.$restarts
mkdir -p "${folder%/*}"
mkdir -m 0700 "$folder"
file=$folder/scheduler.json
scheduler='' workers='' client='' told=''

finish() {
    # a scheduler that ends in order dismisses its workers
    for process in $client $scheduler; do
        if runs "$process"; then kill -TERM "$process" || true; fi
        wait "$process" || true
    done
    for _ in $(seq 20); do
        if [ -z "$workers" ] || ! runs "$workers"; then break; fi
        sleep 1
    done
    if [ -n "$workers" ]; then kill -TERM "$workers" 2>/dev/null || true; fi
    # then what lets one join or look
    rm -f "$file" "$folder/key.pem" "$folder/certificate.pem"
}
trap finish EXIT
trap 'told=yes; if [ -n "$client" ]; then kill -TERM "$client" || true; fi' TERM

# ---------------------------------------------------------------- certificates, scheduler, workers

mapfile -t nodes < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
address=$("$python" -c '
import sys
from dasdist.cluster.certificates import make_certificates
from dasdist.cluster.network import listening_address
make_certificates(sys.argv[1])
folder, interface, *nodes = sys.argv[1:]
print(listening_address(interface or ("lo" if len(nodes) == 1 else None), nodes))
' "$folder" "${DASDIST_INTERFACE:-}" "${nodes[@]}")

# scheduler, workers and client read these; they hold paths, not the key
export DASK_DISTRIBUTED__COMM__REQUIRE_ENCRYPTION=true
export DASK_DISTRIBUTED__COMM__TLS__CA_FILE=$folder/certificate.pem
for role in SCHEDULER WORKER CLIENT; do
    export "DASK_DISTRIBUTED__COMM__TLS__${role}__CERT=$folder/certificate.pem"
    export "DASK_DISTRIBUTED__COMM__TLS__${role}__KEY=$folder/key.pem"
done

CUDA_VISIBLE_DEVICES='' "$python" -m distributed.cli.dask_scheduler --protocol tls \
    --host "$address" --port 0 --dashboard-address 127.0.0.1:0 --scheduler-file "$file" \
    >"$folder/scheduler.log" 2>&1 &
scheduler=$!

interface=(--towards "$address") # workers listen where the scheduler reaches them
[ -z "${DASDIST_INTERFACE:-}" ] || interface=(--interface "$DASDIST_INTERFACE")
# when one node fails, the others go on
srun --overlap --export=ALL --nodes="${#nodes[@]}" --ntasks="${#nodes[@]}" --ntasks-per-node=1 \
    --cpus-per-task="$cpus" --kill-on-bad-exit=0 --wait=0 \
    "$python" -m dasdist.cluster.worker --scheduler-file "$file" "${interface[@]}" \
    --spare "${DASDIST_SPARE:-1500MB}" --local-directory "${DASDIST_SCRATCH:-/tmp}" \
    --dashboard-address 127.0.0.1:0 --death-timeout 120 >"$folder/workers.log" 2>&1 &
workers=$!

# the size of blocks follows from the workers, so they must be there first
"$python" -c '
import asyncio, sys
from distributed import Client
with Client(scheduler_file=sys.argv[1], timeout=120, set_as_default=False) as client:
    try:
        client.wait_for_workers(int(sys.argv[2]), timeout=120)
    except (TimeoutError, asyncio.TimeoutError):
        found = len(client.scheduler_info(n_workers=-1)["workers"])
        print(f"dasdist: {found} workers after 120 s on {sys.argv[2]} nodes", file=sys.stderr)
        sys.exit(found == 0)
    port = client.scheduler_info()["services"].get("dashboard")
    if port:
        print(f"dasdist: dashboard: ssh -N -L 8787:127.0.0.1:{port} {sys.argv[3]}", file=sys.stderr)
' "$file" "${#nodes[@]}" "$(hostname -f)" || {
    say "the cluster did not start; the reason is in $folder/scheduler.log or $folder/workers.log"
    exit 1
}

# ---------------------------------------------------------------- the client

say "start $((restarts + 1)) on ${#nodes[@]} nodes: ${arguments[*]}"
code=130
if [ -z "$told" ]; then
    CUDA_VISIBLE_DEVICES='' "$python" -m dasdist "${arguments[@]}" --scheduler "$file" &
    client=$!
    if [ -n "$told" ]; then kill -TERM "$client" || true; fi # TERM came between these two lines
fi
lost=''
while [ -n "$client" ] && runs "$client"; do
    if [ -z "$lost" ] && ! runs "$workers"; then
        lost=yes
        say "all workers have ended; the reason is in $folder/workers.log"
        kill -TERM "$client" || true
        sleep 2
        kill -TERM "$client" || true # at once: nothing is left that could finish a block
    fi
    sleep 1 # a trap waits for it
done
if [ -n "$client" ]; then
    code=0
    wait "$client" || code=$?
    client=''
fi
if [ "$code" = 143 ]; then code=130; fi # TERM came before the client had begun

# ---------------------------------------------------------------- what is left

[ "$code" = 130 ] || exit "$code"
about=$(scontrol show job "$job") || about='JobState=RUNNING' # SLURM is busy: it is tried below
# sites that preempt without the signal that the script asks for send TERM to the workers alone
case $about in
    *PreemptTime=[0-9]*) told=yes ;;
esac
state=$(sed -n 's/^ *JobState=\([A-Z]*\).*/\1/p' <<<"$about")
if [ -n "$told" ] && [ "$state" = RUNNING ]; then # not one that is cancelled
    if [ "$restarts" -ge "${DASDIST_RESTARTS:-50}" ]; then
        say "not queued again after $restarts restarts (DASDIST_RESTARTS); the same sbatch resumes"
    else
        finish
        trap - EXIT
        say 'queued again, to go on with the blocks that are left'
        scontrol requeue "$job" || say 'SLURM refused to queue it again; the same sbatch resumes'
    fi
fi
exit "$code"
