"""PBS, LSF and SGE from the queue to the last process, with small systems in their dialects."""

import sys
from pathlib import Path

import psutil
import pytest

from labkit.cluster import manage, registry
from labkit.cluster.cell import run_cell
from labkit.cluster.engines.batch import BatchEngines
from labkit.cluster.options import ClusterOptions
from labkit.cluster.outcome import Listener
from labkit.errors import EnginesError, RankDiedError

sys.path.insert(0, str(Path(__file__).parent))
from fake_cluster import FakeCluster, until  # noqa: E402

pytestmark = pytest.mark.mpi


@pytest.fixture(params=["pbs", "lsf", "sge"])
def cluster(request, tmp_path, monkeypatch):
    cluster = FakeCluster(tmp_path, request.param)
    for name, value in cluster.environment.items():
        monkeypatch.setenv(name, value)
    yield cluster
    cluster.end()
    assert registry.records() == [] and not cluster.left()
    left = [path for path in (cluster.home / ".labkit" / "clusters").glob("*")]
    assert left == []


def values(engines, source):
    outcome = run_cell(engines, source, listener=Listener())
    return [bundle["data"]["text/plain"] for _, bundle in sorted(outcome.results.items())]


def test_from_the_queue_to_the_last_process(cluster):
    said = []
    engines = BatchEngines(ClusterOptions(cluster.kind, num_ranks=2, time="10"))
    try:
        engines.start(2, said.append)
        assert any("is queued" in text for text in said) and said[-1].startswith("2 MPI ranks started on 1 node")
        assert [rank.rank for rank in engines.ranks] == [0, 1]
        variable = {"pbs": "PBS_JOBID", "lsf": "LSB_JOBID", "sge": "JOB_ID"}[cluster.kind]
        text = values(engines, f"import os\n(comm.allreduce(comm.rank + 1), os.environ['{variable}'])")
        assert text == [f"(3, '{engines.job_id}')"] * 2
        controller = registry.load(cluster.kind).controller_pid
        (job,) = cluster.jobs

        with pytest.raises(RankDiedError, match="rank 1 ended its process with exit code 3"):
            run_cell(engines, "import os\nif comm.rank == 1: os._exit(3)\ncomm.barrier()", listener=Listener())
        assert not cluster.has_ended(job)
        engines.start(2)  # in the same job
        assert cluster.jobs == [job] and values(engines, "comm.allreduce(1)") == ["2", "2"]
        assert manage.status(registry.load(cluster.kind)).word == "running"
    finally:
        engines.stop()
    until(lambda: cluster.has_ended(job))
    until(lambda: not cluster.left())
    until(lambda: not psutil.pid_exists(controller) or psutil.Process(controller).status() == "zombie")
    assert (job / "cancelled").exists()


def test_a_job_that_ends_at_once_tells_why(cluster):
    engines = BatchEngines(ClusterOptions(cluster.kind, num_ranks=1, environment="/no/such/environment"))
    with pytest.raises(EnginesError, match="has ended before its ranks could start.*no venv or conda environment /no/such"):
        engines.start(1)
    assert engines._client is None


def test_a_job_that_ends_at_once_and_is_forgotten(cluster, monkeypatch):
    """Accounting is not everywhere: the job is gone, and nobody says how."""
    monkeypatch.setattr("labkit.cluster.engines.job.UNKNOWN_S", 1.0)
    (cluster.folder / "forgetful").touch()
    engines = BatchEngines(ClusterOptions(cluster.kind, num_ranks=1, environment="/no/such/environment"))
    with pytest.raises(EnginesError, match="does not know.*no venv or conda environment /no/such"):
        engines.start(1)


def test_a_refusal_is_told_in_the_systems_words(cluster):
    (cluster.folder / "refuse").write_text("qsub: Unknown queue special")
    engines = BatchEngines(ClusterOptions(cluster.kind, num_ranks=1, partition="special"))
    with pytest.raises(EnginesError, match="refused: [qb]sub said: qsub: Unknown queue special"):
        engines.start(1)
    assert cluster.jobs == []


def test_a_job_that_is_cancelled_from_outside_is_told(cluster):
    engines = BatchEngines(ClusterOptions(cluster.kind, num_ranks=2))
    try:
        engines.start(2)
        (job,) = cluster.jobs

        def text(rank, stream, text):
            (job / "cancelled").touch()

        with pytest.raises((RankDiedError, EnginesError), match="job .* has ended"):
            run_cell(engines, "print('here', flush=True)\nimport time\ntime.sleep(100)", listener=Listener(text=text))
        until(lambda: not cluster.left())
        engines.start(1)  # a new job
        assert len(cluster.jobs) == 2 and values(engines, "comm.size") == ["1"]
    finally:
        engines.stop()
    until(lambda: not cluster.left())
