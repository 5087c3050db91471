"""A folder of policy files, changed while serving."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from nearline.errors import PermanentError
from serving.commands import serve
from serving.policy.folder import KEPT, Folder, opened
from serving.policy.lines import MAX_BYTES
from serving.policy.load import PolicyRefused, shipped
from serving.policy.model import canonical


def share(folder: Folder) -> float:
    return folder.policy.rules.category_share


def test_no_folder_and_an_empty_one_mean_the_shipped_policy(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "policy")
    assert folder.policy is shipped()

    (tmp_path / "policy").mkdir()

    assert not folder.look()
    assert folder.policy is shipped()


def test_a_change_holds_at_the_next_look_and_emptying_brings_the_shipped_back(
    tmp_path: Path,
) -> None:
    file = tmp_path / "rules.yaml"
    folder = Folder(tmp_path)
    file.write_text("rules: {category_share: 0.5}")
    assert folder.look()
    assert share(folder) == 0.5
    assert not folder.look()

    file.write_text("rules: {category_share: 0.6}  # more")
    assert folder.look()
    assert share(folder) == 0.6

    file.unlink()
    assert folder.look()
    assert folder.policy == shipped()


def test_a_broken_change_keeps_the_last_good_policy_and_says_what_is_wrong(tmp_path: Path) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text("rules: {category_share: 0.5}")
    folder = Folder(tmp_path)

    file.write_text("rules: {category_share: 50}")
    assert folder.look()
    assert share(folder) == 0.5
    (error,) = folder.errors
    assert (error.file, error.line) == ("rules.yaml", 1)
    assert not folder.look()

    file.write_text("rules: {category_share: 0.7}")
    assert folder.look()
    assert (share(folder), folder.errors) == (0.7, ())


def test_another_layout_is_no_change(tmp_path: Path) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text("rules: {category_share: 0.5}")
    folder = Folder(tmp_path)

    file.write_text("rules:\n  category_share: 0.50  # half\n")

    assert not folder.look()


def test_a_change_of_the_same_length_in_a_replaced_file_is_seen(tmp_path: Path) -> None:
    file, new = tmp_path / "rules.yaml", tmp_path / "new"
    file.write_text("rules: {category_share: 0.5}")
    folder = Folder(tmp_path)
    at_ns = file.stat().st_mtime_ns

    new.write_text("rules: {category_share: 0.6}")
    os.utime(new, ns=(at_ns, at_ns))
    new.replace(file)

    assert folder.look()
    assert share(folder) == 0.6


def test_broken_files_at_the_start_are_refused_unless_a_policy_was_kept(tmp_path: Path) -> None:
    (tmp_path / "rules.yml").write_text("rulez: {}")

    with pytest.raises(PolicyRefused, match="did you mean rules"):
        Folder(tmp_path)
    kept = Folder(tmp_path, kept=shipped())
    assert kept.policy is shipped()
    assert len(kept.errors) == 1


def test_broken_files_at_the_start_give_way_to_what_a_run_before_kept_and_never_to_what_ships(
    tmp_path: Path,
) -> None:
    kept, files = tmp_path / KEPT, tmp_path / "policy"
    files.mkdir()
    (files / "rules.yml").write_text("rules: {category_share: 0.2}")
    good = opened(files, kept).policy
    (files / "rules.yml").write_text("rulez: {}")

    with pytest.raises(PolicyRefused, match="did you mean rules"):
        opened(files, kept)
    kept.write_bytes(b"cut off")
    with pytest.raises(PolicyRefused):
        opened(files, kept)
    kept.write_bytes(canonical(good))
    again = opened(files, kept)

    assert again.policy.version == good.version
    assert len(again.errors) == 1


def test_serving_does_not_start_on_broken_files_that_nothing_stands_in_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object) -> None:
        raise AssertionError("Ray was started")

    monkeypatch.setattr("serving.server.running", never)
    monkeypatch.setattr("serving.workers.stay_lean", lambda: None)
    monkeypatch.setenv("NEARLINE_HOME", str(tmp_path))
    (tmp_path / "policy").mkdir()
    (tmp_path / "policy" / "rules.yaml").write_text("rulez: {}")

    done = CliRunner().invoke(serve)

    assert isinstance(done.exception, PermanentError)
    assert f"{tmp_path / 'policy' / 'rules.yaml'}:1: rules.yaml has no 'rulez'" in str(
        done.exception
    )


def test_what_is_no_policy_file_is_passed_over(tmp_path: Path) -> None:
    for name in ("notes.txt", ".hidden.yaml", "rules.yaml~"):
        (tmp_path / name).write_text("rulez: {}")
    (tmp_path / "folder.yaml").mkdir()
    (tmp_path / "gone.yaml").symlink_to(tmp_path / "nowhere")

    assert Folder(tmp_path).policy is shipped()


def test_a_file_that_is_too_large_is_read_no_further_than_needed(tmp_path: Path) -> None:
    with (tmp_path / "huge.yaml").open("wb") as file:
        file.truncate(MAX_BYTES * 1_000)  # sparse

    with pytest.raises(PolicyRefused, match=r"1\.0 MB"):
        Folder(tmp_path)


def test_a_path_that_is_no_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "policy").write_text("rules: {}")

    with pytest.raises(PolicyRefused, match="cannot be read"):
        Folder(tmp_path / "policy")
