"""The demo's page, in Gradio: its parts, what happens at a click, and its server.

    page = DemoPage(predictor, Limits(), [(photo, "the red star")])
    url = serve(page, "127.0.0.1", 7860)

Every error is shown in words in a box at the top, which stays until something succeeds.
Photos are uploaded as plain files: Gradio's own picture field would open them before they are
checked, and would say nothing useful of a broken one.
"""

import functools
import logging
import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from PIL import Image

from data_preprocess.base.errors import UserError
from dghin.demo import views
from dghin.inspection.observe import LEVELS, STAGES, stages_of
from dghin.inspection.predictor import Predictor
from dghin.inspection.word_effects import word_effects
from dghin.report.figures.graphs import dependency_graph

from .texts import CHOSEN, CSS, FONTS, HINTS, NO_PHOTO, REFUSED, SCRIPT, TITLE, UNEXPECTED
from .views import Given, Limits

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # read when Gradio is imported
import gradio as gr  # noqa: E402

log = logging.getLogger(__name__)
LONGEST = 300  # characters of an expression
KEPT = 3600  # seconds that an idle visitor's photo and its files are kept
VISITORS = 200  # of whom is known which photo they gave, and what they asked
PHOTOS = 10  # that are kept encoded at a time; of the others, the uploaded file is read again


@dataclass(frozen=True)
class Session:
    """Which photo one visitor gave, and what was last asked about it."""

    given: Given
    text: str = ""


class DemoPage:
    """The page of one predictor."""

    def __init__(
        self,
        predictor: Predictor,
        limits: Limits = Limits(),
        examples: Sequence[tuple[Image.Image, str]] = (),
    ):
        self.predictor, self.limits, self.examples = predictor, limits, list(examples)
        self.looks = views.SeenPhotos(predictor, self._read, PHOTOS)
        # hooks on the network and matplotlib's settings are everybody's
        self.lock = threading.Lock()
        self.stages = stages_of(predictor.model)
        self.blocks = gr.Blocks(
            title=TITLE, analytics_enabled=False, delete_cache=(KEPT // 4, KEPT)
        )
        with self.blocks:
            self._layout()
            self._connect()

    def _layout(self) -> None:
        gr.Markdown(
            "# Find it in the photo\nDrop a photo, say in English what you mean, and see which "
            "pixels the network takes it to be."
        )
        self.error = gr.HTML(visible=False, elem_id="error")
        self.session = gr.State(None, time_to_live=KEPT)
        self.too_large = gr.Button("too large", visible="hidden", elem_id="too-large")
        self.name, self.size = gr.Textbox(visible=False), gr.Number(visible=False, precision=0)
        with gr.Row():
            with gr.Column(scale=2, min_width=300):
                self._inputs()
            with gr.Column(scale=4, min_width=300):
                self._pictures()
        self._explanations()

    def _inputs(self) -> None:
        limits = f"{self.limits.megabytes:g} MB, {self.limits.megapixels:g} million pixels"
        self.file = gr.File(label=f"Photo (at most {limits})", height=180, elem_id="upload")
        self.text = gr.Textbox(
            label="What do you mean?",
            placeholder="the red star on the left",
            max_length=LONGEST,
            elem_id="text",
        )
        self.submit = gr.Button("Find it", variant="primary", elem_id="submit")
        if self.examples:
            self.gallery = gr.Gallery(
                [(views.shown(photo), text) for photo, text in self.examples],
                label="Examples: click one",
                columns=2,
                height="auto",
                object_fit="contain",  # cut off, it would not show what the phrase counts
                allow_preview=False,
                interactive=False,
                buttons=[],
                format="png",
                elem_id="examples",
            )

    def _pictures(self) -> None:
        look = {"format": "png", "type": "pil", "interactive": False, "buttons": []}
        with gr.Row():
            self.photo = gr.Image(
                label="Photo: click on it", elem_id="photo", elem_classes="clicked", **look
            )
            self.mask = gr.Image(
                label="Mask: what was found", elem_id="mask", elem_classes="clicked", **look
            )
        self.summary = gr.HTML(elem_id="summary")
        gr.Markdown("## Patch graph: where a patch draws from")
        self.patches = gr.HTML(views.hint_html(HINTS["patches"]), elem_id="patches")
        gr.Markdown("## Dependency graph: how the phrase was parsed")
        self.words = gr.HTML(views.hint_html(HINTS["words"]), elem_id="words")

    def _explanations(self) -> None:
        gr.Markdown("## Word attention: which words each patch attends to")
        with gr.Row():
            self.level = gr.Radio(
                list(LEVELS), value=1, label="Level (1: fine patches, 3: coarse)", elem_id="level"
            )
            self.stage = gr.Radio(
                self.stages,
                value=next(iter(self.stages), None),
                label="Before (entity) or after (graph) both graphs",
                elem_id="stage",
            )
        self.attention = gr.HTML(views.hint_html(HINTS["attention"]), elem_id="attention")
        gr.Markdown("## What each word does to the mask")
        self.measure = gr.Button("Leave out each word in turn", elem_id="measure")
        self.effects = gr.HTML(views.hint_html(HINTS["effects"]), elem_id="effects")

    def _connect(self) -> None:
        """Which function answers what; none is offered as an API."""
        results = [self.session, self.mask, self.summary, self.attention, self.words, self.effects]
        self.loaded = loaded = [self.file, self.photo, self.patches, *results]
        shape = [self.level, self.stage]
        asked = [self.session, self.text, *shape]
        self._on(self.file.upload, self.load, [self.file, self.name], loaded, js=CHOSEN)
        self._on(self.too_large.click, self.refuse, [self.name, self.size], loaded, js=REFUSED)
        self._on(self.text.submit, self.find, asked, results)
        self._on(self.submit.click, self.find, asked, results)
        for radio in shape:
            self._on(radio.input, self.draw_attention, [self.session, *shape], [self.attention])
        for picture in (self.photo, self.mask):
            self._on(picture.select, self.draw_patches, [self.session], [self.patches, self.photo])
        self._on(self.measure.click, self.draw_effects, [self.session], [self.effects])
        if self.examples:
            self._on(self.gallery.select, self.show_example, shape, [self.text, *loaded])

    def _on(
        self, event: Callable, work: Callable, inputs: list, outputs: list, js: str = ""
    ) -> None:
        """Have an event answered by `work`, whose errors go into the box.

        work: inputs → {component: its new value}; outputs: those that it may answer for.
        js: what gives the inputs, in the browser, where their fields do not.
        """
        # a photo that is only marked stays in sight meanwhile
        quiet = (self.session, self.file if self.file in outputs else self.photo)

        @functools.wraps(work)  # Gradio reads the annotations
        def answer(*given: Any) -> dict[Any, Any]:
            try:
                with self.lock:
                    return {self.error: gr.HTML(visible=False), **work(*given)}
            except UserError as error:
                message = str(error)
            except Exception:
                log.exception("the page could not answer: %s", work.__name__)
                message = UNEXPECTED
            box = {self.error: gr.HTML(views.error_html(message), visible=True)}
            return {**box, **self._blank(outputs, given)}

        event(
            answer,
            inputs,
            [self.error, *outputs],
            js=js or None,
            api_visibility="private",
            show_progress_on=[part for part in outputs if part not in quiet],
        )

    def _blank(self, outputs: Sequence[Any], given: Sequence[Any] = ()) -> dict[Any, Any]:
        """The outputs without results: after an error nothing may stand that it is not about."""
        hints = {getattr(self, name): views.hint_html(text) for name, text in HINTS.items()}
        blank = {self.mask: None, self.summary: "", self.file: None, **hints}
        if self.file in outputs:  # the photo itself goes
            blank |= {self.photo: None, self.session: None}
        elif given and isinstance(given[0], Session):
            blank[self.session] = replace(given[0], text="")
        return {part: value for part, value in blank.items() if part in outputs}

    def _read(self, given: Given) -> Image.Image:
        if isinstance(given.origin, int):
            return self.examples[given.origin][0]
        return views.read_upload(given.origin, self.limits, given.name)

    def load(self, file: str, name: str) -> dict[Any, Any]:
        """A photo was dropped: check it, show it, have the network see it."""
        return self._start(Given(file, name))

    def _start(self, given: Given) -> dict[Any, Any]:
        photo = views.shown(self.looks.at(given).encoded.photo)
        return {**self._blank(self.loaded), self.photo: photo, self.session: Session(given)}

    def refuse(self, name: str, size: int) -> dict[Any, Any]:
        """The browser found a file too large (bytes) and kept it."""
        raise self.limits.too_many_bytes(name, size)

    def find(self, session: Session | None, text: str, level: int, stage: str) -> dict[Any, Any]:
        """A phrase was asked: its mask, and what can be said of it."""
        if session is None:
            raise UserError(NO_PHOTO)
        if not (text or "").strip():
            raise UserError("There is no phrase yet. Type what you mean, such as: the red star.")
        look, asked = self.looks.ask(session.given, text), replace(session, text=text)
        graph = dependency_graph(look.prediction.language)
        return {
            self.session: asked,
            self.mask: views.mask_picture(look.encoded.photo, look.prediction.mask),
            self.summary: views.text_html(views.summary(text, look.prediction)),
            self.words: views.figure_html(graph, f"parse of “{text}”"),
            self.effects: views.hint_html(HINTS["effects"]),
            **self.draw_attention(asked, level, stage),
        }

    def draw_attention(self, session: Session | None, level: int, stage: str) -> dict[Any, Any]:
        """The word attention of another level or stage; before a phrase there is none."""
        if session is None or not session.text:
            return {self.attention: views.hint_html(HINTS["attention"])}
        look = self.looks.asked(session.given, session.text)
        figure = views.attention_figure(look.encoded.photo, look.prediction, level, STAGES[stage])
        description = f"share of each word in each patch, level {level}, {stage}"
        return {self.attention: views.figure_html(figure, description)}

    def draw_patches(self, session: Session | None, event: gr.SelectData) -> dict[Any, Any]:
        """The picture was clicked: the place, and its patch's rows of the visual graph."""
        if session is None:
            raise UserError(NO_PHOTO)
        encoded = self.looks.at(session.given).encoded
        width, height = views.shown(encoded.photo).size
        across, down = event.index  # pixels of the picture as it was sent
        point = tuple(min(max(part, 0), 1) for part in (down / height, across / width))
        figure = views.patch_figure(self.predictor, encoded, point)
        patches = views.figure_html(figure, "share of each patch in the clicked one")
        return {self.patches: patches, self.photo: views.marked(encoded.photo, point)}

    def draw_effects(self, session: Session | None) -> dict[Any, Any]:
        """The button: the last phrase without each word in turn."""
        if session is None or not session.text:
            raise UserError("Nothing was asked yet. Give a photo and a phrase, then “Find it”.")
        photo = self.looks.at(session.given).encoded
        return {self.effects: views.effects_html(word_effects(self.predictor, photo, session.text))}

    def show_example(self, level: int, stage: str, event: gr.SelectData) -> dict[Any, Any]:
        """An example was clicked: its photo, its phrase and its mask at once."""
        loaded, text = self._start(Given(event.index)), self.examples[event.index][1]
        return {**loaded, self.text: text, **self.find(loaded[self.session], text, level, stage)}


def serve(page: DemoPage, host: str, port: int) -> str:
    """Start the page's server in threads of its own; → its address. `page.blocks.close()` ends it.

    The browser is told of nothing outside this machine: no fonts, no shared link, no statistics.
    """
    try:
        _, url, _ = page.blocks.queue(default_concurrency_limit=4, max_size=32).launch(
            server_name=host,
            server_port=port,
            share=False,
            quiet=True,
            prevent_thread_lock=True,
            max_file_size=page.limits.bytes,
            state_session_capacity=VISITORS,
            footer_links=[],
            run_history=False,
            enable_monitoring=False,
            ssr_mode=False,
            mcp_server=False,
            theme=gr.themes.Default(font=FONTS, font_mono=("monospace",)),
            css=CSS,
            head=SCRIPT.replace("LIMIT", str(page.limits.bytes)),
        )
    except OSError as error:
        raise UserError(
            f"host={host} port={port}: the page cannot be served there ({error}). "
            "Is the port taken? Give another one: port=7861."
        ) from error
    return url
