#!/usr/bin/python3
"""Makes peft/: weights, an adapter as PEFT writes it, and the merged weights, by PEFT's definitions in
numpy float64. It shares no code with the engine. Needs Debian's python3-numpy.

  tests/golden/peft.py tests/golden/peft

Sources (huggingface/peft): tuners/lora/config.py (keys), utils/other.py get_pattern_key (regular
expressions, the first that matches), tuners/lora/layer.py update_layer (scaling), utils/save_and_load.py
(names: no adapter name, modules_to_save without its infix).
"""
import json
import math
import re
import struct
import sys

import numpy as np

DIM, DEPTH, RANK, ALPHA = 8, 2, 4, 6
TARGETS = ["qkv", "mlp.fc2"]
RANK_PATTERN = {"blocks.1.*.qkv": 2, "fc2": 3}
ALPHA_PATTERN = {"^blocks\\.[1-9]\\.mlp\\.fc2": 12, "attn.qkv": 5}


def save(path, tensors):
    header, data = {"__metadata__": {"format": "pt"}}, b""
    for name, value in tensors.items():
        raw = np.ascontiguousarray(value, np.float32).tobytes()
        header[name] = {"dtype": "F32", "shape": list(value.shape), "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as out:
        out.write(struct.pack("<Q", len(text)) + text + data)


def pattern_value(patterns, module, otherwise):
    for key, value in patterns.items():
        if re.match(rf"(.*\.)?({key})$", module):
            return value
    return otherwise


def main(directory):
    rng = np.random.default_rng(7)

    def draw(*shape):
        return rng.standard_normal(shape).astype(np.float32)

    linears = {}
    for i in range(DEPTH):
        for name, out, fan_in in (("attn.qkv", 3 * DIM, DIM), ("attn.proj", DIM, DIM),
                                  ("mlp.fc1", 4 * DIM, DIM), ("mlp.fc2", DIM, 4 * DIM)):
            linears[f"blocks.{i}.{name}"] = (out, fan_in)
    base = {f"{module}.weight": draw(*shape) for module, shape in linears.items()}
    base["head.weight"], base["head.bias"] = draw(1000, DIM)[:5], draw(5)

    adapter, merged = {}, {name: value.astype(np.float64) for name, value in base.items()}
    for module, (out, fan_in) in linears.items():
        if not any(module == t or module.endswith("." + t) for t in TARGETS):
            continue
        rank = pattern_value(RANK_PATTERN, module, RANK)
        alpha = pattern_value(ALPHA_PATTERN, module, ALPHA)
        a, b = draw(rank, fan_in), draw(out, rank)
        adapter[f"base_model.model.{module}.lora_A.weight"] = a
        adapter[f"base_model.model.{module}.lora_B.weight"] = b
        merged[f"{module}.weight"] += alpha / math.sqrt(rank) * (b.astype(np.float64) @ a.astype(np.float64))
    for name, shape in (("head.weight", (3, DIM)), ("head.bias", (3,))):
        adapter[f"base_model.model.{name}"] = merged[name] = draw(*shape)

    config = {"alpha_pattern": ALPHA_PATTERN, "auto_mapping": None, "base_model_name_or_path": "tiny",
              "bias": "none", "corda_config": None, "eva_config": None, "exclude_modules": None,
              "fan_in_fan_out": False, "inference_mode": True, "init_lora_weights": True,
              "layer_replication": None, "layers_pattern": None, "layers_to_transform": None,
              "loftq_config": {}, "lora_alpha": ALPHA, "lora_bias": False, "lora_dropout": 0.1,
              "megatron_config": None, "megatron_core": "megatron.core", "modules_to_save": ["head"],
              "peft_type": "LORA", "r": RANK, "rank_pattern": RANK_PATTERN, "revision": None,
              "target_modules": TARGETS, "task_type": None, "trainable_token_indices": None,
              "use_dora": False, "use_rslora": True}
    with open(directory + "/adapter_config.json", "w", encoding="utf-8") as out:
        json.dump(config, out, indent=2, sort_keys=True)
    save(directory + "/adapter_model.safetensors", adapter)
    save(directory + "/base.safetensors", base)
    save(directory + "/merged.safetensors", merged)


main(sys.argv[1])
