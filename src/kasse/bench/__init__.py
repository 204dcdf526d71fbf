"""A load client for a running server: ``kasse bench``. It knows the server by its addresses only."""
