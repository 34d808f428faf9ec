"""Safe retries: a request repeated with the same `Idempotency-Key` gets the first response again."""
