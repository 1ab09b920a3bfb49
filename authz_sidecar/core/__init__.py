"""The pure core: no I/O, no clock, no asyncio. `now` is always an argument."""
