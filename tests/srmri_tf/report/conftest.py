"""The networks of these tests are no super-resolution either."""

from tests.srmri_tf.enhance.conftest import every_output_is_taken

__all__ = ["every_output_is_taken"]
