"""Who is answered by the challenger. Pure."""

from __future__ import annotations

from nearline.contracts.answer import Chosen, RecommendQuery
from nearline.contracts.event import stable_key

_KEYS = 2**63  # `stable_key` answers less than this.


def wants_challenger(query: RecommendQuery, share: float) -> bool:
    """Whether the challenger should answer: as the query says, else by the customer's share.

    The same customer stays on the same side while the share stays, and the sides grow and
    shrink with it: who had the challenger at 0.1 has it at 0.2.
    """
    if query.bundle is not None:
        return query.bundle is Chosen.CHALLENGER
    return stable_key(f"challenger/{query.customer_id}") < share * _KEYS
