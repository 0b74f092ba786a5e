"""The smoke recipe itself, with a model of random weights and two small documents."""

import os
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from tests.nursery import nursery
from tests.tiny_models import write_tiny_model

ROOT = Path(__file__).parents[3]
IMPORTED = (  # what the twenty commands of the script would import again and again
    "matplotlib.pyplot",
    "peft",
    "posttrain.cli",
    "posttrain.run_evaluation",
    "posttrain.run_sft",
    "rag_service.app",
    "rag_service.worker",
)


@pytest.mark.slow
def test_the_smoke_recipe_ends_with_a_published_adapter(tmp_path: Path) -> None:
    """Every command of the script succeeds, in order; the card has the scores before and after."""
    model = write_tiny_model(tmp_path / "tiny", max_position_embeddings=2048)
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    (corpus / "pumps.txt").write_text(
        "The pump in the cellar burns 14 litres an hour.\n" * 3, encoding="utf-8"
    )
    (corpus / "cook.md").write_text(
        "# The cook\n\nPavel Lind cooks and bakes at the station all year, and on Sundays he reads.\n",
        encoding="utf-8",
    )
    environment = os.environ | {
        "PATH": os.pathsep.join(
            (str(tmp_path / "bin"), str(Path(sys.executable).parent), os.environ["PATH"])
        ),
        "MODEL": str(model),
        "CORPUS": str(corpus),
        "PASSAGES": "2",
        "FIRST_LAYER": "1",
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": "1",
    }
    work = tmp_path / "work"
    (tmp_path / "bin").mkdir()
    with nursery(*IMPORTED) as programs:
        for (entry,) in (entry_points(group="console_scripts", name=name) for name in ("rag", "rag-train")):
            programs.write_command(tmp_path / "bin" / entry.name, entry.value)
        done = subprocess.run(
            [str(ROOT / "posttrain/recipes/cpu_smoke.sh"), str(work)],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    card = (work / "models" / "smoke" / "README.md").read_text(encoding="utf-8")
    assert "| measure | items | tiny | tiny+adapter |" in card
    assert "| retrieved: " not in card  # the random model writes no question that could be asked
    assert (work / "adapter" / "loss.png").is_file()
    stages = [
        line.partition(":")[0] for line in (work / "times.txt").read_text(encoding="utf-8").splitlines()
    ]
    assert stages[0] == "documents"
    assert stages[-1] == "publishing"
    assert "smoke answers from now on" in done.stdout
