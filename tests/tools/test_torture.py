"""Torture on the shared server, for as long as the tests have; and what it calls a failure."""

import argparse
import json
import time
from random import Random

import pytest

from tools import comfy_server, torture
from tools.comfy_client import PromptFailedError, PromptInterruptedError, PromptRejectedError
from tools.console import Console, DevError
from tools.template_graphs import TEMPLATES
from tools.torture import cancels, clients, command, faults, media, prompts, service, units
from tools.torture.tally import Tally
from tools.torture.workflows import template

GOOD = template("quick_start")


class Answering:
    """A server that answers every prompt alike."""

    folder, pid = "/nowhere", 0

    def __init__(self, answer=None):
        self.answer, self.seen = answer, []

    def run(self, workflow, **_):
        self.seen.append(workflow)
        if self.answer is not None:
            raise self.answer


def failed(kind, message):
    return PromptFailedError({"node_type": "Node", "exception_type": kind, "exception_message": message})


def rejected(message):
    return PromptRejectedError({"error": {"message": message}})


@pytest.mark.parametrize(
    ("answer", "is_fault"),
    [
        (None, False),
        (rejected("Value nan smaller than min of 0.1"), False),
        (rejected("Exception when validating node (unhashable type)"), True),
        (failed("ValueError", "The sound is empty. Give another one."), False),
        (failed("ValueError", "embedded null byte"), True),
        (failed("builtins.TypeError", "execute() got an unexpected keyword argument 'x'"), True),
        (DevError("it ended while it worked"), True),
    ],
)
def test_a_bare_python_error_and_a_server_that_is_gone_are_failures_and_an_answer_in_words_is_none(answer, is_fault):
    assert (prompts.fault_of(Answering(answer), GOOD, "a case") is not None) == is_fault


@pytest.mark.parametrize(
    "answer", [rejected("no such value"), failed("ValueError", "The sound is empty, so nothing runs.")]
)
def test_a_good_prompt_that_is_not_answered_is_a_failure(answer):
    assert prompts.fault_of(Answering(answer), GOOD, "a case", is_good=True) is not None


def test_hostile_prompts_differ_from_their_template_in_one_widget_and_come_again_with_their_seed():
    first, second = ([prompts.hostile(GOOD, random) for _ in range(40)] for random in (Random(1), Random(1)))
    assert repr(first) == repr(second)
    assert len({what for _, what in first}) > 20
    for workflow, _ in first:
        changed = [
            name for number in GOOD for name, value in GOOD[number]["inputs"].items()
            if repr(workflow[number]["inputs"][name]) != repr(value)
        ]  # fmt: skip
        assert len(changed) <= 1


class Canceled:
    """A server whose runs end in some time after they are cancelled, in some way."""

    def __init__(self, error, seconds=0.0):
        self.error, self.seconds, self.stopped = error, seconds, False

    def interrupt(self):
        self.stopped = True

    def run(self, _):
        while not self.stopped:
            time.sleep(0.01)
        time.sleep(self.seconds)
        raise self.error


def test_a_cancelled_run_that_fails_or_goes_on_is_a_failure(monkeypatch):
    monkeypatch.setattr(cancels, "SOON", 0.2)
    ended = PromptInterruptedError("stopped")
    assert cancels.fault_of_cancel(Canceled(ended), GOOD, 0.05) is None
    assert "ended" in cancels.fault_of_cancel(Canceled(ended, 0.5), GOOD, 0.05)
    assert "failed" in cancels.fault_of_cancel(Canceled(failed("RuntimeError", "out of memory")), GOOD, 0.05)


def test_cancels_meet_runs_whose_steps_no_preset_replaces():
    (values,) = [node["inputs"] for node in cancels.workflow_with(3).values() if "preset" in node["inputs"]]
    assert (values["preset"], values["steps"], values["seed"]) == ("custom", cancels.STEPS, 3)


@pytest.mark.parametrize(("grown", "faults"), [(1.02, 0), (1.2, 1)])
def test_a_server_that_grows_is_a_failure(monkeypatch, grown, faults):
    monkeypatch.setattr(service, "WARM", 2)
    usages = iter([{"MiB": 1000.0, "threads": 9}, {"MiB": 1000.0 * grown, "threads": 9}])
    monkeypatch.setattr(service, "usage_of", lambda _: next(usages))
    tally = Tally(0.0)
    service.serve_for_long(Answering(), Random(0), tally)
    assert len(tally.failures) == faults
    assert tally.facts["MiB after"] == 1000 * grown


@pytest.mark.parametrize(
    ("node", "kind", "outcome", "is_fault"),
    [
        ("UniAVGenTask", "ValueError", "refused by the pack", False),
        ("UniAVGenTask", "TypeError", "refused by the pack", True),
        ("LoadAudio", "TypeError", "refused by ComfyUI", False),
    ],
)
def test_bare_errors_count_as_faults_where_they_are_the_packs_own(node, kind, outcome, is_fault):
    error = failed(kind, "The file cannot be decoded at all.")
    error.event["node_type"] = node
    tally = Tally(0.0)
    assert (media.fault_of_file(Answering(error), GOOD, tally, "a case") is not None) == is_fault
    assert tally.facts == {outcome: 1}


def test_a_file_that_takes_too_long_is_a_failure(monkeypatch):
    monkeypatch.setattr(media, "LONGEST", -1.0)
    assert "it took" in media.fault_of_file(Answering(), GOOD, Tally(0.0), "a case")


def test_media_go_through_comfyuis_loaders_up_to_the_task():
    kinds = {node["class_type"] for node in media.USES["video"][0].workflow("a.mp4").values()}
    assert {"LoadVideo", "UniAVGenTask", "PreviewAny"} < kinds
    assert not kinds & {"UniAVGenSampler", "UniAVGenToonClip", "UniAVGenSaveVideo"}


def test_a_client_that_gets_the_result_of_another_seed_is_a_failure():
    alone = ["a", "b", "c", "c"]
    found = [clients.fault_of_results(["a", "c", "c", "c"], alone, number, number) for number in range(4)]
    assert [fault is not None for fault in found] == [False, True, True, True]


def test_a_video_cut_short_under_the_name_of_a_whole_one_is_a_failure(tmp_path):
    whole = media.media_files()["mp4"]
    (tmp_path / "a.mp4").write_bytes(whole)
    assert faults.fault_of_files(tmp_path) is None
    (tmp_path / "b.mp4").write_bytes(whole[: len(whole) // 2])
    assert "b.mp4 is not whole" in faults.fault_of_files(tmp_path)


@pytest.mark.parametrize(
    ("message", "is_fault"), [("Tried to allocate 3 GiB of memory (TIPS: ...)", False), ("list index", True)]
)
def test_missing_memory_has_to_be_told(message, is_fault):
    class Server(Answering):
        def post(self, *_):
            return None

    answer = failed("OutOfMemoryError", message)
    assert (faults.fault_of_memory(Server(answer), 3, 0) is not None) == is_fault


@pytest.mark.parametrize(("name", "minutes"), [("prompts", 0.12), ("cancels", 0.12), ("media", 0.08)])
def test_hostile_prompts_cancels_and_damaged_media_do_a_real_server_no_harm(server, name, minutes):
    tally = command.try_kind(name, server, argparse.Namespace(minutes=minutes, seed=5, kinds=[name]))
    assert tally.cases >= 1
    assert tally.failures == []


def test_the_server_of_the_long_service_alone_has_an_allocator_that_keeps_nothing(monkeypatch):
    environments = {}

    def spawn(*arguments):
        environments[name] = arguments[-1]
        raise DevError("It is not started here.")

    monkeypatch.setattr(comfy_server, "spawn", spawn)
    for name in ("media", "service"):
        assert command.try_on_own_server(name, argparse.Namespace()).failures == ["It is not started here."]
    assert not environments["media"].keys() & service.NOTHING_KEPT.keys()
    assert environments["service"].items() >= service.NOTHING_KEPT.items()


def test_usage_is_the_least_that_a_server_at_rest_has_in_a_few_looks(monkeypatch):
    looks = iter([{"MiB": 9.0, "threads": 3}, {"MiB": 8.0, "threads": 4}])
    monkeypatch.setattr(service, "LOOKS", 2)
    monkeypatch.setattr(service, "PAUSE", 0)
    monkeypatch.setattr(service, "_usage_now", lambda _: next(looks))
    assert service.usage_of(Answering()) == {"MiB": 8.0, "threads": 3}


def test_the_usage_of_a_real_server_is_known(server):
    usage = service.usage_of(server)
    assert usage["MiB"] > 200
    assert usage["threads"] > 1


def test_failures_are_counted_told_and_the_status(monkeypatch, capsys):
    def fail(_server, _random, tally):
        tally.count(None)
        tally.count("the picture was upside down")

    class Server:
        def __enter__(self):
            return self

        def __exit__(self, *_):
            return None

    monkeypatch.setattr(command, "KINDS", {"pictures": (1.0, fail)})
    monkeypatch.setattr(command, "ComfyServer", lambda *_, **__: Server())
    assert torture.main(["--json", "--minutes", "0.01"], Console()) == 1
    printed = capsys.readouterr().out
    assert "| pictures | 2 | 1 |" in printed
    assert "upside down" in printed
    assert json.loads(printed.splitlines()[-1])["failures"] == 1


def test_a_server_that_does_not_start_fails_its_kind_and_leaves_the_others(monkeypatch, capsys):
    class Server(Answering):
        def __enter__(self):
            raise DevError("ComfyUI was silent for 240 s.")

        def __exit__(self, *_):
            return None

    monkeypatch.setattr(command, "KINDS", {"pictures": (1.0, print), "sounds": (1.0, print)})
    monkeypatch.setattr(command, "ComfyServer", lambda *_, **__: Server())
    assert torture.main(["--minutes", "0.01"], Console()) == 1
    printed = capsys.readouterr().out
    assert all(f"| {name} | 1 | 1 |" in printed for name in ("pictures", "sounds"))
    assert "silent for 240 s" in printed


def test_a_unit_test_that_ends_in_another_way_with_the_pack_is_a_failure(tmp_path):
    cases = '<testcase classname="a" name="b"/><testcase classname="a" name="c"><failure/></testcase>'
    (tmp_path / "report.xml").write_text(f"<testsuites><testsuite>{cases}</testsuite></testsuites>")
    outcomes = units.read_report(tmp_path / "report.xml")
    assert outcomes == {"a.b": "passed", "a.c": "failure"}
    assert units.fault_of_outcomes("a.c", outcomes["a.c"], "failure") is None
    assert "missing with it" in units.fault_of_outcomes("a.b", outcomes["a.b"], "missing")


def test_a_kind_that_cannot_go_on_is_a_failure(monkeypatch):
    def fail(_server, _random, _tally):
        raise DevError("it ended while it worked")

    monkeypatch.setattr(command, "KINDS", {"pictures": (1.0, fail)})
    tally = command.try_kind("pictures", Answering(), argparse.Namespace(minutes=0.0, seed=0, kinds=None))
    assert tally.failures == ["a good prompt failed, or the server has gone: it ended while it worked"]


@pytest.mark.parametrize("name", TEMPLATES)
def test_every_template_of_long_service_gets_another_seed(name):
    workflow = template(name)
    assert service.seeded(workflow, 1) != service.seeded(workflow, 2)
