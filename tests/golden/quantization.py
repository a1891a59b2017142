#!/usr/bin/env python3
"""Golden vectors for worker/engine/quant: the published definitions once more, in numpy and without
cleverness. Codes are found by comparing distances to every code value, in double precision.

    quantization.py > quantization.json        (needs Debian's python3-numpy)

Sources: NF4 and double quantization, arXiv 2305.14314; values, packing and order as in bitsandbytes
(functional.py: get_4bit_type, create_dynamic_map; backends/default/ops.py: quantize_4bit,
int8_vectorwise_quant).
"""
import json

import numpy as np

NF4 = np.array([-1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453,
                -0.28444138169288635, -0.18477343022823334, -0.09105003625154495, 0.0,
                0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
                0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0], np.float32)
FP4 = np.array([0, 0.0625, 8, 12, 4, 6, 2, 3, -0.0, -0.0625, -8, -12, -4, -6, -2, -3], np.float32) / np.float32(12)
F = np.float32


def dynamic_map():
    values = [0.0, 1.0]
    for i in range(7):
        parts = 2 ** i
        edges = np.linspace(0.1, 1.0, parts + 1)
        means = 10.0 ** (i - 6) * (edges[:-1] + edges[1:]) / 2
        values += list(means) + list(-means)
    return np.sort(np.array(values)).astype(np.float32)


def nearest(x, table):
    """The index of the nearest value; of two equally near the smaller value's."""
    order = np.argsort(table.astype(np.float64), kind="stable")
    distance = np.abs(np.asarray(x, np.float64)[:, None] - table.astype(np.float64)[order][None, :])
    return order[np.argmin(distance, axis=1)]


def blocks(flat, size):
    return [flat[i:i + size] for i in range(0, len(flat), size)]


def bits(values):
    assert values.dtype == np.float32
    return values.reshape(-1).view(np.uint32).tolist()


def inverse(absmax):
    return F(1) / absmax if absmax > 0 else F(0)


def four_bit(weight, table, blocksize, dynamic):
    flat = weight.reshape(-1)
    absmax = np.array([np.abs(b).max() for b in blocks(flat, blocksize)], np.float32)
    scaled = np.concatenate([b * inverse(a) for b, a in zip(blocks(flat, blocksize), absmax)])
    codes = nearest(scaled, table)
    if table is FP4:  # zeros: +0 for what is not below zero
        codes = np.where((codes % 8 == 0), np.where(scaled < 0, 8, 0), codes)
    padded = np.append(codes, nearest(np.zeros(1, np.float32), table) % 8) if len(codes) % 2 else codes
    packed = padded[0::2] * 16 + padded[1::2]
    result = {"payload": packed.tolist()}
    scales = absmax
    if dynamic is not None:
        offset = F(absmax.astype(np.float64).mean())
        centred = absmax - offset
        groups = blocks(centred, 256)
        nested = np.array([np.abs(g).max() for g in groups], np.float32)
        scale_codes = np.concatenate([nearest(g * inverse(n), dynamic) for g, n in zip(groups, nested)])
        scales = dynamic[scale_codes] * np.repeat(nested, 256)[:len(absmax)] + offset
        result |= {"absmax": scale_codes.tolist(), "nested_absmax": nested.tolist(), "nested_offset": float(offset)}
    else:
        result |= {"absmax": absmax.tolist()}
    values = table[codes] * np.repeat(scales, blocksize)[:len(flat)]
    return result | {"dequantized_bits": bits(values)}


def int8(weight):
    absmax = np.abs(weight).max(axis=1)
    codes = np.array([np.rint(row * (F(127) / a if a > 0 else F(0))) for row, a in zip(weight, absmax)])
    codes = codes.astype(np.int8)
    values = codes.astype(np.float32) * absmax[:, None] * (F(1) / F(127))
    return {"payload": codes.reshape(-1).tolist(), "absmax": absmax.tolist(),
            "dequantized_bits": bits(values)}


def main():
    generator = np.random.default_rng(20240229)
    dynamic = dynamic_map()
    cases = []
    # Odd counts, K that is no multiple of the block, one short block, a block of zeros, one outlier.
    for shape, blocksize in (((3, 5), 64), ((6, 192), 128), ((7, 33), 32), ((4, 64), 64), ((40, 250), 32)):
        steps = np.rint(generator.standard_normal(shape) * 0.02 * 2 ** 16)
        if shape == (4, 64):
            steps[1] = 0
            steps[2, 7] = -3 * 2 ** 16
        weight = (steps / 2 ** 16).astype(np.float32)
        kinds = {"nf4": four_bit(weight, NF4, blocksize, None), "fp4": four_bit(weight, FP4, blocksize, None),
                 "nf4dq": four_bit(weight, NF4, blocksize, dynamic), "int8": int8(weight)}
        if weight.size > 4000:  # enough blocks for two groups of scales; the rest is the same again
            kinds = {"nf4dq": kinds["nf4dq"]}
        cases.append({"shape": shape, "blocksize": blocksize,
                      "weight_times_65536": steps.astype(int).reshape(-1).tolist()} | kinds)
    print(json.dumps({"dynamic_map_bits": bits(dynamic), "cases": cases}, separators=(",", ":")))


main()
