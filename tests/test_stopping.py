"""Signals stop a run in an orderly way, in processes and terminals as they are."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

RUN = """
import os, signal, sys
from distributed import Client, LocalCluster
import dasdist
from tests.test_deaths import Troubled, blocks

def main(folder, where, seconds):
    if where == "cluster":
        with LocalCluster(n_workers=2, threads_per_worker=1, host="127.0.0.1",
                dashboard_address=None, scheduler_kwargs={"dashboard": False,
                "dashboard_address": "127.0.0.1:0"}) as cluster, Client(cluster) as client:
            before = sorted(client.run(os.getpid).values())
            run(folder, client, seconds)
            print("same workers", before == sorted(client.run(os.getpid).values()))
    else:
        run(folder, None, seconds)

def run(folder, client, seconds):
    handlers = [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)]
    try:
        dasdist.annotate(Troubled(folder, seconds), blocks(1000),
            dasdist.InMemoryCollectionCallback(), client=client,
            block={"time": 64}, batch_size=1, pbar=False)
    except dasdist.RunInterrupted as error:
        print("interrupted", error)
    print("handlers back", handlers == [signal.getsignal(s) for s in (signal.SIGINT,
        signal.SIGTERM)])

if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], float(sys.argv[3]))
"""


@pytest.fixture
def script(tmp_path):
    path = tmp_path / "run.py"
    path.write_text(RUN)
    (tmp_path / "blocks").mkdir()
    return path


def stopped(script, where, number, times, seconds):
    """Signal a run, with SIGINT all its processes as a terminal does; return what it printed."""
    folder = script.parent / "blocks"
    process = subprocess.Popen(
        [sys.executable, str(script), str(folder), where, str(seconds)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        start_new_session=True,
    )
    with process:
        try:
            until = time.monotonic() + 60
            while not os.listdir(folder):
                assert process.poll() is None, "the run ended by itself"
                assert time.monotonic() < until, "no block began"
                time.sleep(0.05)
            for left in reversed(range(times)):
                if number == signal.SIGINT:
                    os.killpg(process.pid, number)
                else:
                    process.send_signal(number)
                if left:  # two signals at one moment would be one
                    assert any(
                        "stopping. Blocks that are running" in line for line in process.stdout
                    )
            output, _ = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 0, output
    return output


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("where", ["cluster", "serial"])
def test_a_signal_stops_a_run_and_running_blocks_finish(script, where, number):
    output = stopped(script, where, number, 1, seconds=0.2)
    assert f"interrupted Stopped by {number.name}" in output
    assert "handlers back True" in output
    if where == "cluster":  # Ctrl-C reached the workers, too, and did not end them
        assert "same workers True" in output
    assert len(os.listdir(script.parent / "blocks")) < 100


@pytest.mark.parametrize("where", ["cluster", "serial"])
def test_a_second_signal_stops_at_once(script, where):
    output = stopped(script, where, signal.SIGINT, 2, seconds=600)
    assert "interrupted Stopped by SIGINT" in output
    assert "handlers back True" in output
