"""Parts that are made in the background."""

import threading

import pytest

from corpus.errors import ModelNotFound, NotReady
from rag_service.loading import BackgroundLoading, Part


def test_part_is_not_ready_until_it_is_made() -> None:
    """Before, asking is NotReady and names the part; afterwards it is there."""
    part = Part("embedder", lambda: 7)
    with pytest.raises(NotReady, match="embedder is still loading"):
        part.get()
    BackgroundLoading([part]).start()
    assert part.wait(5) == 7
    assert (part.state, part.problem) == ("ready", None)


def test_failure_is_told_and_the_rest_goes_on() -> None:
    """A part that fails says why; later ones are made all the same."""

    def fail() -> int:
        raise ModelNotFound("No package 'x'; install it.")

    broken, sound = Part("chat model", fail), Part("embedder", lambda: 1)
    dependent = Part("answerer", lambda: broken.get() + 1)
    BackgroundLoading([broken, dependent, sound]).start()
    assert sound.wait(5) == 1
    assert broken.state == "failed"
    with pytest.raises(NotReady, match="No package 'x'"):
        broken.get()
    with pytest.raises(NotReady, match="answerer failed to load: chat model failed"):
        dependent.get()


def test_unexpected_failure_keeps_its_details_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """What is told outside names the class alone."""
    part = Part("embedder", lambda: 1 // 0)
    part.load()
    assert part.problem == "embedder failed to load (ZeroDivisionError); the log has the details"
    assert "division" in caplog.text


def test_stop_begins_no_further_part() -> None:
    """A stop during one part lets it end and leaves the others out."""
    begun, go_on = threading.Event(), threading.Event()

    def wait() -> int:
        begun.set()
        go_on.wait(5)
        return 1

    first, second = Part("first", wait), Part("second", lambda: 2)
    loading = BackgroundLoading([first, second])
    loading.start()
    begun.wait(5)
    threading.Timer(0.05, go_on.set).start()
    loading.stop()
    assert (first.state, second.state) == ("ready", "loading")
