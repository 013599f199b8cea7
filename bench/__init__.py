"""What the speed goals are measured with: `make bench`, `make bench ARGS=unlock`, `make bench ARGS=start`."""
