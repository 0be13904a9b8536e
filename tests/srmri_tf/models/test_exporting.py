"""Every format in a process that has its own runtime and not this package."""

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from data_prep.errors import BadInputError, ConfigError, CorruptArtefactError, EnvironmentFault
from srmri_tf.models import export_check
from srmri_tf.models import exporting as module
from srmri_tf.models.exporting import export
from srmri_tf.models.model import load_network
from srmri_tf.models.stored import read
from tests.srmri_tf.evaluation.test_measuring import make_run
from tests.srmri_tf.models.test_model import make_circle_run

RNG = np.random.default_rng(0)
DOCS = (Path(__file__).parents[3] / "docs" / "export.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("export") / "run", gain=1.0)


@pytest.fixture(scope="module")
def saved_model(run):
    """Without the check that export makes: these tests make their own. The slow one makes both."""
    with pytest.MonkeyPatch.context() as patch:
        without_checks(patch)
        return export(run, run.parent / "model")


def alone(program, folder, *others):
    """Run a program where this package, and what else is named, cannot be imported."""
    absent = dict.fromkeys(("srmri_tf", "data_prep", *others))
    start = f"import sys\nsys.modules.update({absent})\n"
    subprocess.run([sys.executable, "-c", start + program], cwd=folder, check=True, timeout=120)


def documented(language, word=""):
    """The first code block of docs/export.md in a language, or that with a word in it."""
    blocks = re.findall(rf"```{language}\n(.*?)```", DOCS, re.DOTALL)
    return next(block for block in blocks if word in block)


def without_checks(monkeypatch):
    """Writing alone: what is written is looked at by the test itself."""
    monkeypatch.setattr(module, "_check", lambda *args, **options: None)
    monkeypatch.setattr(module, "_check_signatures", lambda *args: None)


def test_the_documented_client_gives_what_the_network_gives(run, saved_model):
    scan = (700 * RNG.random((3, 20, 17))).astype(np.float32)
    np.save(run.parent / "slices.npy", scan)
    client = documented("python")
    assert len(client.strip().splitlines()) <= 10  # as promised
    alone(client, run.parent, "keras")
    from srmri_tf.enhance.volume import enhance_volume

    turned = enhance_volume(
        load_network(run), scan.transpose(2, 1, 0), np.diag([-1.0, -1.0, 3.0, 1.0])
    )
    expected = turned.voxels.transpose(2, 1, 0)
    found = np.load(run.parent / "enhanced.npy")
    np.testing.assert_allclose(found, expected, atol=1e-5 * scan.max())


def test_the_documented_request_is_one_the_signature_takes(saved_model):
    """As Serving does: by the signature's names, types and shapes; nothing else is known."""
    import tensorflow as tf
    from tensorflow.core.protobuf import saved_model_pb2

    request = json.loads(documented("json"))
    graph = saved_model_pb2.SavedModel.FromString((saved_model / "saved_model.pb").read_bytes())
    declared = graph.meta_graphs[0].signature_def[request["signature_name"]]
    assert graph.meta_graphs[0].meta_info_def.tags == ["serve"]
    assert set(request["inputs"]) == set(declared.inputs)
    tensors = {}
    for name, info in declared.inputs.items():
        tensors[name] = tf.constant(request["inputs"][name], tf.as_dtype(info.dtype))
        assert tf.TensorShape(info.tensor_shape).is_compatible_with(tensors[name].shape)
    signature = tf.saved_model.load(str(saved_model)).signatures[request["signature_name"]]
    (output,) = signature(**tensors).values()
    assert output.shape == (1, 10, 10, 1)
    assert np.isfinite(output).all()


def test_signatures_are_named_as_documented(saved_model):
    import tensorflow as tf

    signatures = tf.saved_model.load(str(saved_model)).signatures
    found = {
        name: (sorted(s.structured_input_signature[1]), list(s.structured_outputs))
        for name, s in signatures.items()
    }
    raw = (["image", "scale"], ["enhanced"])
    assert found == {
        "serving_default": (["lr"], ["sr"]),
        "sr": (["lr"], ["sr"]),
        "enhance": (["image"], ["enhanced"]),
        "enhance_with_scale": raw,
        "enhance_consistent": raw,
    }
    for name in found:
        assert f"`{name}`" in DOCS
    shape = signatures["sr"].structured_input_signature[1]["lr"].shape
    assert shape.as_list() == [None, None, None, 1]


def test_keras_alone_gives_the_same_pixels_from_both_its_formats(run, monkeypatch):
    without_checks(monkeypatch)
    export(run, run.parent / "model.keras")
    export(run, run.parent / "model.npz")
    assert (run.parent / "model.npz").stat().st_size < 1_000_000
    lr = RNG.random((2, 50, 41, 1), np.float32)
    np.save(run.parent / "lr.npy", lr)
    alone(
        documented("python", "model_from_json")
        + "lr = np.load('lr.npy')\n"
        + "model = keras.saving.load_model('model.keras', safe_mode=True)\n"
        + "np.savez('sr.npz', weights=network(lr), keras=model(lr))",
        run.parent,
    )
    expected = read(run).generator()(lr)
    for found in np.load(run.parent / "sr.npz").values():
        np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.fixture(scope="module", params=["cpce", "circle"])
def onnx(request, run, tmp_path_factory):
    """A RUN of each architecture, and the folder with its ``model.onnx``."""
    folder = tmp_path_factory.mktemp("onnx")
    source = run if request.param == "cpce" else make_circle_run(folder / "run")
    with pytest.MonkeyPatch.context() as patch:
        without_checks(patch)
        export(source, folder / "model.onnx")
    return source, folder


def test_onnx_gives_the_same_pixels_and_knows_what_it_is(onnx):
    import onnxruntime

    source, folder = onnx
    session = onnxruntime.InferenceSession(
        folder / "model.onnx", providers=["CPUExecutionProvider"]
    )
    for value in (*session.get_inputs(), *session.get_outputs()):
        assert value.shape == ["batch", "height", "width", 1]
    for shape in ((2, 50, 40, 1), (1, 24, 63, 1), (1, 27, 9, 1)):
        lr = RNG.random(shape, np.float32)
        expected = read(source).generator()(lr)
        np.testing.assert_allclose(session.run(["sr"], {"lr": lr})[0], expected, atol=1e-5)
    said = json.loads(session.get_modelmeta().custom_metadata_map["srmri-tf"])
    assert (said["name"], said["sha256"]) == ("run", load_network(source).sha256)
    assert said["smallest_side"] == 9


def test_the_documented_onnx_client(onnx, monkeypatch):
    source, folder = onnx
    lr = RNG.random((2, 21, 12)).astype(np.float32)
    np.save(folder / "lr.npy", lr)
    monkeypatch.chdir(folder)
    exec(documented("python", "onnxruntime"))
    expected = read(source).generator()(lr[..., None])
    np.testing.assert_allclose(np.load("sr.npy"), expected[..., 0], atol=1e-5)


@pytest.mark.slow
def test_the_documented_client_in_node(onnx):
    """Downloads onnxruntime-node, 290 MB."""
    if not (shutil.which("node") and shutil.which("npm")):
        pytest.skip("node and npm are not installed")
    source, folder = onnx
    said = subprocess.run(
        ["npm", "install", "--no-audit", "--no-fund", "onnxruntime-node"],
        cwd=folder,
        env={**os.environ, "ONNXRUNTIME_NODE_INSTALL": "skip"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    if said.returncode:
        pytest.skip(f"onnxruntime-node cannot be installed: {said.stderr[-300:]}")
    lr = RNG.random((41, 33)).astype(np.float32)
    (folder / "lr.f32").write_bytes(lr.tobytes())
    (folder / "client.mjs").write_text(documented("js"))
    subprocess.run(["node", "client.mjs"], cwd=folder, check=True, timeout=60)
    found = np.frombuffer((folder / "sr.f32").read_bytes(), np.float32).reshape(41, 33)
    expected = read(source).generator()(lr[None, ..., None])
    np.testing.assert_allclose(found, expected[0, ..., 0], atol=1e-5)


@pytest.mark.parametrize("architecture", ["cpce", pytest.param("circle", marks=pytest.mark.slow)])
def test_tflite_gives_the_same_pixels(run, saved_model, tmp_path, monkeypatch, architecture):
    import tensorflow as tf

    source, folder = run, saved_model.parent
    if architecture == "circle":
        source, folder = make_circle_run(tmp_path / "run"), tmp_path
        without_checks(monkeypatch)
        export(source, tmp_path / "model")
    monkeypatch.chdir(folder)
    exec(documented("python", "TFLiteConverter"))
    runner = tf.lite.Interpreter("model.tflite").get_signature_runner("serving_default")
    for shape in ((2, 21, 12, 1), (1, 18, 33, 1)):
        lr = RNG.random(shape, np.float32)
        np.testing.assert_allclose(runner(lr=lr)["sr"], read(source).generator()(lr), atol=1e-5)


@pytest.mark.parametrize(
    ("signature", "inputs"),
    [
        ("serving_default", {"lr": (1, 8, 30, 1)}),
        ("enhance", {"image": (2, 30, 4, 1)}),
        ("enhance_consistent", {"image": (1, 4, 30, 1), "scale": ()}),
    ],
)
def test_slices_that_are_too_small_are_refused_in_words(saved_model, signature, inputs):
    import tensorflow as tf

    given = {name: tf.ones(shape) for name, shape in inputs.items()}
    with pytest.raises(tf.errors.InvalidArgumentError, match="fewer than 9 rows or columns"):
        tf.saved_model.load(str(saved_model)).signatures[signature](**given)


def test_each_format_says_what_is_inside(run, monkeypatch, tmp_path):
    without_checks(monkeypatch)
    export(run, tmp_path / "model")
    export(run, tmp_path / "model.keras")
    export(run, tmp_path / "model.npz")
    with zipfile.ZipFile(tmp_path / "model.keras") as archive:
        texts = [archive.read("srmri-tf.json")]
    texts.append((tmp_path / "model" / "assets.extra" / "srmri-tf.json").read_bytes())
    with np.load(tmp_path / "model.npz", allow_pickle=False) as arrays:
        texts.append(json.dumps(json.loads(bytes(arrays["meta"]))["model"]))
    for said in map(json.loads, texts):
        assert said["degradation"] == {"keep": 0.25, "keep_by": "area", "lr": "magnitude"}
        assert (said["kind"], said["halo"], said["multiple"]) == ("cpce", 8, 1)
        assert said["smallest_side"] == 9
        assert said["sha256"] == load_network(run).sha256


@pytest.mark.slow
@pytest.mark.parametrize("out", ["model", "model.keras", "model.onnx", "model.npz"])
@pytest.mark.parametrize("options", [None, {}, {"first_stride": 1}, {"widths": "released"}])
def test_every_network_passes_the_check_of_every_format(tmp_path, out, options):
    """Export itself compares the pixels; here that the result opens as the same network."""
    if options is None:
        run = make_run(tmp_path / "run", gain=1.0)
    else:
        run = make_circle_run(tmp_path / "run", **options)
    export(run, tmp_path / out)
    if out != "model.onnx":
        assert load_network(tmp_path / out).sha256 == load_network(run).sha256


def test_a_result_that_differs_is_not_written(run, tmp_path, monkeypatch):
    def slightly_wrong(program, model, inputs):
        return {"sr": read(run).generator()(inputs["lr"]).numpy() + 9e-5}

    monkeypatch.setattr(export_check, "run", slightly_wrong)
    with pytest.raises(
        CorruptArtefactError, match=r"sr differs from the network's by \d\.\de-05 of the range"
    ):
        export(run, tmp_path / "model.keras")
    assert list(tmp_path.iterdir()) == []


def test_fresh_processes_give_back_arrays_or_the_reason_why_not(tmp_path):
    found = export_check.run("outputs = {'twice': 2 * inputs['x']}", tmp_path, {"x": np.arange(3)})
    np.testing.assert_array_equal(found["twice"], [0, 2, 4])
    with pytest.raises(CorruptArtefactError, match=r"m\.keras: cannot be used.*no such layer"):
        export_check.run("raise ValueError('no such layer')", tmp_path / "m.keras", {})


def test_fresh_processes_cannot_import_this_package(tmp_path):
    for name in ("srmri_tf", "data_prep"):
        with pytest.raises(CorruptArtefactError, match="ModuleNotFoundError"):
            export_check.run(f"import {name}", tmp_path, {})


@pytest.fixture
def small_disk(make_disk):
    """A file system of 150 kB; the weights alone are 250 kB."""
    return make_disk("150k")


@pytest.mark.parametrize("name", ["model", "model.keras", "model.onnx", "model.npz"])
def test_a_full_disk_is_one_error_and_leaves_nothing(run, small_disk, name):
    with pytest.raises(EnvironmentFault, match=rf"disk/{name}: cannot be written: the disk is fu"):
        export(run, small_disk / name)
    assert list(small_disk.iterdir()) == []


def test_what_is_there_is_kept_unless_asked(run, tmp_path, monkeypatch):
    without_checks(monkeypatch)
    for out in (tmp_path / "model", tmp_path / "model.npz"):
        export(run, out)
        with pytest.raises(ConfigError, match="--overwrite"):
            export(run, out)
        assert export(run, out, overwrite=True) == out


@pytest.mark.parametrize("write", [module._write_keras, module._write_npz])
def test_a_generator_that_keras_cannot_describe_is_refused(tmp_path, write):
    class OwnClass:
        def __init__(self):
            self.options = {"function": "mine:net"}

        def metadata(self):
            return SimpleNamespace(model_dump=lambda **options: {})

        def stock(self):
            raise NotImplementedError

    with pytest.raises(ConfigError, match="cannot hold mine:net: Keras"):
        write(OwnClass(), tmp_path / "model")
    assert not list(tmp_path.iterdir())


OWN = """
import keras
def build(dtype, name):
    lr = keras.Input((None, None, 1))
    x = keras.layers.Conv2D(2, 3, padding="same", name="first")(lr)
    x = keras.layers.Dropout(0.5, name="drop")(x){}
    return keras.Model(lr, keras.layers.Conv2D(1, 3, padding="same", name="last")(x), name=name)
"""


@pytest.mark.slow
def test_a_network_of_the_users_own_may_have_dropout_but_no_lambda(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "own_dropout.py").write_text(OWN.format(""))
    own_lambda = OWN.format("\n    x = keras.layers.Lambda(lambda x: 2 * x, name='twice')(x)")
    (tmp_path / "own_lambda.py").write_text(own_lambda)
    for name in ("own_dropout", "own_lambda"):
        run = make_run(tmp_path / name, generator={"function": f"{name}:build"})
        if name == "own_dropout":
            assert export(run, tmp_path / "model.npz").is_file()
            continue
        with pytest.raises(ConfigError, match=r"other\.npz: cannot hold own_lambda:build.*Lambda"):
            export(run, tmp_path / "other.npz")
        assert not (tmp_path / "other.npz").exists()


def test_a_saved_model_that_tensorflow_would_not_find_again_is_refused(tmp_path):
    (tmp_path / "moved[1]").mkdir()
    (tmp_path / "moved[1]" / "saved_model.pb").touch()
    with pytest.raises(ConfigError, match="takes for a pattern"):
        read(tmp_path / "moved[1]")


def test_other_folders_and_formats_are_refused(run, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("precious")
    with pytest.raises(ConfigError, match="not of a SavedModel"):
        export(run, tmp_path / "out", overwrite=True)
    with pytest.raises(ConfigError, match="takes for a pattern"):
        export(run, tmp_path / "model[1]")
    (tmp_path / "folder.npz").mkdir()
    with pytest.raises(ConfigError, match="is a folder"):
        export(run, tmp_path / "folder.npz", overwrite=True)
    for name in ("model.h5", "model.tflite", "model.pth", "model.ONNX"):
        with pytest.raises(ConfigError, match="none of the formats"):
            export(run, tmp_path / name)
    with pytest.raises(BadInputError, match="not a training run"):
        export(tmp_path / "out", tmp_path / "model")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["folder.npz", "out"]


def test_a_run_without_a_finished_epoch_is_refused(tmp_path):
    run = make_run(tmp_path / "run")
    (run / "best.npz").unlink()
    with pytest.raises(BadInputError, match="no finished epoch"):
        export(run, tmp_path / "model")


def test_an_unknown_degradation_is_refused(tmp_path):
    run = make_run(tmp_path / "run", parameters={})
    with pytest.raises(BadInputError, match="does not say which degradation"):
        export(run, tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_a_missing_extra_is_named_with_the_command_that_installs_it(run, tmp_path, monkeypatch):
    find = module.importlib.util.find_spec
    monkeypatch.setattr(
        module.importlib.util, "find_spec", lambda n: None if n == "tf2onnx" else find(n)
    )
    with pytest.raises(EnvironmentFault, match=r"tf2onnx.*pip install 'srmri-tf\[onnx\]'"):
        export(run, tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []
