"""Words that people answer with on a scale, such as S, M, L, XL or never, rarely, often."""

from __future__ import annotations

import re
from collections.abc import Sequence

LEAST_LEVELS = 3  # of two words nearly every pair would be in some order
# One scale a line, its lowest words first. | parts words for the same level.
SCALES = tuple(
    {word: rank for rank, words in enumerate(line.split(", ")) for word in words.split("|")}
    for line in (
        "4xs|xxxxs, 3xs|xxxs, 2xs|xxs, xs|extra small, s|small, m|medium, l|large, xl|1xl|extra"
        " large, 2xl|xxl, 3xl|xxxl, 4xl|xxxxl, 5xl|xxxxxl",
        "tiny|very small, small|little, medium|average|middle|mid|normal, large|big, very large|"
        "very big, huge|enormous",
        "none|no, minimal|very low|lowest|negligible, low, low to medium|medium low|mid low,"
        " medium|moderate|middle|mid|average|normal|intermediate, medium to high|medium high|mid"
        " high|elevated, high, very high|highest, extreme|extremely high|critical",
        "never, almost never|hardly ever|very rarely, rarely|seldom, occasionally|once in a while,"
        " sometimes, frequently|often, very often|usually, almost always|nearly always, always",
        "terrible|awful|horrible|worst, very poor|very bad, poor|bad, below average, fair|average|"
        "mediocre|ok|okay|medium|neutral|acceptable|satisfactory|sufficient, above average, good,"
        " very good|great, excellent|outstanding|best|perfect|exceptional",
        "strongly disagree|disagree strongly|totally disagree|completely disagree, disagree,"
        " somewhat disagree|slightly disagree|rather disagree, neutral|neither|undecided|neither"
        " agree nor disagree|neither disagree nor agree, somewhat agree|slightly agree|rather"
        " agree, agree, strongly agree|agree strongly|totally agree|completely agree",
        "very dissatisfied|very unsatisfied|extremely dissatisfied, dissatisfied|unsatisfied,"
        " somewhat dissatisfied|slightly dissatisfied, neutral|neither, somewhat satisfied|slightly"
        " satisfied, satisfied, very satisfied|extremely satisfied",
        "very negative, negative, neutral|mixed, positive, very positive",
        "very unlikely|extremely unlikely, unlikely, neutral|possible|neither, likely, very"
        " likely|extremely likely|certain",
        "not at all, a little|slightly|a little bit|somewhat, moderately, quite a bit|quite|a lot,"
        " very|very much, extremely",
        "none|absent|no|normal|healthy, minimal|very mild|trace, mild|slight|light, moderate|"
        "medium, severe|marked|heavy, very severe|extreme|critical",
        "very easy|trivial, easy|simple, medium|moderate|normal|intermediate, hard|difficult, very"
        " hard|very difficult|expert",
        "beginner|novice|newbie, elementary|basic, intermediate|medium, advanced, expert|"
        "proficient, master",
        "junior|entry, mid|middle|intermediate|regular, senior, lead|principal|staff",
        "very weak, weak, medium|moderate|average, strong, very strong",
        "very slow, slow, medium|moderate|normal|average, fast|quick, very fast",
        "very short, short, medium|middle|average|normal, long|tall, very long|very tall",
        "light, medium|middle|normal|average, heavy, very heavy",
        "freezing|very cold, cold, cool|chilly, mild|lukewarm, warm, hot, very hot",
        "baby|infant, toddler, child, teenager|teen|adolescent|young|youth, adult|middle|middle"
        " aged, senior|elderly|old",
        "bronze, silver, gold, platinum, diamond",
        "trivial, minor|low, normal|medium|moderate, major|high, critical|urgent, blocker",
        "primary|elementary, secondary|high school, bachelor|bachelors|undergraduate,"
        " master|masters|graduate, doctorate|phd|doctoral",
        "first, second, third, fourth, fifth, sixth, seventh, eighth, ninth, tenth",
        "i, ii, iii, iv, v, vi, vii, viii, ix, x",
    )
)
SIGNS = re.compile(r"[\s_/'’.-]+")


def levels_by_word(texts: Sequence[str]) -> tuple[str, ...]:
    """Different levels in the order of a scale that all of them are on; none where there is no such
    scale, or where two levels say the same. Words that all levels share, as in 'low risk', say
    nothing.
    """
    plain = [SIGNS.sub(" ", text.casefold()).strip() for text in texts]
    if len(texts) < LEAST_LEVELS:
        return ()
    return _on_a_scale(plain, texts) or _on_a_scale(_without_shared(plain), texts)


def _on_a_scale(plain: Sequence[str], texts: Sequence[str]) -> tuple[str, ...]:
    for scale in SCALES:
        ranks = {scale[one]: text for one, text in zip(plain, texts, strict=True) if one in scale}
        if len(ranks) == len(texts):
            return tuple(ranks[rank] for rank in sorted(ranks))
    return ()


def _without_shared(plain: Sequence[str]) -> list[str]:
    """The texts without the words that all of them have."""
    shared = set.intersection(*(set(text.split()) for text in plain))
    return [" ".join(word for word in text.split() if word not in shared) for text in plain]
