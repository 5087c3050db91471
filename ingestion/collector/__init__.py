"""The collector: takes events over HTTP and gRPC, and answers each with a verdict (contract 1)."""
