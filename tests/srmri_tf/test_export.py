"""The SavedModel in a process that has TensorFlow and not this package."""

import subprocess
import sys
import textwrap

import numpy as np
import pytest

from data_prep.errors import BadInputError, ConfigError
from srmri_tf.export import export
from srmri_tf.runs import Run

from .test_evaluate import make_run

RNG = np.random.default_rng(0)


def test_another_process_gets_the_same_pixels(tmp_path):
    run = make_run(tmp_path / "run", gain=1.0)
    export(run, tmp_path / "model")
    lr = RNG.random((2, 50, 41, 1), np.float32)
    np.save(tmp_path / "lr.npy", lr)
    program = """
        import sys
        sys.modules["srmri_tf"] = sys.modules["data_prep"] = None  # not to be imported
        import numpy as np, tensorflow as tf
        signature = tf.saved_model.load("model").signatures["serving_default"]
        (name, spec), = signature.structured_input_signature[1].items()
        assert (name, spec.shape.as_list()) == ("lr", [None, None, None, 1]), (name, spec)
        np.save("sr.npy", signature(lr=np.load("lr.npy"))["sr"])
    """
    subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], cwd=tmp_path, check=True, timeout=120
    )
    expected = Run(run).generator()(lr)
    np.testing.assert_allclose(np.load(tmp_path / "sr.npy"), expected, atol=1e-5)


def test_an_existing_model_is_kept_unless_asked(tmp_path):
    run = make_run(tmp_path / "run")
    out = export(run, tmp_path / "model")
    with pytest.raises(ConfigError, match="--overwrite"):
        export(run, out)
    assert export(run, out, overwrite=True) == out


def test_other_folders_are_refused(tmp_path):
    run = make_run(tmp_path / "run")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("precious")
    with pytest.raises(ConfigError, match="not a SavedModel"):
        export(run, tmp_path / "out", overwrite=True)
    with pytest.raises(BadInputError, match="not a training run"):
        export(tmp_path / "out", tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_a_run_without_a_finished_epoch_is_refused(tmp_path):
    run = make_run(tmp_path / "run")
    (run / "best.npz").unlink()
    with pytest.raises(BadInputError, match="no finished epoch"):
        export(run, tmp_path / "model")
