"""Live mode: the same controller and policy objects in front of real Triton servers. The only place with asyncio."""
