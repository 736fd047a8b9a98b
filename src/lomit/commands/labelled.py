"""Options that the commands on labelled faces share."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from lomit.config import DataConfig, DataKind, FaceCrop, Split
from lomit.errors import LomitError


@dataclass
class LabelledData:
    """Where the labelled faces are."""

    root: str | None = None
    """Folder or pack file of faces."""
    extra_roots: tuple[str, ...] = ()
    """More folders of the same kind, added to the first."""
    kind: DataKind = "auto"
    """Layout of the root; `auto` recognises it from the files."""
    split: Split = "official"
    """`paper`: 2,000 images at random for testing, the others to train on, as a run with it had them."""
    crop: int | None = None
    """Side of the centre square cut out before resizing; by default the layout's own."""
    face_crop: FaceCrop = "none"
    """`dlib`: cut faces out with the detector of the `faces` extra, as a run on EmotioNet did; not for a pack."""
    face_margin: float = 0.25
    """Room on each side of the detector's box, as a share of its side."""
    workers: int = 2
    """Processes that decode images."""
    cache_dir: str | None = None
    """Where decoded images are kept; by default $LOMIT_CACHE or the user's cache folder."""

    def config(self, image_size: int, attributes: tuple[str, ...] = ()) -> DataConfig:
        """The data config with these, for images of this size.

        Raises:
            LomitError: where there is no root, or the size can't be.
        """
        if self.root is None:
            raise LomitError("no data: set --data.root to a folder of faces (lomit data avatars makes one)")
        return DataConfig(**vars(self), image_size=image_size, attributes=attributes)


def usable_device(name: str | None) -> torch.device:
    """The device of that name; None takes CUDA where there is one.

    Raises:
        LomitError: where it is not to be had.
    """
    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise LomitError(f"no device '{name}' here; try --device cpu ({str(error).splitlines()[0]})") from error
    return device
