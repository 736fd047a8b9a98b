"""Exports translators to ONNX: the graph, and the check against PyTorch."""

from __future__ import annotations

from lomit.export.write import Exported, export_model

__all__ = ["Exported", "export_model"]
