OUTBOX = []
