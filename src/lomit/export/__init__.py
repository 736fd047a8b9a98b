"""Exports translators to ONNX: the graph, its 8-bit form, the check against PyTorch."""

from __future__ import annotations

from lomit.export.write import Exported, export_model

__all__ = ["Exported", "export_model"]
