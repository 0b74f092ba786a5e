"""Bodies that FastAPI does not read for us: large JSON (in a thread), and forms with a file."""

import json
import re
from codecs import BOM_UTF8
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from email.message import Message
from tempfile import TemporaryFile
from typing import IO, TypeVar

import anyio
from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, JsonValue, ValidationError
from starlette.datastructures import FormData, UploadFile

from corpus.errors import EmptyDocument, TooLarge
from rag_service.api.errors import MALFORMED, UNSUPPORTED_TYPE, ProblemRaised

_PART_BYTES = 1024 * 1024
_HEAD_BYTES = 8192  # a multiple of a character's bytes in UTF-16 and UTF-32
_MAX_FIELDS = 20
_MEDIA_TYPE = re.compile(r"[\w!#$&^.+-]{1,99}/[\w!#$&^.+-]{1,99}", re.ASCII)
_SAME_AS = {
    "application/json": {"application/json"},
    "application/jsonl": {"application/jsonl", "application/x-ndjson", "application/x-jsonlines"},
}

Model = TypeVar("Model", bound=BaseModel)


def is_form(request: Request, other: str = "application/json") -> bool:
    """Tell a form from the other type of body, which is also what a body without a type is.

    Raises:
        ProblemRaised: it is neither.
    """
    header = Message()
    header["content-type"] = request.headers.get("content-type", other)
    kind = header.get_content_type()
    if kind == "multipart/form-data":
        return True
    if kind in _SAME_AS[other]:
        return False
    raise ProblemRaised(UNSUPPORTED_TYPE, f"Content-Type {kind!r}: send multipart/form-data or {other}.")


async def read_json(request: Request, model: type[Model]) -> Model:
    """Read a body that may have many megabytes, without holding up other requests.

    A byte order mark at its beginning is no part of it, as in the bodies that FastAPI reads.

    Raises:
        RequestValidationError: it is no JSON, or does not fit the model.
    """
    body = (await request.body()).removeprefix(BOM_UTF8)
    try:
        return await anyio.to_thread.run_sync(model.model_validate_json, body)
    except ValidationError as error:
        raise RequestValidationError(error.errors(include_url=False, include_input=False)) from error


@asynccontextmanager
async def read_form(request: Request, *, max_files: int) -> AsyncIterator[FormData]:
    """Read a form; large files are on disk, and gone when the block ends.

    Raises:
        ProblemRaised: its character set is one of those of Python that decode nothing.
    """
    try:
        form = await request.form(max_files=max_files, max_fields=_MAX_FIELDS)
    except UnicodeError as error:
        raise ProblemRaised(MALFORMED, f"The form can not be decoded: {error}; send UTF-8.") from error
    try:
        yield form
    finally:
        await form.close()


@asynccontextmanager
async def spooled_body(request: Request) -> AsyncIterator[IO[bytes]]:
    """Read a body of any size; a large one is on disk, and gone when the block ends."""
    with TemporaryFile() as file:
        async for part in request.stream():
            await anyio.to_thread.run_sync(file.write, part)
        file.seek(0)
        yield file


def check_fields(form: FormData, model: type[Model], *, files: str) -> Model:
    """Check a form's fields, all but those named `files`; `metadata` is JSON in a text.

    Raises:
        RequestValidationError: they do not fit the model.
    """
    fields: dict[str, JsonValue] = {}
    for name, value in form.multi_items():
        if name == files:
            continue
        if isinstance(value, UploadFile):
            raise invalid_field(name, f"is no file; send files as {files!r}")
        if name in fields:
            raise invalid_field(name, "was given twice")
        fields[name] = _json(name, value) if name == "metadata" else value
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        raise RequestValidationError(error.errors(include_url=False, include_input=False)) from error


def files_of(form: FormData, name: str) -> list[UploadFile]:
    """Return the form's files.

    Raises:
        RequestValidationError: there is none, or one is a text.
    """
    values = form.getlist(name)
    if not values:
        raise invalid_field(name, "Field required", "missing")
    files = [value for value in values if isinstance(value, UploadFile)]
    if len(files) < len(values):
        raise invalid_field(name, "must be a file with a file name")
    return files


def parts_of(file: UploadFile, limit: int) -> Callable[[], Iterable[bytes]]:
    """Return what opens a fresh stream of the file's bytes.

    Raises:
        TooLarge: it has more than `limit` bytes.
        EmptyDocument: it has none.
    """
    name = file.filename or "the file"
    if (file.size or 0) > limit:
        raise TooLarge(f"{name} has {file.size:,} bytes; the limit is {limit:,} (`RAG_MAX_UPLOAD_MB`).")
    if not file.size:
        raise EmptyDocument(f"{name} has no bytes; send a file with content.")

    def read() -> Iterator[bytes]:
        file.file.seek(0)
        while part := file.file.read(_PART_BYTES):
            yield part

    return read


def head_of(file: UploadFile) -> bytes:
    """Return the file's first bytes, as many as tell its type."""
    file.file.seek(0)
    return file.file.read(_HEAD_BYTES)


def said_type(file: UploadFile) -> str | None:
    """Return the media type that the client gave, if it is one, without parameters.

    So none can be `EXACT_TEXT`: that no parser touches a text is said by our own routes alone.
    """
    said = (file.content_type or "").partition(";")[0].strip().lower()
    return said if _MEDIA_TYPE.fullmatch(said) else None


def invalid_field(name: str, detail: str, code: str = "value_error") -> RequestValidationError:
    """Return the error for one field."""
    return RequestValidationError([{"loc": ("body", name), "msg": detail, "type": code}])


def _json(name: str, text: str) -> JsonValue:
    try:
        value: JsonValue = json.loads(text.removeprefix("\ufeff"))  # a byte order mark
    except (ValueError, RecursionError) as error:
        raise invalid_field(name, f"must be JSON: {error}") from error
    return value
