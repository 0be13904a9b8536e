"""What TensorFlow raises while training, told as what it is."""

import pytest
import tensorflow as tf

from data_prep.errors import ConfigError, CorruptArtefactError, EnvironmentFault
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


def test_what_xla_cannot_compile_is_named(tmp_path):
    @tf.function(jit_compile=True)
    def step(x):
        return tf.py_function(lambda x: x, [x], tf.float32)

    named = "XLA cannot compile the operation EagerPyFunc of this recipe"
    with pytest.raises(ConfigError, match=named), library_errors(tmp_path):
        step(tf.ones([2]))
