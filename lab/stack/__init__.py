"""The whole system on free ports of this machine: for tests, the demo, benchmarks and fault campaigns."""
