"""The IXI archive: nearly 600 healthy subjects from three London hospitals.

The paper's scanner, a Philips Gyroscan Intera 1.5T, is Guy's Hospital's.
"""

import json
import re
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from data_prep import files
from data_prep.download import archive as untar
from data_prep.download.http import Expected, fetch
from data_prep.errors import BadInputError, ConfigError, CorruptArtefactError
from data_prep.files import file_sha256, has_digest
from data_prep.progress import Reporter

SITES = ("Guys", "HH", "IOP")
BASE_URL = "http://biomedic.doc.ic.ac.uk/brain-development/downloads/IXI"
#: MD5 of each archive, as TorchIO pins them; the IXI site itself publishes none.
ARCHIVE_MD5 = {
    "T1": "34901a0593b41dd19c1a1f746eac2d58",
    "T2": "e3140d78730ecdd32ba92da48c0a9aaa",
    "PD": "88ecd9d1fa33cb4a2278183b42ffd749",
    "MRA": "29be7d2fee3998f978a55a9bdaf3407e",
}
ATTRIBUTION = "IXI-ATTRIBUTION.txt"
ATTRIBUTION_TEXT = """\
Brain MRI of the IXI dataset, Information eXtraction from Images (EPSRC GR/S21533/02),
https://brain-development.org/ixi-dataset/

Licence: Creative Commons Attribution-ShareAlike 3.0 (CC BY-SA 3.0),
https://creativecommons.org/licenses/by-sa/3.0/
The files are unchanged. If you use them, acknowledge their source, the IXI website.

These scans are not defaced: treat them as the images of persons that they are.
"""


def ixi(
    dest: Path,
    modality: str = "T2",
    site: str | None = None,
    *,
    mirror: str = BASE_URL,
    md5: str | None = None,
    keep_archive: bool = False,
    report: Reporter | None = None,
) -> list[Path]:
    """Download one modality of IXI into a folder, all sites or one.

    An interrupted download is continued by the same call; a finished one is checked and left.

    Args:
        dest: Folder to write into; made if missing.
        modality: ``T1``, ``T2``, ``PD`` or ``MRA``.
        site: ``Guys``, ``HH`` or ``IOP``; all three by default.
        mirror: URL of the folder that holds ``IXI-T2.tar`` and its like.
        md5: Of the archive, where it is not IXI's own.
        keep_archive: Leave the archive beside the scans, so that another site needs no download;
            one that is there already stays.
        report: Told about progress.

    Returns:
        The sorted paths of the scans.

    Raises:
        ConfigError: There is no such modality or site.
        BadInputError: ``dest`` is a file, in use by another process, or holds such scans that
            were not downloaded by this.
        EnvironmentFault: No network, or not enough disk.
        CorruptArtefactError: The archive is not the expected one.
    """
    if modality not in ARCHIVE_MD5:
        raise ConfigError(f"IXI has no {modality!r}", remedy=f"Known: {', '.join(ARCHIVE_MD5)}")
    if site is not None and site not in SITES:
        raise ConfigError(f"IXI has no site {site!r}", remedy=f"Known: {', '.join(SITES)}")
    dest = Path(dest)
    if dest.exists() and not dest.is_dir():
        raise BadInputError("is a file, not a folder", path=dest, remedy="Choose another folder")
    with files.lock(dest):
        digest = md5 or ARCHIVE_MD5[modality]
        kept = dest / f"IXI-{modality}.tar"
        ours = dest / f".{kept.name}"  # goes when it is unpacked, whoever was killed in between
        there = _already_there(dest, modality, site)
        if there:
            ours.unlink(missing_ok=True)
            return there
        _refuse_foreign(dest, _chooser(modality, site))
        usable = (path for path in (kept, ours) if path.is_file() and has_digest(path, digest))
        archive = next(usable, None)
        if keep_archive and kept.exists() and archive != kept:
            raise BadInputError(
                "is another file than the archive that --keep-archive would leave there",
                path=kept,
                remedy="Move it away, or go without --keep-archive",
            )
        if archive is None:
            # Room for the archive and for what is unpacked from it.
            expected = Expected(digest, room=2.0)
            url = f"{mirror.rstrip('/')}/{kept.name}"
            archive = fetch(url, ours, expected, report=report)
        files.write_text(dest / ATTRIBUTION, ATTRIBUTION_TEXT)
        scans = untar.extract(archive, dest, _chooser(modality, site), report)
        if not scans:
            raise CorruptArtefactError(
                f"holds no {modality} scans" + (f" of {site}" if site else ""),
                path=archive,
                remedy="Delete it and run the same command again",
            )
        _write_note(dest, modality, site, scans)
        if archive == ours and keep_archive:
            ours.replace(kept)
        ours.unlink(missing_ok=True)
    return sorted(scans)


def _refuse_foreign(dest: Path, choose: Callable[[str], str | None]) -> None:
    """Never overwrite scans this package did not write: its own folders hold the attribution."""
    if (dest / ATTRIBUTION).is_file():
        return
    if foreign := sorted(path for path in dest.iterdir() if choose(path.name)):
        raise BadInputError(
            "is there already, but was not downloaded by this command",
            path=foreign[0],
            remedy="Choose another folder",
        )


def _chooser(modality: str, site: str | None) -> Callable[[str], str | None]:
    scheme = re.compile(rf"IXI\d+-({site or '|'.join(SITES)})-\d+-{modality}\.nii\.gz")

    def choose(member: str) -> str | None:
        name = PurePosixPath(member).name
        return name if scheme.fullmatch(name) else None

    return choose


def _note(dest: Path, modality: str, site: str | None) -> Path:
    return dest / f"IXI-{modality}{f'-{site}' if site else ''}.json"


def _write_note(dest: Path, modality: str, site: str | None, scans: list[Path]) -> None:
    digests = {scan.name: file_sha256(scan) for scan in scans}
    text = json.dumps({"scans": digests}, indent=1, sort_keys=True)
    files.write_text(_note(dest, modality, site), text)


def _already_there(dest: Path, modality: str, site: str | None) -> list[Path]:
    """The scans of an earlier, finished download, if every byte is still right; else nothing."""
    choose = _chooser(modality, site)
    for note in {_note(dest, modality, site), _note(dest, modality, None)}:
        try:
            digests = json.loads(note.read_text(encoding="utf-8"))["scans"]
            wanted = {name: digest for name, digest in digests.items() if choose(name)}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            continue
        scans = [dest / name for name in sorted(wanted)]
        if scans and all(
            scan.is_file() and has_digest(scan, str(wanted[scan.name])) for scan in scans
        ):
            return scans
    return []
