"""Compare the facade with other clients on the faults of the test kit."""
