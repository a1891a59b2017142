#!/usr/bin/env python3
"""Times qtrain's training step beside PyTorch eager: a script of yours that takes --model tiny|small, --precision
bf16|fp32, --threads and --steps and prints JSON with images_per_s, rss_before_mb and rss_peak_mb.

All configurations run in turn, several rounds of them, so that a machine that changes its speed changes
it for all; a ratio is the median over rounds of the quotient within a round. Prints a table, and JSON with
--json. Both engines: DeiT, LoRA r=8 on qkv, dropout 0.1, batch 32, 224 px, whole steps.

  bench/engine.py --qtrain build/release/bin/qtrain --peer PEER
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile

LIBRARIES = "/usr/lib/x86_64-linux-gnu/"
JEMALLOC = LIBRARIES + "libjemalloc.so.2"
PEER_ENVIRONMENT = {"LD_PRELOAD": JEMALLOC, "MALLOC_CONF": "dirty_decay_ms:-1,muzzy_decay_ms:-1"}


def spec(model, bits=0, double_quant=False, mixed=True, checkpointing="none", int8="dequantize"):
    return {"model": {"name": f"deit_{model}_patch16_224", "pretrained": False},
            "dataset": {"name": "cifar10", "batch_size": 32, "image_size": 224},
            "lora": {"rank": 8, "alpha": 16, "dropout": 0.1},
            "training": {"use_mixed_precision": mixed, "gradient_checkpointing": checkpointing},
            "quantization": {"bits": bits, "quant_type": "nf4", "double_quant": double_quant,
                             "int8_compute": int8}}


# Name -> what ours runs; the first of a model and precision is what the others are compared with.
OURS = {
    "tiny bf16": spec("tiny"),
    "tiny bf16 int8": spec("tiny", bits=8),
    "tiny bf16 int8dyn": spec("tiny", bits=8, int8="dynamic"),
    "tiny bf16 nf4": spec("tiny", bits=4),
    "tiny bf16 nf4+dq": spec("tiny", bits=4, double_quant=True),
    "tiny bf16 selective": spec("tiny", checkpointing="selective"),
    "tiny bf16 full": spec("tiny", checkpointing="full"),
    "tiny fp32": spec("tiny", mixed=False),
    "small bf16": spec("small"),
    "small bf16 nf4+dq": spec("small", bits=4, double_quant=True),
}


def baseline(name):
    return " ".join(name.split()[:2])


def run(command, environment=None):
    done = subprocess.run(command, capture_output=True, text=True,
                          env=dict(os.environ, **(environment or {})))
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)} failed:\n{done.stderr}")
    return json.loads(done.stdout[done.stdout.index("{"):])


def run_ours(arguments, directory, name):
    path = os.path.join(directory, name.replace(" ", "-") + ".json")
    with open(path, "w") as f:
        json.dump(OURS[name], f)
    data = ["--data-root", arguments.data_root] if arguments.data_root else []
    report = run([arguments.qtrain, "bench", "--spec", path, "--threads", str(arguments.threads),
                  "--steps", str(arguments.steps)] + data)
    return {"images_per_s": report["images_per_s"], "forward_per_s": report["forward_images_per_s"],
            "training_mb": report["rss_peak_mb"] - report["rss_before_mb"],
            "micro_batch": int(report["micro_batch"]), "data_per_s": report["data_images_per_s"], "cpu": report["cpu"]}


def peer_at_its_best():
    """What it needs to be that; ends the program where something is missing."""
    if not os.path.exists(JEMALLOC):
        sys.exit(f"{JEMALLOC} is missing (Debian's libjemalloc2): the peer would not be at its best")
    if "openblas" not in os.path.realpath(LIBRARIES + "libblas.so.3"):
        sys.exit("the system's BLAS is not OpenBLAS (Debian's libopenblas0): the peer would not be at its best")


def has_bf16():
    """Whether the processor multiplies bf16. Where it does not the peer is at its best in fp32."""
    with open("/proc/cpuinfo") as f:
        flags = next(line for line in f if line.startswith("flags")).split()
    return "avx512_bf16" in flags or "amx_bf16" in flags


def run_peer(arguments, name):
    model, precision = name.split()
    if not has_bf16():
        precision = "fp32"
    blas_threads = 1 if precision == "bf16" else arguments.threads  # its threads fight OpenMP's
    report = run([arguments.peer, "--model", model, "--precision", precision, "--threads",
                  str(arguments.threads), "--steps", str(arguments.steps)],
                 {**PEER_ENVIRONMENT, "OPENBLAS_NUM_THREADS": str(blas_threads)})
    return {"images_per_s": report["images_per_s"],
            "training_mb": report["rss_peak_mb"] - report["rss_before_mb"]}


def median_ratio(rounds, quantity, name, other):
    return statistics.median(r[name][quantity] / r[other][quantity] for r in rounds)


def summarise(rounds, names):
    rows = []
    for name in names:
        row = {"name": name}
        for quantity in ("images_per_s", "training_mb", "forward_per_s", "micro_batch"):
            if quantity in rounds[0][name]:
                row[quantity] = statistics.median(r[name][quantity] for r in rounds)
        peer = f"peer {baseline(name)}"
        if peer in rounds[0]:
            row["times_peer"] = median_ratio(rounds, "images_per_s", name, peer)
            row["memory_of_peer"] = median_ratio(rounds, "training_mb", name, peer)
        if baseline(name) in rounds[0] and name != baseline(name):
            row["times_unquantized"] = median_ratio(rounds, "images_per_s", name, baseline(name))
        if "forward_per_s" in row:
            row["forward_times_training"] = statistics.median(
                r[name]["forward_per_s"] / r[name]["images_per_s"] for r in rounds)
            row["data_times_training"] = statistics.median(
                r[name]["data_per_s"] / r[name]["images_per_s"] for r in rounds)
        rows.append(row)
    return rows


def print_table(rows):
    columns = [("images_per_s", "images/s", "{:.1f}"), ("times_peer", "x peer", "{:.2f}"),
               ("times_unquantized", "x plain", "{:.2f}"), ("training_mb", "training MB", "{:.0f}"),
               ("memory_of_peer", "of peer's", "{:.3f}"), ("forward_times_training", "forward x", "{:.2f}"),
               ("data_times_training", "data x", "{:.1f}")]
    print(f"{'':22}" + "".join(f"{title:>13}" for _, title, _ in columns))
    for row in rows:
        cells = (form.format(row[key]) if key in row else "" for key, _, form in columns)
        print(f"{row['name']:22}" + "".join(f"{cell:>13}" for cell in cells))


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--qtrain", default="build/release/bin/qtrain")
    p.add_argument("--peer", help="the baseline script; without it only ours runs")
    p.add_argument("--data-root", help="time the making of CIFAR-10's images, too, on one thread")
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--steps", type=int, default=7)
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--only", help="only configurations whose name holds this")
    p.add_argument("--json", help="write all figures to this file")
    a = p.parse_args()
    if a.peer:
        peer_at_its_best()
    ours = [name for name in OURS if a.only is None or a.only in name]
    if not ours:
        sys.exit(f"no configuration's name holds '{a.only}'; there are: {', '.join(OURS)}")
    peers = sorted({baseline(name) for name in ours}) if a.peer else []
    rounds = []
    with tempfile.TemporaryDirectory() as directory:
        for number in range(a.rounds):
            print(f"round {number + 1} of {a.rounds}", file=sys.stderr)
            results = {f"peer {name}": run_peer(a, name) for name in peers}
            results.update((name, run_ours(a, directory, name)) for name in ours)
            rounds.append(results)
    rows = summarise(rounds, list(rounds[0]))
    print_table(rows)
    if a.json:
        with open(a.json, "w") as f:
            json.dump({"threads": a.threads, "cpu": rounds[0][ours[0]]["cpu"], "summary": rows,
                       "rounds": rounds}, f, indent=1)


if __name__ == "__main__":
    main()
