"""What the demo page says in fixed words, and how it looks: hints, errors, style, one script."""

TITLE = "Referring image segmentation"  # of the browser's tab
FONTS = ("Segoe UI", "Roboto", "Helvetica Neue", "Arial", "sans-serif")  # of the machine itself
CSS = r"""
.gradio-container {max-width: 1240px !important; margin: 0 auto !important;
  overflow: visible !important} /* else the errors would scroll away */
.scrolled {overflow-x: auto; contain: inline-size} /* what is wide in it widens no page */
.scrolled img {max-width: 100%; background: white; border-radius: 6px}
@media (max-width: 800px) { /* too small to read at a phone's width */
  .scrolled img {max-width: max(100%, 620px)}
  .scrolled::before {content: "\2194  scroll sideways"; opacity: 0.75; font-size: 13px}
}
.scrolled table {border-collapse: collapse; width: 100%}
.scrolled :is(table, thead, tbody, tr) {border: 0 !important}
.scrolled th, .scrolled td {text-align: right; padding: 4px 10px; white-space: nowrap;
  border: 0 solid #8884; border-bottom-width: 1px}
.scrolled th:nth-child(-n+2), .scrolled td:nth-child(-n+2) {text-align: left}
#training p {border-left: 4px solid #f97316; padding: 4px 12px; margin: 0; font-weight: 600}
#error {position: sticky; top: 8px; z-index: 50}
#examples .grid-wrap {min-height: 0; max-height: none; height: auto; padding-top: 34px}
#examples .thumbnail-item {display: flex; flex-direction: column; aspect-ratio: auto}
#examples .thumbnail-item img {aspect-ratio: 4 / 3; height: auto}
#examples .caption-label {position: static; width: 100%; max-width: 100%; white-space: normal;
  flex-grow: 1; border-width: 1px 0 0; border-radius: 0} /* below the photo, not on it */
#examples .thumbnail-lg:hover .caption-label {opacity: 1}
.hint {opacity: 0.75}
.error {background: #fdecea; color: #7a1210; border: 1px solid #c62828; border-radius: 6px;
  padding: 10px 14px; font-weight: 600; overflow-wrap: anywhere}
.clicked img {cursor: crosshair; max-height: 52vh} /* so that what is said of it is in sight, too */
.clicked .image-frame {padding-top: 34px} /* the label would hide a corner; so above */
"""
# What the browser does by itself.
#
# Photos: each that is chosen (a file, or an example) gets the next number, and Python is told of it
# at once, by a hidden button, because an event in the queue is seen only at its turn. The two
# buttons that ask wait until the photo that was chosen last is shown, or its upload has failed.
#
# Files: Gradio refuses too large a file with a message that vanishes. This comes first, and has
# Python put the words in the box, by a hidden button that hands on what was `refused`; the server's
# own limit holds for whoever goes past it.
SCRIPT = """<script>
const buttonOf = (name) => {
  const found = document.querySelector(name);
  return found?.matches("button") ? found : found?.querySelector("button");
};
const demo = window.demo = {
  chosen: 0, // the number of the photo that was chosen last
  uploading: 0, // the number of the file that is on its way; 0: none
  place: [0.5, 0.5], // the place on the photo that was clicked last: down, right; 0 to 1
  refused: [], // the name of a file that is too large, and its size in bytes
  wait(on) {
    for (const name of ["#submit", "#measure"]) {
      const button = buttonOf(name);
      if (button) button.disabled = on;
    }
  },
  choose() {
    this.chosen += 1;
    this.wait(true);
    buttonOf("#chosen").click();
    return this.chosen;
  },
  uploaded() {
    const number = this.uploading || this.choose();
    this.uploading = 0;
    return number;
  },
  shown(number) { if (number >= this.chosen) this.wait(false); },
};
for (const kind of ["change", "drop"]) window.addEventListener(kind, (event) => {
  const files = kind === "drop" ? event.dataTransfer?.files : event.target?.files;
  if (!files?.length || !event.target.closest?.("#upload")) return;
  const number = demo.choose(), large = [...files].find((file) => file.size > LIMIT);
  if (!large) {
    demo.uploading = number;
    return;
  }
  event.preventDefault();
  event.stopImmediatePropagation();
  if (kind === "change") event.target.value = "";
  demo.refused = [large.name, large.size];
  buttonOf("#too-large").click();
}, true);
window.addEventListener("click", (event) => {
  if (event.target.closest?.("#examples .thumbnail-item")) demo.choose();
  if (!event.isTrusted || !event.target.matches?.(".clicked img")) return; // arrow keys know it
  const box = event.target.getBoundingClientRect();
  demo.place = [(event.clientY - box.top) / box.height, (event.clientX - box.left) / box.width];
}, true);
window.addEventListener("keydown", (event) => { // Enter asks, as the button does
  if (event.key !== "Enter" || !event.target.closest?.("#text")) return;
  if (buttonOf("#submit").disabled) event.stopImmediatePropagation();
}, true);
const ARROWS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
window.addEventListener("keydown", (event) => { // with a picture in focus: another place on it
  const image = event.target.closest?.(".clicked")?.querySelector("img"), step = ARROWS[event.key];
  if (!image || !step) return;
  event.preventDefault();
  const inside = (part) => Math.min(Math.max(part, 0.01), 0.99);
  demo.place = demo.place.map((part, axis) => inside(part + step[axis] / 24));
  const box = image.getBoundingClientRect();
  image.dispatchEvent(new MouseEvent("click", {
    bubbles: true,
    clientX: box.left + demo.place[1] * box.width,
    clientY: box.top + demo.place[0] * box.height,
  }));
}, true);
const fetched = window.fetch; // an upload that fails has no event of its own
window.fetch = (...given) => {
  const answer = fetched(...given);
  if (String(given[0]?.url ?? given[0]).includes("/upload?"))
    answer.then(({ ok }) => ok || demo.wait(false), () => demo.wait(false));
  return answer;
};
</script>"""
# what Python is given at an event, made in the browser: the visitor, the photo's number, the rest
CHOSEN = "(visitor) => [visitor, demo.chosen]"
EXAMPLE = "(visitor, _, ...given) => [visitor, demo.chosen, ...given]"
REFUSED = "(visitor) => [visitor, demo.chosen, ...demo.refused]"
# the server's own file name lacks some characters
UPLOADED = "(visitor, _, file) => [visitor, demo.uploaded(), file, file.orig_name]"
SHOWN = "(number) => demo.shown(number)"  # what the browser does after a photo was read
FAILED = "() => demo.wait(false)"
NO_PHOTO = "There is no photo yet, or none any more. Drop one at the left, or click an example."
UNEXPECTED = (
    "Something went wrong that this page did not foresee. Try again, or another photo; "
    "what happened is in the log of the command that started the page."
)
HINTS = {
    "patches": "Click on the picture: the patches that the clicked one draws from appear here.",
    "attention": "After “Find it”: which word each patch of the photo attends to.",
    "words": "After “Find it”: how the phrase was parsed.",
    "effects": "Press the button: the phrase is read again without each word in turn.",
}
