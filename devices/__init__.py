"""Raspberry Pis and what hangs on them: enrolment, presence, commands as rows, telemetry, and the bridge to MQTT."""
