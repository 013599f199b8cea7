"""Stand-ins for the hardware and the vendors: separate programs, spoken to over the wire, no Django."""
