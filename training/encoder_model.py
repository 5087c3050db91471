"""The sequence encoder: a causal transformer over a customer's last interactions.

After SASRec (Kang and McAuley 2018), with pre-LayerNorm, an embedding for the kind of each
interaction, and item embeddings tied between input and output.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from training.config import EncoderConfig
from training.encoder_content import ItemContent

# Axes: B customers, T places shown (T <= L, newest last), D dimensions, H heads.
_KINDS = 5  # 0 pads, 1 to 4 are `Kind`
_PLACES_AT_ONCE = 1_024  # Their scores with 2,000 negatives are 8 MB.


class Block(nn.Module):
    """Attention to the places before, then a feed-forward layer; both added to the input."""

    def __init__(self, dimension: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.attention_norm = nn.LayerNorm(dimension)
        self.query_key_value = nn.Linear(dimension, 3 * dimension)
        self.attention_out = nn.Linear(dimension, dimension)
        self.forward_norm = nn.LayerNorm(dimension)
        self.forward_in = nn.Linear(dimension, 4 * dimension)
        self.forward_out = nn.Linear(4 * dimension, dimension)
        self.dropout = nn.Dropout(dropout)

    def forward(self, hidden_BTD: Tensor, mask_B1TT: Tensor, newest: bool = False) -> Tensor:
        """What comes after each place; of the newest place alone (B, 1, D) where nobody asks more.

        All that the others add to it goes through attention.
        """
        attended = self._attend(self.attention_norm(hidden_BTD), mask_B1TT, newest)
        hidden_BTD = (hidden_BTD[:, -1:] if newest else hidden_BTD) + self.dropout(attended)
        inner = torch.relu(self.forward_in(self.forward_norm(hidden_BTD)))
        out: Tensor = hidden_BTD + self.dropout(self.forward_out(inner))
        return out

    def _attend(self, hidden_BTD: Tensor, mask_B1TT: Tensor, newest: bool) -> Tensor:
        batch, places, dimension = hidden_BTD.shape
        split = (batch, places, 3, self.heads, dimension // self.heads)
        mixed = self.query_key_value(hidden_BTD).reshape(split).permute(2, 0, 3, 1, 4)
        asking = slice(-1, None) if newest else slice(None)
        mixed_BHTD = nn.functional.scaled_dot_product_attention(
            mixed[0][:, :, asking], mixed[1], mixed[2], attn_mask=mask_B1TT[:, :, asking]
        )
        mixed_BTD = mixed_BHTD.transpose(1, 2).reshape(batch, -1, dimension)
        out: Tensor = self.attention_out(mixed_BTD)
        return out


class Encoder(nn.Module):
    """Turns a history into a vector whose inner product with an item's says how likely it is next.

    Row 0 of the item embedding pads; item_index i lies in row i + 1. With `content`, an item's
    vector is its own plus those of its category and price band.
    """

    def __init__(
        self, items: int, config: EncoderConfig, content: ItemContent | None = None
    ) -> None:
        super().__init__()
        dimension = config.dimension
        self.content = content
        self.length = config.history_length
        self.item = nn.Embedding(items + 1, dimension, padding_idx=0)
        self.kind = nn.Embedding(_KINDS, dimension, padding_idx=0)
        self.place = nn.Parameter(torch.empty(config.history_length, dimension))
        self.blocks = nn.ModuleList(
            Block(dimension, config.heads, config.dropout) for _ in range(config.blocks)
        )
        self.out_norm = nn.LayerNorm(dimension)
        self.dropout = nn.Dropout(config.dropout)
        nn.init.normal_(self.item.weight, std=dimension**-0.5)
        # Kind and place begin as a whisper beside the item, else they drown it for many epochs.
        for weight in (self.kind.weight, self.place):
            nn.init.normal_(weight, std=0.02)
        with torch.no_grad():
            self.item.weight[0].zero_()
            self.kind.weight[0].zero_()
        if content is not None:
            self.category = _zeros(len(content.names) + 1, dimension)
            self.band = _zeros(len(content.edges_cents) + 2, dimension)
            self.restate(content)

    def restate(self, content: ItemContent) -> None:
        """Let categories and price bands be those of `content`, which differs in its items only."""
        self.content = content
        for name, rows_I in (("_category_I", content.category_I), ("_band_I", content.band_I)):
            rows = nn.functional.pad(torch.from_numpy(rows_I), (1, 0)).to(self.item.weight.device)
            self.register_buffer(name, rows, persistent=False)

    def described(self) -> Tensor:
        """(I + 1, D): what category and price say of each item; zeros without content."""
        if self.content is None:
            return torch.zeros_like(self.item.weight)
        described: Tensor = self.category(self._category_I) + self.band(self._band_I)
        return described

    def table(self, keep_I: Tensor | None = None) -> Tensor:
        """(I + 1, D): the vector of every item; `keep_I` (I + 1) of 0 hides an item's own part."""
        if self.content is None:
            return self.item.weight
        own = self.item.weight if keep_I is None else self.item.weight * keep_I[:, None]
        return own + self.described()

    def forward(self, items_BT: Tensor, kinds_BT: Tensor) -> Tensor:
        """The query vector of each customer: (B, D), from the newest place."""
        return self.hidden(items_BT, kinds_BT, newest=True)[:, -1]

    def hidden(
        self,
        items_BT: Tensor,
        kinds_BT: Tensor,
        table: Tensor | None = None,
        newest: bool = False,
    ) -> Tensor:
        """The query vector after each place: (B, T, D); finite even where all is padding.

        `table` is `self.table()`, where the caller has it already. With `newest` only that of the
        newest place, (B, 1, D): of the last block it needs a fiftieth.
        """
        table = self.table() if table is None else table
        places = items_BT.shape[1]
        known_BT = items_BT > 0
        causal_TT = torch.ones(places, places, dtype=torch.bool, device=items_BT.device).tril()
        # A large number instead of infinity: a row that may see nothing stays finite.
        mask_B1TT = (~(causal_TT & known_BT[:, None, None, :])).to(torch.float32) * -1e9
        vectors_BTD = nn.functional.embedding(items_BT, table, padding_idx=0)
        hidden_BTD = vectors_BTD + self.kind(kinds_BT) + self.place[-places:]
        hidden_BTD = self.dropout(hidden_BTD)
        for number, block in enumerate(self.blocks, start=1):
            last = number == len(self.blocks)
            hidden_BTD = block(hidden_BTD, mask_B1TT, newest=newest and last)
        out: Tensor = self.out_norm(hidden_BTD)
        return out


def _zeros(rows: int, dimension: int) -> nn.Embedding:
    """An embedding that begins as nothing; row 0 stays so."""
    embedding = nn.Embedding(rows, dimension, padding_idx=0)
    nn.init.zeros_(embedding.weight)
    return embedding


def sampled_softmax_loss(
    hidden_ND: Tensor, targets_N: Tensor, negatives_K: Tensor, weight: Tensor
) -> Tensor:
    """Cross entropy of each target against K items shared by all places.

    `weight` is the item table, targets and negatives are its rows, each negative once. Drawn
    uniformly have one probability, so the logQ correction (Yi et al. 2019) is one constant
    for all logits and cancels in the softmax; a negative that is the target is masked.
    """
    loss: Tensor = _SampledSoftmax.apply(hidden_ND, targets_N, negatives_K, weight)  # type: ignore[no-untyped-call]
    return loss


class _SampledSoftmax(torch.autograd.Function):
    """The loss and its gradients in one pass over pieces that stay in the cache.

    The scores of all places and negatives at once are by far the largest thing in a step (80 MB
    for 20,000 places and 1,024 negatives); writing them out and reading them back for the gradient
    takes longer than computing them.
    """

    @staticmethod
    def forward(
        ctx: Any, hidden_ND: Tensor, targets_N: Tensor, negatives_K: Tensor, weight: Tensor
    ) -> Tensor:
        others_KD = weight[negatives_K]
        column_I = torch.full((len(weight),), -1, device=weight.device)
        column_I[negatives_K] = torch.arange(len(negatives_K), device=weight.device)
        loss = hidden_ND.new_zeros(())
        of_hidden_ND, of_weight = torch.empty_like(hidden_ND), torch.zeros_like(weight)
        of_others_KD = torch.zeros_like(others_KD)
        for start in range(0, len(hidden_ND), _PLACES_AT_ONCE):
            part = slice(start, start + _PLACES_AT_ONCE)
            hidden_PD, targets_P = hidden_ND[part], targets_N[part]
            own_PD = weight[targets_P]
            own_P = (hidden_PD * own_PD).sum(-1)
            others_PK = hidden_PD @ others_KD.T
            column_P = column_I[targets_P]
            clash = torch.nonzero(column_P >= 0).squeeze(1)
            others_PK[clash, column_P[clash]] = -1e9
            whole_P = torch.logaddexp(own_P, torch.logsumexp(others_PK, dim=1))
            loss += (whole_P - own_P).sum()
            # From here on probabilities: the gradient of the loss by each score, less 1 for own.
            others_PK.sub_(whole_P[:, None]).exp_()
            own_P = torch.expm1(own_P - whole_P)
            of_hidden_ND[part] = others_PK @ others_KD + own_P[:, None] * own_PD
            of_others_KD += others_PK.T @ hidden_PD
            of_weight.index_add_(0, targets_P, own_P[:, None] * hidden_PD)
        of_weight.index_add_(0, negatives_K, of_others_KD)
        places = max(len(hidden_ND), 1)
        ctx.save_for_backward(of_hidden_ND / places, of_weight / places)
        return loss / places

    @staticmethod
    def backward(ctx: Any, of_loss: Tensor) -> tuple[Tensor, None, None, Tensor]:
        of_hidden_ND, of_weight = ctx.saved_tensors
        return of_loss * of_hidden_ND, None, None, of_loss * of_weight
