"""The recipes that run on a GPU's machine need what trains a model, and nothing that serves one."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
BLOCKED = """
import sys
for name in ("pydantic", "pydantic_settings", "faiss", "tantivy", "fastapi"):
    sys.modules[name] = None
import posttrain.recipes.{recipe}
"""


@pytest.mark.parametrize("recipe", ["wiki_questions", "gpu_train", "distilled_reader"])
def test_a_recipe_is_importable_where_the_service_is_not_installed(recipe: str) -> None:
    """Pydantic, FAISS and Tantivy are what such a machine lacks."""
    ran = subprocess.run(
        [sys.executable, "-c", BLOCKED.format(recipe=recipe)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
