"""Kasse: a self-hosted order and payment-session server."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("kasse")
except PackageNotFoundError:  # run from its source folder, without being installed
    __version__ = "0+unknown"
