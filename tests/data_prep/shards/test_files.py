import numpy as np
import pytest

from data_prep.errors import BadInputError, CorruptArtefactError
from data_prep.prepare.pipeline import PrepareConfig, prepare
from data_prep.shards import files, tfrecord
from data_prep.shards.schema import (
    Parameters,
    SplitRule,
    decode,
    encode,
    manifest_text,
    read_manifest,
)
from tests.data_prep.phantoms import phantom, save


@pytest.fixture
def folder(tmp_path):
    """Two small scans: one prepared for training, one for test."""
    for seed, name in enumerate(("a", "b")):
        save(tmp_path / "scans" / f"{name}.nii.gz", phantom(seed=seed))
    config = PrepareConfig(
        parameters=Parameters(patch_size=10),
        split_rule=SplitRule(val_fraction=0, test_fraction=0.5),
    )
    prepare([tmp_path / "scans"], tmp_path / "shards", config)
    return tmp_path / "shards"


def of_kind(folder, kind):
    manifest = read_manifest(folder)
    (shard,) = [shard for shard in manifest.shards if shard.kind == kind]
    return folder / shard.file, shard


def test_codes_are_exact_at_zero_and_one_and_saturate():
    np.testing.assert_array_equal(
        encode(np.array([0, 1, -0.25, 1.75, -9, 9])), [8192, 40960, 0, 65535, 0, 65535]
    )
    values = np.linspace(-0.25, 1.7499, 1000)
    np.testing.assert_allclose(decode(encode(values)), values, atol=1.6e-5)


def test_an_untouched_folder_is_sound(folder):
    manifest = files.verify(folder)
    assert sum(shard.records for shard in manifest.shards) == 12 * 2 * 3 + 12


def fault_of(folder) -> CorruptArtefactError:
    with pytest.raises(CorruptArtefactError) as caught:
        files.verify(folder)
    return caught.value


def test_any_flipped_byte_is_found_and_the_shard_named(folder):
    path, _ = of_kind(folder, "patches")
    content = path.read_bytes()
    for index in np.random.default_rng(0).integers(0, len(content), 25):
        flipped = bytearray(content)
        flipped[index] ^= 1
        path.write_bytes(bytes(flipped))
        error = fault_of(folder)
        assert error.path == path
        assert "damaged record at byte" in error.fault
    path.write_bytes(content)
    files.verify(folder)


def parts(path) -> list[bytes]:
    return [tfrecord.frame(payload) for payload in tfrecord.payloads(path.read_bytes())]


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda r: r[:-1], "holds 71 records, expected 72"),  # cut at a record boundary
        (lambda r: r[:30] + r[31:], "holds 71 records"),  # one deleted
        (lambda r: [*r, r[0]], "holds 73 records"),  # one repeated
        (lambda r: [*r[:5], r[4], *r[6:]], "was changed"),  # one replaced by its neighbour
        (lambda r: r[::-1], "was changed"),
        (lambda r: [], "holds 0 records"),
        (lambda r: [*r[:-1], r[-1][:-7]], "damaged record"),
    ],
)
def test_cut_deleted_repeated_and_shuffled_records_are_found(folder, change, fault):
    path, _ = of_kind(folder, "patches")
    path.write_bytes(b"".join(change(parts(path))))
    error = fault_of(folder)
    assert error.path == path
    assert fault in error.fault


def test_a_foreign_shard_is_found(folder):
    path, _ = of_kind(folder, "patches")
    other, _ = of_kind(folder, "slices")
    path.write_bytes(other.read_bytes())
    assert "holds 12 records, expected 72" in fault_of(folder).fault
    path.write_bytes(b"something else")
    assert "damaged record" in fault_of(folder).fault


def test_missing_and_extra_shards_are_found_together(folder):
    path, _ = of_kind(folder, "patches")
    path.rename(path.with_name("c.tfrecord"))
    message = str(fault_of(folder))
    assert f"{path.name}: is missing" in message
    assert "c.tfrecord: is not in the manifest" in message


def rewrite(folder, change):
    manifest = read_manifest(folder)
    changed = manifest.model_copy(update={"shards": change(manifest.shards)})
    (folder / "manifest.json").write_text(changed.model_dump_json())


def test_a_shard_listed_twice_is_found(folder):
    rewrite(folder, lambda listed: (*listed, listed[0]))
    assert "is listed more than once" in fault_of(folder).fault


def test_a_subject_on_both_sides_is_found(folder):
    rewrite(folder, lambda listed: tuple(s.model_copy(update={"subject": "x"}) for s in listed))
    assert "puts subject x in more than one split" in fault_of(folder).fault


def test_folders_that_are_none_of_ours(folder, tmp_path):
    with pytest.raises(BadInputError, match="is not a folder of shards"):
        files.verify(tmp_path)
    rewrite(folder, lambda listed: ())
    with pytest.raises(BadInputError, match="lists no shard"):
        files.verify(folder)


@pytest.mark.parametrize("name", ["../a.tfrecord", "/etc/passwd", "a/b", ""])
def test_a_manifest_cannot_point_outside_its_folder(folder, name):
    rewrite(folder, lambda listed: tuple(s.model_copy(update={"file": name}) for s in listed))
    with pytest.raises(CorruptArtefactError, match="not a valid manifest"):
        files.verify(folder)


def test_a_missing_shard_cannot_be_read(tmp_path):
    with pytest.raises(CorruptArtefactError, match="cannot be read"):
        list(files.records(tmp_path / "none.tfrecord"))


def with_other_digits(text):
    """The text with one digit changed, for every digit in it that stands for itself."""
    for place, letter in enumerate(text):
        if letter.isdigit():
            yield f"{text[:place]}{(int(letter) + 1) % 10}{text[place + 1 :]}"


def test_no_edit_of_a_manifest_is_believed(folder):
    path = folder / "manifest.json"
    text = manifest_text(read_manifest(folder))
    path.write_text(text)
    assert files.verify(folder) == read_manifest(folder)
    edits = list(with_other_digits(text))
    assert len(edits) > 200
    for edited in edits:
        path.write_text(edited)
        with pytest.raises((CorruptArtefactError, BadInputError)):
            files.verify(folder)


def test_a_manifest_that_was_edited_on_purpose_is_sealed_again(folder):
    rewrite(folder, lambda listed: listed)
    path = folder / "manifest.json"
    path.write_text(
        manifest_text(read_manifest(folder)).replace('"subject": "a"', '"subject": "z"')
    )
    with pytest.raises(CorruptArtefactError, match="was changed after it was written"):
        files.verify(folder)
    files.reseal(folder)
    assert "z" in {shard.subject for shard in files.verify(folder).shards}


@pytest.mark.parametrize(
    "change",
    [
        {"height": 8, "width": 18},
        {"slice_height": 99},
        {"slice_width": 13},
        {"slices": 77},
        {"records": 11},
        {"records": 73},
    ],
)
def test_a_manifest_that_contradicts_its_records_is_not_sealed(folder, change):
    rewrite(folder, lambda listed: tuple(s.model_copy(update=change) for s in listed))
    before = (folder / "manifest.json").read_bytes()
    with pytest.raises(CorruptArtefactError, match="faults"):
        files.reseal(folder)
    assert (folder / "manifest.json").read_bytes() == before
