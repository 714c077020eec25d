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
