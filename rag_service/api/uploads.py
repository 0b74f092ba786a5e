"""What documents and ingestion jobs have in common: content on its way into a collection."""

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import JsonValue

from corpus.collections import DEFAULT_COLLECTION, find_collection, find_or_create_collection
from corpus.errors import CollectionNotFound
from indexer.intake import Bytes
from indexer.uploads import Upload
from rag_service.service import Service


@dataclass(frozen=True, slots=True)
class Content:
    """What was uploaded, apart from its fields."""

    data: Bytes
    filename: str | None
    media_type: str | None

    def upload(
        self,
        collection_id: str,
        *,
        title: str | None = None,
        metadata: Mapping[str, JsonValue] | None = None,
        external_id: str | None = None,
    ) -> Upload:
        """Return what the indexer is told about it."""
        return Upload(
            collection_id=collection_id,
            filename=self.filename,
            media_type=self.media_type,
            title=title,
            external_id=external_id,
            metadata=metadata,
        )


def collection_for_upload(service: Service, name: str) -> str:
    """Return a collection's id; the default one is made when it is first needed.

    Raises:
        CollectionNotFound: there is no such collection.
        NotReady: the default one is to be made, and the embedder that it pins is not loaded yet.
    """
    try:
        with service.database.read() as session:
            return find_collection(session, name).id
    except CollectionNotFound:
        if name != DEFAULT_COLLECTION:
            raise
    embedder = service.embedder.get()
    with service.database.write() as session:
        return find_or_create_collection(session, name=name, embedder=embedder).id
