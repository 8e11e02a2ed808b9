#!/usr/bin/env bash
# Stops the SLURM that start.sh runs in FOLDER, its jobs first: bash tests/slurm/stop.sh FOLDER
set -euo pipefail

folder=${1:?name the folder of its state}
[ -s "$folder/slurm.conf" ] || { echo "slurm: none was started in $folder" >&2; exit 0; }
folder=$(cd "$folder" && pwd -P)
export SLURM_CONF=$folder/slurm.conf

is() { [ "$(cat "/proc/$1/comm" 2>/dev/null)" = "$2" ]; }

# so that no step outlives its daemon
timeout 10 scancel --user=root 2>/dev/null || true
for _ in $(seq 40); do
    [ -n "$(timeout 5 squeue -h 2>/dev/null)" ] || break
    sleep 0.25
done

stop() { # NAME PIDFILE...
    local name=$1 file pid
    shift
    for file in "$@"; do
        pid=$(cat "$file" 2>/dev/null) || continue
        if is "$pid" "$name"; then kill "$pid"; fi
        for _ in $(seq 200); do
            is "$pid" "$name" || continue 2
            sleep 0.1
        done
        echo "slurm: $name ($pid) had to be killed" >&2
        kill -9 "$pid"
    done
}
stop slurmd "$folder"/spool/das*.pid
stop slurmctld "$folder/ctld/pid"
stop munged "$folder/munge/pid"
