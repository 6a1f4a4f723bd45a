"""The pure core of stage-engine: it decides, and does nothing."""
