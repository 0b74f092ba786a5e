"""From a question and its passages to an answer that can be checked. Knows no HTTP."""
