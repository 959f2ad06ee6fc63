"""The HTTP server below the application: uvicorn, with a protocol of its own that keeps limits."""
