"""From a data config to a source: recognises the layout and merges several roots."""

from __future__ import annotations

import hashlib
import logging
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from filelock import FileLock
from PIL import Image

from lomit.config import DataConfig
from lomit.data import celeba, emotionet, pack
from lomit.data.cache import cache_root, disk_problem
from lomit.data.decode import leave_unguarded_child
from lomit.data.folder import FolderSource
from lomit.data.pack import PackSource
from lomit.data.source import (
    TEST,
    TRAIN,
    Source,
    Table,
    check_classes,
    merge_tables,
    rows_with_one_of,
    select_labels,
    share_of,
)
from lomit.errors import LomitError

PAPER_TEST, PAPER_TRAIN = 2_000, 200_000
"""Images of the paper's splits (5.1); of CelebA it trains on all the others, of EmotioNet on so many."""
LAYOUTS = f"""celeba ({celeba.IMAGES[0]}/ and {celeba.ATTRIBUTES[0]} or .csv; or CelebAMask-HQ), \
folder (images and one CSV or TSV of attributes), emotionet (images/ and EmotioNet*.csv or dataFile_*.txt) or a pack \
file written by `lomit data pack`"""

logger = logging.getLogger(__name__)

_READERS: dict[str, Callable[[Path], Source]] = {
    "celeba": celeba.read_celeba,
    "folder": FolderSource,
    "avatars": FolderSource,
    "emotionet": emotionet.read_emotionet,
    "pack": PackSource,
}


class RowsSource(Source):
    """Some rows of one or several sources as one."""

    def __init__(self, sources: Sequence[Source], table: Table, origin: Sequence[tuple[int, int]]) -> None:
        """`origin`: for each row of the table, which source and which of its images."""
        self.sources, self.origin = sources, origin
        chosen = hashlib.blake2b(np.array(origin, dtype=np.int64).tobytes(), digest_size=8).hexdigest()
        super().__init__(table, " ".join([*(s.fingerprint for s in sources), chosen]))
        first = sources[0]
        self.default_crop = first.default_crop
        self.region_names, self.region_of = first.region_names, first.region_of

    def load(self, index: int) -> Image.Image:
        k, i = self.origin[index]
        return self.sources[k].load(i)

    def regions(self, index: int) -> dict[str, np.ndarray]:
        k, i = self.origin[index]
        return self.sources[k].regions(i)


def open_source(config: DataConfig) -> Source:
    """The data set that a config describes.  Raises LomitError where it is not there or not understood, where an
    attribute is unknown, or where, among the training images, nobody has it or everybody does.
    """
    if config.root:
        first = Path(config.root).expanduser()
    elif config.kind == "avatars":
        first = _rendered(config)
    else:
        raise LomitError(f"no data: set --data.root to a folder or file in one of the layouts {LAYOUTS}")
    roots = [first, *(Path(r).expanduser() for r in config.extra_roots)]
    kinds = [recognise(root) if config.kind == "auto" else config.kind for root in roots]
    if len(set(kinds)) > 1:
        raise LomitError(f"data.root and data.extra_roots must have one layout; they have {', '.join(kinds)}")
    sources = [open_root(root, kind) for root, kind in zip(roots, kinds, strict=True)]
    source = sources[0] if len(sources) == 1 else _merged(sources, roots)
    if config.split == "paper":
        source = paper_split(source, most=PAPER_TRAIN if kinds[0] == "emotionet" else None)
    source.report()
    labels = select_labels(source, config.attributes)
    rows = rows_with_one_of(source, config.require_one_of)
    check_classes(labels[rows], source.split[rows], config.attributes)
    return source


def paper_split(source: Source, most: int | None = None) -> Source:
    """A set split as the paper's section 5.1 splits: `PAPER_TEST` images at random for testing, the others to train on.

    The draw is by a hash of the images' names, so it is always the same.  Raises LomitError where the set has too few
    images.

    Args:
        most: at most so many to train on; the others are left out.
    """
    count = len(source)
    if count <= PAPER_TEST:
        raise LomitError(f"--data.split paper takes {PAPER_TEST:,} images for testing; the data has only {count:,}")
    drawn = sorted(range(count), key=lambda i: share_of(source.names[i]))
    kept = sorted(drawn[: count if most is None else PAPER_TEST + most])
    table = source.table.take(kept)
    table.split = np.where(np.isin(kept, drawn[:PAPER_TEST]), TEST, TRAIN).astype(np.int8)
    return RowsSource([source], table, [(0, i) for i in kept])


def _merged(sources: Sequence[Source], roots: Sequence[Path]) -> Source:
    """Several sources as one; says how many names of each were there already."""
    table, origin = merge_tables([s.table for s in sources])
    for k, (source, root) in enumerate(zip(sources, roots, strict=True)):
        added = sum(number == k for number, _ in origin)
        if added < len(source):
            words = f"only {added}" if added else "none"
            logger.warning("%s adds %s of its %d images: the names of the others are taken", root, words, len(source))
    return RowsSource(sources, table, origin)


def open_root(root: Path, kind: str) -> Source:
    """One folder or pack file of a known layout."""
    if not root.exists():
        raise LomitError(f"{root}: no such folder or file")
    if kind != "pack" and not root.is_dir():
        raise LomitError(f"{root}: the layout '{kind}' is a folder, this is a file")
    return _READERS[kind](root)


def recognise(root: Path) -> str:
    """The layout of a folder or file.  Raises LomitError where it is none that is known."""
    if not root.exists():
        raise LomitError(f"{root}: no such folder or file")
    if root.is_file():
        if pack.is_pack(root):
            return "pack"
        raise LomitError(f"{root}: not a pack file; understood are {LAYOUTS}")
    layout = _layout(root)
    if layout is None:
        inner = [folder for folder in sorted(root.iterdir()) if folder.is_dir() and _layout(folder)]
        meant = f" (is {inner[0]} meant?)" if inner else ""
        raise LomitError(f"{root}: unknown layout{meant}; understood are {LAYOUTS}")
    return layout


def _layout(root: Path) -> str | None:
    if celeba.find(root, *celeba.ATTRIBUTES):
        return "celeba"
    if emotionet.find_annotations(root):
        return "emotionet"
    return "folder" if any(p.suffix.lower() in (".csv", ".tsv") for p in root.iterdir()) else None


def _rendered(config: DataConfig) -> Path:
    """The folder of rendered faces that the config asks for, rendered on the first call."""
    from lomit.data.avatars import write_avatars

    leave_unguarded_child()
    name = f"avatars-{config.render_count}-{config.render_seed}-{config.image_size}"
    folder = cache_root(config.cache_dir) / name
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.with_suffix(".lock")):
            if not folder.is_dir():
                write_avatars(
                    *(folder, config.render_count, config.render_seed, config.image_size, max(1, config.workers)),
                    progress=sys.stderr.isatty(),
                    regions="test",  # true masks serve measuring only, and take most of the time
                )
    except OSError as error:
        raise disk_problem(error, folder.parent) from error
    return folder
