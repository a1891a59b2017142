#!/usr/bin/python3
"""Makes pictures/: small JPEG and PNG files, and expected.json: what Pillow makes of them, decoded,
transformed as timm's evaluation for DeiT, and with its ImageEnhance. Needs Debian's python3-pil and
python3-numpy.

  tests/golden/pictures.py tests/golden/pictures

timm: Resize(floor(224 / 0.9), bicubic) of the shorter side, as torchvision computes the other, and
CenterCrop(224) (timm/data/transforms_factory.py; torchvision/transforms/functional.py).
"""
import hashlib
import json
import struct
import sys
import zlib

import numpy as np
from PIL import Image, ImageEnhance


def scene(height, width, channels, seed):
    """Smooth colours with an edge and some noise: what a JPEG is for, and what a resize can get wrong."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width]
    planes = [127 + 90 * np.sin((c + 2) * x / width * 3 + c) * np.cos((c + 1) * y / height * 4) for c in range(channels)]
    image = np.stack(planes, -1) + rng.normal(0, 6, (height, width, channels))
    image[height // 3: height // 2, width // 4: width // 2] = 250
    return np.clip(image, 0, 255).astype(np.uint8)


def write_deep_png(path, image, gamma):
    """16 bits a channel, with a gAMA chunk: what Pillow can read but not write."""
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    height, width, _ = image.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in image)
    with open(path, "wb") as out:
        out.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)) +
                  chunk(b"gAMA", struct.pack(">I", gamma)) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


def write_jpeg_with_a_blemish(path, image):
    """Bytes between two segments that belong to neither, as some of ImageNet's files have."""
    image.save(path)
    with open(path, "rb") as file:
        data = file.read()
    quantization = data.index(b"\xff\xdb")
    with open(path, "wb") as out:
        out.write(data[:quantization] + b"\x12\x34" + data[quantization:])


def evaluate(image, size=224):
    shorter = int(size / 0.9)
    w, h = image.size
    new = (shorter, int(shorter * h / w)) if w <= h else (int(shorter * w / h), shorter)
    image = image.resize(new, Image.BICUBIC)
    left, top = int(round((image.width - size) / 2.0)), int(round((image.height - size) / 2.0))
    return image.crop((left, top, left + size, top + size))


def digest(image):
    planes = np.asarray(image.convert("RGB")).transpose(2, 0, 1)
    return {"size": [image.height, image.width], "sha256": hashlib.sha256(planes.tobytes()).hexdigest()}


def main(directory):
    Image.fromarray(scene(90, 130, 3, 1)).save(directory + "/colour.jpg", quality=85)
    Image.fromarray(scene(130, 90, 3, 2)).save(directory + "/progressive.jpg", quality=70, progressive=True)
    Image.fromarray(scene(60, 61, 1, 3)[..., 0]).save(directory + "/grey.jpg")
    Image.fromarray(scene(40, 56, 4, 4), "CMYK").save(directory + "/cmyk.jpg")
    Image.fromarray(scene(33, 47, 3, 5)).save(directory + "/colour.png")
    Image.fromarray(scene(31, 30, 4, 6), "RGBA").save(directory + "/alpha.png")
    Image.fromarray(scene(20, 41, 1, 7)[..., 0]).save(directory + "/grey.png")
    Image.fromarray(scene(24, 24, 3, 8)).convert("P", palette=Image.ADAPTIVE, colors=64).save(directory + "/palette.png")
    write_deep_png(directory + "/deep.png", scene(21, 34, 3, 9).astype(int) * 256 + 130, 100000)
    write_jpeg_with_a_blemish(directory + "/blemish.jpg", Image.fromarray(scene(40, 44, 3, 10)))
    expected = {"decoded": {}, "evaluated": {}, "enhanced": []}
    for name in ("colour.jpg", "progressive.jpg", "grey.jpg", "cmyk.jpg", "colour.png", "alpha.png", "grey.png",
                 "palette.png", "deep.png", "blemish.jpg"):
        image = Image.open(f"{directory}/{name}").convert("RGB")
        expected["decoded"][name] = digest(image)
        expected["evaluated"][name] = digest(evaluate(image))
    image = Image.open(directory + "/colour.png").convert("RGB")
    for kind in ("Brightness", "Contrast", "Color"):
        for factor in (0.6, 0.95, 1.0, 1.375):
            changed = getattr(ImageEnhance, kind)(image).enhance(factor)
            expected["enhanced"].append({"kind": kind, "factor": factor, **digest(changed)})
    with open(directory + "/expected.json", "w", encoding="utf-8") as out:
        json.dump(expected, out, indent=1)


main(sys.argv[1])
