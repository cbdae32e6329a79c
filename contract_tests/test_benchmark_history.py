"""The ratios of the benchmarks by version: what is kept, and which change is more than noise."""

import argparse
import importlib.util
from pathlib import Path

import pytest

FILE = Path(__file__).resolve().parents[1] / "benchmarks" / "history.py"


@pytest.fixture
def history():
    """benchmarks/history.py, which is a script's neighbour and no package."""
    spec = importlib.util.spec_from_file_location("history", FILE)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_what_lies_apart_is_drift(history):
    """A ratio has changed where the middle halves of both runs lie apart, and not where they touch."""
    then = {
        "a / b / slower": [1.0, 1.1, 1.2],
        "a / b / same": [1.0, 1.1, 1.2],
        "a / b / gone": [1.0, 1.0, 1.0],
    }
    now = {"a / b / slower": [1.3, 1.4, 1.5], "a / b / same": [1.2, 1.3, 1.4], "a / b / new": [2.0, 2.0, 2.0]}

    found = {name: (change, beyond) for name, change, beyond in history.compared(then, now)}

    assert found == {
        "a / b / slower": ("1.10 -> 1.40 (+27%)", True),
        "a / b / same": ("1.10 -> 1.30 (+18%)", False),
    }


def test_each_benchmark_keeps_its_own(history, tmp_path):
    """Recording one benchmark leaves the other's ratios unchanged, and a newer version comes last."""
    file = tmp_path / "history.json"
    history.keep("0.1.0", {"calls / 10 / ours": [1, 2, 3], "calls / 10 / old": [1, 2, 3]}, file)
    history.keep("0.1.0", {"many / 10 / ours": [4, 5, 6]}, file)
    history.keep("0.2.0", {"calls / 10 / ours": [7, 8, 9]}, file)
    history.keep("0.1.0", {"calls / 10 / ours": [2, 2, 2]}, file)

    assert history.read(file) == {
        "0.2.0": {"calls / 10 / ours": [7, 8, 9]},
        "0.1.0": {"many / 10 / ours": [4, 5, 6], "calls / 10 / ours": [2, 2, 2]},
    }


def test_a_version_that_is_not_kept(history, capsys):
    """To compare with a version of which nothing is kept ends with one line that says which there are."""
    parser = argparse.ArgumentParser()
    history.add_options(parser)

    with pytest.raises(SystemExit):
        history.since(parser, parser.parse_args(["--compare", "0.0.1"]))
    assert "no ratios are stored for 0.0.1; stored: " in capsys.readouterr().err
    assert history.since(parser, parser.parse_args([])) is None
