"""`rag-train probe`: what the model knows by itself."""

import time
from collections.abc import Callable
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from posttrain.cli.options import License, Source
from posttrain.data.files import write_records
from posttrain.data.reading import Source as DataSource
from posttrain.probe_questions import read_probe_questions, spread
from rag_service.answering.chat_model import Sampling
from rag_service.cli import terminal

if TYPE_CHECKING:
    from posttrain.judging import Judge

_BATCHES = 4  # of questions, sorted by length, between two writings of results


def probe(
    paths: Annotated[
        list[Path],
        typer.Argument(exists=True, dir_okay=False, help="Questions with answers, or records; JSON lines."),
    ],
    model: Annotated[str, typer.Option(help="Base model: package, GGUF file or folder.")],
    out: Annotated[Path, typer.Option(help="Folder of the results, the records and the report.")],
    adapter: Annotated[str, typer.Option(help="Folder of an adapter, to probe again after training.")] = "",
    draws: Annotated[int, typer.Option(min=1, help="Answers drawn to each question.")] = 8,
    temperature: Annotated[float, typer.Option(min=0.0)] = 0.7,
    max_tokens: Annotated[int, typer.Option(min=1, help="Tokens of an answer.")] = 32,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Only so many of each file, spread over popularity.")
    ] = None,
    *,
    search: Annotated[
        bool, typer.Option("--search/--refuse", help="What is taught where nothing is known.")
    ] = False,
    judge: Annotated[
        bool,
        typer.Option("--judge", help="Show answers that do not match to the server of RAG_CHAT_BASE_URL."),
    ] = False,
    seed: Annotated[int, typer.Option()] = 0,
    source: Source = "local file",
    license_: License = "unknown",
) -> None:
    """Draw answers without any document; run again, it goes on where it was stopped."""
    from corpus.settings import Settings
    from posttrain.probe import probe as run_probe
    from posttrain.probe import sampled_answers
    from posttrain.probe_report import make_report, probe_records, report_json, report_markdown
    from posttrain.sampling import ROWS_AT_ONCE, load_sampler, serving_precision

    given = DataSource(source, license_)
    files = [spread(list(read_probe_questions(path, given)))[:limit] for path in paths]
    questions = [each for row in zip_longest(*files) for each in row if each]  # files take turns
    precision = serving_precision()
    sampler = load_sampler(model, models_dir=Settings.load().models_dir, adapter=adapter, precision=precision)
    sampling = Sampling(max_tokens, temperature, seed, stop=("\n",))
    settings = f"{sampler.sha256} {precision} {draws=} {temperature=} {max_tokens=} {seed=}"
    results = run_probe(
        questions,
        sampled_answers(sampler, sampling, draws),
        out / "results.jsonl",
        settings=f"{settings} judge={Settings.load().chat_model}" if judge else settings,
        judge=_configured_judge() if judge else None,
        at_once=max(1, _BATCHES * ROWS_AT_ONCE // draws),
        progress=progress_line("probed", "questions"),
    )
    records = probe_records(questions, results, on_unknown="search" if search else "refuse")
    count = write_records(out / "records.jsonl", records)
    report = make_report(questions, results)
    page = report_markdown(report, title=f"What {sampler.name} knows without documents")
    (out / "report.md").write_text(page, encoding="utf-8")
    (out / "report.json").write_text(report_json(report), encoding="utf-8")
    typer.echo(f"\n{page}\n{count} records in {out / 'records.jsonl'}")


def _configured_judge() -> "Judge":
    """The chat server of the settings; a local model of the same size would judge itself."""
    from corpus.errors import SettingsError
    from corpus.settings import Settings
    from posttrain.judging import judge_by
    from rag_service.app import models_of

    settings = Settings.load()
    if not settings.chat_base_url:
        raise SettingsError("--judge needs RAG_CHAT_BASE_URL and RAG_CHAT_MODEL: a larger model on a server.")
    return judge_by(models_of(settings).load_chat_model())


def progress_line(done_word: str, noun: str) -> Callable[[int, int], None]:
    """Return a function that prints how far the work is, its rate and the time left."""
    began = time.monotonic()
    first: list[int] = []

    def show(done: int, total: int) -> None:
        first.append(done)
        rate = (done - first[0]) / max(time.monotonic() - began, 1e-9)
        left = f", {(total - done) / rate / 60:.0f} min left" if rate else ""
        line = f"{done_word} {done} of {total} {noun}, {rate:.2f} a second{left}"
        typer.echo(f"\r{line}   " if terminal.is_terminal() else line, nl=not terminal.is_terminal())

    return show
