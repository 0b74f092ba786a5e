"""Hundreds of answers over documents in many scripts: every citation is exact, every [n] has one.

The chat model is a stand-in that says sentences of its passages, changed and with any markers;
`benchmarks/citations.py` does the same with the real models.
"""

import random
import re
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from corpus.sentences import sentence_spans
from corpus.settings import Settings
from rag_service.answering.answer import Answer, AnswerRequest
from rag_service.answering.conversation import Message, Part, user
from rag_service.answering.markers import Delta
from rag_service.app import Models
from rag_service.documents import read_text
from rag_service.retrieval.readers import SHIPPED_READER
from rag_service.retrieval.remembering import RememberingEmbedder
from rag_service.service import Service
from tests.fakes import FakeChatModel, FakeEmbedder, Said
from tests.integration.api.clients import running_service, service_of, upload

# By the setting of the readers. Both read for a second and more for an answer, one for a quarter of that.
ANSWERS = {"": 20, str(SHIPPED_READER): 60, "none": 120}
# ruff: noqa: RUF001 - the characters of all scripts are the subject
DOCUMENTS = {
    "Latin": "Der Hafen von Vöstrel wurde 1931 eröffnet. Małą kawiarnię prowadzi Ilse Brandt.",
    "Greek": "Το λιμάνι άνοιξε το 1931. Η γεννήτρια καίει 14 λίτρα την ώρα. Τι ώρα ανοίγει το καφέ;",
    "Cyrillic": "Порт Вострел был открыт в 1931 году. Генератор сжигает 14 литров дизеля в час.",
    "Hebrew": "נמל ווסטרל נפתח בשנת 1931. הגנרטור שורף 14 ליטר סולר בשעה.",
    "Arabic": "افتتح ميناء فوستريل في عام 1931. تحرق المولدة 14 لترًا من الديزل في الساعة.",
    "Hindi": "वोस्ट्रेल बंदरगाह 1931 में खोला गया था। जनरेटर प्रति घंटे 14 लीटर डीज़ल जलाता है।",
    "Thai": "ท่าเรือวอสเทรลเปิดในปี 1931 เครื่องปั่นไฟเผาดีเซล 14 ลิตรต่อชั่วโมง",
    "Chinese": "沃斯特雷尔港于1931年启用。这台发电机每小时消耗14升柴油。小咖啡馆由伊尔泽经营。",
    "Japanese": "ヴォストレル港は1931年に開港しました。発電機は一時間に14リットルの軽油を燃やします。",
    "Korean": "보스트렐 항구는 1931년에 문을 열었습니다. 발전기는 한 시간에 경유 14리터를 태웁니다.",
    "Marks": (
        "The chef’s badge shows 👩‍🍳 and 🚤. Room 𝔸𝔹 holds 14 barrels of ﬁsh oil [7].\r\n\r\n"
        "A note says <SEARCH_START>diesel<SEARCH_END> and <|im_end|>. Zero\u200bwidth\u200bspaces are here; "
        "so do soft\u00adhyphens and cafe\u0301s."
    ),
}
FORMS = ("NFC", "NFD")
MARKERS = (
    "[1]",
    " [2]",
    "[3][1]",
    "[99]",
    " [0]",
    "[1, 4-6]",
    "[[1]2]",
    "[Passage 2]",
    "<|im_end|>",
    "[",
    " [5",
)


def speaker(chance: random.Random) -> "FakeChatModel":
    """Return a model that says whole, cut and changed sentences of what it reads, and writes any markers."""

    def say(_messages: Sequence[Message], parts: Sequence[Part]) -> Said:
        texts = [passage.text for part in parts for passage in part.passages]
        sentences = [text[start:end] for text in texts for start, end in sentence_spans(text)]
        said = []
        for sentence in chance.sample(sentences, min(len(sentences), chance.randint(1, 3))):
            words = sentence.split(" ")
            if chance.random() < 0.3:
                words = words[chance.randrange(len(words)) :]
            if chance.random() < 0.2:
                words.insert(chance.randrange(len(words) + 1), chance.choice(["never", "1999", "Ilse"]))
            words.insert(chance.randrange(len(words) + 1), chance.choice(MARKERS))
            said.append(" ".join(words) + chance.choice(["", *MARKERS]))
        whole = chance.choice([" ", "\n"]).join(said)
        step = chance.randint(1, 9)
        return [Delta("text", whole[place : place + step]) for place in range(0, len(whole), step)]

    return FakeChatModel(say)


@pytest.fixture(scope="module", params=ANSWERS, ids=["both readers", "one reader", "no reader"])
def reader(request: pytest.FixtureRequest) -> str:
    """The setting: the readers that are shipped, the smaller of them alone, or none."""
    return str(request.param)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, reader: str) -> Iterator[Service]:
    """A service with each document composed and decomposed."""
    data_dir: Path = tmp_path_factory.mktemp("data")
    model = speaker(random.Random(0))  # noqa: S311 - no secret
    models = Models(lambda: RememberingEmbedder(FakeEmbedder()), lambda: model)
    settings = Settings(data_dir=data_dir, trace_days=0, reader=reader)
    with running_service(settings, models) as client:
        for title, text in DOCUMENTS.items():
            for form in FORMS:
                upload(client, f"{form}\n\n{unicodedata.normalize(form, text)}", title=title)
        yield service_of(client)


def test_every_citation_is_exact_and_every_marker_has_one(service: Service, reader: str) -> None:
    """`content[source_start:source_end] == quote`, whatever the script and whatever the model wrote."""
    chance = random.Random(1)  # noqa: S311 - no secret
    sentences = [text[start:end] for text in DOCUMENTS.values() for start, end in sentence_spans(text)]
    cited, beyond_ascii = 0, 0
    for number in range(ANSWERS[reader]):
        question = unicodedata.normalize(FORMS[number % 2], chance.choice(sentences))
        request = AnswerRequest((user(f"{question} ?"),), on_no_evidence="answer", top_k=4)
        answer = service.answerer.get().answer(request)
        check(answer)
        for citation in answer.citations:
            with service.database.read() as session:
                content = read_text(session, citation.passage.document_id)
            assert content[citation.source_start : citation.source_end] == citation.quote != ""
            cited += 1
            beyond_ascii += not citation.quote.isascii()
    assert cited > ANSWERS[reader] / 2
    assert beyond_ascii > ANSWERS[reader] / 4


def check(answer: Answer) -> None:
    """Hold markers against citations, both ways, in their places."""
    stated = [int(number) for number in re.findall(r"\[(\d+)\]", answer.text)]
    assert stated == [citation.id for citation in answer.citations]
    for citation in answer.citations:
        assert f"[{citation.id}]" in answer.text[citation.start : citation.end]
