"""`make demo` with the real models, in a data folder of its own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SECOND_RUN_CPU_S = 75  # of all threads: about 30 s on two cores; other programs' load does not count


def make_demo(data_dir: Path) -> str:
    """Run the target in this environment, without installing anything, and return what it prints."""
    bin_folder = Path(sys.executable).parent
    ended = subprocess.run(
        ["make", "--old-file=.venv/service.stamp", f"BIN={bin_folder}", "demo"],  # noqa: S607 - found on PATH
        cwd=ROOT,
        env={**os.environ, "RAG_DATA_DIR": str(data_dir)},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def children_cpu_s() -> float:
    """Return the seconds that ended programs of this process have computed."""
    times = os.times()
    return times.children_user + times.children_system


@pytest.mark.e2e
@pytest.mark.slow
def test_the_demo_answers_with_sources_and_is_quick_the_second_time(tmp_path: Path) -> None:
    """Three questions get their replies with sources; a second run reads nothing and takes seconds."""
    first = make_demo(tmp_path)
    assert "16 read, 0 known already, 0 failed" in first
    questions = (ROOT / "examples" / "demo.txt").read_text().splitlines()
    assert all(f"> {question}" in first for question in questions)
    assert "[1] " in first  # a source
    assert "(refused: " in first
    assert "calculate: " in first
    began = children_cpu_s()
    second = make_demo(tmp_path)
    assert children_cpu_s() - began < SECOND_RUN_CPU_S
    assert "0 read, 16 known already, 0 failed" in second
