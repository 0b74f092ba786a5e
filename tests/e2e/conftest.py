"""What the tests with the real models share."""

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def converted_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of converted chat models for all data folders of a run: the first that needs one makes it.

    That takes ten seconds and half a gigabyte. Of several test processes one converts, as of several
    programs on the same data folder. `make demo` and its test start without.
    """
    own = tmp_path_factory.getbasetemp()
    folder = (own.parent if own.name.startswith("popen-") else own) / "converted-models"
    folder.mkdir(exist_ok=True)
    return folder
