"""Embedders that requests name: by short name, id, package, folder or address."""

from sqlalchemy import select

from corpus.embedding import Embedder
from corpus.errors import EmbedderMismatch, InvalidRequest, ModelNotFound, SettingsError
from corpus.models import Generation
from rag_service.service import Service


def any_embedder(service: Service, wanted: str | None) -> tuple[Embedder, str]:
    """Return an embedder, and the package, folder or address that other processes load it from.

    Raises:
        EmbedderMismatch: there is none of this name on this machine.
        InvalidRequest: it is no address of a server.
        ModelError: it can not be loaded.
        NotReady: its server does not answer.
    """
    if _is_present(service, wanted):
        return service.embedder.get(), service.embedder_source
    source = _known_source(service, wanted) or wanted or ""
    try:
        return service.embedders.get().load(source), source
    except ModelNotFound as error:
        raise EmbedderMismatch(
            f"There is no embedder {wanted!r} here; name an installed package, a folder of this machine or "
            "the address of a server."
        ) from error
    except SettingsError as error:
        raise InvalidRequest(f"embedder: {error}") from error


def loaded_embedder(service: Service, wanted: str | None) -> tuple[Embedder, str | None]:
    """Return an embedder that is here already, and what other processes load it from.

    For callers that are no administrators: a name of theirs must not make the service open a folder.

    Raises:
        EmbedderMismatch: it is not here.
    """
    if _is_present(service, wanted):
        return service.embedder.get(), service.embedder_source
    found = service.embedders.get().named(wanted or "")
    if found is None:
        raise EmbedderMismatch(
            f"The service has no embedder {wanted!r}; leave it out, or reindex the collection to it later."
        )
    return found, _known_source(service, found.id)


def _is_present(service: Service, wanted: str | None) -> bool:
    present = service.embedder.get()
    return wanted in (None, present.name, present.id, service.embedder_source)


def _known_source(service: Service, embedder_id: str | None) -> str | None:
    with service.database.read() as session:
        return session.scalar(
            select(Generation.embedder_source)
            .where(Generation.embedder == embedder_id, Generation.embedder_source.is_not(None))
            .limit(1)
        )
