"""Python-backend models of the example repository; their files are copied into it and run inside Triton."""
