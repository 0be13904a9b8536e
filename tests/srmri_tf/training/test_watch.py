"""What a person sees of a run."""

import io
import sys

import numpy as np
import pytest
import tensorflow as tf
from rich.console import Console

from data_prep.errors import EnvironmentFault
from srmri_tf.training import watch

ROW = {
    "epoch": 3,
    "phase": "adversarial",
    "critic_loss": -1.5,
    "generator_loss": 0.25,
    "psnr": 33.456,
    "ssim": 0.95678,
    "lr_psnr": 32.1,
    "lr_ssim": 0.9,
    "seconds": 61.4,
}


def test_the_line_of_an_epoch_has_the_input_beside_the_result():
    line = watch.epoch_line(ROW, 10)
    assert "epoch   3/10 adversarial" in line
    assert "critic      -1.5" in line
    assert "generator      0.25" in line
    assert "PSNR  33.46 (input 32.10)" in line
    assert "SSIM 0.9568 (input 0.9000)" in line


def test_a_phase_without_a_critic_leaves_it_out():
    row = {key: value for key, value in ROW.items() if key != "critic_loss"}
    assert "critic" not in watch.epoch_line(row, 10)


def test_the_bar_shows_losses_rate_and_time_left_on_a_terminal(monkeypatch):
    clock = iter([0.0, 2.0])  # made at 0 s, first step done at 2 s
    monkeypatch.setattr(watch.time, "monotonic", lambda: next(clock, 2.0))
    console = Console(file=io.StringIO(), force_terminal=True, width=160)
    bar = watch.Bar(console, "epoch 1/3", steps=4, first=0, pairs=10, epochs_left=2)
    with bar:
        bar.advance(1, {"critic_loss": 1.25, "generator_loss": -3.5, "l1": 9.0})
    shown = console.file.getvalue()
    assert "epoch 1/3" in shown
    # 2 s a step: 3 steps left here and 4 in each of two more epochs.
    assert "0:00:22 left" in shown
    assert "5 pairs/s" in shown
    assert "D 1.25" in shown
    assert "G -3.5" in shown


def test_nothing_is_drawn_into_a_file():
    console = Console(file=io.StringIO())
    with watch.Bar(console, "epoch", steps=1, first=0, pairs=1, epochs_left=0) as bar:
        bar.advance(1, {"critic_loss": 1.0})
    assert console.file.getvalue().strip() == ""


def test_tensorboard_that_is_missing_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(EnvironmentFault, match=r"srmri-tf\[tensorboard\]"):
        watch.TensorBoard(tmp_path)


def test_tensorboard_gets_scalars_and_pictures(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    board = watch.TensorBoard(tmp_path)
    board.write(ROW, [np.ones((4, 12), np.float32)])
    events = EventAccumulator(str(tmp_path), size_guidance={"tensors": 0}).Reload()
    tags = events.Tags()["tensors"]
    assert {"psnr", "lr_psnr", "critic_loss", "LR, SR, HR 0"} <= set(tags)
    (event,) = events.Tensors("psnr")
    assert event.step == 3
    assert tf.make_ndarray(event.tensor_proto) == pytest.approx(33.456, abs=1e-3)
