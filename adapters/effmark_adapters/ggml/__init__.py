"""llama.cpp through its C interface: the library, a loaded model, the adapter of both."""
