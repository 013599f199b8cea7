"""The stack on one machine: the supervisor behind `make up`, and the servers `make test` runs against."""
