"""New months of records: taken, labeled, every model in service evaluated on them, and whether it still works."""
