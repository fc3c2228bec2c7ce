"""Website chat and its hub."""
