"""What a user reads, and what a shell sees."""

import pickle

import pytest

from data_prep import errors


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (errors.ConfigError("a key is unknown", remedy=""), "a key is unknown."),
        (errors.BadInputError("is empty", path="a.nii", remedy=""), "a.nii: is empty."),
        (errors.BadInputError("is empty", path="a", remedy="Copy it"), "a: is empty. Copy it."),
        (errors.ConfigError("differs:\n  x\n", remedy="Go on"), "differs:\n  x\nGo on."),
        (errors.ConfigError("differs:\n  x\n", remedy=""), "differs:\n  x"),
    ],
)
def test_a_message_is_file_fault_remedy(error, text):
    assert str(error) == text
    assert str(pickle.loads(pickle.dumps(error))) == text


def test_every_kind_has_its_exit_code():
    codes = {kind.__name__: kind.exit_code for kind in errors.SrmriError.__subclasses__()}
    assert codes == {
        "ConfigError": 2,
        "BadInputError": 3,
        "CorruptArtefactError": 4,
        "EnvironmentFault": 5,
        "DivergedError": 6,
    }
