"""What API and worker agree on: the job record, its ledger, the store of pictures, the queue."""
