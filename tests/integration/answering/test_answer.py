"""The story of one answer, on a real database and real indexes; the two models are stand-ins."""

import re
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from math import log

import numpy as np
import pytest

from corpus.collections import active_generation, create_collection
from corpus.database import Database
from corpus.errors import PromptTooLong
from corpus.follower import Follower
from corpus.models import Chunk, Document, DocumentVersion, Embedding, next_change_number
from rag_service.answering.answer import Answer, Answerer, AnswerRequest, Done, Event, Found
from rag_service.answering.chat_model import GenerationCancelled, LikelySum, Sampling, Skill
from rag_service.answering.conversation import Message, Part, assistant, system, user
from rag_service.answering.markers import Call, Delta
from rag_service.answering.refusals import SENTENCES
from rag_service.answering.tools import ToolCall
from rag_service.retrieval.passages import Passage
from rag_service.retrieval.quantities import Problem, Results
from rag_service.retrieval.readings import Read, Readers, Reading, ReadSum
from rag_service.retrieval.search import Retriever
from tests.factories import migrated_database
from tests.fakes import FakeChatModel, FakeEmbedder, Speaker

TEXT = (
    "Orson Kovacs keeps the two diesel generators of the Vostrel station. "
    "Each generator burns 13 litres of diesel an hour. "
    "The café, run by Ilse Brandt, opens at 06:30."
)
EMBEDDER = FakeEmbedder(dimension=256)
Ask = Callable[..., list[Event]]


@pytest.fixture(scope="module")
def retriever(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Retriever]:
    """One document in the default collection."""
    folder = tmp_path_factory.mktemp("answers")
    database = migrated_database(folder)
    _store(database)
    yield Retriever(database, Follower(database, folder / "generations"), EMBEDDER)
    database.close()


def _store(database: Database) -> None:
    with database.write() as session:
        collection = create_collection(session, name="default", embedder=EMBEDDER)
        number = next_change_number(session)
        document = Document(
            id="doc_1",
            collection_id=collection.id,
            external_id=None,
            status="ready",
            version=1,
            title="Handbook",
            media_type="text/plain",
            sha256="0" * 64,
            chunk_count=1,
        )
        version = DocumentVersion(
            document_id="doc_1",
            version=1,
            collection_id=collection.id,
            state="current",
            sha256="0" * 64,
            text=TEXT,
        )
        chunk = Chunk(
            document_id="doc_1",
            collection_id=collection.id,
            chunking=active_generation(session, collection.id).chunking,
            position=0,
            start=0,
            end=len(TEXT),
            text=TEXT,
            token_count=60,
            change_number=number,
        )
        session.add_all([document])
        session.flush()
        session.add_all([version, chunk])
        session.flush()
        vector = EMBEDDER.embed_passages([TEXT])[0].astype("<f2").tobytes()
        session.add(
            Embedding(
                chunk_id=chunk.id,
                embedder=EMBEDDER.id,
                collection_id=collection.id,
                vector=vector,
                change_number=number,
            )
        )


@pytest.fixture
def ask(retriever: Retriever) -> Ask:
    """Ask a model that says given things; return all events."""

    def run(
        said: Sequence[Delta | Call] | Speaker,
        question: str | list[Message],
        *,
        skill: Skill = "trained",
        reads: bool = True,
        read: Read | None = None,
        read_sum: ReadSum | None = None,
        sums: Sequence[LikelySum] = (),
        context_length: int = 4096,
        **how: object,
    ) -> list[Event]:
        speaker = said if callable(said) else lambda _messages, _parts: said
        messages = (user(question),) if isinstance(question, str) else tuple(question)
        model = FakeChatModel(speaker, skill=skill, reads=reads, sums=sums, context_length=context_length)
        readers = Readers(read, sums=read_sum) if read else None
        answerer = Answerer(retriever, EMBEDDER, model, readers=readers)
        return list(answerer.stream(AnswerRequest(messages, **how)))  # type: ignore[arg-type]

    return run


def last(events: list[Event]) -> Answer:
    """Return the answer, which must come last."""
    assert isinstance(events[-1], Done)
    return events[-1].answer


QUESTION = "Who keeps the diesel generators of the Vostrel station?"
RIGHT = [Delta("text", "Orson Kovacs keeps "), Delta("text", "the two diesel generators [1].")]


def test_an_answer_cites_the_sentence_it_rests_on(ask: Ask) -> None:
    """Events in order; the citation is exact; everything is accounted for."""
    events = ask(RIGHT, QUESTION)
    answer = last(events)
    assert [type(event) for event in events[:3]] == [Found, Delta, Delta]
    assert answer.status == "answered"
    assert answer.text == "Orson Kovacs keeps the two diesel generators [1]."
    citation = answer.citations[0]
    assert TEXT[citation.source_start : citation.source_end] == citation.quote
    assert citation.quote.startswith("Orson Kovacs keeps the two diesel generators")
    assert answer.in_context == {answer.passages[0].chunk_id}
    assert answer.generation
    assert answer.groundedness is not None
    assert answer.usage.completion_tokens == 2
    assert answer.timings_ms.total > 0
    assert "Orson Kovacs" in answer.transcript


def test_what_no_source_says_is_no_answer(ask: Ask) -> None:
    """By default it becomes a refusal; a reader who wants it anyway gets it marked."""
    wrong = [Delta("text", "Napoleon Bonaparte bought 77 bicycles in Paris.")]
    refused = last(ask(wrong, QUESTION))
    assert (refused.status, refused.refusal, refused.citations) == ("refused", "unverified", ())
    assert refused.text == SENTENCES["unverified"]
    answered = last(ask(wrong, QUESTION, on_no_evidence="answer"))
    assert answered.status == "answered"
    assert answered.groundedness is not None
    assert answered.groundedness.unsupported_spans


@pytest.mark.parametrize(
    "said", [[Delta("refusal", "That is not in my passages.")], [Delta("text", "I don't know.")]]
)
def test_a_models_refusal_is_a_status(ask: Ask, said: list[Delta]) -> None:
    """By its marker or by its words."""
    answer = last(ask(said, QUESTION))
    assert (answer.status, answer.refusal) == ("refused", "insufficient")
    assert answer.text == SENTENCES["insufficient"]


def test_without_evidence_the_model_is_not_asked(ask: Ask) -> None:
    """The refusal costs no generation."""
    answer = last(ask(RIGHT, "quantum chromodynamics lattice?", top_k=1))
    assert (answer.refusal, answer.usage.completion_tokens) == ("no_evidence", 0)
    assert answer.evidence is not None


def test_never_uses_no_passage(ask: Ask) -> None:
    """The parameters alone, and a search that the model asks for is declined."""
    events = ask(
        lambda _messages, parts: [Delta("text", "x")] if parts else [Call("search", "generators")],
        QUESTION,
        mode="never",
    )
    answer = last(events)
    assert (answer.passages, answer.citations, answer.groundedness) == ((), (), None)
    assert answer.tool_calls == (ToolCall("search", "generators", "Searching is off for this question."),)


def test_no_marker_without_its_citation(ask: Ask) -> None:
    """Numbers of passages that do not exist, and spelled-out control tokens, reach nobody."""
    wild = [Delta("reasoning", "See [9]. "), Delta("text", "Hello [4]<|im_end|>, [1, 77] there [2")]
    for how in ({"mode": "never"}, {"mode": "auto"}, {"on_no_evidence": "answer"}):
        answer = last(ask(wild, QUESTION, **how))
        assert answer.text.split() == ["Hello", ",", "there"]
        assert answer.reasoning == "See."
        assert answer.citations == ()


def test_auto_lets_the_model_search(ask: Ask) -> None:
    """Its passages are cited like those of a search before."""

    def speaker(_messages: Sequence[Message], parts: Sequence[Part]) -> list[Delta | Call]:
        return RIGHT if parts else [Call("search", "diesel generators")]  # type: ignore[return-value]

    events = ask(speaker, QUESTION, mode="auto")
    answer = last(events)
    assert events[0] == Found((), None)
    assert answer.tool_calls[0].input == "diesel generators"
    assert answer.citations
    assert answer.passages[0].text == TEXT


def test_auto_without_a_search_is_plain_talk(ask: Ask) -> None:
    """Nothing is cited, nothing refused."""
    answer = last(ask([Delta("text", "Hello!")], "Hello", mode="auto"))
    assert (answer.status, answer.text, answer.citations) == ("answered", "Hello!", ())


def test_a_calculation_may_be_stated(ask: Ask) -> None:
    """A number that the calculator gave needs no source of its own."""

    def speaker(_messages: Sequence[Message], parts: Sequence[Part]) -> list[Delta | Call]:
        if any(part.type == "calculate_result" for part in parts):
            return [Delta("text", "Each generator burns 13 litres of diesel an hour, 312 in 24 hours.")]
        return [Call("calculate", "13*24")]

    question = "How many litres of diesel does each generator burn in 24 hours?"
    answer = last(ask(speaker, question, on_no_evidence="answer"))
    assert answer.tool_calls == (ToolCall("calculate", "13*24", "312"),)
    assert answer.status == "answered"
    assert "312" in answer.text


def test_reasoning_is_returned_apart(ask: Ask) -> None:
    """Steps are no part of the answer."""
    answer = last(ask([Delta("reasoning", "Who? "), *RIGHT], QUESTION, reasoning=True))
    assert answer.reasoning == "Who?"
    assert answer.text.startswith("Orson")


def test_a_follow_up_is_searched_with_what_it_follows(ask: Ask) -> None:
    """`rewritten_query` says so, and can be switched off."""
    talk = [user("Who keeps the generators?"), assistant("Orson Kovacs."), user("What do they burn?")]
    answer = last(ask(RIGHT, talk, on_no_evidence="answer"))
    assert answer.rewritten_query == "Who keeps the generators? What do they burn?"
    assert last(ask(RIGHT, talk, on_no_evidence="answer", rewrite_query=False)).rewritten_query is None


def test_the_callers_system_message_stands_behind_ours(ask: Ask) -> None:
    """The model is always told who it is first."""
    talk = [system("Answer like a pirate."), user(QUESTION)]
    transcript = last(ask(RIGHT, talk)).transcript
    assert transcript.index("You are") < transcript.index("pirate")


def test_a_model_that_follows_instructions_is_told_of_the_tools(ask: Ask) -> None:
    """A trained one knows."""
    assert "<CALC_START>" in last(ask(RIGHT, QUESTION, skill="instructed")).transcript
    assert "<CALC_START>" not in last(ask(RIGHT, QUESTION)).transcript


def test_an_untrained_models_words_count_where_they_hold(ask: Ask) -> None:
    """Its sentence is shown once it was checked, cited though it wrote no marker."""
    events = ask([Delta("text", "Orson Kovacs keeps the two generators.")], QUESTION, skill="none")
    answer = last(events)
    assert answer.text == "Orson Kovacs keeps the two generators [1]."
    assert [event for event in events if isinstance(event, Delta)] == [Delta("text", answer.text)]


def test_an_untrained_models_slips_give_way_to_the_source(ask: Ask) -> None:
    """The sentence that fits the question best speaks for itself."""
    answer = last(ask([Delta("text", "Ilse Brandt keeps 99 generators.")], QUESTION, skill="none"))
    assert answer.text == "Orson Kovacs keeps the two diesel generators of the Vostrel station [1]."
    assert answer.citations[0].verification.status == "exact"


def test_an_untrained_models_rate_is_worked_out(ask: Ask) -> None:
    """Source, calculation and result, without the model."""
    question = "How many litres of diesel does each generator burn in 24 hours?"
    answer = last(ask([Delta("text", "1500")], question, skill="none", on_no_evidence="answer"))
    assert "13 * 24 = 312" in answer.text
    assert answer.tool_calls == (ToolCall("calculate", "13*24", "312"),)
    assert answer.citations


def test_an_untrained_models_steps_come_first(ask: Ask) -> None:
    """Asked for by themselves, returned as reasoning."""

    def speaker(messages: Sequence[Message], _parts: Sequence[Part]) -> list[Delta]:
        asked_for_steps = "step by step" in messages[-1].text
        return [Delta("text", "First, the keeper.")] if asked_for_steps else [Delta("text", "?")]

    answer = last(ask(speaker, QUESTION, skill="none", reasoning=True))
    assert answer.reasoning == "First, the keeper."
    assert answer.usage.completion_tokens == 2


def test_a_trained_model_that_reads_badly_gives_way_to_the_source(ask: Ask) -> None:
    """A refusal, too, where the evidence is good; its right words stay."""
    for slip in ([Delta("text", "Ilse Brandt [1].")], [Delta("refusal", "I could not find that.")]):
        answer = last(ask(slip, QUESTION, reads=False))
        assert answer.text == "Orson Kovacs keeps the two diesel generators of the Vostrel station [1]."
    assert last(ask([Delta("text", "Orson Kovacs [1].")], QUESTION, reads=False)).text == "Orson Kovacs [1]."


def test_a_reader_that_leaves_ends_the_answer(retriever: Retriever) -> None:
    """No `Done`, no checks; and the model is free again."""
    model = FakeChatModel(lambda _messages, _parts: [Delta("text", "word ")] * 50)
    answerer = Answerer(retriever, EMBEDDER, model)
    events: list[Event] = []
    stream = answerer.stream(AnswerRequest((user(QUESTION),)), cancelled=lambda: len(events) == 3)
    for event in stream:
        events.append(event)  # noqa: PERF402 - the stream asks how many have arrived
    assert not any(isinstance(event, Done) for event in events)
    assert (len(events), model.running) == (3, 0)
    with pytest.raises(GenerationCancelled):
        answerer.answer(AnswerRequest((user(QUESTION),)), cancelled=lambda: True)


def test_closing_the_stream_frees_the_model(retriever: Retriever) -> None:
    """A reader may stop listening at any event."""
    model = FakeChatModel()
    stream = Answerer(retriever, EMBEDDER, model).stream(AnswerRequest((user(QUESTION),)))
    next(stream)
    next(stream)
    assert model.running == 1
    stream.close()  # type: ignore[attr-defined]
    assert model.running == 0


def test_sampling_reaches_the_model(retriever: Retriever) -> None:
    """A limit of one token gives one."""
    answerer = Answerer(retriever, EMBEDDER, FakeChatModel())
    request = AnswerRequest((user(QUESTION),), sampling=Sampling(max_tokens=1), on_no_evidence="answer")
    assert answerer.answer(request).usage.completion_tokens == 1


def finds(words: str, asked: list[str] | None = None) -> Read:
    """Return a reader that finds these words where they stand, and nothing elsewhere."""

    def read(question: str, passages: Sequence[Passage]) -> list[Reading]:
        if asked is not None:
            asked.append(question)
        readings = []
        for passage in passages:
            spans = tuple((match.start(), match.end()) for match in re.finditer(r"\S+", passage.text))
            start = passage.text.find(words)
            inside = np.array([start >= 0 and start <= a < start + len(words) for a, _ in spans])
            logits = np.where(inside, 7.0, -7.0).astype(np.float32)
            readings.append(Reading(7.0 if start >= 0 else -7.0, spans, logits, logits))
        return readings

    return read


def test_the_reader_chooses_the_sentence(ask: Ask) -> None:
    """What it finds is quoted where the model's words do not stand."""
    wild = [Delta("text", "Napoleon Bonaparte bought 77 bicycles in Paris.")]
    quoted = last(ask(wild, QUESTION, reads=False, read=finds("Orson Kovacs keeps")))
    assert quoted.text.startswith("Orson Kovacs keeps the two diesel generators")
    assert quoted.citations[0].quote.startswith("Orson Kovacs keeps")


def test_a_short_answer_beside_what_the_reader_found_does_not_stand(ask: Ask) -> None:
    """It says nothing but what the sentence says, and yet not what was asked."""
    beside = [Delta("text", "The Vostrel station [1].")]
    answer = last(ask(beside, QUESTION, reads=False, read=finds("Orson Kovacs")))
    assert answer.text.startswith("Orson Kovacs keeps")


def test_a_follow_up_is_read_for_by_itself(ask: Ask) -> None:
    """What is searched for has the question before it; its answer must not be found again."""
    asked: list[str] = []
    turns = [user("Who is Orson Kovacs?"), assistant("He keeps the generators."), user("What does he keep?")]
    ask(RIGHT, turns, read=finds("generators", asked))
    assert asked == ["What does he keep?"]


def test_beside_a_model_that_reads_the_readers_words_stand_where_they_disagree(ask: Ask) -> None:
    """Words are shown once it is known whose; where both agree they are the model's."""
    wrong = [Delta("text", "The Vostrel station [1].")]
    events = ask(wrong, QUESTION, read=finds("Orson Kovacs"))
    assert [event.text for event in events if isinstance(event, Delta)] == [last(events).text]
    assert last(events).text == "Orson [1]."  # the first of the words it is sure of
    assert last(events).citations[0].quote.startswith("Orson Kovacs keeps")
    assert last(ask(RIGHT, QUESTION, read=finds("Orson Kovacs"))).text.startswith(
        "Orson Kovacs keeps the two"
    )


def test_where_neither_agrees_nor_the_reader_finds_anything_it_refuses(ask: Ask) -> None:
    """Though the passage is about the right thing."""
    answer = last(ask([Delta("text", "Vostrel [1].")], QUESTION, read=finds("nothing of this")))
    assert answer.status == "refused"


@pytest.mark.parametrize("said", ["No [1].", "I do not know."])
def test_a_sentence_that_says_whether_it_is_so_is_the_answer(ask: Ask, said: str) -> None:
    """Where a yes or no is not what it says, or none is given; a reader finds neither."""
    asked = "Does each generator burn diesel?"
    answer = last(ask([Delta("text", said)], asked, read=finds("nothing of this")))
    assert answer.text == "Each generator burns 13 litres of diesel an hour [1]."
    assert answer.status == "answered"


def test_a_yes_that_can_not_be_cited_gives_way_to_the_sentence(ask: Ask) -> None:
    """Its question has a number that no source has."""
    asked = "Does each generator burn 15 litres of diesel an hour?"
    answer = last(ask([Delta("text", "Yes [1].")], asked, read=finds("13 litres")))
    assert answer.text == "Each generator burns 13 litres of diesel an hour [1]."


def test_a_search_of_its_own_is_read_along_too(ask: Ask) -> None:
    """In mode auto the model searches, and what it says of what it found is held against the reader."""

    def speaker(_messages: Sequence[Message], parts: Sequence[Part]) -> Sequence[Delta | Call]:
        searched = any(part.type == "search_result" for part in parts)
        return (
            [Delta("text", "The Vostrel station [1].")]
            if searched
            else [Call("search", QUESTION, closed=True)]
        )

    events = ask(speaker, QUESTION, mode="auto", read=finds("Orson Kovacs"))
    assert [event.text for event in events if isinstance(event, Delta)] == ["Orson [1]."]


def test_a_refusal_stays_one_where_answers_are_wanted(ask: Ask) -> None:
    """`on_no_evidence: answer` lets weak evidence pass, not a model's own refusal as an answer."""
    refusal = [Delta("refusal", "I could not find that in the documents.")]
    answer = last(ask(refusal, QUESTION, read=finds("Orson Kovacs"), on_no_evidence="answer"))
    assert answer.status == "refused"


def test_a_large_model_that_searches_by_itself_is_not_judged_afterwards(ask: Ask) -> None:
    """Its words were shown already, and no reader reads along with it."""

    def speaker(_messages: Sequence[Message], parts: Sequence[Part]) -> Sequence[Delta | Call]:
        searched = any(part.type == "search_result" for part in parts)
        return RIGHT if searched else [Call("search", QUESTION, closed=True)]

    answer = last(ask(speaker, QUESTION, skill="instructed", mode="auto", read=finds("Orson Kovacs")))
    assert (answer.status, answer.evidence) == ("answered", None)


def test_where_the_passages_likely_answer_words_of_no_source_give_way_to_their_best_sentence(
    ask: Ask,
) -> None:
    """Also for who wants an answer in any case; where they hardly do, it gets the model's words."""
    made_up = [Delta("text", "Tofel [1].")]
    answer = last(ask(made_up, QUESTION, read=finds("Orson Kovacs"), on_no_evidence="answer"))
    assert answer.text.startswith("Orson Kovacs keeps the two diesel generators")
    assert answer.citations
    elsewhere = "Which moon of Saturn is the largest?"
    beside = last(ask(made_up, elsewhere, read=finds("nothing of this"), on_no_evidence="answer"))
    assert beside.text.startswith("Tofel")
    assert not beside.citations


@pytest.mark.parametrize("skill", ["trained", "instructed"])
def test_what_leaves_no_room_for_a_passage_is_no_answer_without_one(ask: Ask, skill: Skill) -> None:
    """The model would make something up that nothing could be held against."""
    long = [system("Be kind. " * 1000), user(QUESTION)]
    with pytest.raises(PromptTooLong, match="no room for a passage"):
        ask(RIGHT, long, skill=skill, context_length=3100)
    anyway = last(ask(RIGHT, long, skill=skill, context_length=3100, on_no_evidence="answer"))
    assert not anyway.citations


def test_earlier_turns_give_way_to_the_passages(ask: Ask) -> None:
    """A history that leaves no room for one is left out."""
    history = [user("Please " * 600), assistant("Yes."), user(QUESTION)]
    answer = last(ask(RIGHT, history, context_length=1400, sampling=Sampling(max_tokens=500)))
    assert answer.citations


SUM = "How many litres of diesel do the two generators of the Vostrel station burn together?"


def computes(expression: str, saying: str = "{} litres [1].") -> Speaker:
    """Return a speaker that computes this, and says the result."""

    def speak(_messages: Sequence[Message], parts: Sequence[Part]) -> list[Delta | Call]:
        if parts and parts[-1].type == "calculate_result":
            return [Delta("text", saying.format(parts[-1].text))]
        return [Call("calculate", expression)]

    return speak


def test_where_a_sum_does_not_hold_the_likeliest_that_does_is_carried_out(ask: Ask) -> None:
    """Of the first one nothing is told; its tokens are counted. Sums of one result count together."""
    likely = [("13+30", 0.5), ("13*13", 0.2), ("2*13", 0.06), ("13*2", 0.05)]
    events = ask(computes("13+30"), SUM, read=finds("13 litres"), sums=sums_of(likely))
    answer = last(events)
    assert answer.text == "26 litres [1]."
    assert [event for event in events if isinstance(event, ToolCall)] == [ToolCall("calculate", "2*13", "26")]
    assert answer.tool_calls == (ToolCall("calculate", "2*13", "26"),)
    once = last(ask(computes("2*13"), SUM, read=finds("13 litres")))
    assert once.text == answer.text
    assert answer.usage.completion_tokens > once.usage.completion_tokens


@pytest.mark.parametrize(
    "likely",
    [
        [],
        [("13+30", 0.9)],
        [("2*13+13", 0.3), ("2*13", 0.3), ("2*13-13", 0.2)],
    ],
)
def test_a_sum_that_none_is_likelier_than_is_refused(ask: Ask, likely: list[tuple[str, float]]) -> None:
    """No other holds, or of those that do none is likelier than the others together."""
    answer = last(ask(computes("13+30"), SUM, read=finds("13 litres"), sums=sums_of(likely)))
    assert answer.refusal == "insufficient"
    assert answer.tool_calls == (ToolCall("calculate", "13+30", "43"),)


def test_a_sum_after_which_the_model_reads_too_much_leaves_the_first(ask: Ask) -> None:
    """What it finds by itself then does not fit; the first sum is refused, as without the other."""

    def speak(_messages: Sequence[Message], parts: Sequence[Part]) -> list[Delta | Call]:
        if parts[-1].type != "calculate_result":
            return [Call("calculate", "13+30")]
        if parts[-1].text == "26":
            raise PromptTooLong("It does not fit.")
        return [Delta("text", f"{parts[-1].text} litres [1].")]

    answer = last(ask(speak, SUM, read=finds("13 litres"), sums=sums_of([("2*13", 0.5)])))
    assert answer.refusal == "insufficient"
    assert answer.tool_calls == (ToolCall("calculate", "13+30", "43"),)


def thinks(*results: tuple[int, float]) -> ReadSum:
    """Return a sum reader that thinks so of every problem."""
    return lambda _problem: tuple((Fraction(result), share) for result, share in results)


def test_where_a_sum_reader_thinks_otherwise_the_likeliest_for_both_is_carried_out(ask: Ask) -> None:
    """A sum that holds is not the only one: 13 + 13 + 2 does too. Of the first nothing is told."""
    likely = sums_of([("2*13+13", 0.5), ("2*13", 0.3)])
    how = {"read": finds("13 litres"), "sums": likely}
    first = "2*13+13"
    assert last(ask(computes(first), SUM, **how)).text == "39 litres [1]."
    agreed = last(ask(computes(first), SUM, read_sum=thinks((39, 0.7), (26, 0.2)), **how))
    assert agreed.tool_calls == (ToolCall("calculate", first, "39"),)
    other = last(ask(computes(first), SUM, read_sum=thinks((26, 0.9), (39, 0.05)), **how))
    assert other.text == "26 litres [1]."
    assert other.tool_calls == (ToolCall("calculate", "2*13", "26"),)
    unsure = last(ask(computes(first), SUM, read_sum=thinks((77, 0.6), (39, 0.2), (26, 0.2)), **how))
    assert unsure.text == "39 litres [1]."


def test_a_sum_reader_has_read_question_and_sources(ask: Ask) -> None:
    """Numbers of both are what it chooses from."""
    problems: list[Problem] = []

    def read_sum(problem: Problem) -> Results:
        problems.append(problem)
        return ()

    assert (
        last(ask(computes("2*13"), SUM, read=finds("13 litres"), read_sum=read_sum)).text == "26 litres [1]."
    )
    (problem,) = problems
    assert problem.question == SUM
    assert 13 in problem.values
    assert "13 litres" in problem.text


PROBLEM = "Ada has 8 eggs and 5 cups. She sells 2 eggs. How many eggs are left?"


def says_a_sum(expression: str) -> Speaker:
    """Return a speaker that computes this, and says the result without a source."""
    return computes(expression, "The answer is {}.")


@pytest.mark.parametrize(
    ("thought", "right"),
    [
        (((6, 0.9), (11, 0.05)), "6"),
        (((11, 0.6), (6, 0.3)), "11"),  # as the model does
        (((3, 0.9), (6, 0.05)), "6"),  # what the model does not think of is none
        (((77, 0.9),), "11"),
        ((), "11"),
    ],
)
def test_of_a_word_problem_the_likeliest_sum_for_both_is_carried_out(
    ask: Ask, thought: tuple[tuple[int, float], ...], right: str
) -> None:
    """One sum is told, and it is streamed as always; nothing is searched for."""
    likely = sums_of([("8+5-2", 0.5), ("2-8", 0.4), ("8-2", 0.3)])
    events = ask(
        says_a_sum("8+5-2"),
        PROBLEM,
        mode="never",
        read=finds(""),
        read_sum=thinks(*thought),
        sums=likely,
    )
    answer = last(events)
    assert answer.text == f"The answer is {right}."
    assert [event.output for event in events if isinstance(event, ToolCall)] == [right]
    assert [call.output for call in answer.tool_calls] == [right]


def test_tries_that_were_given_up_do_not_use_up_an_answer_s_tokens(ask: Ask) -> None:
    """Both are counted, and each has as many as it may; what is cut off says so."""
    how = {"mode": "never", "read": finds(""), "read_sum": thinks((6, 0.9)), "sums": sums_of([("8-2", 0.5)])}
    answer = last(ask(says_a_sum("8+5-2"), PROBLEM, sampling=Sampling(max_tokens=2), **how))
    assert answer.text == "The answer is 6."
    assert answer.usage.completion_tokens >= 2
    assert not answer.cut_off
    said = [Delta("text", "First: "), Delta("text", "8. "), Delta("text", "Then")]
    assert last(ask(said, PROBLEM, sampling=Sampling(max_tokens=2), **how)).cut_off


def test_what_is_no_sum_at_first_is_left_as_the_model_writes_it(ask: Ask) -> None:
    """Words come before its sum, or it says none, or the calculator can not compute it."""
    said = [Delta("text", "First: "), Delta("text", "8.")]
    how = {"mode": "never", "read": finds(""), "read_sum": thinks((6, 0.9)), "sums": sums_of([("8-2", 0.5)])}
    assert last(ask(said, PROBLEM, **how)).text == "First: 8."
    assert last(ask([], PROBLEM, **how)).text == ""
    assert last(ask(says_a_sum("8-"), PROBLEM, **how)).text == "The answer is 6."


def test_a_difference_below_nothing_is_turned(ask: Ask) -> None:
    """How many are left is no negative number."""
    how = {"mode": "never", "read": finds(""), "read_sum": thinks((6, 0.9)), "sums": sums_of([("8-2", 0.5)])}
    assert last(ask(says_a_sum("2-8"), PROBLEM, **how)).text == "The answer is 6."


def test_a_sum_that_the_question_spells_out_is_left_as_it_is(ask: Ask) -> None:
    """Nothing is to be read there; the sum reader is not asked, and nothing is looked for."""

    def read_sum(_problem: Problem) -> Results:
        raise AssertionError("It is asked.")

    how = {"mode": "never", "read": finds(""), "read_sum": read_sum, "sums": sums_of([("8-2", 0.5)])}
    assert last(ask(says_a_sum("8+5-2"), "What is 8 + 5 - 2?", **how)).text == "The answer is 11."


def test_what_may_be_below_nothing_is_left_as_the_model_writes_it(ask: Ask) -> None:
    """Degrees are; the sum reader knows differences without a sign alone."""
    question = "It was 2 degrees in the evening, and at night 8 degrees colder. What was the temperature?"
    how = {"mode": "never", "read": finds(""), "read_sum": thinks((6, 0.9)), "sums": sums_of([("8-2", 0.5)])}
    assert last(ask(says_a_sum("2-8"), question, **how)).text == "The answer is -6."


@pytest.mark.parametrize(
    ("before", "question", "expression", "right"),
    [
        ("Anna has 25 eggs.", "Ben has 8 and Carl has 2. How many do all three have?", "25+8+2", "35"),
        ("A hat costs 15 crowns.", "I buy 2 hats and a scarf for 8 crowns. What do I pay?", "2*15+8", "38"),
        ("Ada likes eggs.", PROBLEM, "8+5-2", "6"),
    ],
)
def test_a_sum_of_numbers_of_earlier_turns_is_left_as_the_model_writes_it(
    ask: Ask, before: str, question: str, expression: str, right: str
) -> None:
    """The sum reader has not read those: it makes something of the last question's alone."""
    answer = last(
        ask(
            says_a_sum(expression),
            [user(before), assistant("I see."), user(question)],
            mode="never",
            read=finds(""),
            read_sum=thinks((6, 0.9), (10, 0.05)),
            sums=sums_of([("8-2", 0.1), ("8+2", 0.1)]),
        )
    )
    assert answer.text == f"The answer is {right}."


def sums_of(likely: Sequence[tuple[str, float]]) -> list[LikelySum]:
    """Return sums with how likely they are."""
    return [LikelySum(text, log(share)) for text, share in likely]
