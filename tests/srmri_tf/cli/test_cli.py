"""The command line: exit codes, messages, and a help that is quick."""

import os
import signal
import subprocess
import sys

import click
import pytest

from srmri_tf import __version__
from srmri_tf.cli import cli, main
from srmri_tf.cli.model import read_overrides

HEAVY = ("tensorflow", "keras", "numpy", "scipy", "nibabel", "pydantic", "matplotlib")
ALONE = f"""
import sys, time
from srmri_tf.cli import main
try:
    main()
finally:
    print([m for m in {HEAVY} if m in sys.modules], time.process_time(), file=sys.stderr)
"""
FIRST_WORD = f"""
import sys, click
def echo(text, err):
    print(text, [m for m in {HEAVY} if m in sys.modules], err)
    raise SystemExit(0)
click.echo = echo
from srmri_tf.cli import main
main()
"""


def run_alone(*arguments):
    """The command in a process of its own; it must succeed.

    Returns:
        What it printed, its messages, which of `HEAVY` it imported, its CPU seconds.
    """
    command = [sys.executable, "-c", ALONE, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    *messages, last = done.stderr.splitlines()
    imported, _, seconds = last.rpartition(" ")
    return done.stdout, "\n".join(messages), imported, float(seconds)


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ("enhance a.nii b.nii c.nii d.nii e.nii --model m", "a.nii, b.nii, c.nii, 2 more, model m"),
        ("fit cpce data -o run", "data, run"),
        ("fit circle data -o run", "data, run"),
        ("evaluate net data -o out", "net, data"),
        ("crossval cpce data -o out", "data, out"),
        ("export net -o out", "net"),
        ("demo -o out", "out"),
    ],
)
def test_the_first_word_comes_before_anything_slow_is_imported(arguments, word):
    """Half a second is wanted; what `--help` imports takes a fifth of one."""
    command = [sys.executable, "-c", FIRST_WORD, *arguments.split()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.stdout == f"opening {word} ... [] True\n"


def run(*arguments):
    with pytest.raises(SystemExit) as stopped:
        main([str(a) for a in arguments])
    return stopped.value.code or 0


def test_help_imports_nothing_heavy():
    program = (
        "import sys; sys.argv = ['srmri-tf', '--help']\n"
        "from srmri_tf.cli import main\n"
        "try: main()\n"
        f"finally: print([m for m in {HEAVY} if m in sys.modules])"
    )
    out = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60
    )
    assert out.stdout.splitlines()[-1] == "[]"
    for command in ("download", "prepare", "fit", "evaluate", "export", "demo"):
        assert command in out.stdout


def test_every_command_has_help(capsys):
    def walk(command, path):
        if isinstance(command, click.Group):
            for name, child in command.commands.items():
                walk(child, [*path, name])
        assert run(*path, "--help") == 0, path
        assert "Usage: srmri-tf" in capsys.readouterr().out

    walk(cli, [])


def test_version(capsys):
    assert run("--version") == 0
    assert __version__ in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["fit", "cpce", "absent", "-o", "run"], 3, "absent: is not a folder of shards"),
        (["fit", "cpce", "absent", "-o", "run", "--epochs", "0"], 2, "no epochs"),
        (["fit", "cpce", "absent", "-o", "run", "--precision", "half"], 2, "precision"),
        (
            ["fit", "cpce", "absent", "-o", "run", "--set", "objective.l3=1"],
            2,
            "objective.l3: unknown",
        ),
        (["fit", "cpce", "absent", "-o", "run", "--set", "nonsense"], 2, "KEY=VALUE"),
        (["fit", "cpce", "absent", "-o", "run", "--recipe", "absent.toml"], 2, "paper-cpce"),
        (["fit", "cpce", "absent"], 2, "Missing option"),
        (["evaluate", "absent", "absent", "-o", "out"], 3, "absent: is not a training run"),
        (["export", "absent", "-o", "out"], 3, "absent: is not a training run"),
        (["sharpen"], 2, "No such command"),
    ],
)
def test_wrong_usage_is_one_message_its_code_and_nothing_written(
    arguments, code, message, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    assert run(*arguments) == code
    captured = capsys.readouterr()
    assert message in captured.err
    assert "Traceback" not in captured.err
    assert captured.out == ""
    assert list(tmp_path.iterdir()) == []


def test_an_internal_fault_says_so_and_debug_shows_it(monkeypatch, capsys):
    def broken(*args):
        raise RuntimeError("boom")

    monkeypatch.setattr("srmri_tf.recipes.load_recipe", broken)
    assert run("fit", "cpce", "x", "-o", "y") == 1
    assert "internal error: RuntimeError: boom" in capsys.readouterr().err
    with pytest.raises(RuntimeError):
        main(["--debug", "fit", "cpce", "x", "-o", "y"])


def test_an_interrupt_is_130(monkeypatch):
    def interrupted(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr("srmri_tf.recipes.load_recipe", interrupted)
    assert run("fit", "cpce", "x", "-o", "y") == 130


def test_settings_are_toml_values():
    assert read_overrides(("a.b=1.5", "c=true", 'd="x"', "e=plain")) == {
        "a.b": 1.5,
        "c": True,
        "d": "x",
        "e": "plain",
    }


def test_one_setting_of_several_lines_is_refused_whole(capsys):
    assert run("fit", "cpce", "x", "-o", "y", "--set", "seed=1\nbatch_size=2") == 2
    assert "takes one KEY=VALUE" in capsys.readouterr().err


def test_a_scheduler_that_ends_the_job_is_an_interrupt(monkeypatch):
    monkeypatch.setattr(
        "srmri_tf.recipes.load_recipe", lambda *args: os.kill(os.getpid(), signal.SIGTERM)
    )
    before = signal.getsignal(signal.SIGTERM)
    try:
        assert run("fit", "cpce", "x", "-o", "y") == 130
    finally:
        signal.signal(signal.SIGTERM, before)


def models_with(sitecustomize, tmp_path):
    """`python -m srmri_tf models`, where Python runs some code first."""
    (tmp_path / "sitecustomize.py").write_text(sitecustomize)
    return subprocess.run(
        [sys.executable, "-m", "srmri_tf", "models"],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )


def test_an_interrupt_inside_of_an_exec_has_the_same_exit_code(tmp_path):
    """Dataclasses are made by `exec`, and `python -m` ended by SIGINT where one was interrupted."""
    process = models_with(
        "import srmri_tf.cli\n"
        "stop = 'import os, signal; os.kill(os.getpid(), signal.SIGTERM)'\n"
        "srmri_tf.cli.cli.main = lambda *args, **kwargs: exec(stop)\n",
        tmp_path,
    )
    assert process.returncode == 130
    assert process.stderr.strip() == "interrupted"


def test_interrupts_while_python_ends_change_nothing(tmp_path):
    process = models_with(
        "import atexit, os, signal\n"
        "stops = signal.SIGTERM, signal.SIGINT\n"
        "atexit.register(lambda: [os.kill(os.getpid(), stop) for stop in stops])\n",
        tmp_path,
    )
    assert process.returncode == 0
    assert process.stderr == ""
