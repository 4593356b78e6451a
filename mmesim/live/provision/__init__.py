"""Who starts and stops servers: processes of this machine, or nobody, because they run already."""

from mmesim.live.provision.fixed import FixedProvisioner
from mmesim.live.provision.local import LocalProvisioner

__all__ = ["FixedProvisioner", "LocalProvisioner"]
