"""The only place where the simulation touches the product: one sidecar's parts are built here and joined to
the world's edges. Everything between the edges is the code that runs in production.
"""
