"""Which slice and which box a figure shows."""

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes

from srmri_tf.evaluation.figure import box_of, busiest_box, comparison
from srmri_tf.evaluation.gallery import Exhibit


def test_the_box_is_where_the_middle_lost_the_most():
    hr = np.ones((64, 64), np.float32)
    lr = hr.copy()
    lr[30:38, 20:28] = 0.5  # in the middle half
    lr[0:8, 0:8] = 0.0  # worse, but at the rim
    row, col, side = busiest_box(lr, hr)
    assert (row <= 30, row + side >= 38, col <= 20, col + side >= 28) == (True,) * 4


def test_a_black_slice_has_a_box_all_the_same():
    row, col, _ = busiest_box(np.zeros((40, 50)), np.zeros((40, 50)))
    assert 0 <= row <= 24
    assert 0 <= col <= 34


def test_the_box_is_no_larger_than_a_small_slice(tmp_path):
    truth = np.zeros((13, 40), np.float32)
    truth[2:-2, 5:-5] = 0.8
    images = {"lr": truth * 0.9, "truth": truth}
    exhibit = Exhibit("s", "", 3, images, {"lr": {"psnr": 30.0, "ssim": 0.9}})
    row, col, side = box_of(exhibit)
    assert (row, side) == (0, 13)
    assert 0 <= col <= 40 - 13
    comparison(exhibit, tmp_path / "small.png")
    assert (tmp_path / "small.png").read_bytes().startswith(b"\x89PNG")


def test_pixels_have_the_shape_that_they_have_in_the_head(tmp_path, monkeypatch):
    truth = np.zeros((20, 40), np.float32)
    truth[2:-2, 5:-5] = 0.8
    images = {"lr": truth * 0.9, "truth": truth}
    scores = {"lr": {"psnr": 30.0, "ssim": 0.9}}
    drawn, imshow = [], Axes.imshow
    monkeypatch.setattr(
        Axes, "imshow", lambda *a, **k: drawn.append(k["aspect"]) or imshow(*a, **k)
    )
    comparison(Exhibit("s", "", 3, images, scores, spacing=(3.0, 1.5)), tmp_path / "tall.png")
    assert drawn == [2.0] * 4


def test_the_picture_is_written_and_leaks_are_marked(tmp_path):
    truth = np.zeros((40, 50), np.float32)
    truth[4:-4, 5:-5] = 0.8
    scores = {"psnr": 30.0, "ssim": 0.9}
    exhibit = Exhibit(
        "s",
        "",
        3,
        {"lr": truth * 0.9, "net": truth, "truth": truth},
        {"lr": scores, "net": scores},
    )
    comparison(exhibit, tmp_path / "honest.png")
    comparison(exhibit, tmp_path / "marked.png", marked=["net"])
    honest, marked = ((tmp_path / f"{n}.png").read_bytes() for n in ("honest", "marked"))
    assert honest.startswith(b"\x89PNG")
    assert honest != marked


def test_other_settings_of_matplotlib_do_not_count(tmp_path):
    images = dict(
        zip(("lr", "net", "truth"), np.random.default_rng(0).random((3, 40, 40)), strict=True)
    )
    scores = {name: {"psnr": 30.0, "ssim": 0.9} for name in ("lr", "net")}
    exhibit = Exhibit("s1", "", 0, images, scores)
    drawn = []
    for settings in ({}, {"text.usetex": True, "figure.dpi": 300, "savefig.bbox": "tight"}):
        with mpl.rc_context(settings):
            comparison(exhibit, tmp_path / "a.png")
        drawn.append((tmp_path / "a.png").read_bytes())
    assert drawn[0] == drawn[1]
