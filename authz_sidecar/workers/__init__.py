"""A sidecar of several processes: who starts and replaces them. What they tell each other: `feed`."""
