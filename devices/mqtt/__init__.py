"""The bridge: the only MQTT speaker in the cloud. It holds nothing that the database does not.

`bridge` wires; `inbound` turns messages into service calls; `outbound` publishes command rows; `rights` tells the
broker who may read and write what; `addresses` builds topics.
"""
