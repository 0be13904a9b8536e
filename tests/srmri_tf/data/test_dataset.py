"""What comes out of shards, in which order, and what is refused."""

import json
import shutil

import numpy as np
import pytest

from data_prep.errors import BadInputError, ConfigError, CorruptArtefactError
from data_prep.shards.files import records, write
from srmri_tf.data.dataset import Shards
from tests.srmri_tf.conftest import PATCH, SIDE, image_pair


def keep_slices(folder, subject, kept):
    """Leave a shard the records of some slices only, as ``prepare --min-signal`` does."""
    path = folder / f"{subject}.tfrecord"
    written = write(path, [[record for record in records(path) if record.slice in kept]])
    manifest = json.loads((folder / "manifest.json").read_text())
    (shard,) = (shard for shard in manifest["shards"] if shard["subject"] == subject)
    shard |= written._asdict()
    manifest["parameters"]["min_signal"] = 0.05
    (folder / "manifest.json").write_text(json.dumps(manifest))


def epochs_of(folder, batch, seed, epochs, **kwargs):
    data, steps = Shards.open(folder).pairs(batch, seed, epochs, **kwargs)
    batches = [(lr.numpy(), hr.numpy()) for lr, hr in data]
    assert len(batches) == steps * len(epochs)
    return [batches[i : i + steps] for i in range(0, len(batches), steps)]


def contents(epoch):
    """The HR patches of an epoch as a sorted list, whatever their order."""
    return sorted(patch.tobytes() for _, hr in epoch for patch in hr)


def test_one_epoch_holds_every_pair_once_and_pixels_are_exact(shards):
    (epoch,) = epochs_of(shards, 8, 0, range(1))
    expected = []
    for subject in ("s1", "s2"):
        for index in range(4):
            _, hr = image_pair(subject, index)
            expected += [
                np.ascontiguousarray(hr[r : r + PATCH, c : c + PATCH]).tobytes()
                for r in (0, PATCH)
                for c in (0, PATCH)
            ]
    assert contents(epoch) == sorted(expected)
    lr, hr = epoch[0]
    assert lr.shape == hr.shape == (8, PATCH, PATCH, 1)
    assert lr.dtype == hr.dtype == np.float32


def test_an_epoch_can_end_early_and_the_next_has_its_own_order(shards):
    whole = epochs_of(shards, 8, 3, range(2))
    short = epochs_of(shards, 8, 3, range(2), max_steps=1)
    for early, full in zip(short, whole, strict=True):
        assert len(early) == 1
        np.testing.assert_array_equal(early[0][1], full[0][1])


def test_lr_and_hr_stay_together(shards):
    partner = {}
    for subject in ("s1", "s2"):
        for index in range(4):
            lr, hr = image_pair(subject, index)
            for r in (0, PATCH):
                for c in (0, PATCH):
                    window = np.s_[r : r + PATCH, c : c + PATCH]
                    partner[np.ascontiguousarray(hr[window]).tobytes()] = lr[window]
    for lr, hr in epochs_of(shards, 8, 1, range(1))[0]:
        for one_lr, one_hr in zip(lr, hr, strict=True):
            np.testing.assert_array_equal(one_lr[..., 0], partner[one_hr.tobytes()])


def test_order_is_a_function_of_seed_and_epoch(shards):
    def order(seed, epochs):
        return [b"".join(hr.tobytes() for _, hr in e) for e in epochs_of(shards, 8, seed, epochs)]

    whole = order(5, range(4))
    assert len(set(whole)) == 4
    assert order(5, range(2, 4)) == whole[2:]
    assert order(6, range(1)) != whole[:1]


def test_a_batch_larger_than_the_data_is_refused(shards):
    with pytest.raises(ConfigError, match="only 32"):
        Shards.open(shards).pairs(64, 0, range(1))


@pytest.mark.parametrize("split", ["train", "test"])
def test_whole_slices_come_back_from_patches_and_slices_alike(shards, split):
    found = list(Shards.open(shards).slices(split))
    subjects = {"train": ("s1", "s2"), "test": ("s4", "s5")}[split]
    assert [(p.subject, p.index) for p in found] == [(s, i) for s in subjects for i in range(4)]
    for pair in found:
        lr, hr = image_pair(pair.subject, pair.index)
        np.testing.assert_array_equal(pair.lr, lr)
        np.testing.assert_array_equal(pair.hr, hr)
        assert pair.hr.shape == (SIDE, SIDE)


def test_scans_of_one_session_are_told_apart_by_their_shards(shard_maker, tmp_path):
    folder = shard_maker(tmp_path / "x", {"a": "train", "b": "test", "b_2": "test", "c": "test"})
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["shards"][2]["subject"] = "b"
    (folder / "manifest.json").write_text(json.dumps(manifest))
    found = {(pair.subject, pair.session) for pair in Shards.open(folder).slices("test")}
    assert found == {("b", "b"), ("b", "b_2"), ("c", "")}


@pytest.mark.parametrize(("at_most", "expected"), [(0, 8), (100, 8), (4, 4), (1, 1)])
def test_some_slices_are_evenly_spaced(shards, at_most, expected):
    pairs = Shards.open(shards).some_slices("test", at_most)
    assert len(pairs) == expected
    if at_most == 4:
        assert [(p.subject, p.index) for p in pairs] == [
            ("s4", 1),
            ("s4", 3),
            ("s5", 1),
            ("s5", 3),
        ]


def test_some_slices_are_chosen_among_those_that_have_records(shard_maker, tmp_path):
    folder = shard_maker(tmp_path / "x", {"a": "train", "b": "train"}, slices=12)
    keep_slices(folder, "a", range(3, 8))
    keep_slices(folder, "b", range(3, 8))
    pairs = Shards.open(folder).some_slices("train", 4)
    assert [(p.subject, p.index) for p in pairs] == [("a", 4), ("a", 6), ("b", 4), ("b", 6)]
    assert len(Shards.open(folder).some_slices("train", 10)) == 10
    assert len(Shards.open(folder).some_slices("train", 0)) == 10


def test_folders_without_training_patches_are_refused(shard_maker, tmp_path):
    folder = shard_maker(tmp_path / "x", {"a": "test"})
    with pytest.raises(BadInputError, match="no training patches"):
        Shards.open(folder).training()


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(BadInputError, match=r"manifest\.json"):
        Shards.open(tmp_path)


@pytest.mark.parametrize("damage", ["flip", "cut", "delete"])
def test_damaged_shards_are_refused_by_name(shard_maker, tmp_path, damage):
    folder = shard_maker(tmp_path / "x", {"a": "train", "b": "test"})
    path = folder / "b.tfrecord"
    content = bytearray(path.read_bytes())
    if damage == "flip":
        content[len(content) // 2] ^= 1
    path.write_bytes(content[: len(content) // 4 * (3 if damage == "cut" else 4)])
    if damage == "delete":
        path.unlink()
    with pytest.raises(CorruptArtefactError, match=r"b\.tfrecord"):
        Shards.open(folder)


@pytest.fixture(scope="module")
def folded(shard_maker, tmp_path_factory):
    """Four subjects in three folds, all stored as patches."""
    folder = shard_maker(
        tmp_path_factory.mktemp("folds") / "x", dict.fromkeys(("a", "b", "c", "d"), "train")
    )
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["split_rule"] = {"folds": 3}
    for shard, fold in zip(manifest["shards"], (0, 1, 2, 2), strict=True):
        shard["fold"] = fold
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


@pytest.mark.parametrize(
    ("fold", "test", "val", "train"),
    [(0, ["a"], ["b"], ["c", "d"]), (1, ["b"], ["c", "d"], ["a"]), (2, ["c", "d"], ["a"], ["b"])],
)
def test_a_fold_is_chosen_on_reading(folded, fold, test, val, train):
    manifest = Shards.open(folded, fold=fold).manifest
    assert [manifest.subjects(split) for split in ("test", "val", "train")] == [test, val, train]
    # Whoever is tested comes back as whole slices.
    lr, hr = image_pair(test[0], 0)
    first = next(Shards.open(folded, fold=fold).slices("test"))
    np.testing.assert_array_equal(first.lr, lr)
    np.testing.assert_array_equal(first.hr, hr)


def test_the_fold_after_the_tested_one_trains_too_if_none_validates(folded):
    manifest = Shards.open(folded, 1, "none").manifest
    found = [manifest.subjects(split) for split in ("test", "val", "train")]
    assert found == [["b"], [], ["a", "c", "d"]]


def test_subjects_outside_the_folds_train_or_are_put_aside(shard_maker, tmp_path):
    roles = {"a": "train", "b": "train", "always": "train", "kept": "test"}
    folder = shard_maker(tmp_path / "x", roles)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["split_rule"] = {"folds": 2}
    for fold, shard in enumerate(manifest["shards"][:2]):
        shard["fold"] = fold
    (folder / "manifest.json").write_text(json.dumps(manifest))

    def subjects(opened):
        return [opened.manifest.subjects(split) for split in ("test", "val", "train")]

    opened = Shards.open(folder, 1)
    assert subjects(opened) == [["b"], [], ["a", "always"]]
    assert {shard.kind for shard in opened.manifest.of("train")} == {"patches"}
    assert subjects(Shards.open(folder)) == [["kept"], [], ["a", "always", "b"]]


def test_without_a_fold_everybody_trains(folded):
    assert Shards.open(folded, None, "none").manifest.subjects("train") == ["a", "b", "c", "d"]
    assert Shards.open(folded).manifest.subjects("train") == ["a", "b", "c", "d"]


def test_a_fold_that_is_not_there_is_refused(folded, shards):
    with pytest.raises(ConfigError, match="no fold 3: it was prepared with 3 folds"):
        Shards.open(folded, fold=3)
    with pytest.raises(ConfigError, match="with no folds"):
        Shards.open(shards, fold=0)


def test_slices_know_the_size_of_their_pixels(shards, tmp_path):
    folder = shutil.copytree(shards, tmp_path / "shards")
    manifest = json.loads((folder / "manifest.json").read_text())
    for shard in manifest["shards"]:
        shard["spacing"] = [0.5, 2.0, 3.0]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    assert {pair.spacing for pair in Shards.open(folder).slices("test")} == {(0.5, 2.0)}


def test_test_scans_of_one_contrast(shards, tmp_path):
    folder = shutil.copytree(shards, tmp_path / "shards")
    manifest = json.loads((folder / "manifest.json").read_text())
    for shard in manifest["shards"]:
        shard["contrast"] = "T1" if shard["subject"] in ("s1", "s4") else "T2"
    (folder / "manifest.json").write_text(json.dumps(manifest))
    opened = Shards.open(folder, contrast="T1w").manifest
    assert [shard.subject for shard in opened.shards] == ["s1", "s2", "s3", "s4"]
    with pytest.raises(BadInputError, match="no test scan of contrast PD, but of T1, T2"):
        Shards.open(folder, contrast="PD")
    with pytest.raises(BadInputError, match="but of unknown"):
        Shards.open(shards, contrast="T1")
