"""Small data sets in every layout, written on the spot."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

WriteFolder = Callable[..., Path]


def picture(seed: int, size: tuple[int, int] = (24, 32)) -> Image.Image:
    """A smooth picture, another one for each seed."""
    small = np.random.default_rng(seed).integers(0, 256, (4, 3, 3), dtype=np.uint8)
    return Image.fromarray(small).resize(size, Image.Resampling.BICUBIC)


@pytest.fixture
def write_folder(tmp_path: Path) -> WriteFolder:
    """Writes the folder layout: `lines` as attributes.csv and a picture for each name in the first column."""

    def write(lines: Sequence[str], name: str = "set", table: str = "attributes.csv", images: str = "images") -> Path:
        root = tmp_path / name
        (root / images).mkdir(parents=True)
        (root / table).write_text("\n".join(lines) + "\n", encoding="utf-8")
        for k, line in enumerate(lines[1:]):
            file = root / images / line.replace("\t", ",").replace(";", ",").split(",")[0]
            file.parent.mkdir(parents=True, exist_ok=True)
            picture(k).save(file)
        return root

    return write


@pytest.fixture
def folder(write_folder: WriteFolder) -> Path:
    """Forty pictures with the attributes Smiling and Hat, which do not coincide, no split, no identities."""
    return write_folder(["image,Smiling,Hat", *(f"{k:02d}.png,{k % 2},{k // 2 % 2}" for k in range(40))])


CELEBA_NAMES = ["000003.jpg", "000007.jpg", "000011.jpg", "000012.jpg"]


def _write_celeba(
    root: Path,
    names: Sequence[str] = CELEBA_NAMES,
    size: tuple[int, int] = (178, 218),
    people: Sequence[int] | None = (5, 6, 7, 5),
    split: Sequence[int] | None = (0, 1, 2, 0),
) -> Path:
    """CelebA's layout with two attributes: Smiling in even rows, Male in the first half."""
    (root / "img_align_celeba").mkdir(parents=True)
    for k, name in enumerate(names):
        picture(k, size).save(root / "img_align_celeba" / name, quality=95)
    rows = [f"{n} {1 if k % 2 == 0 else -1:2d} {1 if k < len(names) / 2 else -1:2d}" for k, n in enumerate(names)]
    (root / "list_attr_celeba.txt").write_text("\n".join([str(len(names)), "Smiling Male ", *rows]) + "\n")
    for file, values in (("identity_CelebA.txt", people), ("list_eval_partition.txt", split)):
        if values is not None:
            (root / file).write_text("".join(f"{n} {v}\n" for n, v in zip(names, values, strict=True)))
    return root


def _write_emotionet(root: Path, names: Sequence[str] = ("a_1.jpg", "b_2.jpg")) -> Path:
    """EmotioNet's layout: the first image annotated by hand (AU 1, 12, 60), the second automatically (AU2 and AU60)."""
    (root / "images").mkdir(parents=True)
    for k, name in enumerate(names):
        picture(k, (30, 40)).save(root / "images" / name)
    first, second = names
    (root / "EmotioNet_FACS.csv").write_text(
        "URL,URL orig,'AU 1','AU 12','AU 60'\n"
        f"'http://example.invalid/x/{first}','http://example.invalid/o/{first}',1,0,999\n"
    )
    values = ["999", "1", *["999"] * 57, "0"]
    url = f"http://example.invalid/{second}"
    (root / "dataFile_0001.txt").write_text("\t".join([url, url, *values]) + "\n")
    return root


@pytest.fixture
def write_celeba() -> Callable[..., Path]:
    """`_write_celeba`, for tests to call."""
    return _write_celeba


@pytest.fixture
def write_emotionet() -> Callable[..., Path]:
    """`_write_emotionet`, for tests to call."""
    return _write_emotionet
