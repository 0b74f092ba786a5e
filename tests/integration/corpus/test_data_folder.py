"""Which database a data folder belongs to, on both databases."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from corpus import migrations
from corpus.data_folder import MARK, claim_folder, database_id, require_own_folder, take_folder_over
from corpus.database import Database
from corpus.errors import SettingsError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a data folder that is not there yet."""
    return tmp_path / "data"


@pytest.fixture
def stranger(tmp_path: Path) -> Iterator[Database]:
    """Yield a database that nobody has brought anything into."""
    database = Database(f"sqlite:///{tmp_path / 'elsewhere' / 'rag.sqlite3'}")
    yield database
    database.close()


def test_a_folder_belongs_to_the_first_database_that_is_opened_over_it(
    database: Database, stranger: Database, folder: Path
) -> None:
    """Another one is refused before anything is done to it; the first, opened again, is not."""
    claim_folder(database, folder)
    claim_folder(database, folder)
    url = stranger.url.render_as_string(hide_password=False)
    with pytest.raises(SettingsError, match=f"belongs to another database.*remove .*{MARK}"):
        migrations.open_database(url, folder)
    assert migrations.current_revision(stranger) is None
    with pytest.raises(SettingsError, match="correct RAG_DATA_DIR or RAG_DATABASE_URL"):
        require_own_folder(stranger, folder)


def test_two_databases_with_folders_of_their_own_are_not_mixed(
    database: Database, stranger: Database, folder: Path, tmp_path: Path
) -> None:
    """Each is refused over the other's folder."""
    migrations.upgrade(stranger)
    claim_folder(database, folder)
    claim_folder(stranger, tmp_path / "others")
    for one, others in ((database, tmp_path / "others"), (stranger, folder)):
        with pytest.raises(SettingsError, match="belongs to another database"):
            claim_folder(one, others)


def test_a_folder_without_a_mark_is_taken(database: Database, folder: Path, tmp_path: Path) -> None:
    """One of an earlier version, or of another machine, gets the id that the database has already."""
    claim_folder(database, folder)
    (tmp_path / "fresh").mkdir()
    claim_folder(database, tmp_path / "fresh")
    marks = {(each / MARK).read_text() for each in (folder, tmp_path / "fresh")}
    assert marks == {f"{database_id(database)}\n"}


def test_an_installation_of_an_earlier_version_goes_on(folder: Path) -> None:
    """Its database and its folder get their id when it is opened for the first time, and may be moved."""
    url = f"sqlite:///{folder / 'rag.sqlite3'}"
    old = Database(url)
    migrations.upgrade(old, "0004")
    assert database_id(old) is None
    old.close()
    migrations.open_database(url, folder).close()
    moved = folder.with_name("moved")
    shutil.move(folder, moved)
    migrations.open_database(f"sqlite:///{moved / 'rag.sqlite3'}", moved).close()


def test_a_folder_can_be_taken_over(database: Database, stranger: Database, folder: Path) -> None:
    """A restore does that; the former database is refused from then on."""
    migrations.upgrade(stranger)
    assert not take_folder_over(stranger, folder)
    assert take_folder_over(database, folder)
    claim_folder(database, folder)
    with pytest.raises(SettingsError, match="belongs to another database"):
        claim_folder(stranger, folder)


def test_a_folder_that_can_only_be_read_is_used_without_a_mark(
    database: Database, folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Searching needs no more; the log tells."""

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError("read-only")

    monkeypatch.setattr("corpus.data_folder.tempfile.mkstemp", refuse)
    claim_folder(database, folder)
    assert "can not be marked" in caplog.text
