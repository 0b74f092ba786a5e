"""What makes training on a GPU quick: fewer passes over memory, the same numbers.

PEFT multiplies the rows with the frozen matrix and then, in two more products, with the low-rank pair: five
passes over the rows a matrix. Rows are many on a GPU and matrices small, so here the pair is multiplied out
and added to the matrix first, and the rows go through one product. Norms are one kernel instead of six.
"""

from types import MethodType
from typing import cast

import torch
from peft.tuners.lora.layer import Linear as LoraLinear
from torch import Tensor, nn
from torch.nn import functional
from transformers.models.llama.modeling_llama import LlamaRMSNorm

_ADAPTER = "default"


def quicken(model: nn.Module) -> None:
    """Change how a Llama's norms and its matrices with LoRA compute; weights and their names stay.

    Matrices with dropout, which is drawn before the pair, or with a bias are left to PEFT.
    """
    torch.set_float32_matmul_precision("high")
    for module in model.modules():
        if isinstance(module, LoraLinear) and _is_plain(module):
            module.forward = MethodType(_added_first, module)  # type: ignore[method-assign]  # this one's alone
        elif isinstance(module, LlamaRMSNorm):
            module.forward = MethodType(_in_one_kernel, module)  # type: ignore[method-assign]  # the same


def _is_plain(module: LoraLinear) -> bool:
    drops = isinstance(module.lora_dropout[_ADAPTER], nn.Dropout)
    return not drops and module.get_base_layer().bias is None


def _added_first(module: LoraLinear, rows: Tensor) -> Tensor:
    down, up = (cast("Tensor", part[_ADAPTER].weight) for part in (module.lora_A, module.lora_B))
    with torch.autocast(rows.device.type, enabled=False):
        weight = module.get_base_layer().weight + module.scaling[_ADAPTER] * (up @ down)
    return functional.linear(rows, weight.to(rows.dtype))


def _in_one_kernel(module: LlamaRMSNorm, hidden: Tensor) -> Tensor:
    weight = module.weight.to(hidden.dtype)
    return functional.rms_norm(hidden, (hidden.shape[-1],), weight, module.variance_epsilon)
