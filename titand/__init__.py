"""titand: push everything; titand decides what is worth training on."""

__version__ = "0.1.0"
