import hashlib
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_prep.errors import BadInputError, ConfigError
from data_prep.files import write_text
from data_prep.prepare.splits import Place, assign, lookup, read_tsv, seeded_order, write_tsv
from data_prep.shards.schema import SplitRule

TEN = [f"s{number}" for number in range(10)]


def dealt(subjects, **rule) -> dict[str, int]:
    places = assign(subjects, SplitRule(**rule)).values()
    return {name: sum(place.split == name for place in places) for name in ("train", "val", "test")}


def test_the_order_is_that_of_the_published_hash():
    digests = {s: hashlib.sha256(f"7:{s}".encode()).hexdigest() for s in TEN}
    assert seeded_order(TEN, 7) == sorted(TEN, key=digests.get)
    places = assign(TEN, SplitRule(seed=7, test_fraction=0.2, val_fraction=0.1))
    assert {s for s, place in places.items() if place.split == "test"} == set(
        seeded_order(TEN, 7)[:2]
    )


@pytest.mark.parametrize(
    ("count", "val", "test", "expected"),
    [
        (10, 0.1, 0.1, (8, 1, 1)),
        (10, 0.0, 0.0, (10, 0, 0)),
        (10, 0.0, 1.0, (0, 0, 10)),
        (10, 0.5, 0.5, (0, 5, 5)),
        (3, 0.1, 0.1, (1, 1, 1)),  # asked for some, so one each
        (3, 0.5, 0.5, (0, 1, 2)),
        (3, 0.0, 0.34, (2, 0, 1)),
        (2, 0.1, 0.1, (1, 0, 1)),  # somebody stays for training
        (1, 0.1, 0.1, (1, 0, 0)),
        (1, 0.0, 1.0, (0, 0, 1)),
        (0, 0.1, 0.1, (0, 0, 0)),
        (577, 0.1, 0.1, (461, 58, 58)),
    ],
)
def test_fractions(count, val, test, expected):
    result = dealt([f"s{n}" for n in range(count)], val_fraction=val, test_fraction=test)
    assert (result["train"], result["val"], result["test"]) == expected


def test_counts():
    assert dealt(TEN, val_count=3, test_count=2) == {"train": 5, "val": 3, "test": 2}
    assert dealt(TEN, train_count=4, val_count=3, test_count=2) == {
        "train": 4,
        "val": 3,
        "test": 2,
    }
    with pytest.raises(ConfigError, match="more than the 10"):
        assign(TEN, SplitRule(val_count=9, test_count=9))
    with pytest.raises(ConfigError, match="more than the 10"):
        assign(TEN, SplitRule(train_count=9, val_count=1, test_count=1))


@pytest.mark.parametrize(
    ("count", "rule", "expected"),
    [
        (3, {"val_count": 1}, (1, 1, 1)),
        (2, {"val_count": 1, "test_fraction": 0}, (1, 1, 0)),
        (2, {"val_count": 2, "test_fraction": 0}, (0, 2, 0)),
        (2, {"test_count": 1}, (1, 0, 1)),
        (2, {"test_count": 2}, (0, 0, 2)),
    ],
)
def test_counts_beside_fractions(count, rule, expected):
    result = dealt([f"s{n}" for n in range(count)], **rule)
    assert (result["train"], result["val"], result["test"]) == expected


@pytest.mark.parametrize(
    ("count", "rule", "asked"),
    [
        (2, {"val_count": 1}, "1 for training, 1 for validation and 1 for test"),
        (
            10,
            {"val_count": 9, "test_fraction": 0.2},
            "1 for training, 9 for validation and 2 for test",
        ),
        (
            10,
            {"train_count": 8, "test_fraction": 0.2},
            "8 for training, 1 for validation and 2 for test",
        ),
        (3, {"val_count": 4, "test_fraction": 0}, "0 for training, 4 for validation and 0 for"),
    ],
)
def test_fractions_do_not_give_way_to_counts(count, rule, asked):
    with pytest.raises(ConfigError, match=f"{asked}.* are more than the {count} there are"):
        dealt([f"s{n}" for n in range(count)], **rule)


@given(st.dictionaries(st.text(min_size=1), st.sampled_from([None, 0, 1]), min_size=1))
def test_a_table_survives_whatever_subjects_are_called(folds):
    places = {label: Place("train", fold) for label, fold in folds.items()}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "split.tsv"
        write_text(path, write_tsv(places), sync=False)
        assert read_tsv(path) == places


def test_spaces_around_a_subject_matter_only_where_they_must(tmp_path):
    table = {"a ": Place("train"), "b": Place("val"), "b ": Place("test")}
    found = lookup(["a", "b", "b "], table, tmp_path)
    assert found == {"a": Place("train"), "b": Place("val"), "b ": Place("test")}


@pytest.mark.parametrize("lines", [(" a", "a "), ("Jose\u0301", "Jos\u00e9 ")])
def test_lines_that_look_alike_must_not_contradict_each_other(tmp_path, lines):
    found = lines[1].strip()
    table = dict(zip(lines, (Place("train"), Place("train")), strict=True))
    assert lookup([found], table, tmp_path) == {found: Place("train")}
    table[lines[0]] = Place("test")
    with pytest.raises(BadInputError, match=f"puts subject {found} in several splits"):
        lookup([found], table, tmp_path)


def test_line_ends_and_spaces_around_a_split_are_those_of_any_system(tmp_path):
    path = tmp_path / "split.tsv"
    for end in (b"\n", b"\r\n", b"\r"):
        path.write_bytes(b"\xef\xbb\xbfsubject\tsplit" + end + b"a\t train " + end)
        assert read_tsv(path) == {"a": Place("train")}


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "needs the tab-separated columns"),
        ("subject\tsplit\n", "has no lines"),
        ("subject,split\na,train\n", "needs the tab-separated columns"),
        ("subject\tsplit\na\tdev\n", "line 2 has the split 'dev'"),
        ("subject\tsplit\n\ttrain\n", "line 2 has no subject"),
        ("subject\tsplit\na\ttrain\na\ttest\n", "line 3 puts subject a in another split"),
        ("subject\tsplit\tfold\na\ttrain\tone\n", "line 2 has the fold 'one'"),
        ("subject\tsplit\na\n", "line 2 has the split ''"),
    ],
)
def test_a_bad_table_is_refused(tmp_path, text, fault):
    path = tmp_path / "split.tsv"
    path.write_text(text)
    with pytest.raises(BadInputError, match=fault) as caught:
        read_tsv(path)
    assert caught.value.path == path


def test_every_bad_line_of_a_table_is_named(tmp_path):
    path = tmp_path / "split.tsv"
    path.write_text("subject\tsplit\tfold\na\tdev\t\n\ttrain\tx\nb\ttrain\t\nb\ttest\t\n")
    with pytest.raises(BadInputError) as caught:
        read_tsv(path)
    assert str(caught.value).splitlines()[1:-1] == [
        "  line 2 has the split 'dev'",
        "  line 3 has no subject",
        "  line 3 has the fold 'x', expected a number",
        "  line 5 puts subject b in another split than before",
    ]


def test_an_unreadable_table_is_refused(tmp_path):
    with pytest.raises(BadInputError, match="cannot be read"):
        read_tsv(tmp_path / "none.tsv")
    (tmp_path / "binary.tsv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BadInputError, match="cannot be read"):
        read_tsv(tmp_path / "binary.tsv")


def test_what_is_no_table_at_all_is_refused(tmp_path):
    path = tmp_path / "split.tsv"
    path.write_text("subject\tsplit\n" + "x" * 200_000 + "\ttrain\n")
    with pytest.raises(BadInputError, match="cannot be read as a table"):
        read_tsv(path)


def test_whoever_has_a_fold_is_stored_for_training(tmp_path):
    path = tmp_path / "split.tsv"
    path.write_text("subject\tsplit\tfold\na\ttrain\t0\nb\tval\t1\nc\ttest\t\n")
    assert read_tsv(path) == {
        "a": Place("train", 0),
        "b": Place("train", 1),
        "c": Place("test"),
    }


@pytest.mark.parametrize("folds", [[0, 2], [1, 2], [0, 0], [1, None]])
def test_folds_with_gaps_are_refused(tmp_path, folds):
    table = {f"s{i}": Place("train", fold) for i, fold in enumerate(folds)}
    with pytest.raises(BadInputError, match=r"gives the subjects found the folds .* from 0"):
        lookup(table, table, tmp_path)


@pytest.mark.parametrize(
    "folds", [[], [None], [0, 1], [1, 0, 1], [2, 1, 0], [0, None, 1], [0, 0, None]]
)
def test_folds_without_gaps_are_taken(tmp_path, folds):
    table = {f"s{i}": Place("train", fold) for i, fold in enumerate(folds)}
    assert lookup(table, table, tmp_path) == table


def test_one_fold_needs_somebody_else_to_train(tmp_path):
    table = {"a": Place("train", 0), "b": Place("val"), "c": Place("test")}
    with pytest.raises(BadInputError, match=r"the folds 0.* or one and subjects that train"):
        lookup(table, table, tmp_path)


def test_a_subject_that_the_table_lacks_is_named(tmp_path):
    table = {"a": Place("train")}
    assert lookup(["a"], table, tmp_path) == table
    with pytest.raises(BadInputError, match="no line for 1 of the 2 subjects found: b"):
        lookup(["a", "b"], table, tmp_path)
