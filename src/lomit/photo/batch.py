"""Many photographs in a row: files in, files out."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

from PIL import Image

from lomit.data.detector import face_square
from lomit.errors import LomitError, line_of
from lomit.images import Picture, read_image, read_mask, write_png
from lomit.inference.batch import JobOutcome
from lomit.inference.pairs import Job, Jobs
from lomit.inference.predictor import Predictor
from lomit.photo.align import check_place
from lomit.photo.faces import Face, choose_faces, find_faces, sizes_for
from lomit.photo.files import FORMATS, FormatError, read_photograph, write_photograph
from lomit.photo.translate import PhotoResult, crop_mask, translate_photo

SUFFIX_OF = {"jpeg": ".jpg", "png": ".png", "webp": ".webp", "tiff": ".tif"}
"""Format that a user names -> suffix."""


@dataclass
class PhotoWorker:
    """Translates photographs one after the other; recent exemplars are kept with their faces.

    Attributes:
        format: of the results, a key of `SUFFIX_OF`, or `same`: each input's own, PNG where that is none of them.
        quality: of JPEG and WebP; None: as the input was compressed.
        save_masks: write the weight of the change, and each face's crop, output and masks, too.
        face, exemplar_face, faces, exemplar_faces, label, strength: as for `translate_photo`.
    """

    predictor: Predictor
    out: Path
    format: str = "same"
    quality: int | None = None
    save_masks: bool = False
    overwrite: bool = False
    face: int | Literal["all"] = 0
    exemplar_face: int = 0
    faces: list[Face] | None = None
    exemplar_faces: list[Face] | None = None
    label: Mapping[str, float] | None = None
    strength: float = 1.0

    def __post_init__(self) -> None:
        self._exemplar = lru_cache(maxsize=16)(self._read_exemplar)

    def translate_all(self, jobs: Jobs) -> Generator[JobOutcome, None, None]:
        """Translates photographs in order.

        Of several, one that can't be used, for whatever reason, makes an outcome, so that the others go on.  Raises
        LomitError for what holds for all of them: the model, the strength, a place that can't be written to.
        """
        for job in jobs:
            try:
                yield self._run(job)
            except LomitError:
                raise
            except Exception as error:  # metadata and encoders fail in many ways
                if len(jobs) == 1:
                    raise
                path = job.input.path
                yield JobOutcome(job, bad=path, error=f"{path}: {type(error).__name__}: {line_of(error)}")

    def _run(self, job: Job) -> JobOutcome:
        path = job.input.path
        try:
            photo = read_photograph(path)
            faces = self.faces or find_faces(photo.picture, sizes_for(self.face))
            chosen = [faces[i] for i in choose_faces(faces, self.face, photo.picture.name)]
            for face in chosen:
                check_place(face, photo.picture)
            own, guide = None, None
            if job.input.mask is not None:
                own = read_mask(job.input.mask)
                crop_mask(own, photo.picture, chosen[0], 1)  # fits?
            seen = []
            for path in job.guidance.exemplars:
                seen.append(self._exemplar(path))
            if job.guidance.mask is not None and seen:
                path = job.guidance.mask
                guide = read_mask(path)
                exemplar, theirs = seen[0]
                crop_mask(guide, exemplar, theirs[self.exemplar_face], 1)  # fits?
        except LomitError as error:
            return JobOutcome(job, bad=path, error=str(error))
        regions = job.guidance.regions
        pictures, found = [picture for picture, _ in seen], [theirs for _, theirs in seen]
        result = translate_photo(
            self.predictor,
            photo.picture,
            dict(zip(regions, pictures, strict=True)) if regions else (pictures[0] if seen else None),
            face=self.face,
            exemplar_face=self.exemplar_face,
            faces=faces,
            exemplar_faces=dict(zip(regions, found, strict=True)) if regions else (found[0] if seen else None),
            input_mask=own,
            exemplar_mask=guide,
            label=self.label,
            strength=self.strength,
        )
        written = self.out / f"{job.name}{_suffix(job.input.path, self.format)}"
        try:
            write_photograph(written, result.image, photo, self.quality, self.overwrite)
        except FormatError as error:
            return JobOutcome(job, bad=job.input.path, error=str(error))
        masks = _masks(result) if self.save_masks else {}
        for ending, image in masks.items():
            write_png(self.out / f"{job.name}{ending}.png", image, self.overwrite)
        return JobOutcome(job, written=1 + len(masks), faces=len(result.results))

    def _read_exemplar(self, path: Path) -> tuple[Picture, list[Face]]:
        picture = read_image(path)
        faces = self.exemplar_faces or find_faces(picture, sizes_for(self.exemplar_face))
        (chosen,) = choose_faces(faces, self.exemplar_face, picture.name, "--exemplar-box")
        check_place(faces[chosen], picture)
        return picture, faces


def look(photograph: str | Path | Picture, faces: Sequence[Face] | None = None) -> Image.Image:
    """The square around a photograph's largest face, by which its model is chosen; all of it where none is found.
    Raises LomitError where it can't be read.

    Args:
        faces: in place of those that the detector finds.
    """
    picture = photograph if isinstance(photograph, Picture) else read_image(photograph)
    found = find_faces(picture) if faces is None else faces
    image = picture.on_white()
    return image.crop(face_square(found[0].box, image.size)) if found else image


def endings(jobs: Jobs, format: str, save_masks: bool) -> list[str]:
    """What may follow a job's name in the files that it writes; those of single faces come on top."""
    suffixes = {_suffix(source.path, format) for source in jobs.inputs}
    return [*sorted(suffixes), *(["_mask.png"] if save_masks else [])]


def _suffix(photograph: Path, format: str) -> str:
    own = photograph.suffix if photograph.suffix.lower() in FORMATS else ".png"
    return SUFFIX_OF.get(format, own)


def _masks(result: PhotoResult) -> dict[str, Image.Image]:
    """Ending of the name -> the weight on the photograph, and each face's crop, output and masks."""
    images = {"_mask": result.mask}
    for number, each in enumerate(result.results, start=1):
        crops = {
            "crop": each.crop,
            "output": each.after,
            "input-mask": each.input_mask,
            "exemplar-mask": each.exemplar_mask,
        }
        images |= {f"_face-{number}_{kind}": crop for kind, crop in crops.items() if crop is not None}
    return images
