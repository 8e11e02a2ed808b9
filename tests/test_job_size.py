"""What a job asks for where the user does not say, and what no node could ever run."""

import dask
import pytest

import dasdist
from dasdist.cluster.job_size import Job
from dasdist.cluster.partition import Node, nodes_of_partition, read_nodes

GIB = 2**30

SINFO = """\
normal*|n1|2|4000|(null)|1:00:00|10:00|idle|up
normal*|n2|64|256000|(null)|1:00:00|10:00|mixed|up
gpu|g1|32|128000|gpu:a100:4(S:0-1)|2-00:00:00|n/a|allocated|up
long|n2|64|256000|(null)|infinite|n/a|down*|up
"""


@pytest.fixture
def partition():
    nodes = read_nodes(SINFO)
    return lambda name=None: nodes_of_partition(nodes, name)


def node(cpus, mebibytes, most="infinite", usual="n/a"):
    return Node("p", True, "n", cpus, mebibytes, "", most, usual, True)


def test_a_node_smaller_than_the_default_gives_the_job_all_it_has():
    job = Job.of(nodes=[node(2, 4000)])
    assert (job.cores, job.memory) == (2, 4000 * 2**20)
    job.check([node(2, 4000)])


def test_large_nodes_are_shared_core_by_core():
    assert Job.of(nodes=[node(64, 512_000)]).memory == 16 * GIB  # 4 GiB a core, of 31 GiB a core
    assert Job.of(nodes=[node(64, 128_000)]).memory == 8_000 * 2**20  # 4 of 64 cores
    assert Job.of(nodes=[node(128, 64_000)]).memory == 4 * GIB  # its share could hold no model


def test_without_a_word_of_slurm_a_job_is_of_the_usual_size():
    assert Job.of() == Job(4, 16 * GIB, 0, "04:00:00")
    assert Job.of(gpus=2) == Job(8, 32 * GIB, 2, "04:00:00")


def test_of_different_nodes_at_least_half_can_run_the_job(partition):
    job = Job.of(nodes=partition())
    assert (job.cores, job.memory) == (2, 4000 * 2**20)
    many = [node(2, 4000), *3 * [node(64, 256_000)]]
    assert Job.of(nodes=many).cores == 4


def test_cores_of_a_job_with_gpus_follow_the_gpus(partition):
    job = Job.of(gpus=4, nodes=partition("gpu"))
    assert (job.cores, job.memory) == (16, 64_000 * 2**20)


@pytest.mark.parametrize(
    ("most", "usual", "walltime"),
    [
        ("1-00:00:00", "02:00:00", "02:00:00"),
        ("1-00:00:00", "10:00", "00:30:00"),  # workers would hardly have started
        ("20:00", "10:00", "00:20:00"),
        ("1-00:00:00", "n/a", "04:00:00"),  # SLURM itself would take the longest, and wait for it
        ("1:00:00", "n/a", "01:00:00"),
        ("infinite", "2-12:00:00", "2-12:00:00"),
    ],
)
def test_the_walltime_is_the_partitions(most, usual, walltime):
    job = Job.of(nodes=[node(4, 16_000, most, usual)])
    assert job.walltime == walltime
    job.check_walltime([node(4, 16_000, most, usual)])


def test_what_is_asked_for_or_configured_stands(partition):
    with dask.config.set({"jobqueue.slurm": {"cores": 1, "walltime": "00:05:00"}}):
        job = Job.of(memory="1GiB", nodes=partition())
    assert job == Job(1, GIB, 0, "00:05:00")


@pytest.mark.parametrize(
    ("asked", "where", "words"),
    [
        ({"cores": 65}, None, r"65 cores .* partition normal has \(at most 64 cores .*--cores"),
        ({"memory": "300GiB"}, None, r"307200 MiB .*\(at most 64 cores and 256000 MiB.*--memory"),
        ({"gpus": 5}, "gpu", r"asks for 5 GPUs.* of partition gpu have at most 4.*--gpus-per-job"),
        ({"gpus": 1}, None, r"asks for 1 GPU,.* of partition normal have at most 0.*--partition"),
        ({"cores": 33, "gpus": 1}, "gpu", r"33 cores .*\(at most 32 cores and 128000 MiB"),
    ],
)
def test_what_no_node_has_is_refused_with_what_there_is(partition, asked, where, words):
    with pytest.raises(dasdist.InvalidInput, match=words) as caught:
        Job.of(**asked, nodes=partition(where)).check(partition(where))
    assert "dasdist doctor --cluster slurm" in str(caught.value)


def test_a_walltime_beyond_the_partitions_is_refused(partition):
    with pytest.raises(dasdist.InvalidInput, match=r"walltime of 2:00:00, .* at most 1:00:00"):
        Job.of(walltime="2:00:00", nodes=partition()).check_walltime(partition())
    with pytest.raises(dasdist.InvalidInput, match=r"walltime of UNLIMITED"):
        Job.of(walltime="UNLIMITED", nodes=partition()).check_walltime(partition())
    Job.of(walltime="30-0", nodes=partition("long")).check_walltime(partition("long"))


def test_nothing_is_refused_where_slurm_does_not_say():
    Job.of(cores=1000, memory="9TiB", gpus=99, walltime="99-0").check([])
    Job.of(walltime="99-0").check_walltime([])


def test_a_memory_that_is_not_a_size_is_named():
    with pytest.raises(dasdist.InvalidInput, match="memory is 'lots', which is not a size"):
        Job.of(memory="lots")


def test_several_partitions_are_taken_together(partition):
    assert [n.name for n in partition("gpu,long")] == ["g1", "n2"]
    assert [n.up for n in partition("gpu,long")] == [True, False]
    assert partition("nope") == ()
