"""The payer's page: what it shows (view), in which words (languages), as what HTML (render)."""
