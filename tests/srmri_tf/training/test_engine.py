"""What TensorFlow raises while training, told as what it is."""

import pytest
import tensorflow as tf

from data_prep.errors import CorruptArtefactError, EnvironmentFault
from srmri_tf.training.engine import library_errors


@pytest.mark.parametrize(
    ("error", "kind", "fault"),
    [
        (tf.errors.NotFoundError, CorruptArtefactError, r"shards: can no longer be read \(gone\)"),
        (tf.errors.DataLossError, CorruptArtefactError, r"shards: can no longer be read \(gone\)"),
        (tf.errors.ResourceExhaustedError, EnvironmentFault, r"memory is used up \(gone\)"),
    ],
)
def test_librarys_errors_are_one_line_of_their_kind(tmp_path, error, kind, fault):
    with pytest.raises(kind, match=fault), library_errors(tmp_path / "shards"):
        raise error(None, None, "gone\n\t [[{{node IteratorGetNext}}]]")


def test_a_fault_of_our_own_stays_one(tmp_path):
    with pytest.raises(tf.errors.InvalidArgumentError), library_errors(tmp_path):
        raise tf.errors.InvalidArgumentError(None, None, "shapes differ")
