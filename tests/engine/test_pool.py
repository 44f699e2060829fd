"""Promises of the process pool."""

import asyncio
import os
import pickle
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from process_watch import gone, start_host, until

from domain.errors import ErrorCode, ResearchError
from engine.child import Task
from engine.forkserver import ForkServer
from engine.interface import Progress
from engine.pool import CACHE_BYTES, JobPool, JobRaised, ProcessDied


@pytest.fixture
def pool(tmp_path: Path) -> Iterator[JobPool]:
    with JobPool(1, tmp_path / "cache", warm=()) as pool:
        yield pool


def unheard(progress: Progress) -> None:
    """A report that nobody listens to."""


async def test_a_job_runs_in_a_process_of_its_own_and_reports_in_order_before_its_result(pool: JobPool) -> None:
    heard: list[str] = []
    assert await pool.run("process_jobs:add", {"a": 2, "b": 3}, lambda progress: heard.append(progress.step)) == 5
    assert heard == ["step 0", "step 1", "step 2", "step 3"]


async def test_no_process_serves_two_jobs_and_each_is_outside_the_terminals_process_group(pool: JobPool) -> None:
    first = await pool.run("process_jobs:process_facts", {}, unheard)
    second = await pool.run("process_jobs:process_facts", {}, unheard)
    assert isinstance(first, tuple)
    assert isinstance(second, tuple)
    assert len({first[0], second[0], os.getpid()}) == 3
    assert os.getpgid(0) not in (first[1], second[1])


async def test_modules_are_imported_ahead_and_one_that_cannot_be_imported_spoils_nothing(tmp_path: Path) -> None:
    with JobPool(1, tmp_path / "cache", warm=("no_such_module", "fractions")) as pool:
        assert await pool.run("process_jobs:warm_modules", {}, unheard) is True


async def test_processes_get_one_thread_a_compilation_cache_and_no_secrets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-secret")
    monkeypatch.setenv("RESEARCH_DATABASE_URL", "postgresql://user:password@host/db")
    monkeypatch.setenv("XLA_FLAGS", "--xla_dump_to=nowhere")
    with JobPool(1, tmp_path / "cache", warm=()) as pool:
        environment = await pool.run("process_jobs:environment", {}, unheard)
    assert isinstance(environment, dict)
    assert environment["OMP_NUM_THREADS"] == "1"
    assert environment["JAX_COMPILATION_CACHE_DIR"] == str(tmp_path / "cache")
    assert environment["XLA_FLAGS"].startswith("--xla_dump_to=nowhere --xla_cpu_multi_thread_eigen=false")
    assert not {"ANTHROPIC_API_KEY", "RESEARCH_DATABASE_URL"} & environment.keys()


async def test_what_a_library_prints_disturbs_neither_the_answer_nor_the_parents_output(
    pool: JobPool, capfd: pytest.CaptureFixture[str]
) -> None:
    assert await pool.run("process_jobs:noisy", {}, unheard) == "answer"
    assert capfd.readouterr() == ("", "")


async def test_a_refusal_comes_back_with_its_code_and_message(pool: JobPool) -> None:
    with pytest.raises(ResearchError, match="no bars of EURUSD 1h") as refusal:
        await pool.run("process_jobs:refuse", {}, unheard)
    assert refusal.value.code is ErrorCode.DATA_UNAVAILABLE


async def test_any_other_exception_comes_back_in_words_with_the_traceback_apart(pool: JobPool) -> None:
    with pytest.raises(JobRaised) as broken:
        await pool.run("process_jobs:break_down", {}, unheard)
    assert broken.value.message == "Unpicklable: 1 and 2"
    assert "in break_down" in broken.value.trace


async def test_a_function_that_does_not_exist_is_an_error_of_the_job(pool: JobPool) -> None:
    with pytest.raises(JobRaised, match="no_such_room"):
        await pool.run("no_such_room:train", {}, unheard)


async def test_a_full_disk_comes_back_as_the_same_error(pool: JobPool) -> None:
    with pytest.raises(OSError, match="No space left on device") as full:
        await pool.run("process_jobs:fill_disk", {}, unheard)
    assert full.value.filename == "/some/where"


@pytest.mark.parametrize(("job", "how"), [("get_killed", "SIGKILL"), ("crash", "SIGSEGV")])
async def test_a_process_that_dies_is_named_with_its_signal_and_the_next_job_runs(
    pool: JobPool, job: str, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(ProcessDied, match=how):
        await pool.run(f"process_jobs:{job}", {}, unheard)
    assert how in caplog.text
    assert await pool.run("process_jobs:add", {"a": 1, "b": 1}, unheard) == 2


async def test_a_fork_server_that_was_killed_while_idle_is_replaced_unseen(pool: JobPool) -> None:
    (idle,) = pool.pids
    os.kill(idle, signal.SIGKILL)
    await until(lambda: gone(idle))
    assert await pool.run("process_jobs:add", {"a": 1, "b": 1}, unheard) == 2


async def test_a_process_that_cannot_be_started_fails_its_job_alone_and_the_next_job_runs(
    pool: JobPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    (idle,) = pool.pids
    os.kill(idle, signal.SIGKILL)
    await until(lambda: gone(idle))
    with monkeypatch.context() as broken:
        broken.setattr(sys, "executable", "/no/such/python")
        with pytest.raises(ProcessDied, match="no engine process could be started"):
            await pool.run("process_jobs:add", {"a": 1, "b": 1}, unheard)
    assert await pool.run("process_jobs:add", {"a": 1, "b": 1}, unheard) == 2
    assert len(pool.pids) == 1


async def test_a_server_that_cannot_be_started_ahead_is_told_and_costs_no_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with monkeypatch.context() as broken:
        broken.setattr(sys, "executable", "/no/such/python")
        pool = JobPool(1, tmp_path / "cache", warm=())
    assert not pool.pids
    assert "could not be warmed up" in caplog.text
    with pool:
        assert await pool.run("process_jobs:add", {"a": 2, "b": 2}, unheard) == 4


async def test_a_fork_server_that_is_killed_takes_its_job_along_and_the_next_job_runs(
    pool: JobPool, tmp_path: Path
) -> None:
    (server,) = pool.pids
    job = asyncio.create_task(pool.run("process_jobs:write_for_ever", {"path": tmp_path / "written"}, unheard))
    await until((tmp_path / "written").exists)
    os.kill(server, signal.SIGKILL)
    with pytest.raises(ProcessDied, match="in mid-job with its fork server"):
        await job
    assert await pool.run("process_jobs:add", {"a": 1, "b": 1}, unheard) == 2


async def test_a_fork_server_that_does_not_answer_is_killed_and_replaced(
    pool: JobPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await pool.run("process_jobs:add", {"a": 1, "b": 1}, unheard) == 2
    (server,) = pool.pids
    os.kill(server, signal.SIGSTOP)
    monkeypatch.setattr("engine.forkserver.PATIENCE", 0.01)
    with pytest.raises(ProcessDied, match="no engine process could be started: timed out"):
        await pool.run("process_jobs:add", {"a": 1, "b": 1}, unheard)
    monkeypatch.undo()
    await until(lambda: gone(server))
    assert await pool.run("process_jobs:add", {"a": 1, "b": 1}, unheard) == 2


async def test_a_job_is_cancelled_at_once_also_while_it_and_its_fork_server_are_stopped(
    pool: JobPool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.forkserver.PATIENCE", 3600.0)
    job = asyncio.create_task(pool.run("process_jobs:write_for_ever", {"path": tmp_path / "written"}, unheard))
    await until((tmp_path / "written").exists)
    for pid in pool.pids:
        os.kill(pid, signal.SIGSTOP)
    job.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(job, 60)


async def test_a_job_that_waits_for_imports_can_be_cancelled_at_once(tmp_path: Path) -> None:
    with JobPool(1, tmp_path / "cache", warm=("process_stuck",)) as pool:
        waiting = asyncio.create_task(pool.run("process_jobs:add", {"a": 1, "b": 1}, unheard))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(waiting, 60)  # the imports never end


async def test_a_cancelled_job_is_dead_within_a_second_writes_no_more_and_is_no_warning(
    pool: JobPool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "written"
    pids: list[int] = []
    job = asyncio.create_task(
        pool.run("process_jobs:write_for_ever", {"path": path}, lambda progress: pids.append(int(progress.step)))
    )
    await until(lambda: bool(pids) and path.exists() and path.stat().st_size > 0)
    asked = time.monotonic()
    job.cancel()
    with pytest.raises(asyncio.CancelledError):
        await job
    await until(lambda: gone(pids[0]))  # it writes nothing any more; the kernel may be a moment longer with the rest
    assert time.monotonic() - asked < 1
    assert not caplog.text


async def test_a_job_that_waits_for_a_free_process_can_be_cancelled_and_costs_no_place(
    pool: JobPool, tmp_path: Path
) -> None:
    path = tmp_path / "written"
    running = asyncio.create_task(pool.run("process_jobs:write_for_ever", {"path": path}, unheard))
    await until(path.exists)
    waiting = asyncio.create_task(pool.run("process_jobs:add", {"a": 1, "b": 1}, unheard))
    await asyncio.sleep(0)
    for job in (waiting, running):
        job.cancel()
        with pytest.raises(asyncio.CancelledError):
            await job
    assert await pool.run("process_jobs:add", {"a": 1, "b": 1}, unheard) == 2


async def test_closing_kills_idle_and_busy_processes_and_ends_their_jobs(tmp_path: Path) -> None:
    pool = JobPool(2, tmp_path / "cache", warm=())
    pids = pool.pids
    job = asyncio.create_task(pool.run("process_jobs:write_for_ever", {"path": tmp_path / "written"}, unheard))
    await until((tmp_path / "written").exists)
    pool.close()
    with pytest.raises(ProcessDied):
        await job
    assert all(gone(pid) for pid in pids)
    assert not pool.pids
    with pytest.raises(ProcessDied, match="no more jobs"):
        await pool.run("process_jobs:add", {"a": 1, "b": 1}, unheard)


@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGTERM])
async def test_no_process_outlives_a_parent_that_was_killed(tmp_path: Path, ending: signal.Signals) -> None:
    path = tmp_path / "written"
    with start_host("host_writer", str(path)) as host:
        assert host.stdout is not None
        await asyncio.to_thread(host.stdout.readline)
        await until(lambda: path.exists() and path.stat().st_size > 0)
        family = psutil.Process(host.pid).children(recursive=True)
        assert family
        host.send_signal(ending)
        await until(lambda: all(gone(process.pid) for process in family))


async def test_ctrl_c_reaches_the_parent_alone_and_leaves_no_process(tmp_path: Path) -> None:
    with start_host("host_writer", str(tmp_path / "written")) as host:
        assert host.stdout is not None
        child = int(await asyncio.to_thread(host.stdout.readline))
        await until((tmp_path / "written").exists)
        os.kill(child, signal.SIGINT)
        written = (tmp_path / "written").stat().st_size
        await until(lambda: (tmp_path / "written").stat().st_size > written)
        host.send_signal(signal.SIGINT)
        assert await asyncio.to_thread(host.wait, 10) != 0
        assert gone(child)


async def test_a_process_also_ends_with_the_pipe_to_its_parent_where_the_kernel_does_not_help(tmp_path: Path) -> None:
    path = tmp_path / "written"
    server = ForkServer({**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}, warm=())
    try:
        await asyncio.to_thread(server.ready.result)
        process = server.fork()
        pickle.dump(Task("process_jobs:write_for_ever", {"path": path}), process._task)
        process._task.flush()
        await until(lambda: path.exists() and path.stat().st_size > 0)
        process._task.close()
        assert await asyncio.to_thread(process._ended, 10)
        assert server.reap(process.pid) == 1
    finally:
        server.close()


async def test_every_job_is_forked_from_the_one_server(pool: JobPool) -> None:
    (server,) = pool.pids
    parents = [await pool.run("process_jobs:parent", {}, unheard) for _ in range(2)]
    assert parents == [server, server]


async def test_the_engines_libraries_start_no_thread_so_that_forking_is_sound(tmp_path: Path) -> None:
    with JobPool(1, tmp_path / "cache") as pool:
        (server,) = pool.pids
        assert await pool.run("process_jobs:add", {"a": 1, "b": 1}, unheard) == 2
        assert psutil.Process(server).num_threads() == 1
        assert await pool.run("process_jobs:summed_by_jax", {}, unheard) == 6.0


def make_programs(cache: Path) -> None:
    """Three compiled programs, one too many, of different ages."""
    cache.mkdir(exist_ok=True)
    for age, name in enumerate(("newest", "middle", "oldest")):
        path = cache / f"{name}-cache"
        path.touch()
        os.truncate(path, CACHE_BYTES // 2)
        os.utime(path, (1e9 - age, 1e9 - age))


def test_a_pool_that_starts_bounds_the_compiled_programs_oldest_first(tmp_path: Path) -> None:
    make_programs(tmp_path)
    JobPool(1, tmp_path, warm=()).close()
    assert {path.name for path in tmp_path.iterdir()} == {"newest-cache", "middle-cache"}


async def test_a_job_that_ends_bounds_the_compiled_programs_too(pool: JobPool, tmp_path: Path) -> None:
    make_programs(tmp_path / "cache")
    await pool.run("process_jobs:add", {"a": 1, "b": 1}, unheard)
    assert {path.name for path in (tmp_path / "cache").iterdir()} == {"newest-cache", "middle-cache"}


def test_a_compiled_program_that_is_gone_when_it_is_looked_at_stops_no_pool(tmp_path: Path) -> None:
    (tmp_path / "gone-cache").symlink_to(tmp_path / "deleted")
    make_programs(tmp_path)
    JobPool(1, tmp_path, warm=()).close()
    assert not (tmp_path / "oldest-cache").exists()
