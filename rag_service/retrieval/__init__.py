"""From a question to ranked passages, and how far these answer it. Knows nothing of HTTP."""
