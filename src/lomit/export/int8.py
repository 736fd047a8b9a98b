"""From a float32 graph to 8-bit convolutions (static quantisation), as many as keep the error small.

Activations are unsigned with one scale a tensor, weights signed with one scale a channel, as the int8 instructions of
CPUs want them.  Convolutions whose quantisation costs most stay in float32.
"""

from __future__ import annotations

import contextlib
import io
import logging
import math
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lomit.errors import LomitError
from lomit.export.graph import IMAGES, MASKS
from lomit.exported import session_options

if TYPE_CHECKING:
    from onnx import ModelProto

BOUND = 0.9 / 255
"""Largest mean error that is accepted, for images in [0, 1]: a tenth below an 8-bit step, since other images than those
held out may fare worse."""
Feed = dict[str, np.ndarray]
_GROUP = 16
"""Channels that a CPU's float32 kernels compute at once."""


@dataclass(frozen=True)
class Quantised:
    """An 8-bit graph.

    Attributes:
        model: the graph.
        error: mean absolute difference of the image from float32's on the feeds held out, for images in [0, 1].
        in_int8, in_float: names of the convolutions.
    """

    model: ModelProto
    error: float
    in_int8: tuple[str, ...]
    in_float: tuple[str, ...]


def quantise(
    model: ModelProto, calibration: Sequence[Feed], held_out: Sequence[Feed], bound: float | None = None
) -> Quantised:
    """Quantises the convolutions of a graph whose masks are plain inputs.

    Args:
        model: the float32 graph; it stays as it is.
        calibration: feeds from which the ranges of activations are taken.
        held_out: feeds on which errors are measured; the worst one's mean counts.
        bound: None takes `BOUND`.

    Raises:
        LomitError: where the error stays above `bound` even with every other convolution in float32; it gives the
            numbers.
    """
    bound = BOUND if bound is None else bound
    wide, narrow = _convolutions(model)
    reference = [images[0] for images in run(model, held_out)]
    costs = _costs(model, wide, held_out[0])
    with tempfile.TemporaryDirectory() as folder:
        quantiser = _Quantiser(model, calibration, Path(folder))

        def attempt(names: Sequence[str]) -> tuple[ModelProto, float]:
            made = quantiser.quantise(names)
            differences = zip(run(made, held_out), reference, strict=True)
            return made, max(float(np.abs(got[0] - image).mean()) / 2 for got, image in differences)

        # The layers' errors are nearly independent, so their squares add up.
        squares = {name: attempt([name])[1] ** 2 for name in wide}
        # Last, and first to go back to float32: much error for the time that is saved.
        kept = sorted(wide, key=lambda name: squares[name] / costs[name])
        everything = None
        while len(kept) >= max(1, len(wide) // 2):
            made, error = attempt(kept)
            everything = error if everything is None else everything
            if error <= bound:
                # Room that is left: the costliest that fit go back to int8.
                for name in sorted(set(wide) - set(kept), key=lambda name: -costs[name]):
                    if error**2 + squares[name] <= bound**2:
                        again = attempt([*kept, name])
                        if again[1] <= bound:
                            (made, error), kept = again, [*kept, name]
                left = [name for name in wide if name not in kept]
                return Quantised(made, error, tuple(kept), (*left, *narrow))
            # As many as the excess seems to come from, at least one; but few, for errors that do add up seem more.
            excess = error**2 - bound**2
            for _ in range(max(1, len(wide) // 8)):
                excess -= squares[kept.pop()]
                if excess <= 0:
                    break
    assert everything is not None
    fewer = attempt(kept)[1] if kept else 0.0
    raise LomitError(
        f"int8 is too coarse for this model: the mean error is {255 * everything:.2f}/255, and {255 * fewer:.2f}/255 "
        f"with the {len(wide) - len(kept)} most sensitive convolutions in float32; at most {255 * bound:.2g}/255 is "
        "accepted. Export without --int8"
    )


def run(model: ModelProto, feeds: Sequence[Feed]) -> list[list[np.ndarray]]:
    """The graph's outputs for each feed, by ONNX Runtime on the CPU."""
    import onnxruntime

    session = onnxruntime.InferenceSession(
        model.SerializeToString(), session_options(), providers=["CPUExecutionProvider"]
    )
    return [list(session.run(None, feed)) for feed in feeds]


def feeds_of(inputs: np.ndarray, exemplars: np.ndarray, masks: bool) -> list[Feed]:
    """Images B x 3 x S x S as feeds: where the graph has masks, once with predicted ones, once with a disc as both."""
    images = dict(zip(IMAGES, (inputs, exemplars), strict=True))
    if not masks:
        return [images]
    size = inputs.shape[-1]
    away = np.hypot(*np.meshgrid(*[np.linspace(-1, 1, size, dtype=np.float32)] * 2))
    disc = np.broadcast_to(np.clip(4 * (0.75 - away), 0, 1), (len(inputs), 1, size, size)).astype(np.float32)
    return [images | dict.fromkeys(MASKS, mask) for mask in (np.full_like(disc, np.nan), disc)]


class _Quantiser:
    """ONNX Runtime's quantiser for one graph; the ranges are measured once."""

    def __init__(self, model: ModelProto, calibration: Sequence[Feed], folder: Path) -> None:
        self.model, self.calibration = model, calibration
        self.ranges, self.result = folder / "ranges.json", folder / "int8.onnx"
        self.convolutions = [node.name for node in model.graph.node if node.op_type == "Conv"]
        # The first call measures, for the tensors around all convolutions.
        self.quantise(self.convolutions)

    def quantise(self, names: Sequence[str]) -> ModelProto:
        import onnx
        from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

        feeds = iter(self.calibration)

        class Reader(CalibrationDataReader):  # type: ignore[misc]
            def get_next(self) -> Any:
                return next(feeds, None)

        with _quiet():
            quantize_static(
                onnx.ModelProto.FromString(self.model.SerializeToString()),
                str(self.result),
                Reader(),
                quant_format=QuantFormat.QDQ,
                op_types_to_quantize=["Conv"],
                per_channel=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                nodes_to_exclude=[name for name in self.convolutions if name not in names],
                calibration_cache_path=self.ranges,
            )
        return onnx.load(str(self.result))


def _convolutions(model: ModelProto) -> tuple[list[str], list[str]]:
    """Names of the convolutions with k x k kernels, k > 1, and of the others: these cost little in float32."""
    shapes = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    wide: list[str] = []
    narrow: list[str] = []
    for node in model.graph.node:
        if node.op_type == "Conv":
            kernel = shapes.get(node.input[1], (0, 0, 1, 1))[2:]
            (wide if min(kernel) > 1 else narrow).append(node.name)
    return wide, narrow


def _costs(model: ModelProto, names: Sequence[str], feed: Feed) -> dict[str, int]:
    """Products that each convolution computes for this feed in float32, in whole groups of channels."""
    from onnx import ModelProto, helper

    copy = ModelProto.FromString(model.SerializeToString())
    shapes = {tensor.name: tuple(tensor.dims) for tensor in copy.graph.initializer}
    nodes = [node for node in copy.graph.node if node.name in names]
    del copy.graph.output[:]
    copy.graph.output.extend(helper.make_empty_tensor_value_info(node.output[0]) for node in nodes)
    (outputs,) = run(copy, [feed])
    costs = {}
    for node, out in zip(nodes, outputs, strict=True):
        c_out, c_in, height, width = shapes[node.input[1]]
        groups = math.ceil(c_out / _GROUP) * math.ceil(c_in / _GROUP) * _GROUP**2
        costs[node.name] = groups * height * width * (out.size // c_out)
    return costs


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without what the quantiser prints and logs."""
    logger = logging.getLogger()
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logger.setLevel(level)
