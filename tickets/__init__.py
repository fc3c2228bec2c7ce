"""Support tickets of a store."""
