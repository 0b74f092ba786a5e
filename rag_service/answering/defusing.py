"""Text for a tokenizer that is not ours, which may find control tokens in it."""

import re

_ZERO_WIDTH_SPACE = "\u200b"
# Our markers, ChatML's and Llama's <|…|>, DeepSeek's with full-width bars, Gemma's turns, Mistral's brackets.
_CONTROL = re.compile(
    r"<(?=\||\uff5c|/?s>|/?think>|(?:start|end)_of_turn>|(?:SEARCH|RESULT|CALC|THINK)_(?:START|END)>|REFUSAL>)"
    r"|\[(?=/?(?:INST|SYSTEM_PROMPT|TOOL_CALLS|TOOL_RESULTS|AVAILABLE_TOOLS)\])"
)


def defused(text: str) -> str:
    """Return text that looks the same, with a zero-width space in what may be a control token."""
    return _CONTROL.sub(rf"\g<0>{_ZERO_WIDTH_SPACE}", text)
