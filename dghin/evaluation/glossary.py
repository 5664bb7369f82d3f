"""What the names in the tables mean, and which papers use them: for notebook 04 and the report.

What is said of other papers' protocols was read from their public code; where this kit's is near
theirs but not the same, it says so.
"""

import pandas as pd

METRIC = "metric"
PROTOCOL = "protocol"
CONTROL = "control"
ENTRIES = (
    ("oIoU", METRIC, "Overall IoU: all intersections of a split added up, over all unions added "
     "up. Large objects weigh more.", "MAttNet, CMPC, LAVT, DGHIN (“IoU”, “overall IoU”); "
     "ReLA, LISA, EVF-SAM (“cIoU”)"),
    ("mIoU", METRIC, "Mean IoU: the mean of every expression's IoU; each expression weighs the "
     "same.", "LAVT; CRIS, ETRIS (“IoU”); LISA, EVF-SAM (“gIoU”, the same where an expression "
     "means one object)"),
    ("Pr@t", METRIC, "Precision at t: the share of expressions whose IoU is at least t.",
     "DGHIN, LAVT, CRIS (“P@t”, “prec@t”)"),
    ("Box@0.5", METRIC, "Box accuracy (box@0.5): the share of expressions whose mask's box has an "
     "IoU of at least 0.5 with the object's annotated box. So masks stand beside tables of boxes. "
     "Of the first protocol.", "papers on boxes (“Acc@0.5”, “precision@0.5”): MDETR, SeqTR, "
     "Grounding DINO"),
    ("gIoU, cIoU, N-acc, T-acc", METRIC, "Only where expressions mean several objects or none: "
     "a right “nothing” counts as IoU 1; the shares of expressions without (N) and with (T) a "
     "target that are answered so.", "ReLA, on gRefCOCO"),
    ("strict", PROTOCOL, "Logits enlarged to the photo's size, then the higher class wins at every "
     "pixel. Weights are picked on val by this one.", "this kit; EVF-SAM, LISA, GSVA, GLaMM, "
     "Sa2VA, VATEX (one logit enlarged to the photo's size, foreground where it is above zero)"),
    ("paper", PROTOCOL, "The higher class wins at the network's size, that mask of zeros and ones "
     "is enlarged bilinearly, and everything above zero counts. It widens masks along their whole "
     "border: a perfect disc of radius 12 pixels scores 86 %.", "DGHIN's code; CEFNet's (EFN)"),
    ("resized", PROTOCOL, "The higher class wins at the network's size, and the true mask is "
     "shrunk there. Photos are distorted to a square, and a large photo weighs as much as a small "
     "one.", "LAVT (at 480 × 480), and with its test code SLViT (480 × 480), VPD and EVP "
     "(512 × 512); CARIS, MaskRIS (448 × 448). ReLA scores at 480 × 480, too, but draws the true "
     "mask at that size from its polygons"),
    ("threshold=0.35", PROTOCOL, "The probability enlarged bilinearly to the photo's size; "
     "foreground where it is above 0.35.", "after CRIS, which enlarges bicubically out of a "
     "letterbox and counts an IoU above t; BKINet, ASDA: bilinearly, out of a letterbox"),
    ("95 %", "interval", "Percentile bootstrap over images: images are drawn with replacement, "
     "with all their expressions, which are not independent of each other. It covers the chance in "
     "which images were tested, not the chance in training: for that, train several seeds.",
     "this kit"),
    ("mean ± sd", "seeds", "Over trainings that differ in their seed only: mean and sample "
     "standard deviation.", "this kit"),
    ("Δ, p", "difference", "One run minus another on the same expressions, in points; how often "
     "so large a difference comes about when the two runs' answers are swapped at random, image by "
     "image. Over seeds: Welch's t-test.", "this kit"),
    ("shuffled", CONTROL, "The same network, photos and true masks, with another image's "
     "expression.", "this kit"),
    ("blind", CONTROL, "No expression: its beginning, its end, and padding.", "this kit"),
    ("other-image", CONTROL, "Another photo under this expression and this true mask.", "this kit"),
    ("left-right, above-below", CONTROL, "Left and right (above and below, top and bottom, upper "
     "and lower) swapped, in expressions that hold such a word.", "this kit"),
    ("word-order, negation", CONTROL, "The exam: the words in another order (three words or more); "
     "“not” before the expression, so that its object is what is not meant.", "this kit"),
    ("without-colour, -size, -place, -superlative, -ordinal", CONTROL, "The exam: all words of "
     "that kind left out, in expressions that hold one and keep another.", "this kit"),
    ("merged", CONTROL, "The exam: all sentences of an object as one query, with commas between; "
     "one row an object.", "this kit"),
    ("Share, Changed", CONTROL, "The score under a control over that of the same expressions as "
     "they are; the share of expressions whose mask has an IoU below 0.5 with the one before.",
     "this kit"),
    ("right, partial, leak, wrong object, empty", "mask", "How a mask fails (strict). right: an "
     "IoU of 0.5 or more. Of the others: empty has no pixel; wrong object has less than half of "
     "its pixels on the object, and marks less than half of it; a leak marks at least half "
     "of it and adds more than it misses, over its border or on other things; partial misses at "
     "least as much as it adds. unasked: something is marked where nothing is meant.", "this kit"),
    ("lies on", "mask", "The annotated object that a mask is about: the one meant where their IoU "
     "is 0.5 or more; else several, where at least half of two is marked; else the object with the "
     "greatest IoU; none below 0.1. A guess: how many masks would be right if each lay on any one "
     "of the objects that the expression's name fits (without its place, rank, comparison or "
     "relation).", "this kit"),
    ("small, medium, large", "object size", "Of the true mask: below 32² pixels of the photo, "
     "above 96² pixels, and between.", "COCO"),
)  # fmt: skip


def glossary_table() -> pd.DataFrame:
    """Name, What it is, Meaning, Used by: a row a name."""
    return pd.DataFrame(ENTRIES, columns=["Name", "Kind", "Meaning", "Used by"])
