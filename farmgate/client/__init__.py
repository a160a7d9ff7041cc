"""HTTP clients: `api` for people, `node` for nodes."""
