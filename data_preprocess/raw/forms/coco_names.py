"""COCO's 80 categories: id -> name. Forms without a list of categories name them by these ids.

Source: the `categories` of COCO's instances_train2014.json (https://cocodataset.org).
"""

from typing import Any

from data_preprocess.raw.datasets import Dataset

# the ids have gaps: COCO planned 91 categories and annotated 80
_BY_FIRST_ID = {
    1: "person, bicycle, car, motorcycle, airplane, bus, train, truck, boat, traffic light, "
    "fire hydrant",
    13: "stop sign, parking meter, bench, bird, cat, dog, horse, sheep, cow, elephant, bear, "
    "zebra, giraffe",
    27: "backpack, umbrella",
    31: "handbag, tie, suitcase, frisbee, skis, snowboard, sports ball, kite, baseball bat, "
    "baseball glove, skateboard, surfboard, tennis racket, bottle",
    46: "wine glass, cup, fork, knife, spoon, bowl, banana, apple, sandwich, orange, broccoli, "
    "carrot, hot dog, pizza, donut, cake, chair, couch, potted plant, bed",
    67: "dining table",
    70: "toilet",
    72: "tv, laptop, mouse, remote, keyboard, cell phone, microwave, oven, toaster, sink, "
    "refrigerator",
    84: "book, clock, vase, scissors, teddy bear, hair drier, toothbrush",
}

COCO_NAMES = {
    first + number: name
    for first, names in _BY_FIRST_ID.items()
    for number, name in enumerate(names.split(", "))
}


def category_name(number: Any, dataset: Dataset) -> str:
    """The name of a category of COCO; empty where it is none, or the data set is your own."""
    is_of_coco = dataset.images.endswith("train2014") and isinstance(number, int)
    return COCO_NAMES.get(number, "") if is_of_coco else ""
