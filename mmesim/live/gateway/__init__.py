"""The front of live mode: SageMaker Runtime API, KServe v2 over HTTP and gRPC, and a management API of its own."""

from mmesim.live.gateway.management import Management, ManagementApi, ManagementSettings, serve_management
from mmesim.live.gateway.server import Gateway, serve
from mmesim.live.gateway.settings import GatewaySettings, ListenSettings

__all__ = ["Gateway", "GatewaySettings", "ListenSettings", "Management", "ManagementApi", "ManagementSettings", "serve",
           "serve_management"]
