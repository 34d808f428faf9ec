"""Safe retries: the same request, sent again under the same `Idempotency-Key`, gets the first answer again."""
