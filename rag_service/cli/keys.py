"""`rag keys`: who may use the service, where RAG_REQUIRE_KEYS is on."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, cast

import typer

from rag_service.cli import terminal
from rag_service.cli.options import AsJson, Limit
from rag_service.cli.workplace import open_database

if TYPE_CHECKING:
    from rag_service.auth import KeyView, Scope

keys = typer.Typer(no_args_is_help=True, help="Make, list and revoke API keys.")


@keys.command()
def create(
    name: Annotated[str, typer.Argument(help="Whose key it is, for the list.")] = "key",
    *,
    scopes: Annotated[
        list[str],
        typer.Option(
            "--scope",
            "-s",
            help="What it may do: query, documents:read, documents:write, metrics, or admin for all; "
            "may be repeated.",
        ),
    ] = ["query"],  # noqa: B006 - typer copies it
    as_json: AsJson = False,
) -> None:
    """Make a key; it is shown once and can not be shown again."""
    from rag_service.auth import create_key

    with open_database() as database, database.write() as session:
        made = create_key(session, name=name, scopes=cast("list[Scope]", scopes))
    if as_json:
        terminal.print_json({**_json(made.key), "key": made.secret})
        return
    typer.echo(made.secret)
    terminal.warn(f"Key {made.key.id} for {made.key.name}: {', '.join(made.key.scopes)}. Keep it now.")


@keys.command("list")
def list_(*, limit: Limit = 100, as_json: AsJson = False) -> None:
    """List keys, oldest first; the keys themselves are not kept."""
    from rag_service.auth import list_keys

    with open_database() as database, database.read() as session:
        found = list_keys(session, limit=limit)
    if as_json:
        for each in found:
            terminal.print_json(_json(each))
        return
    rows = (
        (
            each.id,
            each.name,
            " ".join(each.scopes),
            terminal.day(each.created_at),
            terminal.day(each.revoked_at),
        )
        for each in found
    )
    terminal.print_table(("key", "name", "scopes", "made", "revoked"), rows)


@keys.command()
def revoke(key_id: Annotated[str, typer.Argument(metavar="KEY", help="Id of the key.")]) -> None:
    """Make a key useless from now on."""
    from rag_service.auth import revoke_key

    with open_database() as database, database.write() as session:
        revoked = revoke_key(session, key_id)
    typer.echo(f"Revoked {revoked.id} ({revoked.name}).")


def _json(key: "KeyView") -> dict[str, object]:
    return asdict(key)
