"""`nearline models` on a real registry: what it says and how it ends, and after common mistakes."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import xgboost
from click.testing import CliRunner

from nearline import registry
from nearline.cli import main
from nearline.contracts.bundle import CHALLENGER
from nearline.transforms.ranking import RANKER_FEATURES
from tests.integration.training.conftest import TrainedShop
from training.commands import models
from training.tracking import Registry

pytestmark = pytest.mark.slow

FEATURES = ["item_price_cents", "encoder_score", "popular_rank"]


@dataclass(frozen=True)
class Ended:
    """What a command said, and its exit code."""

    code: int
    out: str
    err: str


Nearline = Callable[..., Ended]


@pytest.fixture
def nearline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Nearline:
    """The command line, in an empty home."""
    monkeypatch.setenv("NEARLINE_HOME", str(tmp_path))
    monkeypatch.setenv("NEARLINE_LANG", "en")
    monkeypatch.setenv("COLUMNS", "300")

    def run(*words: str) -> Ended:
        monkeypatch.setattr(sys, "argv", ["nearline", "models", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        return Ended(int(ended.value.code or 0), said.out, said.err)

    return run


@dataclass(frozen=True)
class Shop:
    """A registry where version 1 was trained and version 2 holds a ranker from outside."""

    database: Path
    said: str  # by `models bring`
    ranker: Path
    features: Path


@pytest.fixture(scope="module")
def shop(trained: TrainedShop, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """Made once, by the command itself; tests get copies of the registry."""
    home = tmp_path_factory.mktemp("brought")
    shutil.copy(trained.settings.home / "mlflow.db", home)
    lessons = Registry(trained.settings.mlflow_uri, trained.settings.mlflow_artifacts)
    rows = lessons.trial(lessons.version(trained.version)).train
    columns = [RANKER_FEATURES.index(name) for name in FEATURES]
    data = xgboost.DMatrix(rows.features_RF[:, columns], rows.gains_R, nthread=1)
    xgboost.train({"nthread": 1, "max_depth": 3}, data, 5).save_model(home / "mine.ubj")
    (home / "features.txt").write_text("\n".join(FEATURES) + "\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NEARLINE_HOME", str(home))
        patch.setenv("NEARLINE_LANG", "en")
        words = ["bring", "--ranker", str(home / "mine.ubj"), "--by", "ann"]
        done = CliRunner().invoke(models, [*words, "--features", str(home / "features.txt")])
    return Shop(home / "mlflow.db", done.output, home / "mine.ubj", home / "features.txt")


@pytest.fixture
def home(shop: Shop, tmp_path: Path) -> Path:
    shutil.copy(shop.database, tmp_path)
    return tmp_path


def at(home: Path, alias: str) -> str | None:
    return registry.resolve(f"sqlite:///{home / 'mlflow.db'}", alias)


def test_a_ranker_from_outside_becomes_challenger_with_its_figures(shop: Shop) -> None:
    first, second, third, last = shop.said.splitlines()

    assert first == "Version 2 is challenger: version 1 with another ranker."
    assert second.startswith("NDCG@10 0.")
    assert "lead " in second
    assert third.startswith("Slowest hundredth of answers ")
    assert last.startswith("Next: nearline models check 2")
    assert at(shop.database.parent, CHALLENGER) == "2"


@pytest.mark.parametrize(
    ("file", "content", "told"),
    [
        ("mine.pkl", "pickle", "a file that ends in '.pkl' is none that a bundle may hold"),
        ("mine", "what", "a file that ends in 'nothing' is none that a bundle may hold"),
        ("mine.ubj", "no trees", "it is no xgboost"),
    ],
)
def test_a_file_of_an_unknown_kind_is_refused_and_nothing_is_registered(
    nearline: Nearline, home: Path, file: str, content: str, told: str
) -> None:
    (home / file).write_text(content)

    ended = nearline("bring", "--ranker", str(home / file), "--by", "ann")

    assert ended.code == 1
    assert ended.err.startswith("this model is not taken: ")
    assert told in ended.err
    assert "[bt]" not in ended.err  # the library's reason, not its stack
    assert ended.err.endswith("Nothing was registered.\n")
    assert at(home, CHALLENGER) == "2"


def test_the_list_can_be_read_on_a_narrow_terminal(
    nearline: Nearline, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")

    heading, first = nearline("list").out.splitlines()[1:4:2]

    for word in ("no.", "alias", "made (UTC)", "encoder", "ranker", "churn", "gate", "from"):
        assert word in heading
    assert "challenger" in first


def test_a_registry_that_cannot_be_read_is_told_in_a_sentence(
    nearline: Nearline, home: Path
) -> None:
    (home / "mlflow.db").write_bytes(b"SQLite format 3\x00, and nothing after it" * 100)

    ended = nearline("list")

    assert ended.code == 1
    assert "Traceback" not in ended.err
    assert ended.err.count("\n") == 1


def test_a_report_of_a_brought_part_says_where_its_figures_are(
    nearline: Nearline, home: Path
) -> None:
    ended = nearline("report", "2", str(home / "report.html"))

    assert ended.code == 1
    assert "nearline models show 2" in ended.err


def test_a_feature_that_serving_lacks_is_refused_with_the_one_that_was_meant(
    nearline: Nearline, home: Path, shop: Shop
) -> None:
    (home / "typo.txt").write_text("item_price_cent\nencoder_score\npopular_rank\n")

    ended = nearline(
        "bring", "--ranker", str(shop.ranker), "--features", str(home / "typo.txt"), "--by", "ann"
    )

    assert ended.code == 1
    assert "serving has no feature 'item_price_cent'; did you mean 'item_price_cents'?" in ended.err


def test_without_any_bundle_there_is_nothing_to_bring_a_model_into(
    nearline: Nearline, shop: Shop
) -> None:
    ended = nearline("bring", "--ranker", str(shop.ranker), "--by", "ann")

    assert ended.code == 1
    assert ended.err == (
        "no bundle is registered yet, so there is nothing to put a model into: "
        "`nearline train --promote` makes one\n"
    )


def test_a_command_that_lacks_a_word_says_which(nearline: Nearline, shop: Shop) -> None:
    ended = nearline("bring", "--ranker", str(shop.ranker))

    assert ended.code == 2
    assert "Missing option '--by'" in ended.err


def test_one_version_is_shown_with_where_it_comes_from(nearline: Nearline, home: Path) -> None:
    ended = nearline("show", "2")

    assert ended.code == 0
    rows = {
        cells[0].strip(): cells[1].strip()
        for line in ended.out.splitlines()
        if len(cells := line.strip("│┃").split("│")) == 2
    }
    assert rows["alias"] == CHALLENGER
    assert rows["recipe"] == "quick"
    assert (rows["parent"], rows["brought_by"]) == ("1", "ann: ranker")
    assert rows["items"] == "40"
    assert rows["ranker"] == "xgboost, 3 features"
    assert rows["gate"] == "not checked"
    assert 0 < float(rows["rank_ranker_ndcg_at_10"]) < 1


def test_two_versions_are_compared_by_figures_and_by_what_differs(
    nearline: Nearline, home: Path
) -> None:
    ended = nearline("compare", "1", "2")

    assert ended.code == 0
    (line,) = [one for one in ended.out.splitlines() if " rank_ranker_ndcg_at_10 " in one]
    _, _, mine, theirs, gap, better, _ = map(str.strip, line.split("│"))
    assert float(gap) == pytest.approx(float(theirs) - float(mine), abs=2e-4)
    assert better == ("2" if float(gap) > 0 else "1")
    assert "brought_by" in ended.out
    assert "ranker's inputs: only 1: " in ended.out


@pytest.mark.parametrize("words", [("show", "99"), ("compare", "1", "99")])
def test_a_version_that_there_is_not_is_answered_with_where_to_look(
    nearline: Nearline, home: Path, words: tuple[str, ...]
) -> None:
    ended = nearline(*words)

    assert ended.code == 1
    assert ended.err == (
        "there is no version '99' of the bundle: `nearline models list` shows which there are\n"
    )


def test_a_challenger_is_withdrawn_and_its_version_stays(nearline: Nearline, home: Path) -> None:
    ended = nearline("withdraw")

    assert (ended.code, ended.out) == (0, "Version 2 is challenger no more.\n")
    assert at(home, CHALLENGER) is None
    assert nearline("show", "2").code == 0

    again = nearline("withdraw")
    assert (again.code, again.out) == (0, "There is no challenger.\n")


def test_without_a_champion_there_is_no_page_and_nothing_to_go_back_to(
    nearline: Nearline, home: Path, tmp_path: Path
) -> None:
    page = nearline("page", str(tmp_path / "page.md"))
    back = nearline("rollback")

    assert (page.code, back.code) == (1, 1)
    assert page.err.startswith("no bundle is champion yet: `nearline train --promote` makes one")
    assert back.err.startswith("there is no previous champion to go back to")
