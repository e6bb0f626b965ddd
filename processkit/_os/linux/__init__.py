"""Linux: one file per mechanism, one per way of starting a child."""
