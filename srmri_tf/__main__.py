"""`python -m srmri_tf`: the same as the `srmri-tf` command."""

import sys
from pathlib import Path

# Python looks for modules in the working folder first, where somebody may have a numpy.py.
if not sys.flags.safe_path and not Path(sys.path[0], "srmri_tf").is_dir():
    del sys.path[0]

from srmri_tf.cli import main

if __name__ == "__main__":
    try:
        main()
    finally:
        # An interrupt that ends the `exec` of a text, such as the making of a dataclass, would end
        # `python -m` by SIGINT instead of with main's exit code, were there no later `exec`.
        exec("")
