"""The report without a browser: what is in it, what it refuses, how large it gets."""

import base64
import csv
import io
import json
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from matplotlib import colormaps
from PIL import Image

from data_prep.errors import BadInputError, ConfigError, CorruptArtefactError
from data_prep.kspace import Degradation
from srmri_tf.evaluation import gallery
from srmri_tf.evaluation.config import EvaluateConfig
from srmri_tf.evaluation.gallery import Exhibit
from srmri_tf.evaluation.measuring import evaluate
from srmri_tf.evaluation.scorefiles import read_slices
from srmri_tf.evaluation.scores import SliceRow
from srmri_tf.evaluation.summary import read_evaluation
from srmri_tf.report import charts, page, pictures
from srmri_tf.report.page import report
from srmri_tf.report.rendering import verdict
from tests.srmri_tf.evaluation.test_measuring import make_run


class Tags(HTMLParser):
    """Counts elements and collects ids, references and addresses."""

    def __init__(self, text):
        super().__init__()
        self.open, self.ids, self.uses, self.addresses = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        if tag not in ("meta", "link", "input", "br", "img", "path"):
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


def check_self_contained(text):
    """Every element is closed, every reference leads somewhere, and no network is asked."""
    page = Tags(text)
    assert page.open == []
    ids = [name for name in page.ids if name]
    assert len(ids) == len(set(ids))
    assert {use[1:] for use in page.uses} <= set(ids)
    assert all(a.startswith(("#", "data:")) for a in page.addresses)
    assert not re.search(r"https?://(?!www\.w3\.org)", text)


@pytest.fixture(scope="module")
def evaluation(shards, tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    runs = [make_run(folder / "<b>&net"), make_run(folder / "cheat", train=["s4"])]
    (runs[0] / "log.csv").write_text(
        "epoch,psnr,ssim,lr_psnr,lr_ssim\n1,30,0.9,29,0.88\n2,31,nan,29,0.88\n"
    )
    config = EvaluateConfig(slices="s4:1,s5:2", force=True, licence="nobody's")
    return evaluate(runs, shards, folder / "eval", config).folder


def test_the_file_is_whole_and_asks_nobody(evaluation):
    text = report(evaluation).read_text()
    check_self_contained(text)
    assert "default-src 'none'" in text


def test_names_are_escaped_and_everything_is_said(evaluation):
    text = report(evaluation).read_text()
    assert "<b>&net" not in text
    assert "&lt;b&gt;&amp;net" in text
    for said in ("s4:1", "s5:2", "LEAK: cheat", "nobody&#39;s", "PSNR (dB) of", "config.toml"):
        assert said in text
    checksum = json.loads((evaluation / "metrics.json").read_text())["data"]["manifest_sha256"]
    assert checksum in text


def test_an_evaluation_of_version_3_is_read(tmp_path):
    """What it calls detail has another name now; its figures are the same."""
    folder = Path(__file__).parents[2] / "before" / "evaluation"
    document = json.loads((folder / "metrics.json").read_text())
    assert document["version"] == 3
    text = report(folder, tmp_path / "r.html").read_text()
    assert "high-frequency energy ratio" in text
    assert "slice_ci95" not in text
    for row in document["rows"]:
        for said in (
            f"<td>{row['psnr']:.2f}",
            f"<td>{document['methods'][row['name']]['measures']['detail']['mean']:.3f}",
            f"<td>{row['n_slices']}</td>",
        ):
            assert said in text
    with (folder / "slices.tsv").open() as file:
        before = list(csv.DictReader(file, delimiter="\t"))
    found = read_slices(folder)
    assert [row.high_frequency for row in found] == [float(row["detail"]) for row in before]
    assert [row.background for row in found] == [row["air"] == "True" for row in before]


def test_an_evaluation_of_version_4_is_read(evaluation, tmp_path):
    """What it calls air is background."""
    folder = shutil.copytree(evaluation, tmp_path / "evaluation")
    document = json.loads((folder / "metrics.json").read_text())
    del document["sha256"]
    document["n_air"] = document.pop("n_background") + 7
    (folder / "metrics.json").write_text(json.dumps({**document, "version": 4}))
    read = read_evaluation(folder, "measure again", "n_background")
    assert read["n_background"] == document["n_air"]
    assert "low resolution" in report(folder).read_text()


def test_slices_and_box_can_be_chosen(evaluation, tmp_path):
    text = report(evaluation, tmp_path / "r.html", slices="s5:2", roi=(3, 5, 7)).read_text()
    assert text.count("<article") == 1
    assert 'width="7" height="7"' in text
    assert report(evaluation, tmp_path / "r.html", slices="1").read_text().count("<article") == 1
    document = json.loads((evaluation / "metrics.json").read_text())
    exhibits = gallery.load(evaluation, document["slices"])
    kept = [exhibit.label for exhibit in exhibits]
    alone = [report(evaluation, tmp_path / "r.html", slices=label).read_text() for label in kept]
    turned = report(evaluation, tmp_path / "r.html", slices=",".join(kept[1::-1])).read_text()
    assert turned.index(kept[0]) < turned.index(kept[1])  # the median one comes first
    # Which slice is typical does not depend on which are shown.
    assert sum("nearest to the median gain of" in text for text in alone) == 1
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
    (tmp_path / "metrics.json").write_text(json.dumps(document | {"n_background": 7}))
    with pytest.raises(CorruptArtefactError, match=r"metrics\.json: was changed after"):
        report(tmp_path)
    del document["sha256"]  # as versions before had it
    (tmp_path / "metrics.json").write_text(json.dumps(document | {"data": {"licence": ""}}))
    with pytest.raises(CorruptArtefactError, match="lacks test_scans"):
        report(tmp_path)
    (tmp_path / "metrics.json").write_bytes((evaluation / "metrics.json").read_bytes())
    (tmp_path / "images.npz").write_bytes((evaluation / "images.npz").read_bytes()[:-100])
    with pytest.raises(CorruptArtefactError, match=r"images\.npz"):
        report(tmp_path)


def test_it_needs_no_tensorflow(evaluation):
    program = (
        "import sys; from srmri_tf.report.page import report\n"
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


def one_slice():
    shown = exhibit()
    box, spacing = (12, 22, 16), (1.0, 1.5)
    return pictures.Slice(shown.label, shown.images, "truth", box, spacing=spacing)


def test_the_median_slice_comes_first_then_the_best_and_the_worst():
    gains = {0: 0.1, 1: 3.0, 2: 1.1, 3: 0.9, 4: 0.0}  # the median is 0.9, which was not kept
    rows = [
        SliceRow(method, "a", "", k, background=False, psnr=psnr, ssim=0.9)
        for k, gain in gains.items()
        for method, psnr in (("lr", 30.0), ("net", 30.0 + gain))
    ]
    background = [
        SliceRow(method, "a", "", 9, background=True, psnr=50.0, ssim=1.0)
        for method in ("lr", "net")
    ]
    reasons = {0: "sample", 1: "largest gain of net", 2: "sample", 4: "smallest gain of net"}
    kept = [Exhibit("a", "", k, {}, {}, [why]) for k, why in reasons.items()]
    found = page._ordered(kept, rows + background, ["net"])
    assert [e.slice for e in found] == [2, 1, 4, 0]
    assert found[0].reasons == ["nearest to the median gain of net", "sample"]


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("+0.31", "better"),
        ("-0.0062", "worse"),
        ("+0.31 / +0.0020", "better"),
        ("+0.31 / -0.0020", ""),
        ("+0.00", ""),
        ("-", ""),
        ("31.20 / 0.9", ""),
        ("a - b", ""),
    ],
)
def test_gains_and_losses_are_told_apart(cell, expected):
    assert verdict(cell) == expected


def pixels(uri):
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))))


def test_pictures_by_hand():
    panel = pictures.panel(one_slice(), Degradation(), brightest=0.2)
    assert panel.label == "a/b:3"
    assert (panel.height, panel.width) == (28, 38)  # tissue and a margin of 4
    assert panel.aspect == pytest.approx(1.5 * 38 / 28)
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
    assert pictures.most_error([one_slice(), one_slice()]) == pytest.approx(0.1, abs=1e-6)


def test_fewer_shades_make_a_page_smaller():
    noisy = one_slice()
    noisy.images["lr"][:] = np.random.default_rng(0).random((40, 60))
    full, small = (pictures.panels([noisy], Degradation(), 0.2, most)[0] for most in (10**9, 1000))
    shades = [len(np.unique(pixels(panel.pictures[0].image))) for panel in (full, small)]
    assert shades[0] > 200
    assert shades[1] <= 20


def test_images_survive_being_stored(tmp_path):
    entries = gallery.save([exhibit()], tmp_path)
    (back,) = gallery.load(tmp_path, json.loads(json.dumps(entries)))
    np.testing.assert_allclose(back.images["lr"], exhibit().images["lr"], atol=2e-5)
    assert back.label == "a/b:3"


def drawing(chart):
    """The SVG inside a chart: its elements by tag."""
    prefix, _, content = chart.uri.partition(",")
    assert prefix == "data:image/svg+xml;base64"
    root = ElementTree.fromstring(base64.b64decode(content))
    return {tag: list(root.iter(f"{{http://www.w3.org/2000/svg}}{tag}")) for tag in ("text", "g")}


def test_lines_escape_names_and_leave_gaps():
    nan = float("nan")
    chart = charts.lines("t", [1, 2, 3], "y", {"input": [1.0, 1.0, 1.0], "<i>": [1.0, nan, 3.0]})
    texts = ["".join(text.itertext()) for text in drawing(chart)["text"]]
    assert {"epoch", "y", "input", "<i>"} <= set(texts)
    assert texts[: texts.index("epoch")] == ["1", "2", "3"]  # epochs are whole
    assert charts.lines("t", [], "y", {"input": []}) is None
    assert charts.lines("t", [1], "y", {"input": [nan]}) is None


def test_boxes_by_method_and_none_without_values():
    infinite = float("inf")
    slices = {"a": [1.0, 2.0, 3.0, infinite], "b": [infinite]}
    chart = charts.boxes("t", "PSNR (dB)", slices, {"a": [2.0], "b": [infinite]})
    texts = ["".join(text.itertext()) for text in drawing(chart)["text"]]
    assert {"a", "PSNR (dB)"} <= set(texts)
    assert "b" not in texts
    assert charts.boxes("t", "x", {"b": [infinite]}, {"b": []}) is None


def test_charts_suit_light_and_dark_pages():
    """Nothing is black or white: grey on a transparent ground."""
    chart = charts.lines("t", [1, 2], "y", {"input": [1.0, 2.0], "net": [2.0, 3.0]})
    svg = base64.b64decode(chart.uri.partition(",")[2]).decode()
    colours = set(re.findall(r"(?:fill|stroke): (#[0-9a-f]{6})", svg))
    assert colours
    assert not colours & {"#000000", "#ffffff"}
