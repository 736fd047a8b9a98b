"""LOMIT's own configuration: every point that the paper leaves open is a field here."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from lomit.config import Augmentation, ModelConfig, check_range, check_sizes
from lomit.errors import LomitError


@dataclass
class LossWeights:
    """The weights of Eq. 16 and the gradient penalty's of Eq. 10."""

    cls: float = 1.0
    """lambda_cls: classification of real and translated images (Eqs. 11, 12)."""
    gp: float = 10.0
    """lambda_gp: gradient penalty (Eq. 10)."""
    sc: float = 1.0
    """lambda_{s,c}: style and content reconstruction (Eqs. 5 to 7)."""
    x: float = 10.0
    """lambda_x: cycle and self reconstruction (Eqs. 8, 9)."""
    r1: float = 0.1
    """lambda_1: masks equal where content is alike (Eq. 13, as a mean over pixel pairs)."""
    r2: float = 0.01
    """lambda_2: foreground codes of a pair apart (Eq. 14)."""
    r3: float = 0.0001
    """lambda_3: small masks (Eq. 15, as a mean over pixels)."""
    style_cls: float = 0.0
    """Not in the paper: the attributes are to be told from the foreground code by one linear layer."""
    source_cls: float = 0.0
    """Not in the paper: D_cls is to tell a translated image's old labels (Eq. 11 on x_{1->2} with y_1), against Eq. 12,
    so that it unlearns what persuades it and nobody else."""
    keep: float = 0.0
    """Not in the paper: nothing is to change outside the mask, measured from the self translation.  A pixel is worth
    a mask where it changes by more than r3 / keep, in units of [-1, 1]."""
    commit: float = 0.0
    """Not in the paper: masks are to leave the middle, by the mean of m (1 - m) over R1's masks."""
    erase: float = 0.0
    """Not in the paper: D_cls, which learns to tell the labels from backgrounds x^b too, is not to tell from them in
    what a pair differs.  D_cls is content with the part of a region that says most; the rest of it is then masked too
    (after the adversarial erasing of weakly supervised segmentation, Wei et al., CVPR 2017)."""


@dataclass
class LomitConfig(ModelConfig):
    """Networks and losses of LOMIT (paper 7.1, reference widths at `width` 64)."""

    scheduled = ("warmup", "warmup_masks")
    width: int = 64
    """Channels of the stems; the content code has `cell` times as many."""
    cell: Literal[1, 2, 4, 8] = 4
    """Side of the pixels of the content code and of the masks, in pixels of the image: 4 is the paper's (two strided
    convolutions).  2 gives 64-pixel images the 32 x 32 grid that the paper's 128-pixel ones have."""
    d_width: int = 64
    """Channels of the discriminator's first convolution."""
    style_dim: int = 8
    """Entries of a style code."""
    res_blocks: int = 4
    """Residual blocks in the content encoder and in the decoder."""
    mask_convs: int = 6
    """3 x 3 convolutions of the attention network A."""
    mask_norm: Literal["batch", "group", "none"] = "batch"
    """Normalisation in A; `batch` is the paper's, the only layer whose train and eval outputs differ."""
    mask_init: float = 1.0
    """Factor on the initial weights of A's last convolution; small values start the masks near one half."""
    mask_noise: float = 0.0
    """Not in the paper: standard deviation of Gaussian noise on A's logits while training.  What must come through it
    has to be said with values near 0 or 1."""
    masks: Literal["cosegmentation", "own", "ones"] = "cosegmentation"
    """`own`: each mask from its own image alone; `ones`: m = 1 everywhere, plain AdaIN (ablations)."""
    gamma: Literal["exp", "linear"] = "exp"
    """gamma = exp(0.5 MLP(s)) (the authors' code) or MLP(s) itself, its bias starting at 1 (the paper)."""
    shared_style_head: bool = False
    """One style encoder for foreground and background (ablation)."""
    critic_steps: int = 5
    """Discriminator updates per generator update (paper 7.2)."""
    warmup: int = 0
    """Iterations at the start in which the generator learns to give an image back (Eq. 9) and D to tell attributes
    (Eq. 11), each for itself; 0 is the paper's."""
    warmup_masks: int = 0
    """Not in the paper: iterations after `warmup` in which A alone learns, by what D_cls tells from both regions of an
    image; `weights.erase` > 0.  They cost a sixth of the others and decide what masks hold."""
    masks_learn: Literal["translation", "regions", "nothing"] = "translation"
    """What A learns from after the warm-ups: the translation's objective (Eq. 16); or as in `warmup_masks`, in updates
    of its own throughout; or nothing: A and E_c stay as they are, so that the others learn to draw under masks that
    are right already (both not in the paper).  The translation then obeys masks that it has no say in."""
    augment: tuple[Augmentation, ...] = ()
    """Not in the paper: what is done to every image that D sees, so that it does not learn a small set by heart;
    `shift`, `cutout`."""
    mask_sees: Literal["content", "differences"] = "content"
    """What the co-segmentation networks know of the partner: its pooled content code (the paper's), or also in which
    places the two images differ (not in the paper).  Attributes whose names end in the same word (`Black_Hair`,
    `Brown_Hair`) lie in one place, as facial hair does by all its names.  Each place has a mask, and a pair's is the
    largest of those in which it differs.  A translation names what is to be moved (`Guide.moved`); else the foreground
    codes of the whole images tell, and where they tell no difference everything is moved.  Instance norm takes colours
    out of the content: its pooled code tells 58 % of the smiles, that foreground code 90 % (docs/experiments.md, 18).
    """
    r1_alike: float | None = None
    """Not in the paper: R1 among pixels alone whose content is more alike than this cosine similarity, every pixel
    with the same say (`lomit.losses.smoothness.mask_agreement`); None is Eq. 13."""
    r3_of: Literal["area", "side"] = "area"
    """What R3 makes small: a mask's area (Eq. 15), or the side of a square as large, which asks more of a small mask's
    pixels than of a large one's (not in the paper, `lomit.losses.lomit.mask_side`)."""
    style_cls_of: Literal["all", "differing"] = "all"
    """Of which attributes `weights.style_cls` asks the foreground codes of a pair: all, or those in which it differs.
    What both have in common then needs no mask."""
    weights: LossWeights = field(default_factory=LossWeights)
    """Weights of the loss terms."""

    def __post_init__(self) -> None:
        check_sizes(self, ["width", "d_width", "style_dim"], ["res_blocks", "mask_convs"], ["critic_steps"])
        check_range("model.warmup", self.warmup, 0)
        check_range("model.warmup_masks", self.warmup_masks, 0)
        alone = "model.warmup_masks" if self.warmup_masks else "model.masks_learn 'regions'"
        if (self.warmup_masks or self.masks_learn == "regions") and (self.masks == "ones" or not self.weights.erase):
            raise LomitError(
                f"{alone} needs model.weights.erase > 0 and masks that are not 'ones': they are filled by what D_cls "
                "tells from both regions"
            )
        if self.masks_learn == "nothing" and (self.warmup or self.warmup_masks):
            raise LomitError("model.masks_learn 'nothing' is for weights whose masks are right: set both warm-ups to 0")
        if self.mask_noise < 0:
            raise LomitError(f"model.mask_noise must be at least 0; it is {self.mask_noise}")
        if self.r1_alike is not None and not -1 <= self.r1_alike < 1:
            raise LomitError(f"model.r1_alike is a cosine similarity from -1 to below 1; it is {self.r1_alike}")
        if self.mask_sees == "differences" and not self.weights.style_cls:
            raise LomitError(
                "model.mask_sees 'differences' needs codes that tell attributes: model.weights.style_cls > 0"
            )
        if self.mask_sees == "differences" and self.masks != "cosegmentation":
            raise LomitError(f"model.mask_sees 'differences' needs a partner: model.masks is '{self.masks}'")
