"""From a translator to a float32 ONNX graph.

Inputs: `input` and `exemplar`, B x 3 x S x S in [-1, 1]; for methods with masks also `input_mask` and
`exemplar_mask`, (B or 1) x 1 x (S or 1) x (S or 1) in [0, 1].  A mask that is NaN throughout stands for the predicted
one, and NaN is the default: a graph input with an initializer of the same name may be left out.  For models whose masks
go by names `moved`, (B or 1) x (A or 1) in {0, 1}; -1, which is the default, leaves it to the model.
Outputs: `image`, B x 3 x S x S in [-1, 1], and for methods with masks `used_input_mask` and `used_exemplar_mask`,
B x 1 x S x S.
"""

from __future__ import annotations

import copy
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from lomit.errors import LomitError, require
from lomit.models.base import Guide, Masks, Translator
from lomit.models.registry import method_of
from lomit.nn.rewriting import rewritten

if TYPE_CHECKING:
    from onnx import ModelProto

IMAGES, MASKS, MOVED = ("input", "exemplar"), ("input_mask", "exemplar_mask"), "moved"
OUTPUTS = ("image", "used_input_mask", "used_exemplar_mask")
OPSET = 20
"""Version of ONNX's operators."""


def float_graph(translator: Translator) -> ModelProto:
    """The translator as an ONNX graph with an open batch size; masks and `moved`, where it has them, are plain inputs.

    The translator is in eval mode, on the CPU, and stays as it is.  Raises LomitError for a method that an exemplar
    alone does not guide.
    """
    module, size = _Graph(rewritten(copy.deepcopy(translator).cpu().float())), translator.config.image_size
    with torch.no_grad():
        names = (*IMAGES, *MASKS) if module.has_masks(size) else IMAGES
    # One tensor for each: an input that is given twice would be taken for one.  3 is no size of anything else.
    example = tuple(torch.rand(3, 1 if name in MASKS else 3, size, size) for name in names)
    if translator.places:
        names, example = (*names, MOVED), (*example, torch.ones(3, len(translator.config.attributes)))
    batch = torch.export.Dim("batch", min=1, max=2**16)
    with _quiet(), torch.no_grad():
        program = torch.onnx.export(
            module.eval(),
            example,
            dynamo=True,
            input_names=list(names),
            output_names=list(OUTPUTS if len(names) > 2 else OUTPUTS[:1]),
            dynamic_shapes={"x": {0: batch}, "exemplar": {0: batch}, "given": tuple({0: batch} for _ in names[2:])},
            opset_version=OPSET,
            verbose=False,
        )
    assert program is not None
    model = program.model_proto
    for node in model.graph.node:
        del node.metadata_props[:]  # stack traces, with the paths of this machine
    return model


def with_optional_inputs(model: ModelProto, image_size: int) -> ModelProto:
    """The graph with masks and `moved` made optional: NaN or -1 where they are left out, spread over the batch."""
    from onnx import TensorProto, helper, numpy_helper

    graph = model.graph
    inputs = {i.name: i for i in graph.input}
    if MASKS[0] not in inputs:
        return model
    added = [helper.make_node("Shape", [IMAGES[0]], ["lomit_batch"], start=0, end=1)]
    for name in [name for name in (*MASKS, MOVED) if name in inputs]:
        shape: list[str | int | None] = [f"{name}_batch", 1, f"{name}_height", f"{name}_width"]
        rest, default = [1, image_size, image_size], torch.full((1, 1, 1, 1), torch.nan)
        if name == MOVED:
            shape, default = [f"{name}_batch", f"{name}_attributes"], torch.full((1, 1), -1.0)
            rest = [inputs[name].type.tensor_type.shape.dim[1].dim_value]
        inner, tail, full = f"{name}_full", f"lomit_{name}_tail", f"lomit_{name}_shape"
        for node in graph.node:
            node.input[:] = [inner if i == name else i for i in node.input]
        added.append(helper.make_node("Concat", ["lomit_batch", tail], [full], axis=0))
        added.append(helper.make_node("Expand", [name, full], [inner]))
        graph.input.remove(inputs[name])
        graph.input.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
        graph.initializer.append(helper.make_tensor(tail, TensorProto.INT64, [len(rest)], rest))
        graph.initializer.append(numpy_helper.from_array(default.numpy(), name))
    nodes = list(graph.node)
    del graph.node[:]
    graph.node.extend([*added, *nodes])
    return model


def require_onnx() -> None:
    """Raises LomitError where the `export` extra is missing."""
    require("exporting", "export", "onnx", "onnxruntime", "onnxscript")


class _Graph(nn.Module):
    """The translator as a function of tensors alone."""

    def __init__(self, translator: Translator) -> None:
        super().__init__()
        self.translator = translator

    def has_masks(self, size: int) -> bool:
        """Whether masks can be given; tries the method on two images."""
        x = torch.zeros(1, 3, size, size)
        try:
            self.translator.translate(x, Guide(x))
        except LomitError as error:
            method = method_of(self.translator.config).name
            raise LomitError(f"the method '{method}' can't be exported: {error}") from error
        return self.translator.has_masks

    def forward(self, x: Tensor, exemplar: Tensor, *given: Tensor) -> tuple[Tensor, ...]:
        if not given:
            return (self.translator.translate(x, Guide(exemplar)).image,)
        own, theirs, *moved = given
        guide = Guide(exemplar, masks=Masks(own, theirs), moved=moved[0] if moved else None)
        result = self.translator.translate_filling(x, guide)
        assert result.masks is not None
        return result.image, result.masks.input, result.masks.exemplar


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's remarks, which a user can do nothing about."""
    before = logging.root.manager.disable
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        try:
            yield
        finally:
            logging.disable(before)
