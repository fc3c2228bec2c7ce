def is_draining() -> bool:
    return False
