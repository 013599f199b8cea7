"""The outside, for real (`serial_line`, `mqtt`, `http_cloud`, `sqlite_store`) and simulated (`simulated`)."""
