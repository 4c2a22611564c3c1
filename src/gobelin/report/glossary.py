"""The words of the report that a reader may not know."""

from __future__ import annotations

STUDY_WORDS = ("augment", "audit")  # verbs whose findings use the words of a study
GLOSSARY = {
    "95 % interval": (
        "the range in which the true number probably lies; 95 of 100 such intervals contain it"
    ),
    "point": "a hundredth: from 70 % to 72 % is 2 points",
    "balanced accuracy": (
        "the share of correct answers in each class, averaged over the classes, so that rare"
        " classes count as much as common ones"
    ),
    "n": "the number of rows, or of groups of rows that belong together, behind a number",
    "chance": "the score of guessing",
}
STUDY_GLOSSARY = {
    "training set": (
        "what a model of the comparison is trained on, named after the rows that were added to the"
        " real ones; “real” is the real rows alone"
    ),
    "baseline method": (
        "a cheaper way to get more training rows. If it does as well, generating"
        " images was not worth it"
    ),
    "floor": (
        "the score of real images that were never trained on: the best that generated images can be"
        " expected to reach"
    ),
    "training seed": (
        "the number of a random start; generators and models are trained from several of them"
    ),
}
