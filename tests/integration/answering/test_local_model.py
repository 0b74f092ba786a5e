"""Turns of a model in this process, on a tiny Llama: real network, random weights."""

from collections.abc import Iterator
from math import exp, log

import pytest
from torch import Tensor, full

from corpus.errors import PromptTooLong
from rag_service.answering.chat_model import End, Fingerprint, Sampling
from rag_service.answering.conversation import Message, Part, SourcePassage, system, user
from rag_service.answering.local_model import LocalModel, load_chat_model
from rag_service.answering.markers import Call, Delta, Marker
from rag_service.answering.template import AnswererTemplate, Template, answerer_vocabulary
from tests.tiny_models import tiny_own_template, tiny_vocabulary, write_tiny_model

MESSAGES = [system("Be brief."), user("How much do they burn?")]


class Script:
    """A network that says given ids, whatever it reads; it keeps count like a real one."""

    def __init__(self, ids: list[int], size: int, context_length: int = 500) -> None:
        self.ids = ids
        self.size = size
        self.context_length = context_length
        self.length = 0
        self.read: list[list[int]] = []

    def forward(self, ids: list[int]) -> Tensor:
        """Return logits for the next scripted id."""
        self.length += len(ids)
        self.read.append(list(ids))
        logits = full((self.size,), 0.0)
        logits[self.ids.pop(0)] = 1.0
        return logits

    def truncate(self, length: int) -> None:
        """Forget."""
        self.length = length


class Planned:
    """A network whose next token depends on what stands behind the marker for a sum."""

    context_length = 500

    def __init__(self, plan: dict[tuple[int, ...], dict[int, float]], marker: int, size: int) -> None:
        self._plan = plan
        self._marker = marker
        self._size = size
        self._ids: list[int] = []

    @property
    def length(self) -> int:
        """Tokens read."""
        return len(self._ids)

    def forward(self, ids: list[int]) -> Tensor:
        """Return the logarithms of the planned probabilities."""
        self._ids += ids
        written = tuple(self._ids[self._ids.index(self._marker) + 1 :]) if self._marker in self._ids else ()
        logits = full((self._size,), -30.0)
        for number, share in self._plan[written].items():
            logits[number] = log(share)
        return logits

    def truncate(self, length: int) -> None:
        """Forget."""
        del self._ids[length:]


def scripted(template: Template, script: list[int | str], **limits: int) -> tuple[LocalModel, Script]:
    """Return a model that writes the script; strings are encoded as plain text."""
    ids: list[int] = []
    for item in script:
        ids += [item] if isinstance(item, int) else template.vocabulary.encode(item)
    network = Script(ids, template.vocabulary.size, **limits)
    return LocalModel("script", network, template, Fingerprint("0")), network


def answerer() -> tuple[AnswererTemplate, dict[str, int]]:
    """Return the answerer's template and its control tokens."""
    template = AnswererTemplate(answerer_vocabulary(tiny_vocabulary()))
    return template, dict(template.vocabulary.control)


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> LocalModel:
    """The tiny Llama."""
    folder = write_tiny_model(tmp_path_factory.mktemp("model"))
    return load_chat_model(str(folder), models_dir=folder, precision="float32")


def say(model: LocalModel, messages: list[Message], sampling: Sampling) -> str:
    """Return what the model writes."""
    with model.begin(messages) as turn:
        return "".join(item.text for item in turn.generate(sampling) if isinstance(item, Delta))


def test_a_known_beginning_is_not_read_again_and_changes_nothing(real: LocalModel) -> None:
    """The second time only what is behind the last whole piece is read; the answer is the same."""
    sampling, long = Sampling(max_tokens=12), system("Be brief. " * 12)
    asked = [long, MESSAGES[1]]
    first = say(real, asked, sampling)
    with real.begin(asked) as turn:
        again = "".join(item.text for item in turn.generate(sampling) if isinstance(item, Delta))
        usage = turn.usage
    assert again == first
    assert usage.cached_tokens == usage.prompt_tokens - usage.prompt_tokens % 128 > 0
    other = say(real, [long, user("And how long?")], sampling)
    fresh = [system("Something else entirely."), user("x")]
    say(real, fresh, sampling)
    assert say(real, [long, user("And how long?")], sampling) == other


def test_a_prompt_is_read_in_the_same_pieces_whatever_was_read_before() -> None:
    """Pieces end at multiples of 128, and what stands behind the last whole one is read again."""
    template, _ = answerer()
    size = len(template.vocabulary.encode("a"))
    long = system("b" * (300 // size))
    stop = min(template.stop_ids)

    def pieces(*before: list[Message]) -> list[list[int]]:
        model, network = scripted(template, [0] * 40, context_length=2000)
        for messages in before:
            with model.begin(messages) as turn:
                list(turn.generate(Sampling(max_tokens=3)))
        network.read.clear()
        network.ids[:] = [0] * 20 + [stop]
        with model.begin([long, user("Who?")]) as turn:
            turn.append(Part("calculate_result", "7" * 200))
            list(turn.generate(Sampling(max_tokens=1)))
        return network.read

    fresh = pieces()
    assert [len(piece) for piece in fresh[:-1]] == [128] * (len(fresh) - 1)
    assert pieces([long, user("Why?")]) == fresh[2:]
    assert pieces([long, user("Who?")], [system("Short."), user("x")]) == fresh


def test_the_likeliest_sums_are_told_and_leave_the_turn_where_it_was() -> None:
    """The model thinks of 13*4 first and of 13+4 second; afterwards nothing of that was written."""
    template, control = answerer()
    digits = template.vocabulary
    one, three, four, times, plus = (digits.encode(each)[0] for each in "134*+")
    wanted = {
        (): {one: 1.0},
        (one,): {three: 1.0},
        (one, three): {times: 0.6, plus: 0.3, four: 0.1},
        (one, three, times): {four: 1.0},
        (one, three, plus): {four: 1.0},
        (one, three, times, four): {control["<CALC_END>"]: 1.0},
        (one, three, plus, four): {control["<CALC_END>"]: 1.0},
    }
    network = Planned(wanted, control["<CALC_START>"], digits.size)
    model = LocalModel("planned", network, template, Fingerprint("0"))
    with model.begin(MESSAGES) as turn:
        before = turn.transcript
        found = list(turn.likeliest_sums(frozenset({"13", "4"}), most_steps=50))
        assert turn.transcript == before
    assert [each.text for each in found] == ["13*4", "13+4"]
    assert [round(exp(each.log_probability), 3) for each in found] == [0.6, 0.3]


def test_a_model_without_the_markers_knows_no_likeliest_sums() -> None:
    """Its calls are plain text."""
    model, _ = scripted(tiny_own_template(tiny_vocabulary()), [])
    with model.begin(MESSAGES) as turn:
        assert not list(turn.likeliest_sums(frozenset({"13", "4"}), most_steps=50))


def test_a_seed_repeats_an_answer(real: LocalModel) -> None:
    """Same seed, same text; another seed, another one."""
    texts = [say(real, MESSAGES, Sampling(max_tokens=20, temperature=1.0, seed=n)) for n in (1, 1, 2)]
    assert texts[0] == texts[1] != texts[2]


def test_no_control_token_is_ever_written(real: LocalModel) -> None:
    """Even at a temperature at which every token is as likely as another."""
    with real.begin(MESSAGES) as turn:
        before = turn._length
        list(turn.generate(Sampling(max_tokens=150, temperature=1e9, seed=3)))
        written = turn._ids[before:]
    assert written
    assert not set(written) & (set(real.template.vocabulary.control.values()) - real.template.stop_ids)


def test_the_tool_loop_only_ever_appends() -> None:
    """A search ends generation; its result is put behind it, and nothing is read twice."""
    template, control = answerer()
    model, network = scripted(
        template,
        [
            control[Marker.SEARCH_START],
            "fuel",
            control[Marker.SEARCH_END],
            "14 litres [1].",
            control["<|im_end|>"],
        ],
    )
    result = Part("search_result", passages=(SourcePassage("a", "It burns 14 litres."),))
    with model.begin(MESSAGES) as turn:
        first = list(turn.generate(Sampling()))
        turn.append(result)
        second = list(turn.generate(Sampling()))
        assert first == [Call("search", "fuel")]
        assert second[-1] == End("end")
        assert "".join(item.text for item in second if isinstance(item, Delta)) == "14 litres [1]."
        assert turn.transcript.endswith(
            "<|im_start|>assistant<|im_sep|><SEARCH_START>fuel<SEARCH_END>"
            "<RESULT_START>[1]\nIt burns 14 litres.<RESULT_END>14 litres [1]."
        )
    read = [number for piece in network.read for number in piece]
    assert read == model._context.ids
    assert network.length == len(read)


def test_numbers_of_passages_go_on_over_searches() -> None:
    """Each search's passages get the next numbers."""
    template, _ = answerer()
    model, _ = scripted(template, [])
    result = Part("search_result", passages=(SourcePassage("a", "x"), SourcePassage("b", "y")))
    with model.begin(MESSAGES) as turn:
        turn.append(result)
        turn.append(result)
        assert "[3]\nx" in turn.transcript


def test_plain_markers_are_found_in_an_own_template() -> None:
    """A base model writes markers as letters; they are calls all the same, and are not shown."""
    template = tiny_own_template(tiny_vocabulary())
    model, _ = scripted(template, ["Hm. <CALC_START>3*4<CALC_END> never read"])
    with model.begin(MESSAGES) as turn:
        items = list(turn.generate(Sampling()))
    assert items[-1] == Call("calculate", "3*4")
    assert "".join(item.text for item in items if isinstance(item, Delta)) == "Hm. "


def test_stop_strings_end_the_text_before_themselves() -> None:
    """Also when they come in several tokens."""
    model, _ = scripted(tiny_own_template(tiny_vocabulary()), ["One.\nQuestion: two"])
    with model.begin(MESSAGES) as turn:
        items = list(turn.generate(Sampling(stop=("\nQuestion:",))))
    assert items[-1] == End("stop")
    assert "".join(item.text for item in items if isinstance(item, Delta)) == "One."


def test_a_loop_is_broken_off() -> None:
    """A small model that repeats itself does not use up its tokens."""
    model, _ = scripted(tiny_own_template(tiny_vocabulary()), ["burns " * 100])
    with model.begin(MESSAGES) as turn:
        items = list(turn.generate(Sampling(max_tokens=200)))
    assert items[-1] == End("loop")
    assert len(items) < 100


def test_whoever_goes_away_stops_it_within_one_token() -> None:
    """Not one further token is computed."""
    model, network = scripted(tiny_own_template(tiny_vocabulary()), ["abcdefgh"])
    gone = False
    with model.begin(MESSAGES, cancelled=lambda: gone) as turn:
        items = turn.generate(Sampling())
        next(items)
        computed = len(network.read)
        gone = True
        assert list(items) == [End("cancelled")]
    assert len(network.read) == computed


def test_a_closed_generator_frees_the_model() -> None:
    """Leaving the turn in the middle lets the next one in."""
    model, _ = scripted(tiny_own_template(tiny_vocabulary()), ["abcdefgh"])

    def streamed() -> Iterator[object]:
        with model.begin(MESSAGES) as turn:
            yield from turn.generate(Sampling())

    items = streamed()
    next(items)
    items.close()  # type: ignore[attr-defined]
    with model.begin(MESSAGES) as turn:
        assert next(turn.generate(Sampling()))


def test_a_prompt_beyond_the_context_is_refused() -> None:
    """At the beginning, and when a result no longer fits."""
    template = tiny_own_template(tiny_vocabulary())
    model, _ = scripted(template, [], context_length=200)
    with pytest.raises(PromptTooLong, match="fewer than 200"), model.begin([user("x" * 300)]):
        pass
    with model.begin(MESSAGES) as turn, pytest.raises(PromptTooLong):
        turn.append(Part("calculate_result", "7" * 200))


def test_the_end_of_the_context_ends_the_text() -> None:
    """What is written up to there counts."""
    template = tiny_own_template(tiny_vocabulary())
    length = len(template.render(MESSAGES, add_generation_prompt=True).ids)
    model, _ = scripted(template, ["abcdefgh"], context_length=length + 4)
    with model.begin(MESSAGES) as turn:
        assert list(turn.generate(Sampling()))[-1] == End("length")
        assert turn.usage.completion_tokens == 4


def test_usage_tells_reading_from_writing(real: LocalModel) -> None:
    """Tokens and time of both."""
    with real.begin([system("Unread before."), user("Count.")]) as turn:
        list(turn.generate(Sampling(max_tokens=5)))
        usage = turn.usage
    assert usage.prompt_tokens > usage.cached_tokens
    assert 0 < usage.completion_tokens <= 5
    assert usage.prefill_ms > 0
    assert usage.decode_ms > 0 or usage.completion_tokens == 1
