"""Due work: rows that a core looks at when their time comes, each on its own."""
