"""Images in, images out: everything between a user's picture and a translator's tensors."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, overload

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from lomit.config import Precision
from lomit.data.transforms import centre_box, denormalise
from lomit.errors import LomitError, at_least, did_you_mean
from lomit.images import Picture
from lomit.inference.compiled import Compiled
from lomit.inference.device import exactly, usable_device
from lomit.inference.editing import Editing
from lomit.inference.onnx import ExportedTranslator, is_exported
from lomit.inference.precision import computing_in, try_translation, usable_precision
from lomit.inference.squares import ImageLike, MaskLike, load_picture, mask_image, mask_planes, put_back, to_tensor
from lomit.inference.threads import SpareCores
from lomit.inference.weights import load_pretrained, save_pretrained
from lomit.models.base import Editable, Guide, GuideKind, Masks, Translation, Translator
from lomit.models.registry import method_of

Images = ImageLike | Sequence[ImageLike]
"""One image, or a list of them."""
GivenMasks = MaskLike | Sequence[MaskLike | None] | None
"""One mask, or one for each image; None is the predicted one."""


@dataclass(frozen=True)
class Result:
    """One translated image.

    Attributes:
        image: the input at its own size with its centre square translated; RGB, or RGBA where the input is
            transparent.  Outside the square every value is the input's.
        input_mask: mode L, as large as the input's centre square, white = foreground; None where the method
            has no masks.
        exemplar_mask: the same for the exemplar; None where several exemplars were composed.
        raw: the network's own output, S x S x 3, float32 in [-1, 1], S being the model's image size.
    """

    image: Image.Image
    input_mask: Image.Image | None
    exemplar_mask: Image.Image | None
    raw: np.ndarray = field(repr=False)


class Predictor:
    """Translates images with a trained translator.

    The largest centre square of an image is scaled to the model's size, translated, scaled back and put in its
    place.  Equal calls give equal results.

    Args:
        translator: the model; it is put into eval mode and moved to `device`.
        device: `cpu`, `cuda`, ...; None takes CUDA where there is one.
        compile: run compiled code, see `lomit.inference.compiled.Compiled`; interpolations and edits stay as they are.
        precision: `bfloat16` computes convolutions in bfloat16; `auto` takes the faster of both for the first batch on
            a CPU that has it in hardware (`lomit.inference.precision`).
        only: what is moved where a call doesn't say it, as in `translate`; the names given to `compose` say it.
        cores: has a say in torch's threads before each call; compiled code keeps those that it was compiled with.

    Raises:
        LomitError: where the device or a compiler is not to be had, and for names that the model doesn't know.
    """

    def __init__(
        self,
        translator: Translator,
        device: str | torch.device | None = None,
        *,
        compile: bool = False,
        precision: Precision = "float32",
        only: str | Sequence[str] | None = None,
        cores: SpareCores | None = None,
    ) -> None:
        self._cores = None if compile else cores  # another number of threads would compile anew
        exported = isinstance(translator, ExportedTranslator)
        self.device = usable_device("cpu" if exported and device is None else device)
        if exported and self.device.type != "cpu":
            raise LomitError(f"an exported model runs on the CPU, not on '{device}'; leave out the device")
        if exported and compile:
            raise LomitError("an exported model can't be compiled; leave out --compile, or give the model itself")
        if exported and precision == "bfloat16":
            raise LomitError("an exported model computes in float32; leave out --precision, or give the model itself")
        self._precision: Precision = "float32" if exported else usable_precision(precision, self.device)
        # Convolutions are faster when the channels of a pixel lie together.
        self.translator = translator.to(self.device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
        self._network = Compiled(self.translator) if compile else self.translator
        self._moved_by_default = self._moved(only)

    @classmethod
    def from_pretrained(
        cls,
        name_or_path: str | os.PathLike[str] = "avatars",
        device: str | torch.device | None = None,
        *,
        threads: int | SpareCores | None = None,
        compile: bool = False,
        precision: Precision = "float32",
        only: str | Sequence[str] | None = None,
    ) -> Predictor:
        """A predictor by what `find_model` takes (a name, a folder, a training run, a Hub id), or by the path of a
        file that `lomit export` wrote.

        Args:
            name_or_path: `lomit.list_models` has the names.
            device, compile, precision, only: as for `Predictor`.
            threads: CPU threads, for all that PyTorch does in this process; `SpareCores()` keeps them to the cores that
                other programs leave free; None leaves them as they are.
        """
        cores = None
        if isinstance(threads, SpareCores):
            cores = threads
            cores.fit()  # before an exported model takes the number for its own
        elif threads is not None:
            at_least(1, threads=threads)
            torch.set_num_threads(threads)
        load = ExportedTranslator if is_exported(name_or_path) else load_pretrained
        return cls(load(name_or_path), device, compile=compile, precision=precision, only=only, cores=cores)

    def save_pretrained(self, folder: str | os.PathLike[str], card: str | None = None, half: bool = False) -> None:
        """Writes the model in the Hub's layout; see `lomit.inference.weights.save_pretrained`."""
        save_pretrained(self.translator, folder, card, half)

    @property
    def image_size(self) -> int:
        """Side of the square that the network sees, in pixels."""
        return self.translator.config.image_size

    @property
    def attributes(self) -> tuple[str, ...]:
        """Names of the labels that the model was trained on."""
        return self.translator.config.attributes

    @property
    def moved(self) -> tuple[str, ...]:
        """The attributes that are moved where a call doesn't say it; empty: those in which the two differ."""
        chosen = self._moved_by_default
        return () if chosen is None else tuple(n for n, on in zip(self.attributes, chosen[0], strict=True) if on)

    @property
    def precision(self) -> Precision:
        """What convolutions compute in; `auto` before the first batch has been tried."""
        return self._precision

    @property
    def _method(self) -> str:
        return method_of(self.translator.config).name

    def __repr__(self) -> str:
        attributes = ", ".join(self.attributes) or "none"
        return f"Predictor({self._method}, {self.image_size} pixels, on {self.device}; attributes: {attributes})"

    @overload
    def translate(  # type: ignore[overload-overlap]
        self,
        inputs: ImageLike,
        exemplars: Images | None = None,
        *,
        input_masks: GivenMasks = None,
        exemplar_masks: GivenMasks = None,
        label: Mapping[str, float] | None = None,
        styles: Tensor | None = None,
        only: str | Sequence[str] | None = None,
        composite: bool = False,
        batch_size: int = 8,
    ) -> Result: ...
    @overload
    def translate(
        self,
        inputs: Sequence[ImageLike],
        exemplars: Images | None = None,
        *,
        input_masks: GivenMasks = None,
        exemplar_masks: GivenMasks = None,
        label: Mapping[str, float] | None = None,
        styles: Tensor | None = None,
        only: str | Sequence[str] | None = None,
        composite: bool = False,
        batch_size: int = 8,
    ) -> list[Result]: ...
    def translate(
        self,
        inputs: Images,
        exemplars: Images | None = None,
        *,
        input_masks: GivenMasks = None,
        exemplar_masks: GivenMasks = None,
        label: Mapping[str, float] | None = None,
        styles: Tensor | None = None,
        only: str | Sequence[str] | None = None,
        composite: bool = False,
        batch_size: int = 8,
    ) -> Result | list[Result]:
        """Gives each input the style of its exemplar, the attributes of a label or a random style.

        Args:
            inputs: one image, or N in a list.
            exemplars: N images, or one for all inputs; None where a label or styles take their place.
            input_masks: masks to use in place of the predicted ones, white = foreground; each as large as its
                image, or a square that stands for the image's centre square.  None: the predicted one.
            exemplar_masks: the same for the exemplars.
            label: attribute -> 0 or 1, attributes left out are 0.  A method guided by labels gives the result
                these attributes; a two-domain method translates to the images that have them where any is 1, to
                those without them where all are 0 (no label: to those with them).
            styles: codes from `random_styles`, N x S, or one for all inputs, for methods that have a prior.
            only: attributes to move from the exemplar (names, or words of them: `hair` is every hair colour), for
                models whose masks go by names; by default those in which the two are told to differ.
            composite: blend the input back through its mask instead of keeping the decoder's whole output.
            batch_size: images in the network at a time.

        Returns:
            A result for one image, a list of results for a list.

        Raises:
            LomitError: for images that can't be used, numbers that don't match, and what the method can't do.
        """
        self._check_guides(exemplar=exemplars, label=label, random=styles)
        pictures = _pictures(inputs, "input")
        guides = None if exemplars is None else _for_each(pictures, _pictures(exemplars, "exemplar"))
        own_masks = _for_each(pictures, _listed(input_masks))
        guide_masks = _for_each(pictures, _listed(exemplar_masks))
        target = None if label is None else self._label(label)
        moved = self._moved_by_default if only is None else self._moved(only)
        if styles is not None:
            styles = torch.stack(list(_for_each(pictures, list(styles.to(self.device))))) if pictures else None
        results = []
        for start in range(0, len(pictures), max(1, batch_size)):
            part = slice(start, start + max(1, batch_size))
            batch, exemplar = pictures[part], None if guides is None else guides[part]
            guide = Guide(
                None if exemplar is None else self._tensor(exemplar),
                None if target is None else target.expand(len(batch), -1),
                None if styles is None else styles[part],
                self._masks((own_masks[part], batch), (guide_masks[part], batch if exemplar is None else exemplar)),
                moved=None if moved is None else moved.expand(len(batch), -1),
            )
            translation = self._run(self._tensor(batch), guide)
            results += self._results(translation, batch, batch if exemplar is None else exemplar, composite)
        return results if _is_list(inputs) else results[0]

    def compose(
        self,
        image: ImageLike,
        exemplars: Mapping[str, ImageLike] | None = None,
        *,
        masks: Sequence[tuple[ImageLike, MaskLike, MaskLike]] = (),
        composite: bool = False,
    ) -> Result:
        """Several exemplars in one image, each in a region of its own: the hair of one, the mouth of another.

        Where regions overlap, exemplars share the place (`lomit.losses.lomit.shares`); their order doesn't matter.

        Args:
            image: the input.
            exemplars: what is to be moved -> the image to take it from, for models whose masks go by names.  Names are
                those of `only` in `translate`.
            masks: in place of that, for each exemplar: its image, the mask of where it goes in the input, and the mask
                of what is taken from it; as `input_masks` and `exemplar_masks` in `translate`.
            composite: as in `translate`.

        Returns:
            The result; its `input_mask` is the sum of the masks, its `exemplar_mask` is None.

        Raises:
            LomitError: as `translate`, for an attribute that is given two exemplars, and where both or none of
                `exemplars` and `masks` are given.
        """
        self._check_regions()
        if bool(exemplars) == bool(masks):
            raise LomitError(
                "compose takes exemplars by name ({'hair': image, ...}), or masks=[(exemplar, input mask, exemplar "
                "mask), ...]; give one of the two"
            )
        picture = load_picture(image, "input")
        # By name, whatever their order: float32 sums of three or more depend on it.
        named = dict(sorted((exemplars or {}).items()))
        guides = [
            Guide(self._tensor([load_picture(each, f"exemplar for '{name}'")]), moved=moved)
            for (name, each), moved in zip(named.items(), self._apart(named), strict=True)
        ]
        for i, part in enumerate(masks):
            if len(part) != 3 or any(each is None for each in part):
                raise LomitError(f"part {i} of 'masks' must be an exemplar, its mask in the input and its own mask")
            exemplar = load_picture(part[0], f"exemplar {i}")
            drawn = self._masks(([part[1]], [picture]), ([part[2]], [exemplar]))
            guides.append(Guide(self._tensor([exemplar]), masks=drawn))
        x = self._tensor([picture])
        with self._computing(x, guides[0]):
            translation = self._network.compose(x, guides)
        (result,) = self._results(translation, [picture], [picture], composite)
        return replace(result, exemplar_mask=None)

    def predict_masks(
        self, inputs: Images, exemplars: Images, *, only: str | Sequence[str] | None = None
    ) -> list[tuple[np.ndarray, np.ndarray]]:
        """The masks of each input and its exemplar, as arrays to look at, change and give back to `translate`.

        Args:
            inputs, exemplars: as for `translate`: which region is meant depends on both.
            only: as for `translate`.

        Returns:
            A pair of float32 arrays in [0, 1] for each input, each as large as its image (H x W), 1 = foreground.
            Outside the centre square they are 0.

        Raises:
            LomitError: as `translate`, and for a method without masks.
        """
        if not self.has_masks:
            raise LomitError(f"the method '{self._method}' has no masks")
        pictures = _pictures(inputs, "input")
        guides = _for_each(pictures, _pictures(exemplars, "exemplar"))
        results = self.translate(pictures, guides, only=only)
        return [
            (_whole(result.input_mask, picture), _whole(result.exemplar_mask, guide))
            for result, picture, guide in zip(results, pictures, guides, strict=True)
        ]

    def predict_regions(
        self, image: ImageLike, exemplars: Mapping[str, ImageLike]
    ) -> list[tuple[Picture, np.ndarray, np.ndarray]]:
        """The masks of exemplars by name, to look at, change and give back to `compose` as `masks`.

        Args:
            image, exemplars: as for `compose`.

        Returns:
            For each exemplar, in the order given: its image, and the masks of the input and of itself as
            `predict_masks` has them.

        Raises:
            LomitError: as `compose`.
        """
        self._check_regions()
        self._apart(exemplars)
        picture = load_picture(image, "input")
        guides = [(name, load_picture(each, f"exemplar for '{name}'")) for name, each in exemplars.items()]
        return [(guide, *self.predict_masks(picture, guide, only=name)[0]) for name, guide in guides]

    def random_styles(self, count: int, seed: int = 0) -> Tensor:
        """`count` style codes for `translate(styles=...)`, count x S; the same for the same seed.

        Raises:
            LomitError: for a method without a prior.
        """
        return self.translator.random_styles(count, torch.Generator().manual_seed(seed))

    def interpolate(self, image: ImageLike, exemplars: Images, steps: int, *, composite: bool = False) -> list[Result]:
        """Goes from one exemplar's style to another's in `steps` even steps, 2 or more, both ends included.

        Args:
            exemplars: two images, or one: then the way starts at the input's own style.
            composite: as in `translate`.

        Raises:
            LomitError: where the method can't interpolate, or for another number of exemplars or steps.
        """
        if not isinstance(self.translator, Editable):
            raise LomitError(f"the method '{self._method}' can't interpolate between exemplars")
        if steps < 2:
            raise LomitError(f"an interpolation needs at least 2 steps; {steps} asked for")
        picture, guides = load_picture(image, "input"), _pictures(exemplars, "exemplar")
        if len(guides) not in (1, 2):
            raise LomitError(f"an interpolation needs one exemplar or two; {len(guides)} given")
        ends = [self._tensor([end]) for end in ([picture, *guides] if len(guides) == 1 else guides)]
        x, results = self._tensor([picture]), []
        for t in np.linspace(0, 1, steps).tolist():
            with self._computing(x, Guide(ends[-1], moved=self._moved_by_default)):
                translation = self.translator.interpolate(x, ends, [1 - t, t], self._moved_by_default)
            results += self._results(translation, [picture], [guides[-1]], composite)
        return results

    def edit(
        self,
        image: ImageLike,
        exemplars: Images | Editing = (),
        label: Mapping[str, float] | None = None,
        *,
        only: str | Sequence[str] | None = None,
    ) -> Editing:
        """An image beside its exemplars, prepared for a session of edits.

        What no edit changes is computed here, once.  `edit(a, b).apply(Edit(input_mask=mask))` is `a` at its own size
        under a mask; see `lomit.inference.editing.Editing` for the rest.

        Args:
            image: the input.
            exemplars: one or two images; none for a method that is guided by a label alone.  Or an earlier `Editing`:
                its exemplars, label and attributes hold, and what is known of the exemplars is not computed again.
            label, only: as in `translate`.

        Raises:
            LomitError: as `translate`, and for another number of exemplars.
        """
        if isinstance(exemplars, Editing):
            if label is not None or only is not None:
                raise LomitError("an earlier edit has its label and attributes; leave out 'label' and 'only'")
            self._fit_threads()
            return exemplars.another(load_picture(image, "input"))
        guides = _pictures(exemplars, "exemplar")
        if len(guides) > 2:
            raise LomitError(f"an edit takes one exemplar or two; {len(guides)} given")
        self._check_guides(exemplar=guides or None, label=label)
        if "exemplar" in self.guides and not guides:
            raise LomitError(f"the method '{self._method}' takes its style from an exemplar image; give one")
        target = None if label is None else self._label(label)
        moved = self._moved_by_default if only is None else self._moved(only)
        self._fit_threads()
        picture = load_picture(image, "input")
        if self._precision == "auto":  # else nothing needs them here
            x, *seen = (self._tensor([each]) for each in (picture, *guides))
            self._precision = try_translation(self.translator, x, Guide(seen[0] if seen else None, target, moved=moved))
        return Editing(self.translator, self.device, picture, guides, target, moved, self._precision)

    @property
    def guides(self) -> frozenset[GuideKind]:
        """What a translation can be guided by: exemplar, label, random."""
        return self.translator.guides

    @property
    def has_masks(self) -> bool:
        """Whether the method predicts masks, which can then be edited."""
        return self.translator.has_masks

    @property
    def can_blend(self) -> bool:
        """Whether `edit` takes a strength and a blend of two exemplars."""
        return isinstance(self.translator, Editable)

    @property
    def is_compiled(self) -> bool:
        """Whether `translate` and `compose` run compiled code; `edit` never does."""
        return isinstance(self._network, Compiled)

    @property
    def can_compose(self) -> bool:
        """Whether `compose` takes several exemplars."""
        return self.can_blend and self.has_masks and type(self.translator).compose is not Translator.compose

    @property
    def places(self) -> Mapping[str, Sequence[int]]:
        """What `only` and `compose` name a region by -> its attributes' numbers; empty where masks have no names."""
        return self.translator.places

    def _check_guides(self, **given: object) -> None:
        """Says so where the method can't be guided by what is given."""
        words = {"exemplar": "an exemplar", "label": "a label", "random": "random styles"}
        allowed = self.translator.guides
        for guide, value in given.items():
            if value is not None and guide not in allowed:
                usable = " or ".join(word for name, word in words.items() if name in allowed)
                raise LomitError(f"the method '{self._method}' can't be guided by {words[guide]}; give {usable}")

    def _run(self, x: Tensor, guide: Guide) -> Translation:
        """One batch; masks are NaN throughout where the predicted one is to be used."""
        translate = self._network.translate if guide.masks is None else self._network.translate_filling
        with self._computing(x, guide):
            return translate(x, guide)

    @contextmanager
    def _computing(self, x: Tensor, guide: Guide) -> Iterator[None]:
        """A block in which the network runs; where its precision is open, the first batch decides."""
        if self._precision == "auto":
            self._precision = try_translation(self.translator, x, guide)
        with exactly(), computing_in(self._precision, self.device):
            yield

    def _fit_threads(self) -> None:
        if self._cores is not None:
            self._cores.fit()

    def _tensor(self, pictures: Sequence[Picture]) -> Tensor:
        self._fit_threads()
        return to_tensor(pictures, self.image_size, self.device)

    def _masks(self, *given: tuple[Sequence[MaskLike | None], Sequence[Picture]]) -> Masks | None:
        """Masks of inputs and exemplars, B x 1 x S x S, NaN where there is none; None where none is given at all."""
        size, count = self.image_size, len(given[0][0])
        planes = [mask_planes(masks, pictures, size, self.device) for masks, pictures in given]
        if all(plane is None for plane in planes):
            return None
        unset = torch.full((count, 1, size, size), torch.nan, device=self.device)
        return Masks(*(unset if plane is None else plane for plane in planes))

    def _label(self, label: Mapping[str, float]) -> Tensor:
        """1 x A."""
        for name in label:
            if name not in self.attributes:
                known = ", ".join(self.attributes) or "none"
                raise LomitError(f"unknown attribute '{name}'{did_you_mean(name, self.attributes)}; known: {known}")
        return torch.tensor([[float(label.get(name, 0)) for name in self.attributes]], device=self.device)

    def _moved(self, only: str | Sequence[str] | None) -> Tensor | None:
        """1 x A, 1 where an attribute is named or a word of it is."""
        if only is None:
            return None
        places = self.translator.places
        if not places:
            raise LomitError(
                "the masks of this model don't go by names: take one whose masks do (docs/models.md), draw a mask, or "
                "leave out 'only'"
            )
        named = torch.zeros(1, len(self.attributes), device=self.device)
        for name in [only] if isinstance(only, str) else only:
            # A place before a word: `hair` is no facial hair.
            of = places.get(name.lower()) or [k for k, known in enumerate(self.attributes) if _names(name, known)]
            if not of:
                raise LomitError(
                    f"'{name}' names none of the model's attributes{did_you_mean(name, self.attributes)}; known: "
                    f"{', '.join(self.attributes)}"
                )
            named[:, list(of)] = 1
        if not named.any():
            raise LomitError("'only' is empty: name an attribute that is to be moved, or leave it out")
        return named

    def _check_regions(self) -> None:
        if not self.has_masks:
            raise LomitError(f"the method '{self._method}' has no masks, so exemplars can't have regions of their own")

    def _apart(self, names: Collection[str]) -> list[Tensor]:
        """`_moved` of each name, where no two name the same attribute."""
        if names and not self.translator.places:
            raise LomitError(
                "the masks of this model don't go by names: take one whose masks do (docs/models.md), or draw the "
                "masks (lomit edit; in Python give masks=[(exemplar, input mask, exemplar mask), ...])"
            )
        taken: dict[str, str] = {}
        apart = []
        for name in names:
            moved = self._moved([name])
            assert moved is not None
            apart.append(moved)
            for attribute, is_moved in zip(self.attributes, moved[0].tolist(), strict=True):
                if is_moved and taken.setdefault(attribute, name) != name:
                    raise LomitError(f"'{taken[attribute]}' and '{name}' both name {attribute}; leave out one of them")
        return apart

    def _results(
        self, translation: Translation, inputs: Sequence[Picture], exemplars: Sequence[Picture], composite: bool
    ) -> list[Result]:
        masks = translation.masks
        if composite and masks is None:
            raise LomitError(f"the method '{self._method}' has no masks, so there is nothing to composite through")
        raw = translation.image.float().permute(0, 2, 3, 1).cpu().numpy()
        colours = denormalise(translation.image).permute(0, 2, 3, 1).cpu().numpy()
        results = []
        for i, (picture, exemplar) in enumerate(zip(inputs, exemplars, strict=True)):
            input_mask = None if masks is None else mask_image(masks.input[i, 0], min(picture.size))
            exemplar_mask = None if masks is None else mask_image(masks.exemplar[i, 0], min(exemplar.size))
            square = Image.fromarray(colours[i])
            image = put_back(square, picture, input_mask if composite else None)
            results.append(Result(image, input_mask, exemplar_mask, raw[i]))
        return results


def _names(name: str, attribute: str) -> bool:
    """Whether a name is an attribute's or a word of it; case doesn't matter."""
    return name.lower() in (attribute.lower(), *attribute.lower().split("_"))


def _is_list(given: object) -> bool:
    return isinstance(given, Sequence) and not isinstance(given, str | bytes)


def _listed(given: Any) -> Sequence[Any]:
    """Several as they are, one as a list."""
    return given if _is_list(given) else [given]


def _pictures(images: Images, name: str) -> list[Picture]:
    """One image or several as pictures, called by their number."""
    return [load_picture(each, f"{name} {i}") for i, each in enumerate(_listed(images))]


def _whole(mask: Image.Image | None, picture: Picture) -> np.ndarray:
    """The mask of a picture's centre square as an array as large as the picture, float32 in [0, 1]."""
    whole = Image.new("L", picture.size)
    if mask is not None:
        whole.paste(mask, centre_box(picture.size)[:2])
    return np.asarray(whole, dtype=np.float32) / 255


def _for_each(pictures: Sequence[Picture], items: Sequence) -> Sequence:
    """`items` if there is one for each picture, or the only one repeated."""
    if len(items) == 1:
        return list(items) * len(pictures)
    if len(items) != len(pictures):
        raise LomitError(f"{len(pictures)} inputs need as many exemplars and masks, or one for all; {len(items)} given")
    return items
