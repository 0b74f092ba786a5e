"""Documents in, searchable index out: parsing, chunking, durable workflows, generations, repair."""
