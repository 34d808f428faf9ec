"""Safe retries: a request that is sent again with the same `Idempotency-Key` gets the first answer again."""
