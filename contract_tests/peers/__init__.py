"""Compare the facade with other clients by what each does on the faults of the test kit."""
