"""The words of `edgekit search`."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgekit.cli import main


def test_a_folder_that_is_called_show_hides_no_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "show").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["edgekit", "search", "show", "--json", "--store", "store"])
    main()
    assert capsys.readouterr().out == "[]\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["show", "--workers", "2"], "error: edgekit search show takes no --workers\n"),
        (["show", "--limit", "size<=1MB"], "error: edgekit search show takes no --limit\n"),
        (["r.yaml", "--target", "rpi", "--budget", ""], "error: --budget: a time such as 90s"),
    ],
)
def test_options_that_cannot_be_are_refused_by_their_names(
    words: list[str],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "r.yaml").write_text("")
    monkeypatch.setattr("sys.argv", ["edgekit", "search", *words])
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 2
    assert capsys.readouterr().err.startswith(said)
