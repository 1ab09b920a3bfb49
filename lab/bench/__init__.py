"""Side-by-side measurements of the sidecar and of what people use instead (docs/benchmarks.md)."""
