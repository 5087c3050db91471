"""What a training run needs to know: one frozen tree, named and returned by `recipes`."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field


@dataclass(frozen=True, slots=True)
class SplitConfig:
    """Where the history is cut, as shares of its interactions in order of time.

    The encoder learns from what lies before the validation part, the ranker from the
    validation part, and both are judged on the test part.
    """

    validation_share: float = 0.15
    test_share: float = 0.15


@dataclass(frozen=True, slots=True)
class EncoderConfig:
    """The sequence encoder and how it learns."""

    history_length: int = 50
    """Interactions that it sees; no more than `customer.RECENT_LIMIT` are kept online."""
    dimension: int = 64
    blocks: int = 1
    heads: int = 1
    dropout: float = 0.3
    negatives: int = 256
    """Items drawn uniformly per step and shared by all positions of the batch; 0 takes all."""
    id_dropout: float = 0.1
    """Share of items that each step hides behind their category and price."""
    averaging: float = 0.99
    """Decay of the running mean of the weights, per step; 0 keeps the last step's."""
    repeats: bool = False
    """Learn to name items of the history again, as in anonymous sessions."""
    learning_rate: float = 1e-3
    cooling_from: int = 0
    """The last epoch at the full learning rate: then it falls in a straight line, to nearly 0 in
    the last of `max_epochs`; 0 never lowers it. Refits begin at the full rate again."""
    batch_size: int = 32
    max_epochs: int = 15
    patience: int = 4
    """Epochs without a better validation NDCG@10 before it stops."""
    refit_epochs: int = 2
    """Epochs over newer events, from the best weights; 0 keeps the encoder as validated."""
    warm_epochs: int = 4
    """The most epochs of an encoder that begins where the champion's stood."""
    warm_patience: int = 2
    warm_learning_rate: float = 2.5e-4
    """Smaller than for one that begins from nothing: a new optimizer's first steps shake it."""
    warm_generations: int = 6
    """Runs that go on from one another before one begins from nothing again."""
    validation_cases: int = 2_000
    test_cases: int = 5_000


@dataclass(frozen=True, slots=True)
class RankerConfig:
    """The ranker and the moments that it learns from."""

    train_points: int = 2_500
    test_points: int = 1_000
    points_per_customer: int = 4
    label_hours: float = 24.0
    """Items met within this time after the instant are what should have been shown."""
    negatives_per_point: int = 30
    """Candidates that were not met, kept per training point; the test keeps all."""
    validation_share: float = 0.2
    """The newest share of the training points, kept apart to decide when to stop."""
    trees: int = 400
    depth: int = 5
    learning_rate: float = 0.08
    patience: int = 30
    shown_lists: int = 2_000
    """Lists from the log of what was shown, drawn evenly, that may teach as well."""
    fewest_clicks: int = 300
    """Clicks on shown items that it takes to say how often each place is looked at."""
    bias_places: int = 20
    """Places that are told apart; what stands below counts with the last."""
    most_weight: float = 10.0
    """A click counts once over how often its place is looked at, and at most so often."""


@dataclass(frozen=True, slots=True)
class CovisitConfig:
    """Which items are met beside which: see `training.covisits`."""

    neighbours: int = 20
    """Companions kept per item and pair of events."""
    places: int = 10
    """How far apart two interactions may stand in a customer's sequence."""
    half_life_days: float = 30.0
    """After this time a pair counts half."""


@dataclass(frozen=True, slots=True)
class ChurnConfig:
    """The scores, churn first: silence for the whole horizon, among customers lately active."""

    horizons_days: tuple[int, ...] = (14, 30)
    repurchase_days: int = 7
    """Whether somebody buys again within this time; 0 leaves the score out."""
    demand_days: int = 7
    """Whether somebody buys in a category within this time; 0 leaves the score out."""
    active_days: int = 30
    """Only customers seen within this time before the snapshot are scored."""
    snapshot_step_days: float = 3.0
    max_snapshots: int = 8
    folds: int = 4
    """Calibration learns each fold of customers from trees that did not learn from it; and where
    no later snapshot can judge, each fold is judged by what the others taught."""
    calibration_snapshots: int = 3
    """The newest so many: how often customers leave drifts, and a curve must follow."""
    trees: int = 100
    depth: int = 3
    learning_rate: float = 0.05
    smallest_leaf: float = 30.0
    """Weight that a leaf must hold (rows times p(1 - p)): few rows teach a young shop noise."""
    alert_rate: float = 0.3
    """Share of the cohort that is warned about, for recall and precision."""
    wanted_recall: float = 0.8
    """Of those who really left, or will; the alert rate that reaches it is reported."""
    min_class_rows: int = 30
    """Rows that each outcome needs in every part; with fewer the model is left out."""


@dataclass(frozen=True, slots=True)
class LifetimeConfig:
    """What customers will still buy: BG/NBD and Gamma-Gamma."""

    holdout_share: float = 1 / 3
    """The newest share of the history's days, foretold from the older ones to judge by."""
    min_customers: int = 50
    """Customers that must have bought in the older part; with fewer it is left out."""


@dataclass(frozen=True, slots=True)
class TrainingConfig:
    """One whole training run. `name` is the recipe's."""

    name: str
    seed: int = 20_261_121
    split: SplitConfig = field(default_factory=SplitConfig)
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    covisits: CovisitConfig = field(default_factory=CovisitConfig)
    ranker: RankerConfig = field(default_factory=RankerConfig)
    churn: ChurnConfig = field(default_factory=ChurnConfig)
    lifetime: LifetimeConfig = field(default_factory=LifetimeConfig)
    warm_start: bool = False
    """Begin the encoder where the champion's stood, where that can be."""
    popular_items: int = 200
    popular_days: float = 7.0

    def flat(self) -> dict[str, str]:
        """Every parameter by its path, such as `encoder.dimension`: what MLflow logs."""
        flat: dict[str, str] = {}
        for name, value in asdict(self).items():
            if isinstance(value, dict):
                flat.update({f"{name}.{key}": str(inner) for key, inner in value.items()})
            else:
                flat[name] = str(value)
        return flat
