"""The wire contract as code: topics, bodies, the CloudEvents envelope, and how bytes become models."""
