"""Train equals serve, proved on live answers: what rankers saw against what training computes."""
