"""The measurement of reading ahead, on few steps and an empty pause."""

from argparse import ArgumentParser

from benchmarks import data


def test_runs_with_and_without_workers_take_the_same_steps_and_are_both_shown():
    parser = ArgumentParser()
    data.add_options(parser)
    results = data.measure(parser.parse_args(["--steps", "5", "--pause", "0"]))
    assert results["same_losses"]
    assert set(results["runs"]) == {"0", "2"}
    results["runs"]["2"]["step_seconds"] = 0.125
    assert "2 workers      0.125 s a step" in data.table(results)
