"""A snapshot of everything in one file, taken while the service runs, and its way back.

The file is a ZIP: ``manifest.json``, one ``tables/<name>.jsonl`` a table with a row a line, and the
originals under their hashes. It has nothing that can be made from these: indexes are built again. It
fits both databases, so it is also the way from SQLite to PostgreSQL.
"""

import hashlib
import json
import os
import shutil
import tempfile
import zipfile
from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import IO, Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from corpus import migrations
from corpus.database import Database, Table
from corpus.errors import Conflict, InvalidRequest
from corpus.models import Collection, DocumentVersion, Generation, Job, Trace, UtcDateTime, now
from corpus.originals import Originals

FORMAT = 1
_MANIFEST = "manifest.json"
_ROWS_AT_ONCE = 1000
_PART_BYTES = 1 << 20


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
    with tempfile.TemporaryDirectory(dir=file.parent, prefix=".backup-") as scratch:
        unfinished = Path(scratch) / "backup.zip"
        with zipfile.ZipFile(unfinished, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            tables = Path(scratch) / "tables"
            manifest = _add_originals_and_dump(archive, database, originals, tables)
            for table in sorted(tables.iterdir()):
                archive.write(table, f"tables/{table.name}")
            archive.writestr(_MANIFEST, json.dumps(asdict(manifest), indent=1))
        _publish(unfinished, file)
    return manifest


def restore(database: Database, originals: Originals, file: Path) -> BackupManifest:
    """Bring a backup back into an empty database; jobs that were under way go on.

    Raises:
        InvalidRequest: the file is no backup, is damaged, or was made by a newer version.
        Conflict: the database is not empty.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            manifest = _read_manifest(archive)
            _require_empty(database)
            _restore_originals(archive, originals)
            migrations.downgrade(database)
            migrations.upgrade(database, manifest.revision)
            with database.write() as session:
                _load(session, archive, manifest)
    except (zipfile.BadZipFile, KeyError, ValueError, EOFError) as error:
        raise InvalidRequest(f"{file} is no backup, or is damaged ({error}); use another one.") from error
    migrations.upgrade(database)
    return manifest


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
        counts = {table.name: _dump_table(session, table, folder) for table in Table.metadata.sorted_tables}
        manifest = BackupManifest(
            revision=migrations.newest_revision() or "",
            created_at=now().isoformat(),
            tables=counts,
            last_chunk_id=_last_chunk_id(session, database),
        )
        return manifest, _named_originals(session)


def _named_originals(session: Session) -> set[str]:
    return set(session.scalars(sa.select(DocumentVersion.sha256)))


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
    return BackupManifest(**{**content, "missing": tuple(content.get("missing", ()))})


def _require_empty(database: Database) -> None:
    if migrations.current_revision(database) is None:
        return
    with database.read() as session:
        for table in (Collection, Job, Trace):
            if session.scalar(sa.select(sa.exists().select_from(table))):
                raise Conflict("The database is not empty; restore into a fresh data folder or database.")


def _restore_originals(archive: zipfile.ZipFile, originals: Originals) -> None:
    for name in archive.namelist():
        folder, _, sha256 = name.partition("/")
        if folder != "originals":
            continue
        with archive.open(name) as source:
            stored = originals.store(_parts_of(source))
        if stored.sha256 != sha256:
            raise InvalidRequest(f"The backup is damaged: {name} has other bytes; use another one.")


def _parts_of(source: IO[bytes]) -> Iterator[bytes]:
    while part := source.read(_PART_BYTES):
        yield part


def _load(session: Session, archive: zipfile.ZipFile, manifest: BackupManifest) -> None:
    session.execute(sa.text("DELETE FROM change_sequence"))  # its only row comes with the migration
    for table in Table.metadata.sorted_tables:
        if table.name in manifest.tables:
            with archive.open(f"tables/{table.name}.jsonl") as lines:
                _load_table(session, table, lines, manifest.tables[table.name])
    # Their files are not in the backup: an index without a base takes everything from the database.
    session.execute(sa.update(Generation).values(change_number=0, vector_count=0))
    _set_last_chunk_id(session, manifest.last_chunk_id)


def _load_table(session: Session, table: sa.Table, lines: Iterable[bytes], expected: int) -> None:
    waiting = iter(lines)
    columns = [table.columns[name] for name in json.loads(next(waiting))]
    # Only the columns of the backup: an older revision may lack some that have a default by now.
    target = sa.table(table.name, *(sa.column(column.name, column.type) for column in columns))
    count = 0
    for rows in _in_parts(waiting):
        values = [
            {column.name: _restored(column, value) for column, value in zip(columns, row, strict=True)}
            for row in map(json.loads, rows)
        ]
        session.execute(sa.insert(target), values)
        count += len(values)
    if count != expected:
        raise InvalidRequest(f"The backup is damaged: {table.name} has {count} rows, not {expected}.")


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
