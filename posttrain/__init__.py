"""Makes the fine-tuned answerer: conversations, probing, mixing, training, evaluation, publishing.

May import `rag_service` (answering, retrieval, evaluation) and `corpus`; nothing imports it.
"""
