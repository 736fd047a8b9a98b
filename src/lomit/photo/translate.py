"""A whole photograph in, the whole photograph out: find, align, translate, put back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from PIL import Image, ImageChops

from lomit.errors import LomitError
from lomit.images import Picture, as_picture
from lomit.inference.editing import Edit, Editing
from lomit.inference.predictor import Predictor, Result
from lomit.inference.squares import ImageLike, MaskLike, load_mask, load_picture
from lomit.photo.align import align, check_place, view
from lomit.photo.faces import Face, choose_faces, find_faces, sizes_for
from lomit.photo.paste import on_photo, paste
from lomit.photo.tracking import SteadyMasks

Masks = Sequence[Image.Image | None] | None
"""Masks on crops; None in place of the predicted one, or of all."""


@dataclass(frozen=True)
class FaceResult:
    """One translated face of a photograph; all crops are RGB in sRGB, S x S, S being the model's image size.

    Attributes:
        crop: the aligned crop that the network saw.
        before: what the network makes of the crop when nothing is to change; see `translate_crops`.
        input_mask: mode L, S x S, white = foreground; None where the method has no masks.
        exemplar_mask: the same on the exemplar's crop.
    """

    face: Face
    crop: Image.Image
    before: Image.Image
    after: Image.Image
    input_mask: Image.Image | None
    exemplar_mask: Image.Image | None


@dataclass(frozen=True)
class ExemplarFace:
    """The face of an exemplar.

    Attributes:
        crop: its aligned crop, RGB in sRGB, S x S.
        mask: the mask to use in place of the predicted one, mode L, S x S; or None.
    """

    face: Face
    crop: Image.Image
    mask: Image.Image | None = None


@dataclass(frozen=True)
class PhotoResult:
    """A translated photograph.

    Attributes:
        image: the photograph at its own size; RGB, or RGBA where it is transparent, with its colour profile.
        mask: mode L, as large as the photograph: the weight with which the change was applied.  Where it is 0 the
            photograph's values are kept.
        faces: every face found, the largest first.
        results: one for each translated face.
        exemplar: what the network saw of the exemplar; None where a label guided, and where exemplars were composed.
        exemplars: what it saw of each exemplar that was composed, by name.
    """

    image: Image.Image
    mask: Image.Image
    faces: list[Face]
    results: list[FaceResult]
    exemplar: ExemplarFace | None = None
    exemplars: Mapping[str, ExemplarFace] = field(default_factory=dict)


def translate_photo(
    predictor: Predictor,
    photo: ImageLike,
    exemplar: ImageLike | Mapping[str, ImageLike] | None,
    *,
    face: int | Literal["all"] = 0,
    exemplar_face: int = 0,
    faces: Sequence[Face] | None = None,
    exemplar_faces: Sequence[Face] | Mapping[str, Sequence[Face]] | None = None,
    input_mask: MaskLike | None = None,
    exemplar_mask: MaskLike | None = None,
    label: Mapping[str, float] | None = None,
    strength: float = 1.0,
) -> PhotoResult:
    """Gives faces of a photograph the style of an exemplar's face.

    What is carried back is how the output differs from the network's own reconstruction of the crop, see
    `translate_crops`.  Raises LomitError where no such face is found or it lies elsewhere, an image can't be used, the
    `faces` extra is not installed, or the method can't do what is asked.

    Args:
        exemplar: the exemplar, aligned in the same way; None where a label takes its place.  Or several, by what is
            taken from each, as in `Predictor.compose`: {"hair": ..., "smiling": ...}; without masks or a label.
        face: which face: its position by size, 0 being the largest, or "all".
        exemplar_face: the same for the exemplar, or for each.
        faces: the faces of the photograph, in place of the detector's.
        exemplar_faces: the same for the exemplar; of several, by their names.
        input_mask: mask to use in place of the predicted one, white = foreground; as large as the photograph, or a
            square that stands for the crop.
        exemplar_mask: the same for the exemplar.
        label: as in `Predictor.translate`.
        strength: factor on the change, from 0 (the photograph stays) to 2.
    """
    picture = load_picture(photo, "photograph")
    found = list(faces) if faces is not None else find_faces(picture, sizes_for(face))
    chosen = [found[i] for i in choose_faces(found, face, picture.name)]
    for one in chosen:
        check_place(one, picture)
    size = predictor.image_size
    crops = [(each, align(picture, each, size)) for each in chosen]
    guide, guides = None, {}
    if isinstance(exemplar, Mapping):
        if input_mask is not None or exemplar_mask is not None or label is not None:
            raise LomitError("exemplars by name predict their masks; leave out masks and label, or give one exemplar")
        theirs = exemplar_faces if isinstance(exemplar_faces, Mapping) else {}
        guides = {name: align_exemplar(each, size, exemplar_face, theirs.get(name)) for name, each in exemplar.items()}
        results = compose_crops(predictor, crops, guides)
    else:
        if exemplar is not None:
            given = None if isinstance(exemplar_faces, Mapping) else exemplar_faces
            guide = align_exemplar(exemplar, size, exemplar_face, given, exemplar_mask)
        own = None if input_mask is None else [crop_mask(input_mask, picture, each, size) for each in chosen]
        results = translate_crops(predictor, crops, guide, input_masks=own, label=label)
    image, weight = picture, Image.new("L", picture.size)
    for each in results:
        pasted = paste(image, each.face, each.before, each.after, each.input_mask, strength=strength)
        image = as_picture(pasted, picture.name)
        weight = ImageChops.lighter(weight, on_photo(each.input_mask, each.face, picture.size, size))
    return PhotoResult(image.with_colours(image.rgb), weight, found, results, guide, guides)


def align_exemplar(
    exemplar: ImageLike,
    size: int,
    face: int = 0,
    faces: Sequence[Face] | None = None,
    mask: MaskLike | None = None,
) -> ExemplarFace:
    """An exemplar as the network sees it; the arguments are those of `translate_photo`, S being `size`."""
    picture = load_picture(exemplar, "exemplar")
    found = list(faces) if faces is not None else find_faces(picture, sizes_for(face))
    chosen = found[choose_faces(found, face, picture.name, "--exemplar-box")[0]]
    check_place(chosen, picture)
    return ExemplarFace(chosen, align(picture, chosen, size), crop_mask(mask, picture, chosen, size))


def translate_crops(
    predictor: Predictor,
    crops: Sequence[tuple[Face, Image.Image]],
    guide: ExemplarFace | None,
    *,
    input_masks: Masks = None,
    label: Mapping[str, float] | None = None,
    only: Sequence[str] | None = None,
    reference: Literal["self", "crop"] = "self",
    steady: Callable[[list[Image.Image | None]], list[Image.Image | None]] | None = None,
) -> list[FaceResult]:
    """Translates aligned faces by one exemplar.

    The change that is carried back is the output minus a reference: the network's own translation of the crop with
    itself as exemplar under the same masks ("self"), so that what the decoder can't reproduce does not enter the
    photograph; or the crop ("crop", which methods without masks and without an exemplar take always).

    Args:
        crops: faces and their crops, S x S.
        input_masks: masks on the crops to use in place of the predicted ones.
        label: as for `translate_photo`.
        only: as for `Predictor.translate`.
        steady: makes of the masks those to use, for the frames of a video.
    """
    images = [crop for _, crop in crops]
    given = None if guide is None or guide.mask is None else [guide.mask]

    def translate(
        own: Sequence[Image.Image | None] | None, theirs: Sequence[Image.Image | None] | None
    ) -> list[Result]:
        exemplars = None if guide is None else [guide.crop]
        return predictor.translate(images, exemplars, input_masks=own, exemplar_masks=theirs, label=label, only=only)

    results, before = translate(input_masks, given), images
    masks = [result.input_mask for result in results]
    if steady is not None:
        masks = steady(masks)
    if guide is not None and reference == "self" and all(mask is not None for mask in masks):
        # Once more under the masks as images, so that the two outputs differ in the style alone.
        results = translate(masks, [result.exemplar_mask for result in results])
        before = _as_their_own_exemplars(predictor, images, masks)
    return [
        FaceResult(face, crop, unchanged, r.image.convert("RGB"), mask, r.exemplar_mask)
        for (face, crop), unchanged, r, mask in zip(crops, before, results, masks, strict=True)
    ]


class FrameTranslator:
    """Translates the faces of one frame after the other, with the bits of `translate_crops`.

    The exemplar's mask is predicted once, beside the first face, so that its style is the same throughout; the masks of
    followed faces are averaged over time.  What the three translations of a face share is computed once, and what is
    known of the exemplar is kept.

    Args:
        guide, label, only: as for `translate_crops`.
    """

    def __init__(
        self,
        predictor: Predictor,
        guide: ExemplarFace | None,
        *,
        label: Mapping[str, float] | None = None,
        only: Sequence[str] | None = None,
    ) -> None:
        self._predictor, self._guide, self._label, self._only = predictor, guide, label, only
        self._masks = SteadyMasks()
        self._editing: Editing | None = None

    def __call__(self, crops: Sequence[tuple[Face, Image.Image]]) -> list[FaceResult]:
        """The results of a frame's faces and their crops, S x S; there is one face or more."""
        p, guide = self._predictor, self._guide
        shares = p.can_blend and p.has_masks and not p.is_compiled and self._label is None
        if shares and guide is not None and len(crops) == 1:
            results = [self._shared(guide, *crops[0])]
        else:
            results = translate_crops(p, crops, guide, label=self._label, only=self._only, steady=self._masks)
        if guide is not None and guide.mask is None:
            self._guide = replace(guide, mask=results[0].exemplar_mask)
        return results

    def forget(self) -> None:
        """A frame shows no face: the masks of the next one begin anew."""
        self._masks.forget()

    def _shared(self, guide: ExemplarFace, face: Face, crop: Image.Image) -> FaceResult:
        """As `translate_crops` for one face and a method whose masks can be edited."""
        if self._editing is None:
            editing = self._predictor.edit(crop, [guide.crop], only=self._only)
        else:
            editing = self._predictor.edit(crop, self._editing)
        self._editing = editing
        predicted, theirs = editing.predicted(crop.width)
        theirs = theirs if guide.mask is None else guide.mask
        (own,) = self._masks([predicted])
        edit = Edit(input_mask=own, exemplar_masks=(theirs,))
        before, after = (editing.render(replace(edit, strength=strength)).square for strength in (0.0, 1.0))
        return FaceResult(face, crop, before, after, own, theirs)


def compose_crops(
    predictor: Predictor, crops: Sequence[tuple[Face, Image.Image]], guides: Mapping[str, ExemplarFace]
) -> list[FaceResult]:
    """Translates aligned faces by several exemplars, each in a region of its own; see `Predictor.compose`.

    What the output is compared with is made under the same masks, as in `translate_crops`.  A result has no
    `exemplar_mask`: there are several.
    """
    exemplars = {name: guide.crop for name, guide in guides.items()}
    # As in `translate_crops` the masks that count are images.
    results = [predictor.compose(crop, masks=predictor.predict_regions(crop, exemplars)) for _, crop in crops]
    before = _as_their_own_exemplars(predictor, [crop for _, crop in crops], [each.input_mask for each in results])
    return [
        FaceResult(face, crop, unchanged, r.image.convert("RGB"), r.input_mask, None)
        for (face, crop), unchanged, r in zip(crops, before, results, strict=True)
    ]


def _as_their_own_exemplars(predictor: Predictor, crops: Sequence[Image.Image], masks: Masks) -> list[Image.Image]:
    """What the network makes of crops in their own style, under given masks: RGB, S x S each."""
    results = predictor.translate(crops, crops, input_masks=masks, exemplar_masks=masks)
    return [result.image.convert("RGB") for result in results]


def crop_mask(mask: MaskLike | None, picture: Picture, face: Face, size: int) -> Image.Image | None:
    """A mask on the crop, mode L, size x size; None for None.  Raises LomitError for a mask of another shape.

    Args:
        mask: white = foreground; as large as the photograph, or a square that stands for the crop.
    """
    if mask is None:
        return None
    grey = load_mask(mask, f"mask of {picture.name}")
    if grey.size == picture.size:
        return view(grey, face, size)
    if grey.width != grey.height:
        raise LomitError(
            f"the mask of {picture.name} is {grey.width} x {grey.height}; make it as large as the photograph "
            f"({picture.size[0]} x {picture.size[1]}), or square for the crop of the face"
        )
    return grey.resize((size, size), Image.Resampling.BILINEAR)
