"""Forty and more ways in which a NIfTI file can be wrong, each with the fault to be named."""

import gzip
import struct
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np

from tests.data_prep.phantoms import affine, edit, phantom, save

Maker = Callable[[Path], Path]
CASES: dict[str, tuple[Maker, str]] = {}


def case(fault: str) -> Callable[[Maker], Maker]:
    def register(maker: Maker) -> Maker:
        CASES[maker.__name__] = (maker, fault)
        return maker

    return register


def plain(folder: Path) -> Path:
    return save(folder / "scan.nii")


def packed(folder: Path) -> Path:
    return save(folder / "scan.nii.gz")


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def header_case(name: str, fault: str, **fields) -> None:
    CASES[name] = (lambda folder: edit(plain(folder), **fields), fault)


def volume_case(name: str, fault: str, make: Callable[[np.ndarray], np.ndarray]) -> None:
    CASES[name] = (lambda folder: save(folder / "scan.nii.gz", make(phantom())), fault)


def spoiled(value: float) -> Callable[[np.ndarray], np.ndarray]:
    def spoil(voxels: np.ndarray) -> np.ndarray:
        voxels[3, 4, 5] = value
        return voxels

    return spoil


# The file as a whole.
@case("does not exist")
def missing(folder):
    return folder / "none.nii.gz"


@case("is not a NIfTI file")
def text(folder):
    return write(folder / "scan.nii.gz", b"This is a text file, not a scan.\n" * 30)


@case("is not a NIfTI file")
def empty(folder):
    return write(folder / "scan.nii", b"")


@case("is not a NIfTI file")
def gzip_of_nothing(folder):
    return write(folder / "scan.nii.gz", b"\x1f\x8b")


@case("is not a NIfTI file")
def gzip_of_empty(folder):
    return write(folder / "scan.nii.gz", gzip.compress(b""))


@case("is not a NIfTI file")
def gzip_of_text(folder):
    return write(folder / "scan.nii.gz", gzip.compress(b"text " * 100))


@case("ends inside its header")
def half_a_header(folder):
    return write(folder / "scan.nii", plain(folder).read_bytes()[:200])


@case("is not a NIfTI file")
def dicom(folder):
    return write(folder / "scan.nii", bytes(128) + b"DICM" + bytes(500))


@case("is not a NIfTI file")
def zeros(folder):
    return write(folder / "scan.nii", bytes(4000))


# Gzip.
@case("ends in the middle of its gzip data")
def truncated_gzip(folder):
    path = packed(folder)
    return write(path, path.read_bytes()[:-2000])


@case("ends in the middle of its gzip data")
def gzip_without_checksum(folder):
    path = packed(folder)
    return write(path, path.read_bytes()[:-8])


@case("damaged gzip data")
def bad_checksum(folder):
    path = packed(folder)
    raw = bytearray(path.read_bytes())
    raw[-6] ^= 0xFF
    return write(path, bytes(raw))


@case("damaged gzip data")
def bad_gzip_length(folder):
    path = packed(folder)
    raw = bytearray(path.read_bytes())
    raw[-1] ^= 0xFF
    return write(path, bytes(raw))


@case("gzip data")
def flipped_byte_in_the_middle(folder):
    path = packed(folder)
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 0xFF
    return write(path, bytes(raw))


@case("are not gzip data at its end")
def trailing_text(folder):
    path = packed(folder)
    return write(path, path.read_bytes() + b"and some text")


@case("unpacks to more than")
def second_member_too_many(folder):
    path = packed(folder)
    return write(path, path.read_bytes() + gzip.compress(bytes(10_000)))


@case("it was cut off")
def gzip_of_half_a_volume(folder):
    raw = plain(folder).read_bytes()
    return write(folder / "scan.nii.gz", gzip.compress(raw[: len(raw) // 2]))


@case("unpacks to more than")
def longer_than_promised(folder):
    raw = plain(folder).read_bytes()
    return write(folder / "scan.nii.gz", gzip.compress(raw + bytes(20_000)))


@case("which no scan does")
def bomb(folder):
    header = nib.Nifti1Header()
    header.set_data_dtype(np.uint8)
    header.set_data_shape((1000, 1000, 1000))
    header["magic"], header["vox_offset"] = b"n+1", 352
    content = header.binaryblock + bytes(4) + bytes(1 << 20)
    return write(folder / "scan.nii.gz", gzip.compress(content))


@case("unpacks to more than")
def bomb_behind_an_innocent_header(folder):
    raw = plain(folder).read_bytes()
    return write(folder / "scan.nii.gz", gzip.compress(raw + bytes(64 << 20)))


# Plain files.
@case("its header promises")
def truncated_plain(folder):
    path = plain(folder)
    return write(path, path.read_bytes()[:-1000])


@case("its header promises")
def plain_with_more_than_promised(folder):
    path = plain(folder)
    return write(path, path.read_bytes() + bytes(10_000))


@case("is not a single-file NIfTI image")
def pair_header(folder):
    nib.save(nib.Nifti1Pair(phantom(), affine()), folder / "scan.img")
    return (folder / "scan.hdr").rename(folder / "scan.nii")


@case("is not a single-file NIfTI image")
def analyze(folder):
    nib.save(nib.AnalyzeImage(phantom(), affine()), folder / "scan.img")
    return (folder / "scan.hdr").rename(folder / "scan.nii")


@case("is not a single-file NIfTI image")
def magic_gone(folder):
    return edit(plain(folder), magic=b"abc")


# Shapes.
header_case("no_axes", "impossible shape", dim={0: 0})
header_case("nine_axes", "impossible shape", dim={0: 9})
header_case("negative_axis", "impossible shape", dim={2: -20})
header_case("empty_axis", "impossible shape", dim={3: 0})
header_case("absurd_shape", "the limit is", dim={1: 32767, 2: 32767, 3: 32767})
header_case("too_large_for_the_file", "its header promises", dim={3: 100})
header_case("too_small_for_the_file", "its header promises", dim={3: 6})


@case("is 2-dimensional")
def flat(folder):
    return save(folder / "scan.nii.gz", phantom()[:, :, 0])


@case("is a series of volumes")
def series(folder):
    return save(folder / "scan.nii.gz", np.stack([phantom()] * 3, axis=-1))


@case("is a series of volumes")
def five_axes(folder):
    return save(folder / "scan.nii.gz", np.stack([phantom()] * 3, axis=-1)[:, :, :, None])


@case("the limit is")
def nifti2_of_absurd_shape(folder):
    path = folder / "scan.nii"
    nib.save(nib.Nifti2Image(phantom(), affine()), path)
    raw = bytearray(path.read_bytes())
    raw[16 : 16 + 32] = struct.pack("<4q", 3, 2**40, 2**40, 2**40)
    return write(path, bytes(raw))


# Data types.
@case("holds colour voxels")
def rgb(folder):
    pixels = np.zeros((8, 8, 8), [("R", "u1"), ("G", "u1"), ("B", "u1")])
    return save(folder / "scan.nii.gz", pixels)


@case("holds complex64 voxels")
def complex_voxels(folder):
    return save(folder / "scan.nii.gz", phantom().astype(np.complex64))


@case("holds complex128 voxels")
def complex_double(folder):
    return save(folder / "scan.nii.gz", phantom().astype(np.complex128))


header_case("unknown_type", "unknown data type code 3", datatype=3)
header_case("binary_type", "holds binary voxels", datatype=1, bitpix=1)
header_case("quadruple_precision", "real numbers are needed", datatype=1536, bitpix=128)
header_case("contradicting_bits", "bits a voxel", bitpix=8)

# Geometry.
header_case("nan_voxel_size", "impossible voxel sizes", pixdim={1: np.nan})
header_case("zero_voxel_size", "impossible voxel sizes", pixdim={2: 0}, sform_code=0)
header_case("zero_voxel_size_in_qform", "orientation", pixdim={2: 0}, sform_code=0, qform_code=1)
header_case("infinite_voxel_size", "impossible voxel sizes", pixdim={3: np.inf})
header_case("nan_affine", "orientation", sform_code=1, srow_x={0: np.nan})
header_case("zero_affine", "orientation", srow_x={0: 0}, srow_y={1: 0}, srow_z={2: 0})
header_case("flat_affine", "orientation", sform_code=1, srow_x={0: 0})
header_case(
    "impossible_quaternion", "orientation", sform_code=0, qform_code=1, quatern_b=3, quatern_c=3
)
header_case("nan_quaternion", "orientation", sform_code=0, qform_code=1, quatern_b=np.nan)
header_case("nan_offset", "voxels begin at", vox_offset=np.nan)
header_case("offset_inside_the_header", "voxels begin at", vox_offset=100)
header_case("offset_beyond_the_file", "its header promises", vox_offset=1e6)

# Intensities.
header_case("infinite_slope", "impossible intensity scale", scl_slope=np.inf)
header_case("nan_intercept", "impossible intensity scale", scl_slope=2, scl_inter=np.nan)
header_case("overflowing_slope", "NaN or infinite", scl_slope=3e38)
volume_case("nan_voxel", "has 1 voxels that are NaN or infinite", spoiled(np.nan))
volume_case("infinite_voxel", "has 1 voxels that are NaN or infinite", spoiled(-np.inf))
volume_case("all_nan", "NaN or infinite", lambda v: np.full_like(v, np.nan))
volume_case("double_beyond_float", "NaN or infinite", lambda v: v.astype(np.float64) * 1e300)
volume_case("constant", "is constant", lambda v: np.full_like(v, 7))
volume_case("all_zero", "is constant", np.zeros_like)
volume_case("only_negative", "no positive voxel", lambda v: -1 - v)
volume_case("without_its_mean", "not a magnitude image", lambda v: v - 500)
