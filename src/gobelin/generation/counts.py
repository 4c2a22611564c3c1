"""How many steps a generator trains by default: a function of the training images.

`least_steps` of a generator is the first of 25, 50, 100, 200, 400 steps after which the energy
distance of its images to held-out ones is under 0.16 (OpenMoji, 1,000 images of 32 pixels, one
seed). Untrained networks have 1.4 to 8; over about 0.2 all images are blobs of the mean colours.

What it can't know: whether more steps would make better images. The curve of held-out scores tells.
"""

from __future__ import annotations

import math

USUAL_SIZE = (32, 32, 3)  # H, W, C of the images for which counts of steps are stated


def steps_by_data(usual: int, least: int, images: int, size: tuple[int, ...]) -> int:
    """The count of training steps for this many images of H, W, C, never under `least`.

    usual: the count for 1,000 images of 32 x 32 pixels in colour. Four times the images get twice
    the steps: there is more to learn, and each image teaches less. Twice the side gets 1.4 times
    the steps: there is more detail, and each step already takes four times as long.
    """
    more = math.sqrt(images / 1000) * (math.prod(size) / math.prod(USUAL_SIZE)) ** 0.25
    return max(least, round(usual * more))
