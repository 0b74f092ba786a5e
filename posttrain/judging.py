"""A larger model as judge: whether an answer says the same as the accepted ones in other words."""

from collections.abc import Callable, Sequence

from rag_service.answering.chat_model import ChatModel, Sampling
from rag_service.answering.conversation import user
from rag_service.answering.markers import Delta

Judge = Callable[[str, Sequence[str], str], bool]  # question, accepted answers, answer
_REQUEST = """\
Question: {question}
Accepted answers: {accepted}
Given answer: {answer}

Does the given answer say the same as one of the accepted answers? Reply with one word: yes or no."""
_BRIEFLY = Sampling(max_tokens=8)


def judge_by(model: ChatModel) -> Judge:
    """Return a judge that asks the model; only a reply that begins with "yes" is one."""

    def judge(question: str, accepted: Sequence[str], answer: str) -> bool:
        request = _REQUEST.format(question=question, accepted="; ".join(accepted), answer=answer)
        with model.begin((user(request),)) as turn:
            said = "".join(item.text for item in turn.generate(_BRIEFLY) if isinstance(item, Delta))
        return said.strip().lower().startswith("yes")

    return judge
