"""The network that the benchmarks of `enhance` make: `enhance` must take its output."""

from pathlib import Path

from srmri_tf.enhance.config import EnhanceConfig
from srmri_tf.enhance.files import enhance
from srmri_tf.enhance.worklist import make_worklist


def test_its_outputs_are_plausible(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "benchmarks")
    from made import make_run, make_scan

    run, scan, out = make_run(tmp_path / "run"), tmp_path / "scan.nii.gz", tmp_path / "out.nii.gz"
    make_scan(scan, 2, (0.85, 0.65))
    warnings: list[str] = []
    list(enhance(make_worklist([scan], out), EnhanceConfig(model=str(run)), warn=warnings.append))
    assert out.is_file()
    assert not [text for text in warnings if "implausible" in text]
