"""Data files from the Hugging Face hub, where it can be reached; kept in its own cache."""

from pathlib import Path

from corpus.errors import InvalidRequest, NotFound, NotReady

PREFIX = "hub:"
_READ = (".json", ".jsonl", ".csv", ".json.gz", ".jsonl.gz", ".csv.gz", ".json.xz", ".jsonl.xz", ".csv.xz")


def hub_file(place: str, *, endpoint: str | None = None) -> Path:
    """Return a dataset's file, downloaded unless it was before.

    `place` is ``OWNER/NAME/FILE``, or ``OWNER/NAME`` where the dataset has only one file of a kind that is
    read. `endpoint` is the hub's address; None: the public hub, or that of HF_ENDPOINT.

    Raises:
        InvalidRequest: it is no such place, or names one of several files.
        NotFound: there is no such dataset or file, or it may not be read.
        NotReady: the hub can not be reached.
    """
    import httpx2  # noqa: PLC0415 - what the hub's own client raises
    from huggingface_hub import HfApi, errors  # noqa: PLC0415 - takes a second

    owner, _, rest = place.removeprefix(PREFIX).partition("/")
    name, _, file = rest.partition("/")
    if not owner or not name:
        raise InvalidRequest(f"{place} must be {PREFIX}OWNER/NAME or {PREFIX}OWNER/NAME/FILE.")
    dataset, api = f"{owner}/{name}", HfApi(endpoint=endpoint)
    try:
        file = file or _only_file(dataset, api.list_repo_files(dataset, repo_type="dataset"))
        return Path(str(api.hf_hub_download(dataset, file, repo_type="dataset")))
    except (
        errors.RepositoryNotFoundError,
        errors.RemoteEntryNotFoundError,
        errors.HFValidationError,
    ) as error:
        raise NotFound(
            f"The hub has no dataset file {dataset}/{file} that may be read without a login."
        ) from error
    except (OSError, httpx2.HTTPError) as error:
        raise NotReady(
            f"The hub can not be reached ({type(error).__name__}); "
            f"download {dataset} elsewhere and give the file."
        ) from error


def _only_file(dataset: str, files: list[str]) -> str:
    fitting = sorted(file for file in files if file.endswith(_READ))
    if len(fitting) == 1:
        return fitting[0]
    if not fitting:
        raise InvalidRequest(f"{dataset} has no JSON or CSV files; convert one of its files and give that.")
    raise InvalidRequest(
        f"{dataset} has several files; name one as {PREFIX}{dataset}/FILE: {', '.join(fitting)}."
    )
