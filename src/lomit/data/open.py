"""From a data config to a source: recognises the layout and merges several roots."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from filelock import FileLock
from PIL import Image

from lomit.config import DataConfig
from lomit.data import celeba, emotionet, pack
from lomit.data.cache import cache_root, disk_problem
from lomit.data.celeba import CelebASource
from lomit.data.emotionet import EmotioNetSource
from lomit.data.folder import FolderSource
from lomit.data.labels import check_classes, rows_with_one_of, select_labels
from lomit.data.pack import PackSource
from lomit.data.source import Source
from lomit.data.table import TableSource, merge_tables
from lomit.errors import LomitError

LAYOUTS = f"""celeba ({celeba.IMAGES}/ and {celeba.ATTRIBUTES}), folder (images and one CSV or TSV of attributes), \
emotionet (images/ and EmotioNet*.csv or dataFile_*.txt) or a pack file written by `lomit data pack`"""

_READERS: dict[str, Callable[[Path], TableSource]] = {
    "celeba": CelebASource,
    "folder": FolderSource,
    "avatars": FolderSource,
    "emotionet": EmotioNetSource,
    "pack": PackSource,
}


class MergedSource(TableSource):
    """Several sources as one."""

    def __init__(self, sources: Sequence[TableSource]) -> None:
        """Merges; a name that an earlier source has is skipped (`merge_tables`)."""
        self.sources = sources
        table, self.origin = merge_tables([s.table for s in sources])
        super().__init__(table, " ".join(s.fingerprint for s in sources))
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
    """The data set that a config describes.

    Raises:
        LomitError: where it is not there or not understood, where an attribute is unknown, or where, among the
            training images, nobody has it or everybody does.
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
        raise LomitError(f"data.root and data.extra_roots must have one layout; found {', '.join(kinds)}")
    sources = [open_root(root, kind) for root, kind in zip(roots, kinds, strict=True)]
    source = sources[0] if len(sources) == 1 else MergedSource(sources)
    labels = select_labels(source, config.attributes)
    rows = rows_with_one_of(source, config.require_one_of)
    check_classes(labels[rows], source.split[rows], config.attributes)
    return source


def open_root(root: Path, kind: str) -> TableSource:
    """One folder or pack file of a known layout."""
    if not root.exists():
        raise LomitError(f"{root}: no such folder or file")
    if kind != "pack" and not root.is_dir():
        raise LomitError(f"{root}: the layout '{kind}' is a folder, this is a file")
    return _READERS[kind](root)


def recognise(root: Path) -> str:
    """The layout of a folder or file.

    Raises:
        LomitError: where it is none that is known.
    """
    if not root.exists():
        raise LomitError(f"{root}: no such folder or file")
    if root.is_file():
        if pack.is_pack(root):
            return "pack"
        raise LomitError(f"{root}: not a pack file; understood are {LAYOUTS}")
    if celeba.find(root, celeba.ATTRIBUTES):
        return "celeba"
    if emotionet.find_annotations(root):
        return "emotionet"
    if any(p.suffix.lower() in (".csv", ".tsv") for p in root.iterdir()):
        return "folder"
    raise LomitError(f"{root}: unknown layout; understood are {LAYOUTS}")


def _rendered(config: DataConfig) -> Path:
    """The folder of rendered faces that the config asks for, rendered on the first call."""
    from lomit.data.avatars import write_avatars

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
