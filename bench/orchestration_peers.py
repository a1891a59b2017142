#!/usr/bin/env python3
"""No-op tasks a second of Dask and of Slurm on this machine, each through its own client, beside
qsweep's runs a second (bench/scale.cc writes them with --json).

    bench/scale_bench --json scale.json                 (in a build directory)
    /usr/bin/python3 bench/orchestration_peers.py --qsweep scale.json [--json peers.json]

What one task is differs, and is printed with the figures. Debian packages: python3-distributed;
slurm-wlm and munge (its daemons are started here as root, on ports and in a directory of their own).
A peer that is not installed is said to be missing.
"""
import argparse
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time

WHAT = {
    "qsweep": "placed among 1,000 workers by memory and data; assignment, attempt, result, metrics and history on "
              "disk before each reply; no process is started",
    "dask": "a Python function called in one of 2 worker processes; its result in memory, nothing on disk",
    "slurm": "a job of an array on one node: a process started by slurmstepd; the controller's state saved now and "
             "then",
}
SLURM_DAEMONS = ("munged", "slurmctld", "slurmd")
SLURM_CONFIGURATION = """
ClusterName=bench
SlurmctldHost={host}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={directory}/munge.socket
SlurmctldPort={ctld_port}
SlurmdPort={slurmd_port}
StateSaveLocation={directory}/state
SlurmdSpoolDir={directory}/spool
SlurmctldPidFile={directory}/slurmctld.pid
SlurmdPidFile={directory}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
MpiDefault=none
ReturnToService=2
MaxArraySize=100001
MaxJobCount=100000
NodeName={host} NodeAddr=127.0.0.1 CPUs=64 State=UNKNOWN
PartitionName=all Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


def noop(number):
    return number


def dask_rate(tasks):
    from distributed import Client, LocalCluster
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster, Client(cluster) as client:
        client.gather(client.map(noop, range(100), pure=False))
        begin = time.monotonic()
        results = client.gather(client.map(noop, range(tasks), pure=False))
        seconds = time.monotonic() - begin
    assert results == list(range(tasks))
    return tasks / seconds


class Slurm:
    """A controller and a node of its own; ends with the `with`."""

    def __init__(self):
        self.directory = tempfile.mkdtemp(prefix="slurm-bench-")
        self.daemons = []
        self.environment = dict(os.environ, SLURM_CONF=self.path("slurm.conf"))

    def path(self, name):
        return os.path.join(self.directory, name)

    def start(self, *command):
        log = open(self.path(command[0] + ".log"), "wb")
        program = shutil.which(command[0], path=os.environ["PATH"] + ":/usr/sbin:/sbin")
        self.daemons.append(subprocess.Popen([program, *command[1:]], stdout=log, stderr=log, env=self.environment))

    def ask(self, *command):
        """What it prints; None when it fails."""
        done = subprocess.run(command, capture_output=True, text=True, env=self.environment)
        return done.stdout.strip() if done.returncode == 0 else None

    def __enter__(self):
        os.chmod(self.directory, 0o755)
        for name in ("state", "spool"):
            os.mkdir(self.path(name))
        with open(self.path("slurm.conf"), "w") as f:
            f.write(SLURM_CONFIGURATION.format(host=socket.gethostname().split(".")[0], directory=self.directory,
                                               ctld_port=free_port(), slurmd_port=free_port()))
        with open(self.path("munge.key"), "wb") as f:
            f.write(os.urandom(128))
        os.chmod(self.path("munge.key"), 0o400)
        files = {"key-file": "munge.key", "socket": "munge.socket", "pid-file": "munge.pid", "log-file": "munge.log",
                 "seed-file": "munge.seed"}
        self.start("munged", "--foreground", "--force", *(f"--{o}={self.path(f)}" for o, f in files.items()))
        time.sleep(1)
        self.start("slurmctld", "-D", "-c")
        self.start("slurmd", "-D", "-c")
        for _ in range(60):
            if self.ask("sinfo", "-h", "-o", "%t") == "idle":
                return self
            time.sleep(1)
        for name in SLURM_DAEMONS:
            sys.stderr.write(f"--- {name}\n" + open(self.path(name + ".log")).read()[-2000:])
        self.__exit__()  # Python does so only after an __enter__ that has succeeded
        sys.exit("Slurm did not come up")

    def __exit__(self, *_):
        for daemon in reversed(self.daemons):
            daemon.terminate()
            try:
                daemon.wait(10)
            except subprocess.TimeoutExpired:
                daemon.kill()
        shutil.rmtree(self.directory, ignore_errors=True)

    def rate(self, tasks):
        begin = time.monotonic()
        if not self.ask("sbatch", "--parsable", f"--array=1-{tasks}", "--output=/dev/null", "--wrap=true"):
            sys.exit("sbatch failed")
        while self.ask("squeue", "-h") != "":
            time.sleep(0.1)
        return tasks / (time.monotonic() - begin)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def missing():
    absent = {}
    try:
        import distributed  # noqa: F401
    except ImportError:
        absent["dask"] = f"apt install python3-distributed, and run this with /usr/bin/python3 (this is {sys.executable})"
    programs = [p for p in (*SLURM_DAEMONS, "sbatch") if not shutil.which(p, path=os.environ["PATH"] + ":/usr/sbin")]
    if programs:
        absent["slurm"] = f"no {', '.join(programs)}: apt install slurm-wlm munge"
    elif os.geteuid() != 0:
        absent["slurm"] = "its daemons must be started by root"
    return absent


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--qsweep", help="what scale_bench --json wrote, for the ratios")
    p.add_argument("--dask-tasks", type=int, default=5000)
    p.add_argument("--slurm-tasks", type=int, default=300)
    p.add_argument("--json", help="write all figures to this file")
    a = p.parse_args()
    absent = missing()
    rates = {}
    if a.qsweep:
        with open(a.qsweep) as f:
            rates["qsweep"] = next(x["value"] for x in json.load(f) if x["unit"] == "runs/s")
    if "dask" not in absent:
        rates["dask"] = dask_rate(a.dask_tasks)
    if "slurm" not in absent:
        with Slurm() as slurm:
            rates["slurm"] = slurm.rate(a.slurm_tasks)
    for name, what in WHAT.items():
        if name in rates:
            times = f"qsweep x {rates['qsweep'] / rates[name]:.1f}" if "qsweep" in rates and name != "qsweep" else ""
            print(f"{name:8}{rates[name]:10.1f} tasks/s  {times:16}{what}")
        elif name in absent:
            print(f"{name:8}   missing: {absent[name]}")
    if a.json:
        with open(a.json, "w") as f:
            json.dump({"tasks_per_s": rates, "missing": absent, "what_a_task_is": WHAT}, f, indent=1)


if __name__ == "__main__":
    main()
