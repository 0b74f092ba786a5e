"""`rag eval`: how good retrieval and answers are, on questions whose right answers are known."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from rag_service.cli import terminal
from rag_service.cli.options import AsJson, Collections
from rag_service.cli.workplace import open_service

if TYPE_CHECKING:
    from rag_service.answering.answer import AnswerRequest
    from rag_service.evaluation.beir import RetrievalSet
    from rag_service.evaluation.retrieval import RankingScores
    from rag_service.service import Service

    Searched = tuple[RetrievalSet, tuple[RankingScores, ...]]

Asked = Literal["always", "never"]
Count = Callable[[int, int], None]
LINE_EVERY = 10  # replies

evaluation = typer.Typer(
    no_args_is_help=True, help="Measure retrieval and answers on sets with known answers."
)


@evaluation.command()
def retrieval(
    *,
    path: Annotated[
        Path,
        typer.Option(
            "--set",
            exists=True,
            help="Folder: corpus.jsonl, queries.jsonl, qrels/. Or questions, one JSON object a line.",
        ),
    ],
    collection: Annotated[
        str, typer.Option("--collection", "-c", help="Where a file's questions are searched: name or id.")
    ] = "default",
    split: Annotated[str, typer.Option(help="Which of the files in qrels/ of a folder.")] = "test",
    out: Annotated[
        Path | None, typer.Option(help="Folder of retrieval.json and, with matplotlib, retrieval.png.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Search a set by meaning, by words and by both, and score the rankings.

    A folder is a set in BEIR's layout, with documents of its own: it gets a database of its own in the data
    folder, so that a second run embeds nothing; with RAG_RERANKER it is also searched by both, read again. A
    file has the questions of `rag eval answers`; those with gold documents are searched in a collection.
    """
    import json

    from rag_service.evaluation.plots import draw_retrieval
    from rag_service.evaluation.retrieval import retrieval_json, retrieval_report

    found = _search_folder(path, split) if path.is_dir() else _search_questions(path, collection)
    if out:
        out.mkdir(parents=True, exist_ok=True)
        page = json.dumps(retrieval_json(*found), indent=1)
        (out / "retrieval.json").write_text(page + "\n", encoding="utf-8")
        title = f"{path.name}, {split}" if path.is_dir() else path.name
        draw_retrieval(found[1], out / "retrieval.png", title=title)
    if as_json:
        terminal.print_json(retrieval_json(*found))
    else:
        typer.echo(retrieval_report(*found))


def _search_folder(folder: Path, split: str) -> "Searched":
    from corpus.embedding import load_embedder
    from corpus.settings import Settings
    from rag_service.app import configured_reranker
    from rag_service.evaluation.retrieval import evaluate_folder

    settings = Settings.load()
    return evaluate_folder(
        folder,
        load_embedder(settings.embedder),
        settings.data_dir / "evaluation",
        split=split,
        rerank=configured_reranker(settings),
    )


def _search_questions(file: Path, collection: str) -> "Searched":
    """Search for the questions of a file whose documents are named, in the service's own collection."""
    from corpus.collections import find_collection
    from corpus.errors import InvalidRequest
    from rag_service.evaluation.gold_documents import find_gold
    from rag_service.evaluation.questions import read_questions
    from rag_service.evaluation.searching import SearchQuestion, judged_set, score_searches, search_every_way

    named = {each.text: each for each in read_questions(file) if each.evidence}
    if not named:
        raise InvalidRequest(f"No question of {file.name} names its documents; add gold_documents.")
    with open_service() as service:
        service.embedder.make()
        retriever = service.retriever.make()
        with service.database.read() as session:
            searched = find_collection(session, collection)
            wanted = {text: tuple(found.document for found in each.evidence) for text, each in named.items()}
            questions = [
                SearchQuestion(text, documents, find_gold(session, searched.id, documents))
                for text, documents in wanted.items()
            ]
        rankings = [search_every_way(retriever, each, collection=searched.id) for each in questions]
    return judged_set(file.name, questions), score_searches(questions, rankings)


@evaluation.command()
def answers(
    *,
    file: Annotated[
        Path, typer.Option("--set", exists=True, dir_okay=False, help="Questions, one JSON object a line.")
    ],
    collections: Collections = None,
    max_tokens: Annotated[int, typer.Option(min=1, help="Longest answer, in tokens.")] = 256,
    mode: Annotated[
        Asked | None,
        typer.Option(help="`always`: only with retrieval, `never`: only without; without it both."),
    ] = None,
    replies: Annotated[
        Path | None,
        typer.Option(help="Keep the replies in this file; run again, ask only what it lacks."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Ask each question with retrieval and without, and score answers, refusals and citations.

    docs/evaluation.md describes the file and the measures.
    """
    from rag_service.evaluation.answers import MODES, evaluate_answers
    from rag_service.evaluation.asking import ask_answerer
    from rag_service.evaluation.questions import read_questions
    from rag_service.evaluation.replies import kept_replies
    from rag_service.evaluation.report import report_json, report_text

    questions = read_questions(file)
    with open_service() as service:
        like = _request_like(service, collections, max_tokens)
        for part in (service.embedder, service.retriever, service.chat_model):
            part.make()
        ask = ask_answerer(service.answerer.make(), like)
        ask = kept_replies(ask, replies) if replies else ask
        with _counting(as_json=as_json) as progress:
            reports = evaluate_answers(questions, ask, modes=(mode,) if mode else MODES, progress=progress)
    if as_json:
        terminal.print_json(report_json(reports))
    else:
        typer.echo(report_text(reports))


def _request_like(service: "Service", collections: Sequence[str] | None, max_tokens: int) -> "AnswerRequest":
    """Return what every question is asked with, besides itself."""
    from corpus.collections import DEFAULT_COLLECTION, find_collection
    from rag_service.answering.answer import AnswerRequest
    from rag_service.answering.chat_model import Sampling

    names = tuple(collections or [DEFAULT_COLLECTION])
    with service.database.read() as session:
        descriptions = [find_collection(session, name).description for name in names]
    return AnswerRequest(
        (),
        collections=names,
        sampling=Sampling(max_tokens=max_tokens),
        description=" ".join(each for each in descriptions if each),
    )


@contextmanager
def _counting(*, as_json: bool) -> Iterator[Count]:
    """Give a function that shows how many replies there are: a bar, plain lines or JSON lines."""
    if as_json:
        yield lambda done, total: terminal.print_json({"done": done, "total": total})
    elif terminal.is_terminal():
        from rich.progress import MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (*Progress.get_default_columns()[:-1], MofNCompleteColumn())
        with Progress(*columns, TextColumn("{task.fields[rate]}"), TimeRemainingColumn()) as bar:
            task = bar.add_task("Answering", total=None, rate="")

            def show(done: int, total: int) -> None:
                bar.update(task, completed=done, total=total)
                speed = bar.tasks[0].speed  # after the update, of which it takes account
                bar.update(task, rate=f"{speed * 60:.1f}/min" if speed else "")

            yield show
    else:
        yield _count_line


def _count_line(done: int, total: int) -> None:
    if done % LINE_EVERY == 0 or done == total:
        typer.echo(f"{done} of {total} answered", err=True)
