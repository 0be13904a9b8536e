"""Quiet, verbose, log files and summaries: what is on stderr and what is not."""

import errno
import io
import re

import numpy as np
import pytest
from rich.console import Console

from data_prep.progress import MESSAGES, bar, message_console
from srmri_tf.cli import cli, messages
from srmri_tf.enhance import files
from srmri_tf.models import model as models
from tests.data_prep.phantoms import phantom, save
from tests.srmri_tf.cli.test_cli import run
from tests.srmri_tf.enhance.test_volume import fake, identity


@pytest.fixture
def scans(tmp_path, monkeypatch):
    """Two scans and a mask in ``scans`` below the working folder; the network is the identity."""
    network = fake(identity)
    monkeypatch.setattr(files, "read", lambda model: network)
    monkeypatch.setattr(models, "network_of", lambda stored, precision: stored)
    monkeypatch.chdir(tmp_path)
    for number in range(2):
        save(tmp_path / "scans" / f"s{number}_T2.nii", phantom((16, 16, 8), number))
    save(tmp_path / "scans" / "s0_T2_mask.nii", (phantom((16, 16, 8)) > 500).astype(np.uint8))
    return tmp_path / "scans"


def said(capsys):
    return capsys.readouterr().err.splitlines()


def test_what_cannot_be_said_stops_nothing(monkeypatch):
    class Full(io.StringIO):
        def write(self, text):
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("sys.stderr", Full())
    with messages.speaking():
        MESSAGES.warning("not said")


def test_enhance_ends_with_what_was_done_and_what_was_not(scans, capsys):
    assert run("enhance", "scans", "-o", "out") == 0
    *_, summary, hint = said(capsys)
    assert re.fullmatch(r"2 scans enhanced; left out 1: 1 mask; \d+ s", summary)
    assert hint.startswith("Add --report")
    save(scans / "s2_T2.nii", phantom((16, 16, 8), 2))
    (scans / "s3_T2.nii").write_text("no scan")
    assert run("enhance", "scans", "-o", "out") == 3
    *_, summary, fault = said(capsys)
    assert summary.startswith("1 scan enhanced, 2 finished before, 1 not enhanced; left out 1")
    assert fault.startswith("srmri-tf: scans/s3_T2.nii: is not a NIfTI file")


def test_prepare_ends_with_what_was_made_and_what_was_there(scans, capsys):
    given = ("prepare", "scans", "-o", "shards", "--patch-size", "16")
    assert run(*given) == 0
    assert re.fullmatch(r"2 shards made; left out 1: 1 mask; \d+ s", said(capsys)[-1])
    assert run(*given) == 0
    assert said(capsys)[-1].startswith("0 shards made, 2 finished before; left out 1")


def test_a_command_that_did_nothing_has_no_summary(scans, capsys):
    assert run("enhance", "absent", "-o", "out") == 3
    assert said(capsys) == [
        "opening absent, model l1-x2 ...",
        "srmri-tf: absent: does not exist. Check the path.",
    ]


@pytest.mark.parametrize("before", [True, False])
def test_quiet_leaves_results_warnings_and_errors(scans, capsys, before):
    arguments = ["enhance", "scans", "-o", "out", "--model", "m"]
    arguments.insert(0 if before else 2, "--quiet")
    save(scans / "sub-1_T1w.nii", phantom((16, 16, 8)))
    (scans / "sub-1_T1w.json").write_text('{"EchoTime": 0.1, "RepetitionTime": 5}')
    (scans / "s3_T2.nii").write_text("no scan")
    assert run(*arguments) == 3
    captured = capsys.readouterr()
    assert len(captured.out.splitlines()) == 3
    warning, fault = captured.err.splitlines()
    assert warning.startswith("srmri-tf: warning: scans/sub-1_T1w.nii: its name says T1, but")
    assert fault.startswith("srmri-tf: scans/s3_T2.nii: is not")
    assert not MESSAGES.handlers  # the next call speaks again
    assert run("enhance", "absent", "-o", "out") == 3
    assert said(capsys)[0] == "opening absent, model l1-x2 ..."


def test_verbose_says_more_and_json_stays_clean(scans, capsys):
    assert run("enhance", "scans", "-o", "out", "-v", "--json") == 0
    captured = capsys.readouterr()
    assert captured.out.startswith("{\n")
    assert "scans/s0_T2.nii: axial slices, model l1-x2" in captured.err
    assert "exit code 0 after 0 s: srmri-tf enhance scans -o out -v --json" in captured.err


def test_a_log_file_has_everything_and_is_added_to(scans, tmp_path, capsys):
    log = tmp_path / "log.txt"
    assert run("--log-file", log, "enhance", "scans", "-o", "out") == 0
    assert run("enhance", "absent", "-q", "--log-file", log) == 3
    lines = log.read_text().splitlines()
    told = [line for line in lines if re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} ", line)]
    shown = [line.split(" ", 2)[2] for line in told]
    assert shown[0] == "INFO opening scans, model l1-x2 ..."
    assert "INFO left out 1: 1 mask" in shown
    assert any(line.startswith("INFO 2 scans enhanced") for line in shown)
    assert "ERROR absent: does not exist. Check the path." in shown
    assert shown[-1].startswith("DEBUG exit code 3")
    assert set(lines) - set(told) == {"  scans/s0_T2_mask.nii: mask"}


def test_a_log_file_has_the_traceback_of_an_internal_fault(tmp_path, monkeypatch, capsys):
    def broken(*args):
        raise RuntimeError("boom")

    monkeypatch.setattr("srmri_tf.recipes.load_recipe", broken)
    assert run("fit", "cpce", "x", "-o", "y", "--log-file", tmp_path / "log.txt") == 1
    assert "Traceback" not in capsys.readouterr().err
    log = (tmp_path / "log.txt").read_text()
    assert "in broken" in log
    assert log.count("RuntimeError: boom") == 2


def test_a_log_file_has_wrong_usage(tmp_path, capsys):
    assert run("enhance", "--log-file", tmp_path / "log.txt") == 2
    assert said(capsys)[-1] == "Error: Missing argument 'SCAN...'."
    assert "Error: Missing argument 'SCAN...'.\n" in (tmp_path / "log.txt").read_text()


def test_a_log_file_that_cannot_be_written_is_an_error(tmp_path, capsys):
    assert run("enhance", "x.nii", "--log-file", tmp_path / "absent" / "log.txt") == 5
    assert "absent/log.txt: cannot be written: No such file" in capsys.readouterr().err


def test_a_log_file_on_a_full_disk_stops_nothing(capsys):
    with messages.speaking():
        messages._write_to("/dev/full")
        MESSAGES.info("one")
        MESSAGES.info("two")
    one, warning, two = said(capsys)
    assert (one, two) == ("one", "two")
    assert warning == "srmri-tf: warning: /dev/full: cannot be written, so the rest is not in it"


def test_training_speaks_through_messages_in_commands_and_for_itself_elsewhere(capsys):
    console = message_console()
    console.print("epoch 1", highlight=False)
    with messages.speaking():
        console.print("epoch 2", highlight=False)
        message_console(silent=True).print("of another process")
        messages._set_level(30)
        console.print("epoch 3")
        shown = bar("x", console=Console(file=io.StringIO(), force_terminal=True))
        assert shown.disable
    assert said(capsys) == ["epoch 1", "epoch 2"]


def test_a_notebook_s_colours_are_no_terminal(monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert bar("x").disable
    assert not message_console().is_terminal


def test_every_command_takes_the_options_of_messages():
    def leaves(command):
        inner = getattr(command, "commands", {})
        return [command, *(leaf for each in inner.values() for leaf in leaves(each))]

    for command in leaves(cli):
        names = [option for parameter in command.params for option in parameter.opts]
        assert {"--quiet", "--verbose", "--log-file"} <= set(names)
        assert len(names) == len(set(names))


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.4, "0 s"), (59.6, "1 min 0 s"), (185, "3 min 5 s"), (7500, "2 h 5 min")],
)
def test_times_in_words(seconds, words):
    assert messages.duration(seconds) == words
