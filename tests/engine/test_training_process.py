"""Another process, with other settings for threads, trains the same model."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from engine.interface import Places, TrainJob
from engine.training import run_training

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = """
import sys
from pathlib import Path, PurePosixPath
from engine.interface import Places, TrainJob
from engine.training import run_training

job, places = TrainJob.model_validate_json(sys.argv[1]), Places.model_validate_json(sys.argv[2])
print(run_training(job, places, Path(sys.argv[3]), PurePosixPath("a/b"), lambda progress: None).model_id)
"""


def test_a_models_bytes_do_not_depend_on_the_process_or_its_threads(
    job: Callable[..., tuple[TrainJob, Places]], tmp_path: Path, final: PurePosixPath
) -> None:
    training, places = job()
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    result = run_training(training, places, here, final, lambda _progress: None)
    environment = {name: value for name, value in os.environ.items() if name not in ("XLA_FLAGS", "OMP_NUM_THREADS")}
    arguments = [training.model_dump_json(), places.model_dump_json(), str(there)]
    other = subprocess.run(
        [sys.executable, "-c", SCRIPT, *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    assert other.stdout.strip() == result.model_id
    assert (there / "model.npz").read_bytes() == (here / "model.npz").read_bytes()
