"""Low-rank adapters for fine-tuning Transformers, by the library peft.

Source: Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models" (2021).
"""

from __future__ import annotations

from typing import Any

from torch import nn

from grap_seq.nn.sequence_model import SequenceModel
from grap_seq.nn.transformer_layer import TransformerLayer


def add_adapters(model: SequenceModel, *, rank: int, alpha: int, dropout: float) -> None:
    """Freeze the model; every linear map of its Transformer layers gets a trainable adapter.

    Raises:
        ValueError: the encoder has no Transformer layers.
    """
    from peft import LoraConfig, get_peft_model

    names = [
        f"{path}.{inner}"
        for path, layer in model.encoder.named_modules()
        if isinstance(layer, TransformerLayer)
        for inner, part in layer.named_modules()
        if isinstance(part, nn.Linear)
    ]
    if not names:
        raise ValueError(
            "adapters=lora works on Transformer layers, of which this run's encoder has none; use"
            " adapters=full"
        )
    model.requires_grad_(False)
    options = LoraConfig(r=rank, lora_alpha=alpha, lora_dropout=dropout, target_modules=names)
    model.encoder = get_peft_model(model.encoder, options)


def merge_adapters(model: SequenceModel) -> None:
    """Add the adapters to the weights they stand beside: the model is an ordinary one again."""
    wrapped: Any = model.encoder
    model.encoder = wrapped.merge_and_unload()
    model.requires_grad_(True)
