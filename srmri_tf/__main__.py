"""`python -m srmri_tf`: the same as the `srmri-tf` command."""

from srmri_tf.cli import main

if __name__ == "__main__":
    main()
