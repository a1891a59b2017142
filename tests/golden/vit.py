#!/usr/bin/python3
"""Makes vit.safetensors: a small Vision Transformer's weights, inputs, logits and gradients.

Written for the tests from the papers' formulas with torch.nn.functional and autograd, in float64, and
stored in float32: it shares no code with the engine. Needs Debian's python3-torch.

  tests/golden/vit.py tests/golden/vit.safetensors

With a DeiT-tiny's weights it prints what vit_test.cc expects of them:

  tests/golden/vit.py --deit-tiny MODEL_ROOT/deit_tiny_patch16_224/model.safetensors
"""
import json
import struct
import sys

import torch
import torch.nn.functional as F

DIM, DEPTH, HEADS, PATCH, IMAGE, CLASSES, BATCH = 32, 2, 2, 8, 32, 5, 4
RANK, ALPHA, TARGETS = 4, 8, ("attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2")
TOKENS = 1 + (IMAGE // PATCH) ** 2


def base_weights():
    shapes = {"cls_token": (1, 1, DIM), "pos_embed": (1, TOKENS, DIM),
              "patch_embed.proj.weight": (DIM, 3, PATCH, PATCH), "patch_embed.proj.bias": (DIM,),
              "norm.weight": (DIM,), "norm.bias": (DIM,),
              "head.weight": (CLASSES, DIM), "head.bias": (CLASSES,)}
    for i in range(DEPTH):
        for name, out, fan_in in (("attn.qkv", 3 * DIM, DIM), ("attn.proj", DIM, DIM),
                                  ("mlp.fc1", 4 * DIM, DIM), ("mlp.fc2", DIM, 4 * DIM)):
            shapes[f"blocks.{i}.{name}.weight"] = (out, fan_in)
            shapes[f"blocks.{i}.{name}.bias"] = (out,)
        for name in ("norm1", "norm2"):
            shapes[f"blocks.{i}.{name}.weight"] = (DIM,)
            shapes[f"blocks.{i}.{name}.bias"] = (DIM,)
    # Large enough that no term of the sum is negligible; norms around 1 and 0.
    weights = {}
    for name, shape in shapes.items():
        noise = torch.randn(shape, dtype=torch.float64)
        weights[name] = 1 + 0.3 * noise if "norm" in name and "weight" in name else 0.15 * noise
    return weights


def lora_weights():
    weights = {}
    for i in range(DEPTH):
        for target in TARGETS:
            fan_in = 4 * DIM if target == "mlp.fc2" else DIM
            out = {"attn.qkv": 3 * DIM, "mlp.fc1": 4 * DIM}.get(target, DIM)
            name = f"blocks.{i}.{target}"
            weights[f"{name}.lora_A"] = 0.2 * torch.randn(RANK, fan_in, dtype=torch.float64)
            weights[f"{name}.lora_B"] = 0.2 * torch.randn(out, RANK, dtype=torch.float64)
    return weights


def vit(w, images, lora):
    def linear(x, name):
        y = F.linear(x, w[name + ".weight"], w[name + ".bias"])
        if name + ".lora_A" in lora:
            y = y + ALPHA / RANK * x @ lora[name + ".lora_A"].T @ lora[name + ".lora_B"].T
        return y

    def norm(x, name):
        return F.layer_norm(x, (DIM,), w[name + ".weight"], w[name + ".bias"], eps=1e-6)

    x = F.conv2d(images, w["patch_embed.proj.weight"], w["patch_embed.proj.bias"], stride=PATCH)
    x = x.flatten(2).transpose(1, 2)
    x = torch.cat([w["cls_token"].expand(len(x), -1, -1), x], 1) + w["pos_embed"]
    for i in range(DEPTH):
        b = f"blocks.{i}."
        qkv = linear(norm(x, b + "norm1"), b + "attn.qkv")
        q, k, v = qkv.reshape(len(x), TOKENS, 3, HEADS, DIM // HEADS).permute(2, 0, 3, 1, 4)
        attention = torch.softmax(q @ k.transpose(-2, -1) / (DIM // HEADS) ** 0.5, -1)
        x = x + linear((attention @ v).transpose(1, 2).reshape(x.shape), b + "attn.proj")
        x = x + linear(F.gelu(linear(norm(x, b + "norm2"), b + "mlp.fc1")), b + "mlp.fc2")
    return F.linear(norm(x, "norm")[:, 0], w["head.weight"], w["head.bias"])


def logits_and_gradients(weights, lora, images, labels, trained):
    for tensor in trained.values():
        tensor.requires_grad_(True)
        tensor.grad = None
    logits = vit(weights, images, lora)
    F.cross_entropy(logits, labels).backward()
    gradients = {name: tensor.grad for name, tensor in trained.items()}
    for tensor in trained.values():
        tensor.requires_grad_(False)
    return logits.detach(), gradients


def resampled(pos_embed, grid):
    """timm's resample_abs_pos_embed for one prefix token."""
    old = int((pos_embed.shape[1] - 1) ** 0.5)
    image = pos_embed[:, 1:].reshape(1, old, old, DIM).permute(0, 3, 1, 2)
    image = F.interpolate(image, size=(grid, grid), mode="bicubic", antialias=True)
    return torch.cat([pos_embed[:, :1], image.permute(0, 2, 3, 1).reshape(1, grid * grid, DIM)], 1)


def write_safetensors(path, tensors):
    header, offset, chunks = {}, 0, []
    for name in sorted(tensors):
        data = tensors[name].float().contiguous().numpy().astype("<f4").tobytes()
        header[name] = {"dtype": "F32", "shape": list(tensors[name].shape),
                        "data_offsets": [offset, offset + len(data)]}
        offset += len(data)
        chunks.append(data)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + b"".join(chunks))


def read_safetensors(path):
    with open(path, "rb") as f:
        header = json.loads(f.read(struct.unpack("<Q", f.read(8))[0]))
        data = f.read()
    header.pop("__metadata__", None)
    return {name: torch.frombuffer(bytearray(data[slice(*entry["data_offsets"])]), dtype=torch.float32)
            .reshape(entry["shape"]).double() for name, entry in header.items()}


def print_deit_tiny(path):
    global DIM, DEPTH, HEADS, PATCH, TOKENS
    DIM, DEPTH, HEADS, PATCH, TOKENS = 192, 12, 3, 16, 197
    c, y, x = (torch.arange(n, dtype=torch.float64) for n in (3, 224, 224))
    c, y = c[:, None, None], y[:, None]
    logits = vit(read_safetensors(path), torch.sin(0.05 * (c + 1) * x + 0.03 * y)[None], {})[0]
    print("argmax", logits.argmax().item(), "norm", logits.norm().item())
    print("first", [round(v, 5) for v in logits[:6].tolist()])


def main():
    if sys.argv[1] == "--deit-tiny":
        return print_deit_tiny(sys.argv[2])
    torch.manual_seed(20221216)
    weights, lora = base_weights(), lora_weights()
    images = torch.randn(BATCH, 3, IMAGE, IMAGE, dtype=torch.float64)
    labels = torch.tensor([0, 3, 4, 1])
    # What the engine reads is float32: compute from exactly that.
    for tensors in (weights, lora):
        for name in tensors:
            tensors[name] = tensors[name].float().double()
    images = images.float().double()

    out = {f"base/{n}": t for n, t in weights.items()}
    out.update({f"lora/{n}": t for n, t in lora.items()})
    out["images"], out["labels"] = images, labels
    head = {n: t for n, t in weights.items() if n.startswith("head.")}
    out["lora_logits"], gradients = logits_and_gradients(weights, lora, images, labels, {**lora, **head})
    out.update({f"lora_gradient/{n}": t for n, t in gradients.items()})
    out["full_logits"], gradients = logits_and_gradients(weights, {}, images, labels, weights)
    out.update({f"full_gradient/{n}": t for n, t in gradients.items()})
    for grid in (3, 6):
        out[f"pos_embed_{grid}"] = resampled(weights["pos_embed"].detach(), grid)
    write_safetensors(sys.argv[1], out)


if __name__ == "__main__":
    main()
