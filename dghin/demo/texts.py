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
.clicked img {cursor: crosshair; max-height: 60vh} /* so that what is said of it is in sight, too */
.clicked .image-frame {padding-top: 34px} /* the label would hide a corner; so above */
"""
# Gradio's browser side refuses too large a file with a message that vanishes. This comes first,
# and has Python put the words in the box, by a hidden button that hands on what was `refused`;
# the server's own limit holds for whoever goes past it.
SCRIPT = """<script>
for (const kind of ["change", "drop"]) window.addEventListener(kind, (event) => {
  const files = kind === "drop" ? event.dataTransfer?.files : event.target?.files;
  const large = [...(files ?? [])].find((file) => file.size > LIMIT);
  if (!large) return;
  event.preventDefault();
  event.stopImmediatePropagation();
  if (kind === "change") event.target.value = "";
  window.refused = [large.name, large.size];
  const button = document.querySelector("#too-large");
  (button.matches("button") ? button : button.querySelector("button")).click();
}, true);
</script>"""
# what Python is given at an event, made in the browser
REFUSED = "() => window.refused"  # its name, its size in bytes
CHOSEN = "(file) => [file, file.orig_name]"  # the server's own file name lacks some characters
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
