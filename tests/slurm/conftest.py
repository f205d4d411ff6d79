"""A real SLURM of one node: controller, daemon and authentication of their own, in a folder of their own."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scancel")

DEFAULT = Path("/etc/slurm/slurm.conf")

CONFIG = """\
ClusterName=jwstsm
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmdPort={node_port}
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SwitchType=switch/none
ReturnToService=2
MinJobAge=300
SchedulerParameters=sched_interval=1,batch_sched_delay=0
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory={memory} State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


@dataclass
class Cluster:
    """The daemons of one SLURM, and the environment in which its commands find it."""

    folder: Path
    processes: dict[str, subprocess.Popen] = field(default_factory=dict)

    @property
    def env(self) -> dict[str, str]:
        """Environment of the commands."""
        return {**os.environ, "SLURM_CONF": str(self.folder / "slurm.conf")}

    def start(self, name: str, *options: str) -> None:
        """Start a daemon in the foreground mode, with its output in a log."""
        with (self.folder / f"{name}.out").open("a") as out:
            self.processes[name] = subprocess.Popen(
                [shutil.which(name), *options], env=self.env, stdout=out, stderr=subprocess.STDOUT
            )

    def start_controller(self) -> None:
        """Start the controller (again)."""
        self.start("slurmctld", "-D")

    def kill_controller(self) -> None:
        """Kill the controller at once, as a crash would."""
        self.processes["slurmctld"].send_signal(signal.SIGKILL)
        self.processes["slurmctld"].wait()

    def command(self, *words: str) -> str:
        """Run a SLURM command; return what it prints."""
        return subprocess.run(words, env=self.env, capture_output=True, text=True, check=False).stdout

    def wait_until_idle(self, seconds: float = 60) -> None:
        """Wait until the node takes jobs."""
        end = time.time() + seconds
        while "idle" not in self.command("sinfo", "-h", "-o", "%T"):
            assert time.time() < end, self.tail()
            time.sleep(0.5)

    def tail(self) -> str:
        """Return the ends of the daemons' logs."""
        logs = sorted([*self.folder.glob("*.log"), *self.folder.glob("*.out")])
        return "\n".join(f"--- {p.name}\n{p.read_text()[-1500:]}" for p in logs)

    def stop(self) -> None:
        """Stop all daemons."""
        self.command("scancel", "--user", "root")
        for process in reversed(self.processes.values()):
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


@pytest.fixture(scope="session")
def cluster(tmp_path_factory) -> Cluster:
    """A running SLURM; skips where it is not installed or may not be started, and where there is one already.

    Its configuration is linked to from the default place for as long as it runs: commands within jobs look there.
    """
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if missing or os.geteuid() != 0:
        pytest.skip(f"needs root and SLURM (apt-get install slurm-wlm munge); missing: {', '.join(missing) or 'root'}")
    if DEFAULT.exists():
        pytest.skip(f"{DEFAULT} exists: this machine has a SLURM of its own")
    folder = tmp_path_factory.mktemp("slurm")
    for parent in (folder, *folder.parents[:2]):
        parent.chmod(0o755)  # munge insists that others cannot write, and clients can read, the way to its socket
    for name in ("state", "spool"):
        (folder / name).mkdir()
    key = folder / "munge.key"
    key.write_bytes(os.urandom(128))
    key.chmod(0o600)
    text = CONFIG.format(
        folder=folder,
        host=socket.gethostname().split(".")[0],
        port=_free_port(),
        node_port=_free_port(),
        cpus=os.cpu_count(),
        memory=int(psutil.virtual_memory().total / 1e6 * 0.8),
    )
    (folder / "slurm.conf").write_text(text)
    DEFAULT.parent.mkdir(parents=True, exist_ok=True)
    DEFAULT.unlink(missing_ok=True)
    DEFAULT.symlink_to(folder / "slurm.conf")
    one = Cluster(folder)
    names = {n: f"--{n}-file={folder}/munge.{n}" for n in ("key", "pid", "log", "seed")}
    one.start("munged", "--foreground", "--force", f"--socket={folder}/munge.socket", *names.values())
    time.sleep(1)
    one.start_controller()
    one.start("slurmd", "-D")
    try:
        one.wait_until_idle()
        yield one
    finally:
        one.stop()
        DEFAULT.unlink()
