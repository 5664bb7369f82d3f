"""The demo's page, in Gradio: its parts, what happens at a click, and its server.

    page = DemoPage(predictor, Limits(), [(photo, "the red star")])
    url = serve(page, "127.0.0.1", 7860)

Every error is shown in words in a box at the top, which stays until something succeeds.
Photos are uploaded as plain files: Gradio's own picture field would open them before they are
checked, and would say nothing useful of a broken one.
"""

import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from PIL import Image

from data_preprocess.base.errors import UserError
from dghin.demo import views
from dghin.inspection.observe import LEVELS, STAGES, stages_of
from dghin.inspection.predictor import Predictor
from dghin.inspection.word_effects import word_effects
from dghin.report.figures.graphs import dependency_graph

from . import texts
from .texts import HINTS
from .views import Given, Limits
from .visitor import Session, Visitor

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # read when Gradio is imported
import gradio as gr  # noqa: E402

log = logging.getLogger(__name__)
KEPT = 3600  # seconds that an idle visitor's photo and its files are kept
VISITORS = 200  # of whom is known which photo they gave, and what they asked
PHOTOS = 10  # that are kept encoded at a time; of the others, the uploaded file is read again


class DemoPage:
    """The page of one predictor."""

    def __init__(
        self,
        predictor: Predictor,
        limits: Limits = Limits(),
        examples: Sequence[tuple[Image.Image, str]] = (),
        training: str = "",
    ):
        """training: what the network was trained on, in sentences that stand at the top."""
        self.training = training
        self.predictor, self.limits, self.examples = predictor, limits, list(examples)
        self.looks = views.SeenPhotos(predictor, self._read, PHOTOS)
        self.stages = stages_of(predictor.model)
        self.blocks = gr.Blocks(
            title=texts.TITLE, analytics_enabled=False, delete_cache=(KEPT // 4, KEPT)
        )
        with self.blocks:
            self._layout()
            self._connect()

    def _layout(self) -> None:
        gr.Markdown(
            "# Find it in the photo\nDrop a photo, say in English what you mean, and see which "
            "pixels the network takes it to be."
        )
        if self.training:
            gr.HTML(views.text_html(self.training), padding=False, elem_id="training")
        self.error = gr.HTML(visible=False, elem_id="error")
        self.visitor = gr.State(Visitor(), time_to_live=KEPT)
        self.shown = gr.Number(0, visible=False, precision=0)  # the number of the photo
        self.chosen = gr.Button("chosen", visible="hidden", elem_id="chosen")
        self.too_large = gr.Button("too large", visible="hidden", elem_id="too-large")
        self.name, self.size = gr.Textbox(visible=False), gr.Number(visible=False, precision=0)
        with gr.Row(equal_height=True):
            self._questions()
        with gr.Row():
            with gr.Column(scale=2, min_width=300):
                self._inputs()
            with gr.Column(scale=4, min_width=300):
                self._pictures()
        self._explanations()

    def _questions(self) -> None:
        self.text = gr.Textbox(
            label="What do you mean?",
            placeholder="the red star on the left",
            max_length=views.LONGEST,
            elem_id="text",
            scale=5,
            min_width=280,
        )
        self.submit = gr.Button(
            "Find it", variant="primary", elem_id="submit", scale=1, min_width=140
        )

    def _inputs(self) -> None:
        limits = f"{self.limits.megabytes:g} MB, {self.limits.megapixels:g} million pixels"
        self.file = gr.File(label=f"Photo (at most {limits})", height=180, elem_id="upload")
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
                label="Photo: click on it, or press arrow keys",
                elem_id="photo",
                elem_classes="clicked",
                **look,
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
        results = [self.mask, self.summary, self.attention, self.words, self.effects]
        self.loaded = loaded = [self.file, self.photo, self.patches, self.shown, *results]
        shape = [self.level, self.stage]
        self.chosen.click(
            Visitor.choose, [self.visitor, self.shown], js=texts.CHOSEN, queue=False,
            show_progress="hidden", api_visibility="private",
        )  # fmt: skip
        if self.examples:
            loaded += [self.gallery, self.text]
            self._on([self.gallery.select], self.show_example, shape, loaded, texts.EXAMPLE)
        self._on([self.file.upload], self.load, [self.file, self.name], loaded, texts.UPLOADED)
        self._on([self.too_large.click], self.refuse, [self.name, self.size], loaded, texts.REFUSED)
        asked = [self.text, *shape]
        self._on([self.text.submit, self.submit.click], self.find, asked, results)
        changed = [radio.input for radio in shape]
        self._on(changed, self.draw_attention, shape, [self.attention], any_photo=True)
        clicked = [picture.select for picture in (self.photo, self.mask)]
        self._on(clicked, self.draw_patches, [], [self.patches, self.photo])
        self._on([self.measure.click], self.draw_effects, [], [self.effects])

    def _on(
        self, events: list, work: Callable, inputs: list, outputs: list, js: str = "",
        any_photo: bool = False,
    ) -> None:  # fmt: skip
        """Have events answered by `work`, one at a time on the whole page: hooks on the network
        and matplotlib's settings are everybody's.

        work: of `_answers`; outputs: those that it may answer for. js: what gives the inputs, in
        the browser, where their fields do not. any_photo: it is about whatever photo is shown.
        """
        reads = self.shown in outputs  # another photo
        late = Visitor.chose_another if reads else Visitor.sees_another

        def answer(event: gr.EventData, visitor: Visitor, number: int, *given: Any) -> dict:
            given += (event.index,) if "index" in (event._data or ()) else ()  # what was picked
            found = {}
            if any_photo or not late(visitor, number):
                session = Session(number) if reads else visitor.session
                found = self._answers(work, session, given, outputs)
            if found and (any_photo or not late(visitor, number)):  # chosen while this was computed
                visitor.session = found.pop(self.visitor, visitor.session)
                found |= {self.shown: number} if reads else {}
                return {**found, self.visitor: visitor}
            return {self.visitor: visitor}

        # what can be used meanwhile, and a photo that is only marked, stays in sight
        quiet = [self.shown, self.file, self.text, *([self.gallery] if self.examples else [])]
        quiet += [] if reads else [self.photo]
        done = gr.on(
            events,
            answer,
            [self.visitor, self.shown, *inputs],
            [self.error, self.visitor, *outputs],
            js=js or None,
            api_visibility="private",
            show_progress_on=[part for part in outputs if part not in quiet],
            trigger_mode="multiple",  # the last one counts; by default, Gradio leaves it out
            concurrency_limit=1,
            concurrency_id="page",
        )
        if reads:
            done.then(None, [self.shown], js=texts.SHOWN)
            done.failure(None, js=texts.FAILED)

    def _answers(
        self, work: Callable, session: Session, given: tuple, outputs: list
    ) -> dict[Any, Any]:
        """What `work` makes of a session and what is given: {component: its new value}, under
        `visitor` the new session. An error goes into the box, and takes away what it is not about.
        """
        try:
            return {self.error: gr.HTML(visible=False), **work(session, *given)}
        except UserError as error:
            message = str(error)
        except Exception:
            log.exception("the page could not answer: %s", work.__name__)
            message = texts.UNEXPECTED
        box = {self.error: gr.HTML(views.error_html(message), visible=True)}
        if self.shown in outputs:
            session = replace(session, given=None)
        elif self.mask in outputs:
            session = replace(session, text="")
        return {**box, **self._blank(outputs), self.visitor: session}

    def _blank(self, outputs: Sequence[Any]) -> dict[Any, Any]:
        """The outputs without results: after an error nothing may stand that it is not about."""
        hints = {getattr(self, name): views.hint_html(text) for name, text in HINTS.items()}
        blank = {self.mask: None, self.summary: "", self.file: None, **hints}
        if self.shown in outputs:  # the photo itself goes
            blank |= {self.photo: None}
            blank |= {self.gallery: gr.Gallery(selected_index=None)} if self.examples else {}
        return {part: value for part, value in blank.items() if part in outputs}

    def _read(self, given: Given) -> Image.Image:
        if isinstance(given.origin, int):
            return self.examples[given.origin][0]
        return views.read_upload(given.origin, self.limits, given.name)

    def load(self, session: Session, file: str, name: str) -> dict[Any, Any]:
        """A photo was dropped: check it, show it, have the network see it."""
        return self._start(replace(session, given=Given(file, name)))

    def _start(self, session: Session) -> dict[Any, Any]:
        photo = views.shown(self.looks.at(session.given).encoded.photo)
        return {**self._blank(self.loaded), self.photo: photo, self.visitor: session}

    def refuse(self, _session: Session, name: str, size: int) -> dict[Any, Any]:
        """The browser found a file too large (bytes) and kept it."""
        raise self.limits.too_many_bytes(name, size)

    def find(self, session: Session, text: str, level: int, stage: str) -> dict[Any, Any]:
        """A phrase was asked: its mask, and what can be said of it."""
        if session.given is None:
            raise UserError(texts.NO_PHOTO)
        look = self.looks.ask(session.given, views.checked_phrase(text))
        asked = replace(session, text=text)
        graph = dependency_graph(look.prediction.language)
        return {
            self.visitor: asked,
            self.mask: views.mask_picture(look.encoded.photo, look.prediction.mask),
            self.summary: views.text_html(views.summary(text, look.prediction)),
            self.words: views.figure_html(graph, f"parse of “{text}”"),
            self.effects: views.hint_html(HINTS["effects"]),
            **self.draw_attention(asked, level, stage),
        }

    def draw_attention(self, session: Session, level: int, stage: str) -> dict[Any, Any]:
        """The word attention of another level or stage; before a phrase there is none."""
        if not session.text:
            return {self.attention: views.hint_html(HINTS["attention"])}
        look = self.looks.asked(session.given, session.text)
        figure = views.attention_figure(look.encoded.photo, look.prediction, level, STAGES[stage])
        description = f"share of each word in each patch, level {level}, {stage}"
        return {self.attention: views.figure_html(figure, description)}

    def draw_patches(self, session: Session, place: Sequence[int]) -> dict[Any, Any]:
        """The picture was clicked: the place, and its patch's rows of the visual graph.

        place: (across, down) in pixels of the picture as it was sent.
        """
        if session.given is None:
            raise UserError(texts.NO_PHOTO)
        encoded = self.looks.at(session.given).encoded
        width, height = views.shown(encoded.photo).size
        across, down = place
        point = tuple(min(max(part, 0), 1) for part in (down / height, across / width))
        figure = views.patch_figure(self.predictor, encoded, point)
        patches = views.figure_html(figure, "share of each patch in the clicked one")
        return {self.patches: patches, self.photo: views.marked(encoded.photo, point)}

    def draw_effects(self, session: Session) -> dict[Any, Any]:
        """The button: the last phrase without each word in turn."""
        if not session.text:
            raise UserError("Nothing was asked yet. Give a photo and a phrase, then “Find it”.")
        photo = self.looks.at(session.given).encoded
        return {self.effects: views.effects_html(word_effects(self.predictor, photo, session.text))}

    def show_example(self, session: Session, level: int, stage: str, index: int) -> dict[Any, Any]:
        """An example was clicked: its photo, its phrase and its mask at once."""
        started, text = self._start(replace(session, given=Given(index))), self.examples[index][1]
        marked = {self.gallery: gr.Gallery(selected_index=index), self.text: text}
        return {**started, **marked, **self.find(started[self.visitor], text, level, stage)}


def serve(page: DemoPage, host: str, port: int) -> str:
    """Start the page's server in threads of its own; → its address. `page.blocks.close()` ends it.

    The browser is told of nothing outside this machine: no fonts, no shared link, no statistics.
    """
    try:
        _, url, _ = page.blocks.queue(max_size=32, api_open=False).launch(
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
            theme=gr.themes.Default(font=texts.FONTS, font_mono=("monospace",)),
            css=texts.CSS,
            head=texts.SCRIPT.replace("LIMIT", str(page.limits.bytes)),
        )
    except OSError as error:
        raise UserError(
            f"host={host} port={port}: the page cannot be served there ({error}). "
            "Is the port taken? Give another one: port=7861."
        ) from error
    return url
