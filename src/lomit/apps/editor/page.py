"""The page: what stands where, and which event calls what."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from importlib.resources import files
from typing import Any

from lomit.apps.editor import views
from lomit.apps.editor.models import Models
from lomit.apps.editor.pictures import data_url
from lomit.apps.editor.samples import Sample
from lomit.apps.editor.session import Session, Sessions, first_label
from lomit.apps.editor.state import EXEMPLARS, PANES, EditorSettings, Limits
from lomit.errors import LomitError
from lomit.inference.editing import MAX_THRESHOLD
from lomit.recipe.file import decode_mask

TITLE = "lomit edit"
INTRODUCTION = (
    "Give a face the style of another one, inside a mask. **Erase** what shall stay as it is, from either mask, or "
    "**paint** what shall change."
)
STRONGEST = 1.5
"""Of the slider; more exaggerates the style beyond recognition."""
# Tells the workbench, which draws masks as they count, at once.
SHOW_THRESHOLD = "(t) => { window.dispatchEvent(new CustomEvent('lomit-threshold', { detail: t })); return t; }"


class Page:
    """The Gradio page (`blocks`) and its handlers; `choosing`: an input chooses its model until a person does."""

    def __init__(self, models: Models, samples: list[Sample], limits: Limits, choosing: bool = False) -> None:
        settings = EditorSettings(models.names[0], label=first_label(models.get(models.names[0])), choosing=choosing)
        self.sessions = Sessions(partial(Session, models, limits, samples, settings), limits)
        self._models, self.samples = models, samples
        self.blocks = self._build(limits.upload_bytes)

    def _build(self, max_bytes: int) -> Any:
        import gradio as gr

        thumbnails = [{"name": s.words, "image": data_url(s.picture.rgb.resize((96, 96)))} for s in self.samples]
        with gr.Blocks(title=TITLE, analytics_enabled=False, fill_width=True) as blocks:
            with gr.Row(elem_id="head"):
                gr.Markdown(f"# {TITLE}\n{INTRODUCTION}")
                self.model = gr.Dropdown(self._models.names, value=self._models.names[0], label="Model", min_width=160)
            with gr.Row(elem_id="main"):
                with gr.Column(elem_id="bench"):
                    self.bench = _component("workbench", samples=thumbnails, max_bytes=max_bytes)
                with gr.Column(elem_id="view"):
                    self.viewer = _component("viewer")
                    self.saver = _component("saver")
                with gr.Column(elem_id="settings"):
                    self.controls: list[Any] = [
                        gr.Slider(0, STRONGEST, 1, step=0.05, label="Strength", info="0: own style, 1: the exemplar's"),
                        gr.Slider(0, MAX_THRESHOLD, 0, step=0.05, label="Mask threshold", info="Cuts off weak parts"),
                        gr.Slider(
                            0, 1, 0.5, step=0.05, label="Blend", info="Share of the second exemplar", visible=False
                        ),
                        gr.CheckboxGroup([], label="Attributes of the result", visible=False),
                        gr.Checkbox(
                            True, label="Keep what is outside the mask", info="Else all of the face is drawn anew"
                        ),
                    ]
            self._connect(blocks)
        return blocks

    def _connect(self, blocks: Any) -> None:
        """Events of one page come one after the other, and all share one queue before the model.

        While a stroke or a slider waits for its answer the page sends only the last one of those that follow.  What is
        clicked meanwhile overtakes it, and so brings masks and sliders along as they stand in the page.
        """
        controls, everything = self.controls, [self.bench, self.viewer, self.model, *self.controls]
        # What the controls say comes from the network like everything else, and is checked in one place: here.
        one: dict[str, Any] = {
            "concurrency_id": "model", "concurrency_limit": 1, "api_visibility": "private", "preprocess": False,
        }  # fmt: skip
        quiet = one | {"show_progress": "hidden", "trigger_mode": "always_last"}
        blocks.load(_handler(self._begin), None, everything, **one)
        # Gradio's own choice would drop a click while the one before it is not answered.
        each = one | {"trigger_mode": "multiple"}
        self.bench.act(_handler(self._act), controls, everything, show_progress="minimal", **each)
        self.bench.stroke(_handler(self._stroke), None, [self.viewer], **quiet)
        self.bench.wake(_nothing, show_progress="hidden", api_visibility="private", concurrency_limit=None)
        self.bench.save(_handler(self._save), controls, self.saver, show_progress="hidden", **each)
        self.viewer.act(_handler(self._act), controls, everything, show_progress="hidden", **each)
        self.viewer.save(_handler(self._save), controls, self.saver, show_progress="hidden", **each)
        self.model.input(_handler(self._choose), self.model, everything, show_progress="minimal", **one)
        _, threshold, blend, *_ = controls
        threshold.input(None, threshold, None, js=SHOW_THRESHOLD)
        for control in controls:
            # The predicted mask of the input follows the exemplars' shares.
            control.input(_handler(self._set), controls, everything if control is blend else [self.viewer], **quiet)
        blocks.unload(_handler(self._end))

    def _begin(self, page: str, told: dict[str, Any]) -> list[Any]:
        """A page was loaded: it starts with a pair of samples."""
        session = self.sessions.begin(page)
        if len(self.samples) > 1:
            session.sample(0, 0)
            session.sample(1, 1)
        return self._everything(session)

    def _end(self, page: str, told: dict[str, Any]) -> None:
        """A page was closed.  Gradio would keep what it was last told for as long as it runs."""
        self.sessions.end(page)
        self.blocks.state_holder.session_data.pop(page, None)
        self.blocks.state_holder.time_last_used.pop(page, None)

    def _act(self, page: str, told: dict[str, Any], *values: Any) -> list[Any]:
        session = self.sessions.get(page)
        try:
            self._adopt(session, told, values)
            act = ACTIONS.get(str(told.get("action")))
            if act is None:
                raise _unknown()
            act(session, told)
        except LomitError as error:
            return self._everything(session, str(error))
        return self._everything(session)

    def _stroke(self, page: str, told: dict[str, Any]) -> Any:
        session = self.sessions.get(page)
        self._adopt(session, told)
        return views.viewer(session)

    def _adopt(self, session: Session, told: dict[str, Any], values: Sequence[Any] = ()) -> None:
        """Takes over masks and sliders as they stand in the page, where it has seen what they are for."""
        masks = told.get("masks", [])
        if not isinstance(masks, list) or len(masks) > PANES or not all(isinstance(each, dict) for each in masks):
            raise _unknown()
        for each in masks:
            image = None if each.get("mask") is None else decode_mask(str(each["mask"]))
            stamp, operation = (_number(each, name, 2**31) for name in ("revision", "operation"))
            session.stroke(_pane(each), image, stamp, operation)
        if values and told.get("settings") == session.settings_stamp:
            session.settings = self._settings(session.settings, values)

    def _settings(self, settings: EditorSettings, values: Sequence[Any]) -> EditorSettings:
        """The settings with what the controls say, in the order of `Page.controls`."""
        strength, threshold, blend, label, composite = values
        sliders = ((strength, STRONGEST), (threshold, MAX_THRESHOLD), (blend, 1))
        if not all(type(value) in (int, float) and 0 <= value <= most for value, most in sliders):
            raise _unknown()
        known = self._models.get(settings.model).attributes
        if not isinstance(label, list) or not all(name in known for name in label) or type(composite) is not bool:
            raise _unknown()
        return replace(
            settings, strength=float(strength), threshold=float(threshold), blend=float(blend), label=tuple(label),
            composite=composite,
        )  # fmt: skip

    def _choose(self, page: str, told: dict[str, Any], model: Any) -> list[Any]:
        session = self.sessions.get(page)
        if model not in self._models.names:
            raise LomitError("no such model")
        label = first_label(self._models.get(model))
        session.set(replace(session.settings, model=model, label=label, choosing=False))
        return self._everything(session)

    def _set(self, page: str, told: dict[str, Any], *values: Any) -> Any:
        session = self.sessions.get(page)
        changed = self._settings(session.settings, values)
        blended = changed.blend != session.settings.blend
        session.settings = changed
        return self._everything(session) if blended else views.viewer(session)

    def _save(self, page: str, told: dict[str, Any], *values: Any) -> Any:
        session = self.sessions.get(page)
        try:
            self._adopt(session, told, values)
            what = str(told.get("what"))
            file = views.mask_file(session, _pane(told)) if what == "mask" else views.download(session, what)
        except LomitError as error:
            file = {"alert": str(error)}
        return file | {"answer": session.answer()}

    def _everything(self, session: Session, alert: str = "") -> list[Any]:
        """The values of all that an action may change."""
        import gradio as gr

        s = session.settings
        predictor = self._models.get(s.model)
        composing = session.composing
        blending = predictor.can_blend and len(session.guides) > 1 and not composing
        attributes = list(predictor.attributes) if "label" in predictor.guides else []
        return [
            views.bench(session, alert),
            views.viewer(session),
            s.model,
            gr.update(value=s.strength, visible=predictor.can_blend and not composing),
            gr.update(value=s.threshold, visible=predictor.has_masks),
            gr.update(value=s.blend, visible=blending),
            # What is not among the choices, Gradio would not take back.
            gr.update(choices=attributes, value=list(s.label) if attributes else [], visible=bool(attributes)),
            gr.update(value=s.composite, visible=predictor.has_masks),
        ]


def _handler(handle: Callable[..., Any]) -> Callable[..., Any]:
    """A function as Gradio calls it: with the page's session, what the event says, and the inputs' values."""
    import gradio as gr

    def call(request: Any, event: Any, *values: Any) -> Any:
        try:
            return handle(request.session_hash or "", event._data or {}, *values)
        except LomitError as error:
            raise gr.Error(str(error), print_exception=False) from None

    # Gradio finds out by annotations what to pass; those of this module are text that it can't resolve.
    call.__annotations__ = {"request": gr.Request, "event": gr.EventData}
    return call


def _nothing() -> None:
    """Answers a page that has Gradio's stream of answers opened again (`workbench.js`)."""


def _unknown() -> LomitError:
    return LomitError("the page asks for something unknown; load it again")


def _pane(told: dict[str, Any]) -> int:
    return _number(told, "pane", PANES)


def _image(told: dict[str, Any]) -> int:
    """The pane of an input or an exemplar."""
    return _number(told, "pane", EXEMPLARS[-1] + 1)


def _number(told: dict[str, Any], name: str, below: int) -> int:
    value = told.get(name)
    if type(value) is not int or not 0 <= value < below:
        raise _unknown()
    return value


def _upload(
    take: Callable[[Session, int, str, bytes], None], pane: Callable[[dict[str, Any]], int]
) -> Callable[[Session, dict[str, Any]], None]:
    """An action that gets a pane, the name of a file and what is in it."""

    def act(session: Session, told: dict[str, Any]) -> None:
        try:
            data = base64.b64decode(str(told.get("data")), validate=True)
        except ValueError:  # not in base64, or not even ASCII
            raise LomitError("the upload is damaged; try again") from None
        take(session, pane(told), str(told.get("name"))[-200:], data)

    return act


def _close(session: Session, told: dict[str, Any]) -> None:
    session.close = bool(_number(told, "on", 2))


ACTIONS: dict[str, Callable[[Session, dict[str, Any]], None]] = {
    "open": _upload(Session.open, _image),
    "operate": lambda session, told: session.operate(_pane(told), told.get("step")),
    "load_mask": _upload(Session.load_mask, _pane),
    "sample": lambda session, told: session.sample(_image(told), _number(told, "sample", len(session.samples))),
    "face": lambda session, told: session.face(_image(told), _number(told, "face", 1000)),
    "remove": lambda session, told: session.remove(_image(told)),
    "compose": lambda session, told: session.compose(bool(_number(told, "on", 2))),
    "give": lambda session, told: session.give(_image(told), str(told.get("name")), bool(_number(told, "on", 2))),
    "swap": lambda session, told: session.swap(),
    "close": _close,
    "keep": lambda session, told: session.keep(),
    "restore": lambda session, told: session.restore(_number(told, "id", 2**31)),
    "drop": lambda session, told: session.drop(_number(told, "id", 2**31)),
}
"""What the page may ask for; everything in `told` comes from the network."""


def _component(name: str, **props: Any) -> Any:
    """A part of the page that is our own: NAME.html and NAME.js in static/."""
    import gradio as gr

    static = files("lomit.apps.editor") / "static"
    markup = static / f"{name}.html"
    return gr.HTML(
        html_template=markup.read_text("utf-8") if markup.is_file() else "",
        js_on_load=(static / f"{name}.js").read_text("utf-8"),
        apply_default_css=False,
        **props,
    )
