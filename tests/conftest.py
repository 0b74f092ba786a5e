"""What every test starts from: no network, no settings of this machine, few threads."""

import os
from pathlib import Path

import pytest

# Here, not in a fixture: torch, FAISS and the tokenizers read these once, when they are imported.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ.setdefault("OMP_NUM_THREADS", "1")  # several test processes run side by side
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as the programs do

# A developer's own settings must not decide a test, and programs that tests start inherit these.
TEST_DATA = os.environ.get("RAG_TEST_DATA")
for _name in [name for name in os.environ if name.upper().startswith("RAG_")]:
    del os.environ[_name]


@pytest.fixture
def test_data() -> Path:
    """The folder of further test data, which is not part of this repository."""
    if not TEST_DATA:
        pytest.skip("set RAG_TEST_DATA to the folder of the test data")
    return Path(TEST_DATA)


@pytest.fixture
def work_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that is the current one: no rag.toml, no rag-data."""
    monkeypatch.chdir(tmp_path)
    return tmp_path
