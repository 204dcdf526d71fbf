"""A small shop to try the payer's page with: sent there, in a frame, in a window of its own, and express."""
