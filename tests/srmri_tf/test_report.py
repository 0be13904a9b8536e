"""The report without a browser: what is in it, what it refuses, how large it gets."""

import base64
import io
import json
import re
import subprocess
import sys
from html.parser import HTMLParser

import numpy as np
import pytest
from matplotlib import colormaps
from PIL import Image

from data_prep.errors import BadInputError, ConfigError, CorruptArtefactError
from data_prep.kspace import Degradation
from srmri_tf import charts, gallery, pictures
from srmri_tf.evaluate import evaluate
from srmri_tf.evaluate_options import Options
from srmri_tf.gallery import Exhibit
from srmri_tf.report import report

from .test_evaluate import make_run


class Tags(HTMLParser):
    """Counts elements and collects ids, references and addresses."""

    def __init__(self, text):
        super().__init__()
        self.open, self.ids, self.uses, self.addresses = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        if tag not in ("meta", "link", "input", "br", "path"):
            self.open.append(tag)
        self.ids.append(attributes.get("id"))
        if tag == "use":
            self.uses.append(attributes["href"])
        self.addresses += [v for k, v in attrs if k in ("href", "src")]

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        self.open.remove(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def evaluation(shards, tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    runs = [make_run(folder / "<b>&net"), make_run(folder / "cheat", train=["s4"])]
    (runs[0] / "log.csv").write_text(
        "epoch,psnr,ssim,lr_psnr,lr_ssim\n1,30,0.9,29,0.88\n2,31,nan,29,0.88\n"
    )
    options = Options(slices="s4:1,s5:2", force=True, licence="nobody's")
    return evaluate(runs, shards, folder / "eval", options).folder


def test_the_file_is_whole_and_asks_nobody(evaluation):
    text = report(evaluation).read_text()
    page = Tags(text)
    assert page.open == []
    ids = [name for name in page.ids if name]
    assert len(ids) == len(set(ids))
    assert {use[1:] for use in page.uses} <= set(ids)
    assert all(a.startswith(("#", "data:")) for a in page.addresses)
    assert not re.search(r"https?://(?!www\.w3\.org)", text)
    assert "default-src 'none'" in text


def test_names_are_escaped_and_everything_is_said(evaluation):
    text = report(evaluation).read_text()
    assert "<b>&net" not in text
    assert "&lt;b&gt;&amp;net" in text
    for said in ("s4:1", "s5:2", "LEAK: cheat", "nobody&#39;s", "PSNR (dB) of", "config.toml"):
        assert said in text
    checksum = json.loads((evaluation / "metrics.json").read_text())["data"]["manifest_sha256"]
    assert checksum in text


def test_slices_and_box_can_be_chosen(evaluation, tmp_path):
    text = report(evaluation, tmp_path / "r.html", slices="s5:2", roi=(3, 5, 7)).read_text()
    assert text.count("<article") == 1
    assert 'width="7" height="7"' in text
    assert report(evaluation, tmp_path / "r.html", slices="1").read_text().count("<article") == 1
    with pytest.raises(ConfigError, match=r"nobody:0.*evaluate --slices"):
        report(evaluation, slices="nobody:0")
    with pytest.raises(ConfigError, match="does not lie inside"):
        report(evaluation, roi=(30, 30, 7))


def test_what_is_no_evaluation_is_refused(tmp_path, evaluation):
    with pytest.raises(BadInputError, match="is not an evaluation"):
        report(tmp_path)
    (tmp_path / "metrics.json").write_text('{"version": 1}')
    with pytest.raises(BadInputError, match="version 1"):
        report(tmp_path)
    (tmp_path / "metrics.json").write_text("{")
    with pytest.raises(CorruptArtefactError, match=r"metrics\.json"):
        report(tmp_path)
    document = json.loads((evaluation / "metrics.json").read_text())
    (tmp_path / "metrics.json").write_text(json.dumps(document | {"data": {"licence": ""}}))
    with pytest.raises(CorruptArtefactError, match="lacks test_scans"):
        report(tmp_path)
    (tmp_path / "metrics.json").write_bytes((evaluation / "metrics.json").read_bytes())
    (tmp_path / "images.npz").write_bytes((evaluation / "images.npz").read_bytes()[:-100])
    with pytest.raises(CorruptArtefactError, match=r"images\.npz"):
        report(tmp_path)


def test_it_needs_no_tensorflow(evaluation):
    program = (
        "import sys; from srmri_tf.report import report\n"
        f"report({str(evaluation)!r}); print('tensorflow' in sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert out.stdout.strip() == "False", out.stderr


def exhibit(shape=(40, 60)):
    truth = np.zeros(shape, np.float32)
    truth[10:30, 20:50] = 0.5
    lr = truth + np.float32(0.1)
    scores = {"lr": {"psnr": 20.0, "ssim": 0.5}}
    return Exhibit("a", "b", 3, {"lr": lr, "truth": truth}, scores)


def pixels(uri):
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))))


def test_pictures_by_hand():
    panel = pictures.panel(exhibit(), Degradation(), most_error=0.2, roi=(12, 22, 16))
    assert panel.label == "a/b:3"
    assert (panel.height, panel.width) == (28, 38)  # tissue and a margin of 4
    assert panel.box == (6, 6, 16)
    assert panel.kept == (0.25, 0.25, 0.5, 0.5)
    truth = pixels(panel.pictures[1].image)
    assert (truth[0, 0].tolist(), truth[10, 10].tolist()) == ([0] * 3, [255] * 3)
    error = pixels(panel.pictures[0].error)
    middle = colormaps["magma"](8 / 15)[:3]  # half of 0.2 is the middle of 16 colours
    np.testing.assert_array_equal(
        error, np.broadcast_to(np.rint(255 * np.array(middle)), (28, 38, 3))
    )
    assert panel.pictures[1].error == ""


def test_one_error_scale_for_all():
    assert pictures.most_error([exhibit(), exhibit()]) == pytest.approx(0.1, abs=1e-6)


def test_images_survive_being_stored(tmp_path):
    entries = gallery.save([exhibit()], tmp_path)
    (back,) = gallery.load(tmp_path, json.loads(json.dumps(entries)))
    np.testing.assert_allclose(back.images["lr"], exhibit().images["lr"], atol=2e-5)
    assert back.label == "a/b:3"


def test_charts_escape_and_leave_gaps():
    line = charts.Line("<i>", [1, 2, 3], [1.0, float("nan"), 3.0])
    drawn = charts.lines("t", "x", "y", [line])
    assert "&lt;i&gt;" in drawn
    assert drawn.count("polyline") == 1
    assert len(re.search(r'points="([^"]*)"', drawn)[1].split()) == 2
    assert charts.lines("t", "x", "y", []) == ""
    boxed = charts.boxes("t", "x", {"a": [1.0, 2.0, 3.0], "b": []}, {"a": [2.0]})
    assert boxed.count("<rect") == 1
    assert boxed.count("<circle") == 1


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.913, 0.998, [0.92, 0.94, 0.96, 0.98]),
        (0.07, 0.16, [0.08, 0.1, 0.12, 0.14, 0.16]),
        (34.6, 43.7, [36, 38, 40, 42]),
        (-0.5, 0.5, [-0.4, -0.2, 0, 0.2, 0.4]),
        (3, 3, [3]),
    ],
)
def test_ticks_are_round_and_enough_to_read_a_scale(low, high, expected):
    assert charts.ticks(low, high) == pytest.approx(expected)


def test_no_axis_has_too_few_ticks_or_too_many_and_epochs_are_whole():
    for high in np.geomspace(0.01, 900, 300):
        assert 3 <= len(charts.ticks(0.003, 0.003 + high)) <= 8
    assert charts.ticks(1, 2, whole=True) == [1, 2]
    assert charts.ticks(1, 20, whole=True) == [5, 10, 15, 20]
