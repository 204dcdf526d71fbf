"""Chance takes the time it needs: how long an example takes says more of the machine than of the rules."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("kasse", deadline=None)
settings.load_profile("kasse")
