"""The documents that a question names, found in a collection."""

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from corpus.models import Document


@dataclass(frozen=True, slots=True)
class GoldDocument:
    """A document that a question names: by its external id, or by the id that the service gave it."""

    id: str
    external_id: str | None

    @property
    def name(self) -> str:
        """What a `Citation` of the evaluation calls it."""
        return self.external_id or self.id


def find_gold(session: Session, collection_id: str, names: Collection[str]) -> dict[str, GoldDocument]:
    """Return the documents by the names that were given; what the collection lacks is left out.

    A name that is one document's external id and another one's id means the first.
    """
    named = or_(Document.id.in_(names), Document.external_id.in_(names))
    rows = session.execute(
        select(Document.id, Document.external_id).where(Document.collection_id == collection_id, named)
    )
    found = [GoldDocument(each, external_id) for each, external_id in rows]
    by_name = {each.id: each for each in found}
    by_name |= {each.external_id: each for each in found if each.external_id is not None}
    return {name: by_name[name] for name in names if name in by_name}
