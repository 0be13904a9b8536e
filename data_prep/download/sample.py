"""The sample: three real scans for a first try.

Running the same command again is instant when everything is there, and repairs what is not.
"""

from pathlib import Path

from data_prep import files
from data_prep.download import archive
from data_prep.download.sdist import Sdist, fetch_sdist
from data_prep.errors import BadInputError, CorruptArtefactError
from data_prep.files import has_digest
from data_prep.progress import Reporter

ATTRIBUTION = "ATTRIBUTION.txt"

SAMPLE_SDIST = Sdist(
    project="nondefaced-detector",
    version="0.1.1.dev0",
    sha256="195d64c6aea7924ee0525b9f511d003630f3e4e59810f39888d948f67b2b9940",
    size=84_696_343,
)
SAMPLE_FOLDER = "nondefaced-detector-0.1.1.dev0/examples/sample_vols/defaced"
SAMPLE_SHA256 = {
    "example1.nii.gz": "b57b91cf585e376adf611a18fc59ea8bf98f40b9ffbd11b2b47d2010a6daef0c",
    "example2.nii.gz": "df6fe6cdc0585bccecb6391f5190831f72fcd797083b6b75afe3eb3908ecde5d",
    "example3.nii.gz": "6f7108ee727676b3c5e3219691b7d9b313ed72f59e2bcb63be5c9187986b818a",
}
SAMPLE_ATTRIBUTION = f"""\
example1.nii.gz, example2.nii.gz, example3.nii.gz: T1-weighted brain MRI of three subjects of the
IXI dataset (https://brain-development.org/ixi-dataset/), 256 x 256 x 150 voxels, defaced.

Licence: Creative Commons Attribution-ShareAlike 3.0 (CC BY-SA 3.0),
https://creativecommons.org/licenses/by-sa/3.0/
The files are unchanged copies of examples/sample_vols/defaced/ in the Python source package
nondefaced-detector 0.1.1.dev0 (sha256 {SAMPLE_SDIST.sha256}),
whose authors removed the faces.

These are T1 scans of unknown site: not the T2 scans of Guy's Hospital that the paper
(Lyu, You, Shan, Wang, arXiv 1810.06776) reports its figures on.
"""


def sample(
    dest: Path,
    *,
    report: Reporter | None = None,
    sdist: Sdist = SAMPLE_SDIST,
    digests: dict[str, str] = SAMPLE_SHA256,
) -> list[Path]:
    """Put three real, defaced IXI T1 scans into a folder, with their licence beside them.

    Args:
        dest: Folder to write into; made if missing. Damaged files of an earlier call are replaced.
        report: Told about the download's progress.
        sdist: The source package the scans come from.
        digests: File name -> SHA-256 of each scan.

    Returns:
        The paths of the scans.

    Raises:
        BadInputError: ``dest`` is a file, or holds other files of the same names.
        EnvironmentFault: No network and no cached copy, or the disk is full.
        CorruptArtefactError: What was downloaded is not the expected file.
    """
    dest = Path(dest)
    paths = [dest / name for name in digests]
    wrong = [path for path in paths if not _is(path, digests[path.name])]
    if wrong:
        _refuse_foreign(dest, wrong)
        package = fetch_sdist(sdist, report=report)
        files.write_text(dest / ATTRIBUTION, SAMPLE_ATTRIBUTION)
        members = {f"{SAMPLE_FOLDER}/{path.name}": path.name for path in wrong}
        archive.extract(package, dest, members.get)
        for path in wrong:
            if not _is(path, digests[path.name]):
                raise CorruptArtefactError(
                    "is not the expected scan",
                    path=path,
                    remedy=f"Delete {package} and run the same command again",
                )
    elif not (dest / ATTRIBUTION).is_file():
        files.write_text(dest / ATTRIBUTION, SAMPLE_ATTRIBUTION)
    return paths


def _is(path: Path, sha256: str) -> bool:
    return path.is_file() and has_digest(path, sha256)


def _refuse_foreign(dest: Path, wrong: list[Path]) -> None:
    """Never overwrite files this package did not write: its own folders hold its attribution."""
    if dest.exists() and not dest.is_dir():
        raise BadInputError("is a file, not a folder", path=dest, remedy="Choose another folder")
    attribution = dest / ATTRIBUTION
    if attribution.is_file() and attribution.read_bytes() == SAMPLE_ATTRIBUTION.encode():
        return
    foreign = [path for path in (attribution, *wrong) if path.exists()]
    if foreign:
        raise BadInputError(
            "is there already and is another file than the sample's",
            path=foreign[0],
            remedy="Choose another folder",
        )
