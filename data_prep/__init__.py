"""Turns MRI scans into TFRecord shards of paired low- and high-resolution slices."""
