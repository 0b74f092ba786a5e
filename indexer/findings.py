"""What a consistency check finds."""

from dataclasses import dataclass
from typing import Literal

Kind = Literal[
    "missing_original",
    "unused_original",
    "changed_original",
    "wrong_chunks",
    "missing_vector",
    "wrong_vector",
    "stray_chunks",
    "stranded_document",
    "damaged_generation",
    "unused_folder",
    "index_differs",
]


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that does not agree.

    `subject` is the id of a document, a generation or a collection, the hash of bytes or a folder's name.
    """

    kind: Kind
    subject: str
    message: str
