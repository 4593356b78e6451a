"""What the machine is, and how much memory its device has in use: GPU by nvidia-smi and Triton's metrics port.

Without a GPU the device is the CPU, and memory is that of the server's processes (`mmesim.triton.processes`).
"""

from __future__ import annotations

import csv
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from mmesim.units import MIB

_QUERY = "name,driver_version,memory.total,memory.used"
_METRIC = re.compile(r'^nv_gpu_memory_used_bytes\{gpu_uuid="([^"]+)"\}\s+(\S+)', re.MULTILINE)
_SHORT = re.compile(r"\b(T4|A10G|L4|L40S|V100|A100|H100|H200|B200|K80|M60)\b")


@dataclass(frozen=True)
class Gpu:
    """One GPU as nvidia-smi shows it."""

    name: str
    driver: str
    total_bytes: int
    used_bytes: int


def gpus() -> list[Gpu]:
    """The machine's GPUs; none when nvidia-smi is missing or finds none."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    done = subprocess.run([program, f"--query-gpu={_QUERY}", "--format=csv,noheader,nounits"], capture_output=True,
                          text=True, check=False)
    return parse_smi(done.stdout) if done.returncode == 0 else []


def has_gpu() -> bool:
    """Whether models can run on a GPU here."""
    return bool(gpus())


def parse_smi(text: str) -> list[Gpu]:
    """GPUs from the CSV that nvidia-smi prints (memory in MiB)."""
    rows = [[cell.strip() for cell in row] for row in csv.reader(text.splitlines()) if row]
    return [Gpu(name, driver, *(round(float(size) * MIB) for size in sizes)) for name, driver, *sizes in rows]


def parse_metrics(text: str) -> int | None:
    """Used bytes of all GPUs together from Triton's metrics page; None when it shows no GPU."""
    found = [float(value) for _, value in _METRIC.findall(text)]
    return round(sum(found)) if found else None


def catalog_name(name: str) -> str:
    """``Tesla T4`` -> ``T4``: the name that the catalog of instance types uses, where it is one of its GPUs."""
    short = _SHORT.search(name.replace("-", " "))
    return short[1] if short else name


def cpu_name() -> str:
    """The processor's name."""
    text = Path("/proc/cpuinfo").read_text(encoding="utf-8") if Path("/proc/cpuinfo").is_file() else ""
    found = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return found[1] if found else ""
