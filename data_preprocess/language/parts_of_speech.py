"""Part-of-speech classes 0..6: one list for the encoder, the network and the figures."""

NAMES = ("none", "noun", "adjective", "verb", "adposition", "adverb", "other")
SHORT = ("", "noun", "adj", "verb", "adp", "adv", "other")  # under a word in a figure
# of spaCy's tags; 0 is none ([CLS], padding, cut off)
CLASSES = {"NOUN": 1, "PROPN": 1, "ADJ": 2, "VERB": 3, "ADP": 4, "ADV": 5}
OTHER = 6  # any other word
