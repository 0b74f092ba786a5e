"""What a GPU computes in fewer passes is what the plain form computes."""

import pytest
import torch
from peft import LoraConfig, PeftMixedModel, PeftModel, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM

from posttrain.gpu import quicken
from posttrain.packed_attention import side_by_side


def _plain(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, lengths: tuple[int, ...]
) -> torch.Tensor:
    pieces = zip(*(torch.split(each, list(lengths), 2) for each in (query, key, value)), strict=True)
    mixed = []
    for queries, keys, values in pieces:
        wide = [each.repeat_interleave(queries.shape[1] // each.shape[1], 1) for each in (keys, values)]
        scores = queries @ wide[0].transpose(2, 3) * 0.5
        later = torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1)
        mixed.append(scores.masked_fill(later, float("-inf")).softmax(-1) @ wide[1])
    return torch.cat(mixed, 2).transpose(1, 2)


def test_conversations_side_by_side_attend_to_themselves_alone() -> None:
    """Values and gradients of one padded product are those of a product for each conversation."""
    torch.manual_seed(0)
    lengths = (3, 9, 1, 5)
    query = torch.randn(1, 6, 18, 8, requires_grad=True)
    key, value = (torch.randn(1, 2, 18, 8, requires_grad=True) for _ in range(2))

    found, wanted = side_by_side(query, key, value, 0.5, lengths), _plain(query, key, value, lengths)

    torch.testing.assert_close(found, wanted)
    slopes = [torch.autograd.grad(each.square().sum(), (query, key, value)) for each in (found, wanted)]
    torch.testing.assert_close(*slopes)


def _adapted(dropout: float = 0.0, *, bias: bool = False) -> PeftModel | PeftMixedModel:
    config = LlamaConfig(
        vocab_size=50,
        hidden_size=24,
        intermediate_size=40,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        attention_bias=bias,
    )
    lora = LoraConfig(
        r=4,
        lora_alpha=8,
        lora_dropout=dropout,
        target_modules=["q_proj", "down_proj"],
        init_lora_weights=False,
    )
    return get_peft_model(LlamaForCausalLM(config), lora)


@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing:FutureWarning")  # PEFT asks for it
def test_an_adapter_added_first_gives_the_same_logits_and_gradients() -> None:
    """The pair multiplied out and norms in one kernel change neither what comes out nor what is learned."""
    torch.manual_seed(0)
    model = _adapted()
    ids = torch.randint(50, (2, 7))

    def run() -> list[torch.Tensor]:
        logits = model(input_ids=ids).logits
        learned = [weight for weight in model.parameters() if weight.requires_grad]
        return [logits, *torch.autograd.grad(logits.square().mean(), learned)]

    before = run()
    quicken(model)

    torch.testing.assert_close(run(), before, rtol=1e-4, atol=1e-6)


@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing:FutureWarning")  # PEFT asks for it
@pytest.mark.parametrize(("dropout", "bias"), [(0.5, False), (0.0, True)], ids=["dropout", "bias"])
def test_a_matrix_that_does_more_is_left_as_it_was(dropout: float, bias: bool) -> None:  # noqa: FBT001 - pytest's
    """Dropout is still drawn and a bias still added: the logits are the same with the same draws."""
    torch.manual_seed(0)
    model = _adapted(dropout, bias=bias).train()
    for name, weight in model.named_parameters():
        if name.endswith(".bias"):
            torch.nn.init.normal_(weight)
    ids = torch.randint(50, (2, 7))

    def run() -> torch.Tensor:
        torch.manual_seed(1)
        logits: torch.Tensor = model(input_ids=ids).logits
        return logits

    before = run()
    quicken(model)

    torch.testing.assert_close(run(), before, rtol=1e-4, atol=1e-5)
