"""Set-up: pins cover what is needed, packages are complete, nothing names a host or a machine."""

import re
import subprocess
import tomllib
from importlib.metadata import requires
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def pins() -> dict[str, str]:
    """Return name and version of every line of constraints.txt."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pairs = [line.split("==") for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(name): version for name, version in pairs}


def requirements() -> list[Requirement]:
    """Return what pyproject.toml asks for, extras included."""
    extras = PROJECT["optional-dependencies"].values()
    texts = [*PROJECT["dependencies"], *(text for extra in extras for text in extra)]
    found = [Requirement(text) for text in texts]
    return [each for each in found if canonicalize_name(each.name) != PROJECT["name"]]


def test_every_dependency_is_explained() -> None:
    """The dependency record names each requirement."""
    record = (ROOT / "docs" / "decisions" / "0011-dependencies.md").read_text()
    named = set(re.findall(r"[a-z0-9]+(?:-[a-z0-9]+)*", record))
    assert [each.name for each in requirements() if each.name not in named] == []


def test_every_dependency_is_pinned_and_its_pin_fits() -> None:
    """constraints.txt has a version for each requirement, extras included, inside its range."""
    for requirement in requirements():
        assert requirement.specifier.contains(pins()[canonicalize_name(requirement.name)]), requirement


def needed_by(requirement: Requirement) -> list[Requirement]:
    """Return what an installed package needs here, with the extras that are asked for."""
    extras = requirement.extras or {""}
    return [
        needed
        for needed in map(Requirement, requires(requirement.name) or [])
        if needed.marker is None or any(needed.marker.evaluate({"extra": extra}) for extra in extras)
    ]


def test_pins_cover_the_requirements_of_requirements() -> None:
    """What the requirements need in turn is pinned too, so that two fresh set-ups are equal."""
    extras = PROJECT["optional-dependencies"]
    waiting = [
        Requirement(text)
        for text in [*PROJECT["dependencies"], *extras["dev"], *extras["otel"], *extras["postgresql"]]
    ]
    seen: set[str] = set()
    while waiting:
        requirement = waiting.pop()
        if str(requirement) not in seen and canonicalize_name(requirement.name) != PROJECT["name"]:
            seen.add(str(requirement))
            waiting += needed_by(requirement)
    needed = {canonicalize_name(Requirement(each).name) for each in seen} - {"setuptools", "pip"}
    # A torch that is built for CUDA pins its own libraries, and only that one needs them.
    assert {each for each in needed if not each.startswith(("nvidia-", "cuda-", "triton"))} <= set(pins())


def test_pins_have_no_local_parts() -> None:
    """A pin such as 2.13.0+cpu or a path exists on one machine only."""
    assert [pin for pin in pins().values() if not re.fullmatch(r"[\w.]+", pin)] == []


def tracked_files() -> list[Path]:
    """Return the repository's text files, or those of an unpacked archive."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"],  # noqa: S607 - git is where the developer has it
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    names = listed.stdout.split("\0") if listed.returncode == 0 else []
    return [ROOT / name for name in names if name and (ROOT / name).is_file()]


def test_nothing_names_a_package_index() -> None:
    """Where packages come from is the machine's decision, not the repository's."""
    index = re.compile(r"--(?:extra-)?index-url|--find-links|files\.pythonhosted|download\.pytorch")
    here = Path(__file__)
    found = [
        path.relative_to(ROOT)
        for path in tracked_files()
        if path != here and index.search(path.read_text(errors="ignore"))
    ]
    assert not found


def test_files_beside_the_code_are_package_data() -> None:
    """A wheel contains each file of a package; what is written about the code alone stays behind."""
    globs = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    beside = [
        path.relative_to(ROOT)
        for path in tracked_files()
        if path.suffix not in {".py", ".md"} and (path.parent / "__init__.py").is_file()
    ]
    assert any(path.name == "page.html" for path in beside)
    for path in beside:
        wanted = globs["*"] + globs.get(".".join(path.parent.parts), [])
        assert any(map(path.match, wanted)), path


def test_every_package_says_what_it_is() -> None:
    """Each folder of Python files in a package has an __init__.py with a docstring."""
    for package in ("corpus", "indexer", "rag_service"):
        for folder in {path.parent for path in (ROOT / package).rglob("*.py")}:
            assert (folder / "__init__.py").is_file(), folder
            assert (folder / "__init__.py").read_text().startswith('"""'), folder
