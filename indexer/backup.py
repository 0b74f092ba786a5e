"""A snapshot of everything in one file, taken while the service runs, and its way back.

The file is a ZIP: ``manifest.json``, one ``tables/<name>.jsonl`` a table with a row a line, and the
originals under their hashes. It has nothing that can be made from these: indexes are built again. It
fits both databases, so it is also the way from SQLite to PostgreSQL.
"""

import hashlib
import json
import os
import shutil
import zipfile
import zlib
from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import IO, Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from corpus import data_folder, migrations
from corpus.database import Database, Table
from corpus.errors import Conflict, InvalidRequest
from corpus.models import (
    AnswerModel,
    ApiKey,
    Collection,
    DocumentVersion,
    Generation,
    Installation,
    Job,
    Trace,
    UnusedOriginal,
    UtcDateTime,
    now,
)
from corpus.originals import Originals
from indexer.scratch import scratch_folder

FORMAT = 1
_MANIFEST = "manifest.json"
_ROWS_AT_ONCE = 1000
_PART_BYTES = 1 << 20
# Bytes that are not in the backup, and which data folder the database belongs with.
_LEFT_OUT = {UnusedOriginal.__tablename__, Installation.__tablename__}
# What zipfile, json and the database say about bytes and rows that no backup has.
_DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    RuntimeError,  # a flag says "encrypted", or a method of compression is unknown
    LookupError,
    TypeError,
    ValueError,
    OverflowError,
    sa.exc.StatementError,
)


@dataclass(frozen=True, slots=True)
class BackupManifest:
    """What a backup holds; `tables` are the numbers of their rows, `last_chunk_id` was given out once.

    `missing` are the hashes of originals that rows name and that could not be read whole: gone, changed,
    or on a part of the disk that fails.
    """

    revision: str
    created_at: str
    tables: dict[str, int]
    last_chunk_id: int
    missing: tuple[str, ...] = ()
    format: int = FORMAT


def back_up(database: Database, originals: Originals, file: Path) -> BackupManifest:
    """Write a consistent snapshot to `file`, which appears when it is complete.

    Rows are of one moment. Originals are copied before and after it, so each row's bytes are there,
    even if the document is deleted meanwhile. Originals that are lost do not keep the others from being
    saved: the manifest names them.

    Raises:
        NotReady: the database lacks migrations.
        InvalidRequest: `file` is a folder, or is in none.
        OSError: the file can not be written.
    """
    migrations.require_newest(database)
    if file.is_dir():
        raise InvalidRequest(f"{file} is a folder; name a file in it.")
    if not file.parent.is_dir():
        raise InvalidRequest(f"There is no folder {file.parent}; make it, or name a file elsewhere.")
    with scratch_folder(file.parent, prefix=".backup-") as scratch:
        unfinished = scratch / "backup.zip"
        with zipfile.ZipFile(unfinished, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            tables = scratch / "tables"
            manifest = _add_originals_and_dump(archive, database, originals, tables)
            for table in sorted(tables.iterdir()):
                archive.write(table, _file_of(table.stem))
            archive.writestr(_MANIFEST, json.dumps(asdict(manifest), indent=1))
        _publish(unfinished, file)
    return manifest


def restore(database: Database, originals: Originals, file: Path) -> BackupManifest:
    """Bring a backup back into an empty database; jobs that were under way go on.

    Whatever goes wrong, the database is then empty and at the newest revision. Programs that run on it, a
    worker for one, see all of the backup or nothing.

    Raises:
        InvalidRequest: the file is no backup, is damaged, or was made by a newer version.
        Conflict: the database is not empty.
    """
    with _opened(file) as archive:
        manifest = _read_manifest(archive)
        with database.read() as session:
            _require_empty(session)
        _require_rows(archive, manifest)
        brought = _restore_originals(archive, originals)
        try:
            with migrations.alone(database) as connection, Session(connection) as session:
                _require_empty(session)  # somebody may have come while the bytes were written
                identity = data_folder.id_of(session)
                migrations.step_down(connection)
                migrations.step_up(connection, manifest.revision)
                _load(session, archive, manifest)
                _require_originals(session, brought.union(manifest.missing))
                migrations.step_up(connection)
                if identity is not None:
                    data_folder.keep_id(session, identity)
                # Nobody else removes any now: a worker may have, for what was here before the restore.
                _restore_originals(archive, originals, besides=set(originals.hashes()))
        finally:
            migrations.upgrade(database)
    return manifest


@contextmanager
def _opened(file: Path) -> Iterator[zipfile.ZipFile]:
    """Open a backup; whatever its reader stumbles over in the block is the file's fault.

    Raises:
        InvalidRequest: the file is no backup, or is damaged.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            yield archive
    except sa.exc.OperationalError:
        raise  # the database's fault: it is full, or out of reach
    except _DAMAGE as error:
        what = str(getattr(error, "orig", None) or error).partition("\n")[0]
        raise InvalidRequest(f"{file} is no backup, or is damaged ({what}); use another one.") from error


def _add_originals_and_dump(
    archive: zipfile.ZipFile, database: Database, originals: Originals, tables: Path
) -> BackupManifest:
    """Write all tables as of one moment to `tables`, and the bytes that they need into the archive.

    Bytes that are not there after the snapshot may be those of a document that came and went between the
    copy and it: then another snapshot does not name them. What two snapshots name and is still not there
    is lost.
    """
    with database.read() as session:
        named = _named_originals(session)
    kept = _add_originals(archive, originals, named)
    absent: set[str] = set()
    while True:
        manifest, named = _dump(database, tables)
        kept |= _add_originals(archive, originals, named - kept)
        lacking = named - kept
        if lacking <= absent:
            return replace(manifest, missing=tuple(sorted(lacking)))
        absent |= lacking


def _add_originals(archive: zipfile.ZipFile, originals: Originals, hashes: Iterable[str]) -> set[str]:
    """Copy bytes into the archive; return the hashes of those that are in it."""
    return {sha256 for sha256 in sorted(hashes) if _add_original(archive, originals.path(sha256), sha256)}


def _add_original(archive: zipfile.ZipFile, path: Path, sha256: str) -> bool:
    """Copy one file into the archive; tell whether it could be read, and is what its name says."""
    try:
        source = path.open("rb")
    except OSError:
        return False
    entry = zipfile.ZipInfo(f"originals/{sha256}")
    digest = hashlib.sha256()
    with source, archive.open(entry, "w", force_zip64=True) as target:
        for part in _readable_parts(source):
            digest.update(part)
            target.write(part)
    if digest.hexdigest() == sha256:
        return True
    # A restore would refuse it. Its bytes stay in the file, but nothing points there any more.
    archive.filelist.remove(entry)
    del archive.NameToInfo[entry.filename]
    return False


def _readable_parts(source: IO[bytes]) -> Iterator[bytes]:
    """Yield a file's bytes up to the end, or to where the disk fails."""
    with suppress(OSError):
        yield from _parts_of(source)


def _dump(database: Database, folder: Path) -> tuple[BackupManifest, set[str]]:
    """Write all tables as of one moment; return what that was, and which bytes it needs."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    with database.read() as session:
        counts = {
            table.name: _dump_table(session, table, folder)
            for table in Table.metadata.sorted_tables
            if table.name not in _LEFT_OUT
        }
        manifest = BackupManifest(
            revision=migrations.newest_revision() or "",
            created_at=now().isoformat(),
            tables=counts,
            last_chunk_id=_last_chunk_id(session, database),
        )
        return manifest, _named_originals(session)


def _named_originals(session: Session) -> set[str]:
    return set(session.scalars(sa.select(DocumentVersion.sha256)))


def _file_of(table: str) -> str:
    return f"tables/{table}.jsonl"


def _dump_table(session: Session, table: sa.Table, folder: Path) -> int:
    count = 0
    with (folder / f"{table.name}.jsonl").open("w", encoding="utf-8") as lines:
        lines.write(json.dumps([column.name for column in table.columns]) + "\n")
        rows = session.execute(sa.select(table).execution_options(yield_per=_ROWS_AT_ONCE))
        for row in rows:
            lines.write(json.dumps([_plain(value) for value in row]) + "\n")
            count += 1
    return count


def _plain(value: Any) -> Any:  # noqa: ANN401 - whatever a column holds
    if isinstance(value, bytes):
        return b64encode(value).decode()
    return value.isoformat() if isinstance(value, datetime) else value


def _last_chunk_id(session: Session, database: Database) -> int:
    """Return the last id that was given to a chunk, which may be deleted; it is never given again."""
    query = (
        "SELECT last_value FROM chunks_id_seq"
        if database.is_postgresql
        else "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'chunks'"
    )
    return int(session.execute(sa.text(query)).scalar_one())


def _read_manifest(archive: zipfile.ZipFile) -> BackupManifest:
    content = json.loads(archive.read(_MANIFEST))
    if content["format"] != FORMAT:
        raise InvalidRequest(f"The backup has format {content['format']}, this version reads {FORMAT}.")
    # Other keys do no harm: what this version would misunderstand has another format.
    manifest = BackupManifest(
        revision=str(content["revision"]),
        created_at=str(content["created_at"]),
        tables={str(name): int(count) for name, count in dict(content["tables"]).items()},
        last_chunk_id=int(content["last_chunk_id"]),
        missing=tuple(map(str, content.get("missing", ()))),
    )
    if manifest.revision not in migrations.known_revisions():
        raise InvalidRequest(
            f"The backup's database has revision {manifest.revision!r}, which this version does not know; "
            "restore it with the version that made it, or a newer one."
        )
    return manifest


def _require_rows(archive: zipfile.ZipFile, manifest: BackupManifest) -> None:
    """Check that all tables can be read and have their rows, before anything is changed for them."""
    for table, expected in manifest.tables.items():
        with archive.open(_file_of(table)) as lines:
            count = sum(1 for _ in lines) - 1  # the first line has the names of the columns
        if count != expected:
            raise InvalidRequest(
                f"The backup is damaged: {table} has {count} rows, not {expected}; use another one."
            )


def _require_empty(session: Session) -> None:
    if migrations.revision_of(session.connection()) is None:
        return
    # Whatever somebody made by hand; all other rows belong to one of these.
    for table in (Collection, Job, Trace, ApiKey, AnswerModel):
        if session.scalar(sa.select(sa.exists().select_from(table))):
            raise Conflict(
                f"The database is not empty, it has rows in {table.__tablename__}; restore into a fresh "
                "data folder or database, and make what you need beside the backup's afterwards."
            )


def _restore_originals(
    archive: zipfile.ZipFile, originals: Originals, *, besides: AbstractSet[str] = frozenset()
) -> set[str]:
    """Store the bytes that the archive has, besides some; return their hashes."""
    brought = set()
    for name in archive.namelist():
        folder, _, sha256 = name.partition("/")
        if folder != "originals" or sha256 in besides:
            continue
        with archive.open(name) as source:
            stored = originals.store(_parts_of(source))
        if stored.sha256 != sha256:
            raise InvalidRequest(f"The backup is damaged: {name} has other bytes; use another one.")
        brought.add(sha256)
    return brought


def _require_originals(session: Session, expected: AbstractSet[str]) -> None:
    lacking = _named_originals(session) - expected
    if lacking:
        raise InvalidRequest(
            f"The backup is damaged: it lacks the bytes of {len(lacking)} files; use another one."
        )


def _parts_of(source: IO[bytes]) -> Iterator[bytes]:
    while part := source.read(_PART_BYTES):
        yield part


def _load(session: Session, archive: zipfile.ZipFile, manifest: BackupManifest) -> None:
    session.execute(sa.text("DELETE FROM change_sequence"))  # its only row comes with the migration
    for table in Table.metadata.sorted_tables:
        if table.name in manifest.tables:
            with archive.open(_file_of(table.name)) as lines:
                _load_table(session, table, lines)
    # Their files are not in the backup: an index without a base takes everything from the database.
    session.execute(sa.update(Generation).values(change_number=0, vector_count=0))
    _set_last_chunk_id(session, manifest.last_chunk_id)


def _load_table(session: Session, table: sa.Table, lines: Iterable[bytes]) -> None:
    waiting = iter(lines)
    columns = [table.columns[name] for name in json.loads(next(waiting, b""))]
    # Only the columns of the backup: an older revision may lack some that have a default by now.
    target = sa.table(table.name, *(sa.column(column.name, column.type) for column in columns))
    for rows in _in_parts(waiting):
        values = [
            {column.name: _restored(column, value) for column, value in zip(columns, row, strict=True)}
            for row in map(json.loads, rows)
        ]
        session.execute(sa.insert(target), values)


def _in_parts(lines: Iterator[bytes]) -> Iterator[Sequence[bytes]]:
    while part := list(islice(lines, _ROWS_AT_ONCE)):
        yield part


def _restored(column: sa.Column[Any], value: Any) -> Any:  # noqa: ANN401 - whatever a column holds
    if value is None:
        return None
    if isinstance(column.type, sa.LargeBinary):
        return b64decode(value)
    return datetime.fromisoformat(value) if isinstance(column.type, UtcDateTime) else value


def _set_last_chunk_id(session: Session, last: int) -> None:
    if session.get_bind().dialect.name == "postgresql":
        session.execute(sa.text("SELECT setval('chunks_id_seq', :last)"), {"last": max(last, 1)})
        return
    session.execute(sa.text("DELETE FROM sqlite_sequence WHERE name = 'chunks'"))
    session.execute(
        sa.text("INSERT INTO sqlite_sequence (name, seq) VALUES ('chunks', :last)"), {"last": last}
    )


def _publish(unfinished: Path, file: Path) -> None:
    unfinished.chmod(0o600)  # it has everybody's documents
    _flush_to_disk(unfinished)
    unfinished.replace(file)
    _flush_to_disk(file.parent)


def _flush_to_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
