"""Bring your own model: a ranker or an encoder from a notebook, checked, judged, registered.

    from training import bring

    desk = bring.Desk()                              # settings from the environment
    frame = desk.ranking_frame()                     # point-in-time features, gains, questions
    booster = lightgbm.train(...)                    # or XGBoost, scikit-learn, torch
    print(desk.register_ranker(booster, features=frame.features, by="ann"))

The model takes its place in a copy of the champion's bundle and serves as challenger.
`docs/notebooks/train_and_register.ipynb` shows it whole.
"""

from training.bring.desk import Brought, Desk
from training.bring.frames import EncoderFrame, Part, RankingFrame
from training.bring.refusal import Refused

__all__ = ["Brought", "Desk", "EncoderFrame", "Part", "RankingFrame", "Refused"]
