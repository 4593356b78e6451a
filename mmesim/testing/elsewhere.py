"""The same turns in another process with another PYTHONHASHSEED: ``python -m mmesim.testing.elsewhere``.

What depends on the hash of a string, on the order of a set of strings or on an address gives itself away.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

from mmesim.core.policy import Policy
from mmesim.policies.loading import PREFIX, load_file
from mmesim.testing.turns import turns

HASH_SEED = "4711"


def fingerprint(policy: Policy, kind: str, seed: int, n: int) -> str:
    """A digest of the policy's answers to `n` turns."""
    return sha256(repr([turn.ask(policy) for turn in turns(kind, seed, n)]).encode()).hexdigest()


def fingerprint_elsewhere(policy: Policy, kind: str, seed: int, n: int) -> str:
    """The same from a new process. Raises RuntimeError with its last words when it fails."""
    module = sys.modules[type(policy).__module__]
    file = module.__file__ if module.__name__.startswith(PREFIX) else None
    order = pickle.dumps((sys.path, file, pickle.dumps(policy), kind, seed, n))
    paths = os.pathsep.join([str(_root()), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run([sys.executable, "-m", "mmesim.testing.elsewhere"], input=order, capture_output=True,
                          check=False, env={**os.environ, "PYTHONHASHSEED": HASH_SEED, "PYTHONPATH": paths})
    if done.returncode:
        raise RuntimeError((done.stderr.decode().strip().splitlines() or ["no message"])[-1])
    return done.stdout.decode().split()[-1]


def _root() -> Path:
    """The folder that holds this package, wherever the new process is started."""
    return Path(__file__).resolve().parents[2]


def main() -> None:
    """Read an order from the standard input and print the digest."""
    path, file, policy, kind, seed, n = pickle.loads(sys.stdin.buffer.read())
    sys.path[:] = path
    if file is not None:
        load_file(Path(file))
    print(fingerprint(pickle.loads(policy), kind, seed, n))


if __name__ == "__main__":
    main()
