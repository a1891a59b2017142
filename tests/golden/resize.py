#!/usr/bin/env python3
"""Golden images for worker/engine/data/resample: what Pillow itself makes of them.

    resize.py > resize.json        (needs Debian's python3-pil and python3-numpy)

One channel each, since Pillow resizes channels one by one. Large outputs are given by their SHA-256.
"""
import hashlib
import json

import numpy as np
from PIL import Image


def main():
    generator = np.random.default_rng(7)
    cases = []
    # Up as CIFAR to 224, down, up and down at once, one axis only, to and from one pixel.
    for (h, w), (oh, ow) in (((32, 32), (224, 224)), ((28, 28), (224, 224)), ((32, 32), (28, 28)),
                             ((5, 7), (9, 3)), ((16, 11), (16, 30)), ((1, 4), (3, 1)), ((40, 40), (7, 7))):
        # Half noise, half hard edges, which overshoot on both sides and must be clipped.
        image = generator.integers(0, 256, (h, w), np.uint8)
        image[: h // 2] = np.where(image[: h // 2] > 127, 255, 0)
        resized = np.asarray(Image.fromarray(image).resize((ow, oh), Image.BICUBIC))
        case = {"in": [h, w], "out": [oh, ow], "pixels": image.reshape(-1).tolist(),
                "sha256": hashlib.sha256(resized.tobytes()).hexdigest()}
        if resized.size < 1000:
            case["resized"] = resized.reshape(-1).tolist()
        cases.append(case)
    print(json.dumps({"cases": cases}, separators=(",", ":")))


main()
