"""Unpaired and partly paired samples: whose images meet, in which order, and what is refused."""

from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from data_prep.errors import BadInputError
from srmri_tf.data.dataset import Shards
from srmri_tf.data.pairing import Pairing, is_paired
from srmri_tf.recipes.config import Augmentation
from tests.srmri_tf.conftest import PATCH, SIDE, image_pair
from tests.srmri_tf.data.test_dataset import keep_slices

SUBJECTS = {"a": "train", "b": "train", "c": "train", "d": "train", "e": "train", "t": "test"}
SLICES = 8
CORNERS = [(r, c) for r in range(0, SIDE, PATCH) for c in range(0, SIDE, PATCH)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    from tests.srmri_tf.conftest import make_shards

    return make_shards(tmp_path_factory.mktemp("pairing") / "shards", SUBJECTS, SLICES)


@pytest.fixture(scope="module")
def owner():
    """Whose every patch is: the bytes of an image to (subject, slice, corner, LR or HR)."""
    found = {}
    for subject in SUBJECTS:
        for index in range(SLICES):
            for kind, image in zip(("lr", "hr"), image_pair(subject, index), strict=True):
                for r, c in CORNERS:
                    patch = np.ascontiguousarray(image[r : r + PATCH, c : c + PATCH])
                    found[patch.tobytes()] = (subject, index, (r, c), kind)
    return found


def samples(folder, owner, share, seed=0, epochs=range(1), batch=8, **kwargs):
    """Every sample of some epochs: (whose x, whose y, paired)."""
    data, steps = Shards.open(folder).pairs(batch, seed, epochs, paired_share=share, **kwargs)
    batches = [[x.numpy() for x in element] for element in data]
    assert len(batches) == steps * len(epochs)
    return [
        (owner[x.tobytes()], owner[y.tobytes()], float(flag))
        for xs, ys, flags in batches
        for x, y, flag in zip(xs, ys, flags, strict=True)
    ]


def test_unpaired_samples_are_never_of_one_subject(folder, owner):
    for seed in range(2):
        for x, y, flag in samples(folder, owner, 0.0, seed, range(3)):
            assert (x[3], y[3], flag) == ("lr", "hr", 0.0)
            assert x[0] != y[0]
            assert "t" not in (x[0], y[0])


def test_every_subject_meets_every_other_and_all_patches_are_seen(folder, owner):
    found = samples(folder, owner, 0.0, epochs=range(8))
    train = "abcde"
    assert {(x[0], y[0]) for x, y, _ in found} == {(p, q) for p in train for q in train if p != q}
    assert len({x for x, _, _ in found}) == len({y for _, y, _ in found}) == 5 * SLICES * 4


def test_subjects_of_several_sessions_are_one_subject(tmp_path, shard_maker, owner):
    import json

    folder = shard_maker(tmp_path / "x", dict.fromkeys("abc", "train"), SLICES)
    manifest = json.loads((folder / "manifest.json").read_text())
    for shard in manifest["shards"][:2]:  # a and b become two sessions of one subject
        shard["subject"], shard["session"] = "ab", shard["subject"]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    for x, y, _ in samples(folder, owner, 0.0, epochs=range(4)):
        assert (x[0] == "c") != (y[0] == "c")


@pytest.mark.parametrize("share", [0.5, 0.25])
def test_semi_pairs_a_fixed_share_of_slices_and_keeps_the_rest_apart(folder, owner, share):
    found = samples(folder, owner, share, epochs=range(3))
    assert np.mean([flag for _, _, flag in found]) == pytest.approx(share, abs=0.02)
    together = [(x, y) for x, y, flag in found if flag]
    assert all(x[:3] == y[:3] for x, y in together)
    known = {x[1] for x, _ in together}
    assert len(known) == SLICES * share
    for x, y, flag in found:
        if not flag:
            assert x[0] != y[0]
            assert not {x[1], y[1]} & known


@pytest.mark.parametrize(
    ("stored", "share", "count"),
    [({1, 3, 5, 7}, 0.5, 2), ({1, 3, 5, 7}, 0.25, 1), ({0, 2, 3, 5, 7}, 0.5, 2)],
)
def test_the_share_is_one_of_the_stored_slices(shard_maker, tmp_path, owner, stored, share, count):
    # As `prepare --max-slices` leaves them: every second one, which a rule by number would meet.
    folder = shard_maker(tmp_path / "x", dict.fromkeys("abc", "train"), SLICES)
    for subject in "abc":
        keep_slices(folder, subject, stored)
    found = samples(folder, owner, share, epochs=range(4), batch=4)
    known = {(x[0], x[1]) for x, _, flag in found if flag}
    unknown = {(x[0], x[1]) for x, _, flag in found if not flag}
    for subject in "abc":
        assert len([of for of, _ in known if of == subject]) == count
        assert len([of for of, _ in unknown if of == subject]) == len(stored) - count


@pytest.mark.parametrize("share", [0.5, 0.125])
def test_known_pairs_alone_fill_an_epoch(folder, owner, share):
    known = {x[1] for x, _, flag in samples(folder, owner, share, epochs=range(3)) if flag}
    data, steps = Shards.open(folder).pairs(8, 0, range(2), paired_share=share, known_only=True)
    seen = [
        [(owner[x.tobytes()], owner[y.tobytes()]) for x, y in zip(*pair, strict=True)]
        for pair in ((x.numpy(), y.numpy()) for x, y in data)
    ]
    assert len(seen) == 2 * steps
    pairs = [pair for batch in seen for pair in batch]
    assert all(x[:3] == y[:3] and (x[3], y[3]) == ("lr", "hr") for x, y in pairs)
    assert {x[1] for x, _ in pairs} == known
    assert {x[0] for x, _ in pairs} == set("abcde")
    assert seen[:steps] != seen[steps:]


def test_where_no_pair_is_known_known_only_changes_nothing(folder, owner):
    assert samples(folder, owner, 0.0, known_only=True) == samples(folder, owner, 0.0)


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_the_order_is_a_function_of_seed_and_epoch(folder, owner, share):
    whole = samples(folder, owner, share, 5, range(3))
    epoch = len(whole) // 3
    assert samples(folder, owner, share, 5, range(2, 3)) == whole[2 * epoch :]
    assert whole[:epoch] != whole[epoch : 2 * epoch]
    assert samples(folder, owner, share, 6, range(1)) != whole[:epoch]


def test_epochs_are_as_long_as_with_pairs(folder):
    steps = {s: Shards.open(folder).pairs(8, 0, range(1), paired_share=s)[1] for s in (0, 0.5, 1)}
    assert set(steps.values()) == {5 * SLICES * 4 // 8}


def test_all_pairs_known_is_plain_pairs(folder):
    data, _ = Shards.open(folder).pairs(8, 0, range(1), paired_share=1.0)
    assert len(data.element_spec) == 2


def test_the_window_of_a_shuffle_takes_no_more_memory_for_larger_patches():
    def window(side):
        shard = SimpleNamespace(file="f", subject="s", height=side, width=side)
        return Pairing.of(Path(), [shard], 1.0).window

    assert [window(side) for side in (16, 64, 128, 256)] == [8192, 8192, 2048, 512]


def test_flips_leave_the_flags_alone(folder):
    flags = [
        np.concatenate([e[2] for e in Shards.open(folder).pairs(8, 0, range(1), **kw)[0]])
        for kw in (
            {"paired_share": 0.5},
            {"paired_share": 0.5, "augmentation": Augmentation(flips=True)},
        )
    ]
    np.testing.assert_array_equal(*flags)


@pytest.mark.parametrize(("share", "count"), [(0.1, 10), (0.5, 50), (0.33, 33)])
def test_known_slices_are_spread_evenly(share, count):
    known = np.flatnonzero(is_paired(np.arange(100), share))
    assert len(known) == count
    assert set(np.diff(known)) <= {int(1 / share), int(1 / share) + 1}


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_one_subject_cannot_be_unpaired(shard_maker, tmp_path, share):
    folder = shard_maker(tmp_path / "x", {"a": "train", "b": "test"})
    with pytest.raises(BadInputError, match=r"different subjects.*there is 1") as caught:
        Shards.open(folder).pairs(4, 0, range(1), paired_share=share)
    assert caught.value.exit_code == 3


def test_subjects_without_records_fill_no_half(shard_maker, tmp_path, owner):
    folder = shard_maker(tmp_path / "x", dict.fromkeys("abcd", "train"), SLICES)
    for subject in "cd":
        keep_slices(folder, subject, set())
    found = samples(folder, owner, 0.5, epochs=range(6))
    assert {x[0] + y[0] for x, y, flag in found if not flag} == {"ab", "ba"}
    assert {x[0] for x, _, flag in found if flag} == set("ab")


def test_one_subject_with_records_has_no_partner(shard_maker, tmp_path):
    folder = shard_maker(tmp_path / "x", dict.fromkeys("abc", "train"), SLICES)
    for subject in "bc":
        keep_slices(folder, subject, set())
    with pytest.raises(BadInputError, match=r"not known.*there is 1"):
        Shards.open(folder).pairs(4, 0, range(1), paired_share=0.5)


def test_too_few_slices_to_pair_are_refused(shard_maker, tmp_path):
    folder = shard_maker(tmp_path / "x", {"a": "train", "b": "train"}, slices=3)
    with pytest.raises(BadInputError, match="paired-fraction"):
        Shards.open(folder).pairs(4, 0, range(1), paired_share=0.1)


def test_subjects_whose_slices_are_all_paired_are_no_partners(shard_maker, tmp_path, owner):
    # With one slice each and nearly all of them paired, slice 0 is left unpaired.
    folder = shard_maker(tmp_path / "x", dict.fromkeys("abc", "train"), slices=2)
    counts = Counter(flag for _, _, flag in samples(folder, owner, 0.5, epochs=range(2), batch=4))
    assert counts[0.0] == counts[1.0]
