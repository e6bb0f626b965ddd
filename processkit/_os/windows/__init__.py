"""Windows: job objects, overlapped pipes, one completion port."""
